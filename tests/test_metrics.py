"""Scores: counted over known voxels, n/a where there is nothing to score, with an honest interval."""

import numpy as np
import pytest
from rondel.loop.metrics import ClassScore, Counts, count, mean_dice, summarise

LABELS = (1, 2, 3)


def test_only_known_voxels_are_counted():
    truth = np.array([1, 1, 2, 2, 0, 0], np.uint8)
    predicted = np.array([1, 2, 2, 0, 1, 3], np.uint8)
    counted = count(truth, predicted, LABELS)
    assert counted == Counts(tp=(1, 1, 0), fp=(0, 1, 0), fn=(1, 1, 0), known=4)
    predicted[truth == 0] = 2
    assert count(truth, predicted, LABELS) == counted


def test_scores_follow_from_the_sums_over_boxes():
    boxes = [Counts((6, 4), (2, 0), (0, 2), 12), Counts((0, 4), (4, 0), (0, 4), 8)]
    first, second = summarise(boxes, (1, 2), 200, 0.95, 0)
    assert (first.dice, first.iou, first.precision, first.recall) == (12 / 18, 6 / 12, 6 / 12, 1.0)
    assert (second.dice, second.precision, second.recall) == (16 / 22, 1.0, 8 / 14)
    assert first.low == 0 and first.high == pytest.approx(12 / 14)


def test_a_class_absent_from_truth_and_prediction_is_not_scored():
    boxes = [count(np.array([1, 1, 2], np.uint8), np.array([1, 2, 2], np.uint8), LABELS)] * 2
    absent = summarise(boxes, LABELS, 100, 0.95, 0)[2]
    assert (absent.dice, absent.low, absent.high, absent.iou, absent.precision, absent.recall) == (None,) * 6


def test_a_class_predicted_where_there_is_none_scores_0():
    boxes = [count(np.array([1, 1], np.uint8), np.array([1, 3], np.uint8), LABELS)] * 2
    wrong = summarise(boxes, LABELS, 100, 0.95, 0)[2]
    assert (wrong.dice, wrong.precision, wrong.recall) == (0.0, 0.0, None)


@pytest.mark.parametrize("boxes", [[], [Counts((3, 1), (0, 0), (0, 0), 4)]])
def test_fewer_than_two_labelled_boxes_give_no_score(boxes):
    empty = Counts((0, 0), (0, 0), (0, 0), 0)
    assert all(s.dice is None for s in summarise([*boxes, empty, empty], (1, 2), 100, 0.95, 0))


def width(score: ClassScore) -> float:
    assert score.low is not None and score.high is not None
    return score.high - score.low


def test_the_interval_holds_the_score_narrows_with_boxes_and_repeats_with_the_seed():
    rng = np.random.default_rng(0)

    def draw(n):
        return [Counts((int(rng.integers(20, 90)),), (10,), (int(rng.integers(5, 40)),), 200) for _ in range(n)]

    few, many = draw(4), draw(100)
    narrow, wide = summarise(many, (1,), 1000, 0.95, 1)[0], summarise(few, (1,), 1000, 0.95, 1)[0]
    for score in (narrow, wide):
        assert score.low is not None and score.dice is not None and score.high is not None
        assert score.low <= score.dice <= score.high
    assert width(narrow) < width(wide)
    assert summarise(few, (1,), 1000, 0.95, 1)[0] == wide
    assert width(summarise(few, (1,), 1000, 0.6, 1)[0]) < width(wide)


def test_boxes_without_the_class_do_not_break_its_interval():
    boxes = [Counts((5,), (1,), (1,), 50), Counts((0,), (0,), (0,), 50)]
    score = summarise(boxes, (1,), 200, 0.95, 0)[0]
    assert score.low == score.high == score.dice == 10 / 12


def test_mean_dice_leaves_out_everything_else_and_what_is_absent():
    boxes = [Counts((90, 8, 0, 5), (0, 2, 0, 5), (0, 2, 0, 5), 100)] * 2
    assert mean_dice(summarise(boxes, (1, 2, 3, 4), 100, 0.95, 0)) == pytest.approx((16 / 20 + 10 / 20) / 2)
    assert mean_dice(summarise([], (1, 2), 100, 0.95, 0)) is None
