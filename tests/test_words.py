"""Values as screens write them."""

from rondel.store.records import Score
from rondel.tui import words


def score(label: int, dice: float | None, precision: float | None) -> Score:
    return Score(3, label, 4, dice, dice, dice, dice, precision, dice)


def test_a_model_that_finds_nothing_has_no_interval_of_nothing() -> None:
    nothing = [score(1, 0.9, 0.9), score(2, 0.0, None)]
    assert words.blind(nothing) and words.interval(nothing) == ""
    wrong = [score(1, 0.9, 0.9), score(2, 0.0, 0.0)]  # it finds some, all of it in the wrong place
    assert not words.blind(wrong) and words.interval(wrong) == "±0.000"


def test_a_model_without_scores_is_not_called_blind() -> None:
    assert not words.blind([]) and not words.blind([score(1, 0.9, 0.9), score(2, None, None)])
