"""How good is it? Dice, IoU, precision and recall of each class on known voxels, with an interval over boxes.

A class that is absent from truth and prediction is n/a, here None: neither 0 nor 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted in one box; one number a class."""

    tp: tuple[int, ...]
    fp: tuple[int, ...]
    fn: tuple[int, ...]
    known: int
    """Labelled voxels of the box, the only ones that were looked at."""


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Quality of one class over all boxes together; None is n/a."""

    label: int
    dice: float | None
    low: float | None
    high: float | None
    iou: float | None
    precision: float | None
    recall: float | None


def count(truth: np.ndarray, predicted: np.ndarray, labels: Sequence[int]) -> Counts:
    """Compare two uint8 label arrays of one box where truth is labelled; a voxel not predicted (0) is a miss."""
    known = truth > 0
    pairs = truth[known].astype(np.int64) * 256 + predicted[known]
    table = np.bincount(pairs, minlength=256 * 256).reshape(256, 256)
    hit = [int(table[v, v]) for v in labels]
    fp = tuple(int(table[:, v].sum()) - h for v, h in zip(labels, hit))
    fn = tuple(int(table[v].sum()) - h for v, h in zip(labels, hit))
    return Counts(tuple(hit), fp, fn, int(known.sum()))


def summarise(
    boxes: Sequence[Counts], labels: Sequence[int], samples: int, interval: float, seed: int
) -> tuple[ClassScore, ...]:
    """Sum the counts of test boxes and bootstrap over boxes; everything is n/a with fewer than two labelled boxes.

    `samples` draws of as many boxes with replacement give the central `interval` of Dice.
    """
    boxes = [b for b in boxes if b.known]
    if len(boxes) < 2:
        return tuple(ClassScore(label, None, None, None, None, None, None) for label in labels)
    table = np.array([[b.tp, b.fp, b.fn] for b in boxes], np.float64)  # (boxes, 3, classes)
    drawn = np.random.default_rng(seed).integers(0, len(boxes), (samples, len(boxes)))
    times = np.stack([np.bincount(row, minlength=len(boxes)) for row in drawn])
    resampled = np.tensordot(times, table, 1)  # (samples, 3, classes)
    return tuple(_score(label, table[:, :, k].sum(0), resampled[:, :, k], interval) for k, label in enumerate(labels))


def mean_dice(scores: Sequence[ClassScore]) -> float | None:
    """Average Dice over the classes that have one, leaving out class 1, "everything else"."""
    found = [s.dice for s in scores if s.label > 1 and s.dice is not None]
    return float(np.mean(found)) if found else None


def _score(label: int, counts: np.ndarray, resampled: np.ndarray, interval: float) -> ClassScore:
    tp, fp, fn = (float(v) for v in counts)
    dice = _ratio(2 * tp, 2 * tp + fp + fn)
    low, high = _interval(resampled, interval) if dice is not None else (None, None)
    return ClassScore(label, dice, low, high, _ratio(tp, tp + fp + fn), _ratio(tp, tp + fp), _ratio(tp, tp + fn))


def _interval(resampled: np.ndarray, interval: float) -> tuple[float, float]:
    """Return the central interval of Dice over resamples, of which those without the class say nothing."""
    tp, fp, fn = resampled.T
    present = tp + fp + fn > 0
    dice = 2 * tp[present] / (2 * tp + fp + fn)[present]
    low, high = np.quantile(dice, [(1 - interval) / 2, (1 + interval) / 2])
    return float(low), float(high)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
