"""Maps: where a model's output on a volume is, and the bins beside it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rondel.store import ngff
from rondel.store.box import Box
from rondel.store.errors import InvalidDataError, SpaceError, UsageError
from rondel.store.maps import MapPlan, Maps, bin_shape, map_folder, remove, statistics

CLASSES = ((1, "background", "#808080"), (3, "membrane", "#e63c3c"))
PLAN = MapPlan("scan", 3, (40, 70, 80), (8, 16, 16), CLASSES, (10.0, 10.0, 10.0), (0.0, 0.0, 0.0), "nanometer")
TILE = Box((8, 32, 16), (24, 70, 48))


def output(box: Box = TILE, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    bins = [-(-n // b) for n, b in zip(box.shape, PLAN.bin)]
    voxels = [rng.integers(0, 255, box.shape, np.uint8) for _ in range(2)]
    return voxels[0], voxels[1], rng.random((len(PLAN.statistics), *bins))


def probabilities(box: Box = TILE) -> np.ndarray:
    return np.random.default_rng(1).integers(1, 255, (2, *box.shape), np.uint8)


def test_what_is_written_is_read_and_the_rest_is_not_predicted(tmp_path):
    maps = Maps.create(tmp_path, PLAN)
    classes, uncertainty, bins = output()
    maps.write_tile(TILE, classes, uncertainty, bins)
    whole = Box.of_shape(PLAN.shape)
    again = Maps.open(tmp_path, "scan", 3)
    expected = np.zeros(PLAN.shape, np.uint8)
    expected[TILE.slices] = classes
    np.testing.assert_array_equal(again.read_classes(whole), expected)
    np.testing.assert_array_equal(again.read_uncertainty(TILE), uncertainty)
    found = again.bins()
    assert found.shape == (len(PLAN.statistics), 5, 5, 5)
    np.testing.assert_array_equal(found[:, 1:3, 2:5, 1:3], bins.astype(np.float16))
    found = found[:]
    found[:, 1:3, 2:5, 1:3] = 0
    assert not found.any()


def test_tiles_side_by_side_leave_each_others_bins_alone(tmp_path):
    maps = Maps.create(tmp_path, PLAN)
    left, right = Box((0, 0, 0), (8, 32, 32)), Box((0, 0, 32), (8, 32, 80))
    for box in (left, right, left):
        maps.write_tile(box, *output(box))
    np.testing.assert_array_equal(maps.bins()[:, :1, :2, :2], output(left)[2].astype(np.float16))
    np.testing.assert_array_equal(maps.bins()[:, :1, :2, 2:5], output(right)[2].astype(np.float16))


def test_probabilities_are_made_when_first_written_and_only_where_written(tmp_path):
    maps = Maps.create(tmp_path, PLAN)
    folder = map_folder(tmp_path, "scan", 3) / "probabilities.ome.zarr"
    maps.write_tile(TILE, *output())
    assert not folder.exists()
    with pytest.raises(InvalidDataError, match="not kept"):
        maps.read_probabilities(TILE)
    part = Box((9, 33, 17), (12, 40, 30))
    maps.write_probabilities(part, probabilities(part))
    np.testing.assert_array_equal(maps.read_probabilities(part), probabilities(part))
    with pytest.raises(InvalidDataError, match="not kept.*--probabilities"):
        maps.read_probabilities(TILE)
    maps.write_tile(TILE, *output(), probabilities())
    np.testing.assert_array_equal(maps.read_probabilities(TILE), probabilities())


def test_a_tile_off_the_bins_or_outside_is_refused(tmp_path):
    maps = Maps.create(tmp_path, PLAN)
    for box in (Box((4, 32, 16), (24, 70, 48)), Box((8, 32, 16), (20, 70, 48)), Box((8, 32, 16), (48, 70, 48))):
        with pytest.raises(UsageError, match="does not lie on the bins"):
            maps.write_tile(box, *output(box))
    with pytest.raises(UsageError, match="outside"):
        maps.read_classes(Box((0, 0, 0), (41, 70, 80)))


def test_creating_again_keeps_what_is_there_unless_it_was_made_for_something_else(tmp_path):
    Maps.create(tmp_path, PLAN).write_tile(TILE, *output())
    maps = Maps.create(tmp_path, replace(PLAN, classes=((1, "rest", "#000000"), (3, "wall", "#ffffff"))))
    np.testing.assert_array_equal(maps.read_classes(TILE), output()[0])
    for other in ({"bin": (16, 16, 16)}, {"shape": (40, 70, 81)}, {"classes": CLASSES[:1]}):
        with pytest.raises(InvalidDataError, match="predict it anew"):
            Maps.create(tmp_path, replace(PLAN, **other))
    remove(tmp_path, "scan", 3)
    anew = Maps.create(tmp_path, replace(PLAN, bin=(16, 16, 16)))
    assert not anew.read_classes(TILE).any()
    remove(tmp_path, "scan", 3)
    remove(tmp_path, "scan", 3)
    with pytest.raises(InvalidDataError, match=r"no map.*rondel predict scan"):
        Maps.open(tmp_path, "scan", 3)


def test_what_a_killed_creation_left_is_swept(tmp_path):
    folder = map_folder(tmp_path, "scan", 3)
    for left in (folder, folder.with_name(".0003.1234abcd.partial")):
        (left / "classes.ome.zarr").mkdir(parents=True)
    maps = Maps.create(tmp_path, PLAN)
    assert [p.name for p in folder.parent.iterdir()] == ["0003"]
    maps.write_tile(TILE, *output())


def test_what_a_job_left_that_was_killed_while_it_noted_the_context_is_swept(tmp_path):
    maps = Maps.create(tmp_path, PLAN)
    left = maps.folder / ".map.json.0a1b2c3d.partial"
    left.touch()
    maps.note_halo((8, 8, 8))
    assert not left.exists()
    assert Maps.open(tmp_path, maps.plan.volume, maps.plan.model).plan.halo == (8, 8, 8)


def test_an_empty_map_of_a_huge_volume_takes_no_space(tmp_path):
    maps = Maps.create(tmp_path, replace(PLAN, shape=(20_000, 20_000, 20_000), bin=(16, 16, 16)))
    corner = Box((19_984, 19_984, 19_984), (20_000, 20_000, 20_000))
    classes, uncertainty, _ = output(corner)
    maps.write_tile(corner, classes, uncertainty, np.ones((len(PLAN.statistics), 1, 1, 1)))
    assert maps.bins()[:, -1, -1, -1].tolist() == [1.0] * len(PLAN.statistics)
    files = [p for p in maps.folder.rglob("*") if p.is_file()]
    assert sum(p.stat().st_blocks * 512 for p in files) < 2_000_000


def test_a_map_is_a_label_image_that_others_can_read(tmp_path):
    maps = Maps.create(tmp_path, PLAN)
    block = Box((0, 0, 0), (40, 64, 64))
    maps.write_tile(block, np.full(block.shape, 3, np.uint8), *output(block)[1:])
    maps.finish()
    metadata = ngff.read_metadata(maps.folder / "classes.ome.zarr")
    assert (metadata.order, metadata.dtype, metadata.version) == ("zyx", "uint8", "0.5")
    coarse = np.asarray(ngff.open_array(maps.folder / "classes.ome.zarr" / "s1").read().result())
    assert (coarse[:20, :32, :32] == 3).all()
    assert not coarse[:, 32:, 32:].any()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_an_error_that_says_so(tmp_path):
    maps = Maps.create(tmp_path, PLAN)
    maps.write_tile(TILE, *output())
    (maps.folder / "bins.npy").unlink()
    (maps.folder / "bins.npy").symlink_to("/dev/full")
    with pytest.raises(SpaceError, match="free space"):
        maps.write_tile(TILE, *output())


@pytest.mark.parametrize(
    ("box", "bins"), [((32, 32, 32), (16, 16, 16)), ((1, 128, 128), (1, 16, 16)), ((20, 24, 7), (4, 8, 1))]
)
def test_a_label_box_is_a_whole_number_of_bins(box, bins):
    assert bin_shape(box) == bins


def test_statistics_are_named_by_label_value():
    assert statistics([1, 3])[:5] == ("valid", "entropy", "mean", "deviation", "entropy:1")
    assert PLAN.statistics[-1] == "fraction:3"
