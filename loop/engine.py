"""Who runs the tiles? An engine has them read, computed and recorded; here one after the other in this process."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

import numpy as np

from ..store.box import ZYX, Box, Tile, occupancy
from ..store.errors import Cancelled


class Answer(NamedTuple):
    """What the process that runs the engine is told of a tile."""

    bins: np.ndarray
    blank: bool = False
    """Whether its image was one value throughout, so that the answer to an equal tile could be taken again."""


Write = Callable[[], Answer]
"""Writes a tile's voxels, all of them on disk on return, and returns what is to be kept beside."""


class Steps(Protocol):
    """What is done with a tile, by whoever has opened what that takes. Tiles are computed one at a time."""

    def read(self, tile: Tile, /) -> np.ndarray:
        """Read the tile's image; may run while another tile is computed."""
        ...

    def compute(self, tile: Tile, image: np.ndarray, /) -> Write:
        """Compute the tile; returns what is left to do, which may run while another tile is computed."""
        ...


class Plan(Protocol):
    """How to get ready for the steps. An engine of several processes hands it to each of them."""

    def open(self) -> Steps: ...


Record = Callable[[Tile, Answer], None]
"""Keeps a tile's bins and records it as done; called by the thread that runs the engine."""


class Engine(Protocol):
    """Run every tile, and record it once, after it was computed.

    An exception in any step ends the run and comes out of it; tiles recorded until then stay done. `cancelled` is asked
    between tiles; the run then ends with Cancelled.
    """

    def run(self, tiles: Iterable[Tile], plan: Plan, record: Record, cancelled: Callable[[], bool]) -> None: ...


class Serial:
    """One tile at a time; meanwhile the tile before is written and the next one read, so that memory holds three."""

    def run(self, tiles: Iterable[Tile], plan: Plan, record: Record, cancelled: Callable[[], bool]) -> None:
        queue, steps = iter(tiles), plan.open()
        written: list[tuple[Tile, Future[Answer]]] = []

        def settle() -> None:
            while written:
                tile, answer = written.pop()
                record(tile, answer.result())

        with _thread("read-tile") as reader, _thread("write-tile") as writer:
            tile = next(queue, None)
            coming = reader.submit(steps.read, tile) if tile else None
            try:
                while tile and coming:
                    if cancelled():
                        coming.cancel()
                        raise Cancelled("stopped between tiles", "run it again to go on")
                    image, following = coming.result(), next(queue, None)
                    coming = reader.submit(steps.read, following) if following else None
                    write = steps.compute(tile, image)
                    settle()
                    written.append((tile, writer.submit(write)))
                    tile = following
            finally:
                settle()


def _thread(name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix=name)


def undone(tiles: Sequence[Tile], done: set[Box], bins: ZYX) -> list[Tile]:
    """Return the tiles that boxes which are done do not cover; these may have been cut otherwise, but on the bins."""
    others = np.array([[*box.start, *box.stop] for box in done], int).reshape(-1, 6)
    return [tile for tile in tiles if tile.write not in done and not _covered(tile.write, others, bins)]


def _covered(box: Box, others: np.ndarray, bins: ZYX) -> bool:
    meeting = others[np.all((others[:, :3] < box.stop) & (others[:, 3:] > box.start), axis=1)]
    return bool(occupancy(box.coarsen(bins), [Box(row[:3], row[3:]).coarsen(bins) for row in meeting]).all())
