import threading

import numpy as np
import pytest
from rondel.loop.engine import Engine, Serial, Work
from rondel.store.box import Box, Tile
from rondel.store.errors import Cancelled, SpaceError

TILES = [Tile(box, box) for box in (Box((z, 0, 0), (z + 1, 4, 4)) for z in range(5))]


class EngineTests:
    """What every engine keeps to."""

    engine: Engine

    def run(self, *, cancelled=lambda: False, compute=None, tiles=TILES) -> list[tuple[str, int]]:
        self.log: list[tuple[str, int]] = []
        lock = threading.Lock()

        def step(name: str, tile: Tile) -> None:
            with lock:
                self.log.append((name, tile.write.start[0]))

        def read(tile: Tile) -> np.ndarray:
            step("read", tile)
            return np.full(1, tile.write.start[0])

        def work(tile: Tile, image: np.ndarray) -> None:
            assert image[0] == tile.write.start[0]
            step("compute", tile)
            if compute:
                compute(tile)

        self.engine.run(iter(tiles), Work(read, work, lambda tile: step("record", tile)), cancelled)
        return self.log

    def recorded(self) -> list[int]:
        return [z for name, z in self.log if name == "record"]

    def test_every_tile_is_read_computed_and_recorded_once_and_in_this_order(self):
        log = self.run()
        assert sorted(self.recorded()) == [0, 1, 2, 3, 4]
        for z in range(5):
            assert [name for name, tile in log if tile == z] == ["read", "compute", "record"]

    def test_no_tiles_is_no_work(self):
        assert self.run(tiles=[]) == []

    def test_cancelling_ends_between_tiles(self):
        with pytest.raises(Cancelled):
            self.run(cancelled=lambda: len(self.recorded()) == 2)
        assert len(self.recorded()) == 2

    def test_a_failing_tile_is_not_recorded_and_ends_the_run(self):
        def fail(tile: Tile) -> None:
            if tile.write.start[0] == 2:
                raise SpaceError("the disk is full")

        with pytest.raises(SpaceError):
            self.run(compute=fail)
        assert 2 not in self.recorded()


class TestSerial(EngineTests):
    engine = Serial()

    def test_at_most_one_image_is_read_ahead(self):
        log = self.run()
        for done in range(5):
            until = log[: log.index(("record", done))]
            assert sum(name == "read" for name, _ in until) <= done + 2
