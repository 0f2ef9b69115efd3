"""What every engine keeps to, and what is the serial one's own."""

import functools
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from rondel.loop.engine import Answer, Engine, Serial, Write
from rondel.store.box import Box, Tile
from rondel.store.errors import Cancelled, ModelError, SpaceError

COUNT = 12
TILES = [Tile(box, box) for box in (Box((z, 0, 0), (z + 1, 4, 4)) for z in range(COUNT))]


@dataclass(frozen=True)
class Logged:
    """Steps that only write down, where every process can, that they were taken."""

    path: Path
    failing: int = -1
    full: int = -1

    def open(self) -> "Logged":
        return self

    def read(self, tile: Tile) -> np.ndarray:
        self.step("read", tile)
        return np.full(1, tile.write.start[0])

    def compute(self, tile: Tile, image: np.ndarray) -> Write:
        assert image[0] == tile.write.start[0]
        self.step("compute", tile)
        if tile.write.start[0] == self.failing:
            raise ModelError("the model answers with values that are no numbers")
        return functools.partial(self.write, tile, image)

    def write(self, tile: Tile, image: np.ndarray) -> Answer:
        if tile.write.start[0] == self.full:
            raise SpaceError("the disk is full", "free space")
        self.step("write", tile)
        return Answer(image + 100)

    def step(self, name: str, tile: Tile) -> None:
        with self.path.open("a") as file:
            file.write(f"{name} {tile.write.start[0]}\n")

    def log(self) -> list[tuple[str, int]]:
        lines = self.path.read_text().split("\n")[:-1] if self.path.exists() else []
        return [(name, int(z)) for name, z in map(str.split, lines)]

    def of(self, step: str) -> list[int]:
        return [z for name, z in self.log() if name == step]


@dataclass(frozen=True)
class Meeting(Logged):
    """Steps of which each computation ends only once the tile before is being written."""

    begun: list[threading.Event] = field(default_factory=lambda: [threading.Event() for _ in TILES])
    met: list[int] = field(default_factory=list)

    def compute(self, tile: Tile, image: np.ndarray) -> Write:
        before = tile.write.start[0] - 1
        if before >= 0 and self.begun[before].wait(20):
            self.met.append(before)
        return super().compute(tile, image)

    def write(self, tile: Tile, image: np.ndarray) -> Answer:
        self.begun[tile.write.start[0]].set()
        return super().write(tile, image)


class EngineTests:
    """What every engine keeps to."""

    @pytest.fixture
    def engine(self) -> Engine:
        raise NotImplementedError

    @pytest.fixture
    def steps(self, tmp_path: Path) -> Logged:
        return Logged(tmp_path / "steps")

    def run(self, engine: Engine, steps: Logged, *, cancelled=lambda: False, tiles=TILES) -> None:
        def record(tile: Tile, answer: Answer) -> None:
            assert answer.bins[0] == tile.write.start[0] + 100
            steps.step("record", tile)

        engine.run(iter(tiles), steps, record, cancelled)

    def test_every_tile_is_read_computed_written_and_recorded_once_and_in_this_order(self, engine, steps):
        self.run(engine, steps)
        log = steps.log()
        assert sorted(steps.of("record")) == list(range(COUNT))
        for z in range(COUNT):
            assert [name for name, tile in log if tile == z] == ["read", "compute", "write", "record"]

    def test_no_tiles_is_no_work(self, engine, steps):
        self.run(engine, steps, tiles=[])
        assert steps.log() == []

    def test_cancelling_ends_between_tiles_and_nothing_that_was_computed_is_lost(self, engine, steps):
        with pytest.raises(Cancelled):
            self.run(engine, steps, cancelled=lambda: len(steps.of("record")) >= 2)
        assert 2 <= len(steps.of("record")) < COUNT
        assert sorted(steps.of("compute")) == sorted(steps.of("record"))

    def test_a_failing_tile_is_not_recorded_and_ends_the_run(self, engine, steps):
        failing = Logged(steps.path, failing=2)
        with pytest.raises(ModelError, match="no numbers"):
            self.run(engine, failing)
        assert 2 not in failing.of("record")
        assert len(failing.of("read")) < COUNT
        assert sorted(failing.of("write")) == sorted(failing.of("record"))

    def test_a_tile_that_cannot_be_written_is_not_recorded_and_ends_the_run(self, engine, steps):
        full = Logged(steps.path, full=2)
        with pytest.raises(SpaceError, match="the disk is full; free space"):
            self.run(engine, full)
        assert 2 not in full.of("record")
        assert len(full.of("read")) < COUNT

    def test_tiles_that_are_drawn_while_others_are_computed_are_not_drawn_all_at_once(self, engine, steps):
        drawn = []

        def draw():
            for tile in TILES:
                drawn.append((tile.write.start[0], len(steps.of("record"))))
                yield tile

        self.run(engine, steps, tiles=draw())
        assert all(done >= z - 5 for z, done in drawn), drawn


class TestSerial(EngineTests):
    @pytest.fixture
    def engine(self) -> Engine:
        return Serial()

    def test_cancelling_ends_after_the_tile_that_is_computed(self, engine, steps):
        with pytest.raises(Cancelled):
            self.run(engine, steps, cancelled=lambda: len(steps.of("compute")) == 2)
        assert steps.of("record") == [0, 1]

    def test_a_tile_is_written_while_the_next_is_computed(self, engine, steps):
        meeting = Meeting(steps.path)
        self.run(engine, meeting)
        assert meeting.met == list(range(COUNT - 1))

    def test_at_most_one_image_is_read_ahead_of_what_is_computed(self, engine, steps):
        self.run(engine, steps)
        log = steps.log()
        for done in range(COUNT):
            until = log[: log.index(("record", done))]
            assert sum(name == "read" for name, _ in until) <= done + 3
