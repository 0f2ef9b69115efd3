"""Which boxes first, when there is no model? Typical ones of clusters of cheap features, and test boxes at random.

Nothing is enumerated: positions are drawn from the grid, so the cost does not grow with the volumes. That the typical
come first follows TypiClust (arXiv 2202.02794), with texture in place of learnt features.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..store.box import ZYX, Box
from ..store.maps import bin_shape
from ..store.volume import Volume
from .candidates import Grid, grid
from .features import Cluster, clusters, describe, is_dull
from .rank import Proposal

if TYPE_CHECKING:
    from .normalise import Normalisation

SAMPLES = 1024
"""Positions that are looked at, several times over where most of them are dull."""
BATCHES = 4
TRIES = 200
"""Draws before a stratum counts as full of dull or labelled places."""


@dataclass(frozen=True, slots=True)
class Source:
    """A volume in which boxes may be proposed."""

    volume: Volume
    normalisation: "Normalisation"
    region: Box
    taken: tuple[Box, ...]
    """Boxes that no proposal may overlap."""

    def positions(self, box: ZYX) -> Grid:
        return grid(self.volume.record.shape, self.region, box, bin_shape(box))

    def look(self, box: Box) -> np.ndarray:
        """Return the first channel of a box, normalised, float32 (Z, Y, X)."""
        return self.normalisation.apply(self.volume.read(box))[0]

    def look_at_each(self, boxes: Iterable[Box]) -> Iterator[np.ndarray]:
        """Yield what `look` returns for each of many boxes."""
        return (self.normalisation.apply(image)[0] for image in self.volume.read_many(boxes))


@dataclass(frozen=True, slots=True)
class Draw:
    """What is asked of the first boxes."""

    boxes: int
    box: ZYX
    blank: float
    """A bin whose normalised intensities deviate less than this is blank."""
    seed: int
    clusters: int = 0
    """0: as many as boxes."""


Progress = Callable[[float, float, str], None]
Place = tuple[int, Box]
"""A source's index, and a box in it."""


def propose_typical(sources: Sequence[Source], draw: Draw, progress: Progress | None = None) -> list[Proposal]:
    """Propose the most typical boxes of each cluster in turn, the largest clusters first; fewer when no more fit."""
    rng = np.random.default_rng(draw.seed)
    places, features = _survey(sources, draw, rng, progress)
    if not places:
        return []
    groups = clusters(features, draw.clusters or draw.boxes, rng)
    chosen: list[Place] = []
    reasons: list[str] = []
    for number, row in _in_turns(groups, places, chosen):
        chosen.append(places[row])
        share = f"{100 * groups[number].share:.0f} % of what was looked at"
        reasons.append(f"typical of cluster {number + 1} of {len(groups)} ({share})")
        if len(chosen) == draw.boxes:
            break
    return _proposals(sources, chosen, reasons, draw, "typical")


def propose_test(sources: Sequence[Source], draw: Draw) -> list[Proposal]:
    """Propose boxes for honest scores: random ones, spread evenly over volumes and over strata of space.

    Nothing but dull and taken places is left out, so the boxes stand for the whole. Fewer when no more fit.
    """
    rng = np.random.default_rng(draw.seed)
    chosen: list[Place] = []
    reasons: list[str] = []
    for index, count in enumerate(_shares(sources, draw, rng)):
        for box, where in _spread(sources[index], count, draw, rng):
            chosen.append((index, box))
            reasons.append(f"drawn at random from {where} of the volume")
    return _proposals(sources, chosen, reasons, draw, "test")


