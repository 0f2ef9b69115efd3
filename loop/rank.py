"""Which boxes next? Pure functions from bins to proposals; nothing but numpy.

The candidates of all volumes are one pool. Of a huge volume the pool keeps only those that can be chosen at all: a
chosen box rules out its few neighbours on the grid, so the best NEIGHBOURS x n of each order are enough.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from ..store.box import ZYX, Box
from ..store.errors import UsageError
from .candidates import BinTable, Slab, candidates, features, overlapping

NEIGHBOURS = 6**3
"""How many candidates a box can overlap, itself among them: along an axis five half a box apart, and the last one."""
UNSURE = 4
"""Among how many of the most uncertain boxes, for each one asked for, those are looked for that differ."""
ALIKE = 0.25
"""Boxes this much closer to each other than uncertain ones commonly are count as alike."""
NOTICEABLE = 0.02
"""A class is noticeable in a box at this fraction, or at half of its largest one where it is rarer."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A box that should be labelled next."""

    volume: str
    box: Box
    priority: float
    """1 for the first of a list, falling to nearly 0."""
    reason: str
    strategy: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a ranking."""

    boxes: int
    box: ZYX
    strategy: str
    blank: float
    """A bin whose normalised intensities deviate less than this is blank."""
    seed: int
    classes: tuple[tuple[int, str], ...]
    """Label value and name of each class."""


Choice = tuple[int, str]
"""A candidate's index in the pool, and the reason."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Candidates of all volumes, one row each."""

    table: np.ndarray  # (M,) index of the volume
    starts: np.ndarray  # (M, 3)
    shapes: np.ndarray  # (M, 3)
    entropy: np.ndarray  # (M,)
    fractions: np.ndarray  # (M, labels)
    noise: np.ndarray  # (M,) drawn evenly from 0..1: the order of random choices, and what breaks ties

    @classmethod
    def of(cls, index: int, slab: Slab, noise: np.ndarray) -> Self:
        count = len(slab.starts)
        table, shapes = np.full(count, index), np.tile(slab.box, (count, 1))
        return cls(table, slab.starts, shapes, slab.entropy, slab.fractions.T, noise)

    def take(self, rows: np.ndarray) -> Self:
        return type(self)(*(getattr(self, f.name)[rows] for f in fields(self)))

    def join(self, other: Self) -> Self:
        return type(self)(*(np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)))

    def overlaps(self, row: int) -> np.ndarray:
        """Tell which candidates overlap this one, itself among them."""
        box = Box.at(self.starts[row], self.shapes[row])
        return (self.table == self.table[row]) & overlapping(self.starts, self.shapes, box)


@dataclass(frozen=True, slots=True)
class Field:
    """All there is to choose from."""

    pool: Pool
    count: int
    """How many candidates there are, those that the pool dropped among them."""
    labels: tuple[int, ...]
    """Label values of the pool's fractions."""
    predicted: tuple[float, ...]
    """Mean fraction of each over all candidates."""
    tables: Sequence[BinTable]
    """Where the candidates are from."""

    def features(self, row: int) -> np.ndarray | None:
        return features(self.tables[self.pool.table[row]], Box.at(self.pool.starts[row], self.pool.shapes[row]))


def propose(tables: Sequence[BinTable], wanted: Wanted) -> list[Proposal]:
    """Choose boxes by a strategy, the first to label first; fewer than asked for when no more fit.

    Equal input gives equal proposals. Raises UsageError for an unknown strategy.
    """
    if wanted.strategy not in STRATEGIES:
        raise UsageError(f"unknown strategy '{wanted.strategy}'", f"strategies: {', '.join(STRATEGIES)}")
    if not tables or wanted.boxes < 1:
        return []
    field = survey(tables, wanted)
    return [
        Proposal(
            volume=tables[field.pool.table[row]].volume,
            box=Box.at(field.pool.starts[row], field.pool.shapes[row]),
            priority=(wanted.boxes - place) / wanted.boxes,
            reason=reason,
            strategy=wanted.strategy,
        )
        for place, (row, reason) in enumerate(STRATEGIES[wanted.strategy](field, wanted))
    ]


