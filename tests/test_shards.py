"""Maps of very many chunks: few files, the same voxels, whoever writes them."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from rondel.loop import doctor
from rondel.store import ngff, settings_file, shards
from rondel.store import project as projects
from rondel.store import volume as volumes
from rondel.store.box import Box
from rondel.store.maps import MapPlan, Maps

from .foreign import write_image

CLASSES = ((1, "background", "#808080"), (3, "membrane", "#e63c3c"))
PLAN = MapPlan("scan", 3, (128, 128, 128), (16, 16, 16), CLASSES, (10.0, 10.0, 10.0), (0.0, 0.0, 0.0), "nanometer")
WRITER = Path(__file__).parent / "map_writer.py"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put chunks together in small maps already: two files an array."""
    monkeypatch.setattr(shards, "MANY", 2)


def shape_of(place: Path, level: int = 0) -> tuple[tuple[int, ...] | None, tuple[int, ...]]:
    """Return shape of shards and of chunks, as zarr-python sees them."""
    stored = zarr.open_array(place / f"s{level}", mode="r")
    return stored.shards, stored.chunks


@pytest.mark.parametrize(
    ("shape", "tiles", "slabs"),
    [
        ((1664, 1728, 1728), None, None),  # 18,954 chunks
        ((1792, 1792, 1792), (64, 64, 128), (64, 64, 128)),
        ((2500, 2500, 2500), (64, 128, 128), (64, 64, 256)),
        ((3400, 3400, 3400), (128, 128, 128), (64, 64, 1024)),
        ((6900, 6900, 6900), (256, 256, 256), (64, 64, 8192)),
        ((21_544, 21_544, 21_544), (256, 256, 512), (64, 64, 8192)),
        ((20_000, 6000, 300), (128, 128, 256), (64, 128, 512)),
        ((60_000, 600, 600), (128, 128, 128), (64, 64, 512)),
        ((200_000, 600, 600), (128, 256, 256), (64, 128, 1024)),
        ((4, 100, 9_000_000_000), (4, 128, 4096), (4, 64, 8192)),
    ],
)  # fmt: skip
def test_shards_are_as_small_as_brings_few_files(shape, tiles, slabs):
    chunks = tuple(min(64, n) for n in shape)
    assert shards.shard_shape(shape, chunks, "tiles") == tiles
    assert shards.shard_shape(shape, chunks, "slabs") == slabs
    assert shards.shard_shape(shape, chunks, "anywhere") is None


@given(st.tuples(*[st.integers(1, 30_000)] * 3), st.integers(0, 4), st.sampled_from(("tiles", "slabs")))
def test_shards_are_whole_chunks_and_no_larger_than_need_be(shape, channels, written):
    lead = (channels,) if channels else ()
    chunks = (*(1 for _ in lead), *(min(64, n) for n in shape))
    found = shards.shard_shape((*lead, *shape), chunks, written)
    if found is None:
        return
    assert all(a % b == 0 for a, b in zip(found, chunks)) and found[: len(lead)] == chunks[: len(lead)]
    assert all(a < 2 * n for a, n in zip(found[len(lead) :], shape))
    count = math.prod(found) // math.prod(chunks)
    assert 1 < count <= shards.MOST
    assert shards.files((*lead, *shape), chunks) > shards.MANY
    assert shards.files((*lead, *shape), found) <= shards.MANY or count == shards.MOST