def _survey(
    sources: Sequence[Source], draw: Draw, rng: np.random.Generator, progress: Progress | None
) -> tuple[list[Place], np.ndarray]:
    """Look at random positions until enough of them are worth labelling; return these and their features."""
    places: list[Place] = []
    features: list[np.ndarray] = []
    bins = bin_shape(draw.box)
    for batch in _positions(sources, draw, rng):
        free = [(k, box) for k, box in batch if not any(box.overlaps(taken) for taken in sources[k].taken)]
        for n, (index, box, image) in enumerate(_look(sources, free), 1):
            if not is_dull(image, bins, draw.blank):
                places.append((index, box))
                features.append(describe(image, sources[index].volume.record.spacing_nm))
            if progress:
                progress(n, len(free), "boxes looked at")
        if len(places) >= max(SAMPLES // 4, 8 * draw.boxes):
            break
    return places, np.array(features)


def _look(sources: Sequence[Source], places: Sequence[Place]) -> Iterator[tuple[int, Box, np.ndarray]]:
    """Yield each place with what is seen there."""
    for index, group in itertools.groupby(places, key=lambda place: place[0]):
        boxes = [box for _, box in group]
        for box, image in zip(boxes, sources[index].look_at_each(boxes)):
            yield index, box, image


def _positions(sources: Sequence[Source], draw: Draw, rng: np.random.Generator) -> Iterator[list[Place]]:
    """Draw batches of grid positions over all sources, each ordered so that neighbours are read one after the other."""
    grids = [source.positions(draw.box) for source in sources]
    ends = list(itertools.accumulate(g.count for g in grids))
    total = ends[-1] if ends else 0
    seen: set[int] = set()
    for _ in range(BATCHES):
        if total <= SAMPLES:
            numbers = set(range(total))
        else:
            numbers = {int(n) for n in rng.integers(total, size=SAMPLES)}
        batch = sorted(numbers - seen)
        seen |= numbers
        if batch:
            yield [_place(number, grids, ends) for number in batch]


def _place(number: int, grids: Sequence[Grid], ends: Sequence[int]) -> Place:
    index = next(k for k, end in enumerate(ends) if number < end)
    inner = number - (ends[index] - grids[index].count)
    return index, grids[index].at([int(i) for i in np.unravel_index(inner, grids[index].shape)])


def _in_turns(groups: Sequence[Cluster], places: Sequence[Place], chosen: list[Place]) -> Iterator[tuple[int, int]]:
    """Yield (cluster, row): of each cluster in turn the most typical place that overlaps no chosen one."""
    queues = {number: iter(group.rows) for number, group in enumerate(groups)}
    while queues:
        for number in list(queues):
            row = next((row for row in queues[number] if not _meets(places[row], chosen)), None)
            if row is None:
                del queues[number]
            else:
                yield number, row


def _meets(place: Place, chosen: Sequence[Place]) -> bool:
    return any(index == place[0] and box.overlaps(place[1]) for index, box in chosen)


def _proposals(
    sources: Sequence[Source], places: Sequence[Place], reasons: Sequence[str], draw: Draw, strategy: str
) -> list[Proposal]:
    return [
        Proposal(sources[index].volume.record.name, box, (draw.boxes - n) / draw.boxes, reason, strategy)
        for n, ((index, box), reason) in enumerate(zip(places, reasons))
    ]


def _shares(sources: Sequence[Source], draw: Draw, rng: np.random.Generator) -> list[int]:
    """Split the boxes among sources in proportion to the positions in them; what is left over goes by remainder."""
    counts = [source.positions(draw.box).count for source in sources]
    total = sum(counts)
    if not total:
        return [0] * len(counts)
    quotas = [draw.boxes * count / total for count in counts]
    shares = [math.floor(q) for q in quotas]
    noise = rng.random(len(counts))
    order = sorted(range(len(counts)), key=lambda k: (shares[k] - quotas[k], noise[k]))
    for k in order[: draw.boxes - sum(shares)]:
        shares[k] += 1
    return shares


def _strata(region: Box, count: int, box: ZYX) -> list[Box]:
    """Cut a region into so many parts of about equal size, across the axis that holds most boxes."""
    if count < 2:
        return [region] * count
    axis = max(range(3), key=lambda k: region.shape[k] / box[k])
    first = count // 2
    cut = region.start[axis] + round(region.shape[axis] * first / count)
    stop, start = list(region.stop), list(region.start)
    stop[axis] = start[axis] = cut
    low, high = Box(region.start, (stop[0], stop[1], stop[2])), Box((start[0], start[1], start[2]), region.stop)
    return _strata(low, first, box) + _strata(high, count - first, box)


def _centred_in(positions: Grid, region: Box) -> Grid:
    """Keep the positions whose centre lies in a region, along each axis where there are any."""
    kept = []
    for axis, starts in enumerate(positions.starts):
        centres = starts + positions.box[axis] / 2
        inside = starts[(region.start[axis] <= centres) & (centres < region.stop[axis])]
        kept.append(inside if len(inside) else starts)
    return Grid(positions.box, (kept[0], kept[1], kept[2]))


def _spread(source: Source, count: int, draw: Draw, rng: np.random.Generator) -> Iterator[tuple[Box, str]]:
    """Draw a box in each stratum of a source; where that is full, anywhere in its region."""
    positions, taken = source.positions(draw.box), list(source.taken)
    for part, stratum in enumerate(_strata(source.region, count, draw.box), 1):
        places = ((stratum, f"part {part} of {count}"), (source.region, "all"))
        drawn = ((_one_in(source, _centred_in(positions, region), taken, draw, rng), where) for region, where in places)
        for box, where in drawn:
            if box is not None:
                taken.append(box)
                yield box, where
                break


def _one_in(source: Source, places: Grid, taken: Sequence[Box], draw: Draw, rng: np.random.Generator) -> Box | None:
    """Draw one position that is free and not dull; None when there seems to be none."""
    seen: set[tuple[int, ...]] = set()
    for _ in range(TRIES if places.count else 0):
        index = tuple(int(rng.integers(n)) for n in places.shape)
        box = places.at(index)
        fresh = index not in seen and not any(box.overlaps(other) for other in taken)
        if fresh and not is_dull(source.look(box), bin_shape(draw.box), draw.blank):
            return box
        seen.add(index)
    return None