def survey(tables: Sequence[BinTable], wanted: Wanted) -> Field:
    """Gather the candidates of all volumes."""
    labels = tables[0].labels
    if any(table.labels != labels for table in tables):
        raise UsageError("the volumes' maps are of different classes", "predict them all with one model")
    rng = np.random.default_rng(wanted.seed)
    keep = NEIGHBOURS * wanted.boxes * (UNSURE if wanted.strategy == "diverse" else 1)
    nothing = Slab((1, 1, 1), np.empty((0, 3), int), np.empty(0), np.empty((len(labels), 0)))
    pool, bars = Pool.of(0, nothing, np.empty(0)), []
    count, predicted = 0, np.zeros(len(labels))
    for index, table in enumerate(tables):
        for slab in candidates(table, wanted.box, wanted.blank):
            noise = rng.random(len(slab.starts))
            count, predicted = count + len(noise), predicted + slab.fractions.sum(1)
            rows = _above(bars, slab, noise)
            pool = pool.join(Pool.of(index, slab.take(rows), noise[rows]))
            if len(pool.noise) > 8 * keep:
                pool, bars = _trim(pool, keep)
    return Field(pool, count, labels, tuple(predicted / max(count, 1)), tables)


Bar = tuple[float, float]
"""Value and noise of the last candidate that is kept in an order."""


def _orders(entropy: np.ndarray, fractions: np.ndarray) -> list[np.ndarray]:
    """Return the values by which strategies go through candidates; of equal ones the largest noise comes first."""
    by_class = [order for fraction in fractions for order in (fraction, fraction >= NOTICEABLE)]
    return [np.zeros(len(entropy)), entropy, *by_class]


def _above(bars: Sequence[Bar], slab: Slab, noise: np.ndarray) -> np.ndarray:
    """Return the rows that come before the bar in any order; all of them while there are no bars."""
    found = np.full(len(noise), not bars)
    for order, (value, last) in zip(_orders(slab.entropy, slab.fractions), bars):
        found |= (order > value) | ((order == value) & (noise > last))
    return np.flatnonzero(found)


def _trim(pool: Pool, keep: int) -> tuple[Pool, list[Bar]]:
    """Drop what no strategy can come to, and say what later candidates must surpass."""
    kept, bars = np.zeros(len(pool.noise), bool), []
    for order in _orders(pool.entropy, pool.fractions.T):
        rows = np.lexsort((pool.noise, order))[-keep:]
        kept[rows] = True
        bars.append((float(order[rows[0]]), float(pool.noise[rows[0]])))
    return pool.take(np.flatnonzero(kept)), bars


def _by_entropy(pool: Pool) -> np.ndarray:
    return np.lexsort((pool.noise, pool.entropy))[::-1]


def _free(pool: Pool, order: np.ndarray, free: np.ndarray) -> Iterator[int]:
    """Go through candidates in an order, skip what overlaps the chosen ones, and choose the rest."""
    for row in order:
        if free[row]:
            free[pool.overlaps(row)] = False
            yield int(row)


def _random(field: Field, wanted: Wanted) -> list[Choice]:
    free = np.ones(len(field.pool.noise), bool)
    return [(row, "drawn at random") for row in itertools.islice(_at_random(field.pool, free), wanted.boxes)]


def _at_random(pool: Pool, free: np.ndarray) -> Iterator[int]:
    return _free(pool, np.argsort(-pool.noise), free)


def _entropy(field: Field, wanted: Wanted) -> list[Choice]:
    pool, order = field.pool, _by_entropy(field.pool)
    place = {int(row): n for n, row in enumerate(order, 1)}
    rows = itertools.islice(_free(pool, order, np.ones(len(order), bool)), wanted.boxes)
    among = f"of {field.count} candidates"
    return [(row, f"mean entropy {pool.entropy[row]:.2f}, {_ordinal(place[row])} {among}") for row in rows]


