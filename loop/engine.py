"""Who runs the tiles? An engine reads, computes and records them; here one after the other in this process."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..store.box import Tile
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
