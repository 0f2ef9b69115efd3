"""The list of boxes: which columns fit, how rows are ordered, filtered and written."""

from dataclasses import replace

import pytest
from rondel.store import ledger
from rondel.store.box import Box
from rondel.store.project import Project
from rondel.store.records import Purpose, State
from rondel.tui import words
from rondel.tui.box_rows import COLUMNS, ORDERS, Searched, View, arrange, cells, columns, heading
from rondel.tui.snapshot import Snapshot, read

from .conftest import add_box


@pytest.fixture
def state(project: Project) -> Snapshot:
    ledger.open_round(project.database, None, "typical", 0)
    for k, state in enumerate((State.DONE, State.OPEN, State.SKIPPED, State.PROPOSED)):
        box = Box((0, 0, 18 * k), (16, 16, 18 * k + 16))
        add_box(project, box, state=state, priority=k / 10, person=f"person{k}", reason=f"reason {k}")
    return read(project, None)


def ids(state: Snapshot, **view) -> list[int]:
    return [box.id for box in arrange(state, View(**view), Searched())]


def test_what_waits_comes_first(state) -> None:
    assert ids(state) == [4, 2, 3, 1]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("open", [2]),
        ("PERSON1", [2]),
        ("scan reason", [4, 2, 3, 1]),
        ("round:1 skipped", [3]),
        ("[/b]", []),
        ("4", [4]),
    ],
)
def test_all_words_of_a_filter_must_match(state, text, found) -> None:
    assert ids(state, filter=text) == found


def test_orders(state) -> None:
    assert ids(state, order="number") == [1, 2, 3, 4]
    assert ids(state, order="priority") == [4, 3, 2, 1]
    assert ids(state, order="state") == [2, 4, 1, 3]
    for order in ORDERS:
        assert sorted(ids(state, order=order)) == [1, 2, 3, 4]


def test_another_round_is_empty_and_all_rounds_are_all(state) -> None:
    assert ids(state, round=7) == [4, 2]  # what still waits of earlier rounds
    assert sorted(ids(state, everything=True)) == [1, 2, 3, 4]


@pytest.mark.parametrize("width", [20, 40, 54, 63, 76, 100, 200])
def test_columns_fill_the_width_and_keep_what_tells_most(state, width) -> None:
    chosen = columns(state, list(state.boxes), width)
    assert sum(c.width + 2 for c in chosen) <= width
    assert [c.name for c in chosen] == [c.name for c in COLUMNS if c.name in {c.name for c in chosen}]
    assert {"state", "box"} <= {c.name for c in chosen}


def test_the_volume_is_named_only_where_there_are_several(state) -> None:
    several = replace(state, volumes=(*state.volumes, replace(state.volumes[0], name="other")))
    assert "volume" not in [c.name for c in columns(state, [], 200)]
    assert "volume" in [c.name for c in columns(several, [], 200)]


def test_a_row_says_state_place_and_reason(state) -> None:
    chosen = columns(state, list(state.boxes), 200)
    box = state.box(2)
    assert box
    row = {column.name: cell.plain for column, cell in zip(chosen, cells(box, state, chosen))}
    assert row["state"] == "◐ open" and row["box"] == "    2" and row["use"] == "train"
    assert row["place"] == "   0    0  180" and heading(chosen[3], state) == "z y x, nm"
    assert row["who"] == "person1" and row["why it was proposed"] == "reason 1"


def test_cells_are_cut_to_their_column_and_hold_no_control_characters(state) -> None:
    box = replace(state.boxes[0], person="a\x1b[31m\n" * 50, reason="[bold]" * 50, purpose=Purpose.TEST)
    for column, cell in zip(chosen := columns(state, [box], 100), cells(box, state, chosen)):
        assert len(cell.plain) <= column.width and cell.plain.isprintable()


def test_control_characters_are_shown_and_not_obeyed() -> None:
    assert words.plain("a\x1b[31m\u202e\n[b]") == "a\\x1b[31m\\u202e\\n[b]"
    assert words.plain("abcdef", 4) == "abc…"


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(None, "n/a"), (0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3600, "1 h 00"), (9000, "2 h 30")],
)
def test_durations(seconds, written) -> None:
    assert words.duration(seconds) == written


def test_how_long_ago() -> None:
    assert [words.ago(0, now) for now in (2, 60, 7200, 200_000)] == ["2 s ago", "1 min ago", "2 h ago", "2 d ago"]
    assert words.ago(10, 0) == "0 s ago"  # clocks of two machines differ


def test_sparklines_and_bars_have_the_width_that_is_asked_for() -> None:
    assert (
        words.sparkline([1, 2, 3], 10) == "▁▅█"
        and words.sparkline([], 5) == ""
        and len(words.sparkline([1] * 99, 7)) == 7
    )
    for share in (-1, 0, 0.26, 0.5, 1, 2):
        assert len("".join(words.bar(share, 10))) == 10