def written(root: Path, plan: MapPlan = PLAN) -> tuple[Maps, np.ndarray, np.ndarray]:
    """Fill a map tile by tile, with probabilities; returns it with classes and probabilities."""
    maps, rng = Maps.create(root, plan), np.random.default_rng(0)
    classes = rng.integers(0, 4, plan.shape).astype(np.uint8)
    probabilities = rng.integers(1, 255, (2, *plan.shape)).astype(np.uint8)
    for place in np.ndindex(2, 2, 2):
        box = Box.at([i * 64 for i in place], (64, 64, 64)).intersect(Box.of_shape(plan.shape))
        bins = np.ones((len(plan.statistics), *(-(-n // 16) for n in box.shape)))
        maps.write_tile(box, classes[box.slices], 255 - classes[box.slices], bins, probabilities[(..., *box.slices)])
    maps.finish()
    return maps, classes, probabilities


def test_a_sharded_map_holds_what_one_of_many_files_holds(tmp_path, few, monkeypatch):
    plan = replace(PLAN, shape=(100, 128, 120))
    maps, classes, probabilities = written(tmp_path / "few", plan)
    monkeypatch.undo()
    other, *_ = written(tmp_path / "many", plan)
    whole = Box.of_shape(plan.shape)
    np.testing.assert_array_equal(maps.read_classes(whole), classes)
    np.testing.assert_array_equal(maps.read_probabilities(whole), probabilities)
    for name, shard in (
        ("classes", (64, 128, 128)),
        ("uncertainty", (64, 128, 128)),
        ("probabilities", (1, 128, 128, 128)),
    ):
        here, there = (found.folder / f"{name}.ome.zarr" for found in (maps, other))
        assert shape_of(here) == (shard, shape_of(there)[1])
        assert shape_of(there)[0] is None
        assert sum(1 for path in (here / "s0" / "c").rglob("*") if path.is_file()) == 2
        for level in ngff.read_metadata(here).levels:
            a, b = (np.asarray(zarr.open_array(place / level.path, mode="r")[...]) for place in (here, there))
            np.testing.assert_array_equal(a, b)


def test_the_doctor_counts_the_files_of_a_map_all_of_which_is_predicted(tmp_path, few):
    with projects.create(tmp_path / "cells", ["background", "membrane"]) as project:
        image = write_image(tmp_path / "i.zarr", [np.zeros(PLAN.shape, np.uint8)], "zyx", scales=[[1, 1, 1]])
        record = projects.add_volume(project, volumes.describe("scan", str(image)))
        maps, *_ = written(project.folder, MapPlan.of(record, 3, (32, 32, 32), CLASSES))
        settings_file.change(project.folder / "project.toml", "predict.probabilities", "true")
    with projects.open_project(project.folder) as project:
        found = next(finding for finding in doctor.examine(project, "scan") if finding.about == "disk")
    held = sum(1 for path in maps.folder.rglob("c/**/*") if path.is_file())
    assert held == 3 * 2 + 4
    assert f" in {held} files at most: classes, uncertainty and probabilities" in found.why


def test_a_map_that_was_begun_in_many_files_goes_on_so(tmp_path, monkeypatch):
    first = Maps.create(tmp_path, PLAN)
    box = Box((0, 0, 0), (64, 64, 64))
    values = np.full(box.shape, 3, np.uint8)
    first.write_tile(box, values, values, None)
    monkeypatch.setattr(shards, "MANY", 1)
    again = Maps.create(tmp_path, PLAN)
    other = box.shift((64, 0, 0))
    again.write_tile(other, values, values, None)
    assert (again.read_classes(box) == 3).all() and (again.read_classes(other) == 3).all()
    again.finish()
    assert shape_of(again.folder / "classes.ome.zarr") == (None, (64, 64, 64))
    assert (again.folder / "classes.ome.zarr/s0/c/1/0/0").is_file()


def start(root: Path, *words: object) -> subprocess.Popen[str]:
    command = [sys.executable, WRITER, root, *map(str, words)]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert writer.stdout and writer.stdout.readline() == "ready\n"
    return writer


def begin(*writers: subprocess.Popen[str]) -> None:
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("\n")
        writer.stdin.flush()


def test_two_processes_that_write_into_one_shard_lose_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "MANY", 1)
    maps = Maps.create(tmp_path, PLAN)
    assert shape_of(maps.folder / "classes.ome.zarr")[0] == PLAN.shape
    writers = [start(tmp_path, first, 12) for first in (0, 1)]
    begin(*writers)
    for writer in writers:
        writer.communicate(timeout=120)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert (maps.read_classes(Box.of_shape(PLAN.shape)) == 12).all()


def test_a_writer_that_is_killed_leaves_a_shard_of_old_or_new_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "MANY", 1)
    maps, halves = Maps.create(tmp_path, PLAN), (0, 1)
    for turn in range(4):
        writers = [start(tmp_path, first, 200) for first in halves]
        begin(*writers)
        for writer in writers:
            assert writer.stdout and writer.stdout.readline()
        writers[turn % 2].kill()  # at any moment: the other one goes on
        other = writers[1 - turn % 2]
        assert other.stdout and other.stdout.readline() and other.stdout.readline()
        other.kill()
        for writer in writers:
            writer.communicate()
        for first in halves:
            level(maps, first)


def level(maps: Maps, first: int) -> None:
    """See that a killed writer's chunks are each of one round, the first ones at most one ahead, and make them even."""
    boxes = [Box.at([64 * i for i in place], (64, 64, 64)) for place in np.ndindex(2, 2, 2)][first::2]
    found = [np.unique(maps.read_classes(box)).tolist() for box in boxes]
    assert all(len(values) == 1 for values in found)
    rounds = [values[0] for values in found]
    assert rounds == sorted(rounds, reverse=True) and rounds[0] - rounds[-1] <= 1
    for box in boxes:
        values = np.full(box.shape, rounds[0], np.uint8)
        maps.write_tile(box, values, values, None)


def test_coarse_shards_are_made_in_bounded_memory(tmp_path, monkeypatch):
    """A coarse shard of 256 cubed is made of 512 cubed finer voxels, which are never in memory together."""
    code = f"""
import resource
from pathlib import Path
from rondel.store import ngff, pyramid, shards
shards.MANY = 1
path = Path({str(tmp_path)!r}) / "a.zarr"
ngff.create_multiscale(path, name="a", shape=(512, 512, 512), chunks=(64, 64, 64), dtype="uint8",
    spacing_nm=(1.0, 1.0, 1.0), unit="nanometer", levels=2, kind="mode", written="tiles", fill=1)
stored = ngff.open_array(path / "s0", write=True)
stored[:1, :1, :1].write(2).result()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pyramid.build(path)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 64 << 20