def _foreground(field: Field, wanted: Wanted) -> list[Choice]:
    """Choose half of the boxes where a class is predicted, the others at random, in turns.

    The first half goes first, so that a random box never takes the place of the only one with a rare class.
    """
    free = np.ones(len(field.pool.noise), bool)
    seen = list(itertools.islice(_with_classes(field, wanted, free), -(-wanted.boxes // 2)))
    rest = wanted.boxes - len(seen)
    others = [(row, "drawn at random") for row in itertools.islice(_at_random(field.pool, free), rest)]
    turns = itertools.zip_longest(seen, others)
    return [choice for pair in turns for choice in pair if choice is not None]


def _with_classes(field: Field, wanted: Wanted, free: np.ndarray) -> Iterator[Choice]:
    """Take turns among the classes that are predicted anywhere, the rarest first."""
    pool, names = field.pool, dict(wanted.classes)
    turns: list[tuple[str, np.ndarray, Iterator[int]]] = []
    for column in np.argsort(field.predicted, kind="stable"):
        fraction = pool.fractions[:, column]
        if field.predicted[column] > 0:
            noticed = np.flatnonzero(fraction >= min(NOTICEABLE, fraction.max() / 2))
            order = noticed[np.argsort(-pool.noise[noticed])]
            label = field.labels[column]
            turns.append((names.get(label, f"class {label}"), fraction, _free(pool, order, free)))
    while turns:
        name, fraction, rows = turns.pop(0)
        for row in itertools.islice(rows, 1):
            yield row, f"{name} predicted in {100 * fraction[row]:.2g} % of it"
            turns.append((name, fraction, rows))


def _diverse(field: Field, wanted: Wanted) -> list[Choice]:
    """Choose among the most uncertain boxes, one by one, by entropy and distance to the nearest box so far.

    That is farthest-first traversal (the k-center greedy of core-sets, arXiv 1708.00489) weighted by entropy. Boxes
    that are known count as chosen where the model predicted them.
    """
    pool = field.pool
    some = itertools.islice(_free(pool, _by_entropy(pool), np.ones(len(pool.noise), bool)), UNSURE * wanted.boxes)
    unsure = [(row, place) for row in some if (place := field.features(row)) is not None]
    if not unsure:
        return []
    rows, places = np.array([row for row, _ in unsure]), np.array([place for _, place in unsure])
    common = np.sqrt(2 * places.var(0).sum())  # root mean square distance of two of them
    known = [features(table, box) for table in field.tables for box in table.known]
    nearest = _nearest(places, [place for place in known if place is not None])
    left, choices = np.ones(len(rows), bool), []
    while left.any() and len(choices) < wanted.boxes:
        worth = pool.entropy[rows] * (nearest if np.isfinite(nearest).all() else 1)
        best = int(np.argmax(np.where(left, worth, -1)))
        choices.append((int(rows[best]), _unlike(nearest[best], common, float(pool.entropy[rows[best]]))))
        left[best] = False
        nearest = np.minimum(nearest, _nearest(places, [places[best]]))
    return choices


def _nearest(places: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """Return how far each place is from the nearest of others, infinitely where there are none."""
    nearest = np.full(len(places), np.inf)
    for other in others:
        nearest = np.minimum(nearest, np.linalg.norm(places - other, axis=1))
    return nearest


def _unlike(distance: float, common: float, entropy: float) -> str:
    if np.isinf(distance):
        return f"mean entropy {entropy:.2f}, the highest"
    how = "like another box" if distance <= ALIKE * common else "unlike the boxes so far"
    return f"{how}, mean entropy {entropy:.2f}"


def _ordinal(place: int) -> str:
    if place == 1:
        return "the highest"
    ending = {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th") if place // 10 % 10 != 1 else "th"
    return f"{place}{ending} highest"


STRATEGIES: dict[str, Callable[[Field, Wanted], list[Choice]]] = {
    "random": _random,
    "foreground": _foreground,
    "entropy": _entropy,
    "diverse": _diverse,
}
