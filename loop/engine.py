"""Who runs the tiles? An engine reads, computes and records them; here one after the other in this process."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..store.box import ZYX, Box, Tile, occupancy
from ..store.errors import Cancelled


@dataclass(frozen=True, slots=True)
class Work:
    """What is done with a tile, step by step."""

    read: Callable[[Tile], np.ndarray]
    """Read the tile's image; may run beside `compute`."""
    compute: Callable[[Tile, np.ndarray], None]
    """Compute the tile and write it; nothing is left to be flushed when it returns."""
    record: Callable[[Tile], None]
    """Record the tile as done; always runs in the process that runs the engine, one call at a time."""


class Engine(Protocol):
    """Run every tile once, and record it only after it was computed.

    An exception in any step ends the run and comes out of it; tiles recorded until then stay done. `cancelled` is asked
    between tiles; the run then ends with Cancelled.
    """

    def run(self, tiles: Iterable[Tile], work: Work, cancelled: Callable[[], bool]) -> None: ...


class Serial:
    """One tile at a time; the next tile's image is read meanwhile, so at most two images are in memory."""

    def run(self, tiles: Iterable[Tile], work: Work, cancelled: Callable[[], bool]) -> None:
        queue = iter(tiles)
        with ThreadPoolExecutor(1, thread_name_prefix="read-tile") as reader:
            tile = next(queue, None)
            coming = reader.submit(work.read, tile) if tile else None
            while tile and coming:
                if cancelled():
                    coming.cancel()
                    raise Cancelled("stopped between tiles", "run it again to go on")
                image, following = coming.result(), next(queue, None)
                coming = reader.submit(work.read, following) if following else None
                work.compute(tile, image)
                work.record(tile)
                tile = following


def undone(tiles: Sequence[Tile], done: set[Box], bins: ZYX) -> list[Tile]:
    """Return the tiles that boxes which are done do not cover; these may have been cut otherwise, but on the bins."""
    others = np.array([[*box.start, *box.stop] for box in done], int).reshape(-1, 6)
    return [tile for tile in tiles if tile.write not in done and not _covered(tile.write, others, bins)]


def _covered(box: Box, others: np.ndarray, bins: ZYX) -> bool:
    meeting = others[np.all((others[:, :3] < box.stop) & (others[:, 3:] > box.start), axis=1)]
    return bool(occupancy(_in_bins(box, bins), [_in_bins(Box(row[:3], row[3:]), bins) for row in meeting]).all())


def _in_bins(box: Box, bins: ZYX) -> Box:
    grown = box.snap_outwards(bins)
    return Box.at([a // b for a, b in zip(grown.start, bins)], [n // b for n, b in zip(grown.shape, bins)])
