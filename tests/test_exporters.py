import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from rondel.store import exporters, importers, ngff, shards, volume
from rondel.store.box import Box
from rondel.store.errors import SpaceError, UsageError, VolumeError

RNG = np.random.default_rng(0)
CLASSES = RNG.integers(0, 3, (70, 41, 50)).astype(np.uint8)
MAPS = RNG.integers(0, 255, (3, 9, 41, 50)).astype(np.uint8)
LABEL = ngff.LabelMetadata(((1, "background", "#808080"), (2, "membrane", "#e63c3c")), "")
SIZE: dict[str, Any] = {"spacing_nm": (50.0, 4.6, 4.6), "unit": "nanometer"}


def reader(array: np.ndarray):
    def read(box: Box) -> np.ndarray:
        return array[(..., *box.slices)]

    return read


def to_zarr(target: Path, array: np.ndarray, **options) -> Path:
    common: dict[str, Any] = {"kind": "mean"} | SIZE | options
    exporters.export_ome_zarr(
        target, reader(array), name="scan", axes="zyx" if array.ndim == 3 else "czyx", shape=array.shape,
        dtype=array.dtype.name, translation_nm=(0, 9.2, 0), **common,
    )  # fmt: skip
    return target


def to_tiff(target: Path, array: np.ndarray, **options) -> Path:
    axes = "zyx" if array.ndim == 3 else "czyx"
    exporters.export_tiff(
        target, reader(array), axes=axes, shape=array.shape, dtype=array.dtype.name, **(SIZE | options)
    )
    return target


def test_exported_classes_are_a_valid_label_image_that_readers_show_as_labels(tmp_path: Path):
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Label, Reader
    from ome_zarr_models.v05 import ImageLabel

    path = to_zarr(tmp_path / "out [é] 1.ome.zarr", CLASSES, kind="mode", label=LABEL)
    assert ImageLabel.from_zarr(zarr.open_group(path, mode="r")).attributes.ome.image_label is not None
    location = parse_url(str(path))
    assert location is not None
    nodes = [node for node in Reader(location)() if node.data]
    assert [node.load(Label) is not None for node in nodes] == [True]
    assert np.array_equal(np.asarray(nodes[0].data[0]), CLASSES)
    assert nodes[0].metadata["properties"][2] == {"name": "membrane"}
    with importers.open_labels(path, None, 2) as labels:
        assert np.array_equal(labels.read(Box.of_shape(labels.shape)), CLASSES)


def test_exported_probabilities_are_a_valid_image_with_named_channels(tmp_path: Path):
    from ome_zarr_models.v05 import Image

    path = to_zarr(tmp_path / "p.ome.zarr", MAPS, channel_names=("background", "membrane", "other"))
    Image.from_zarr(zarr.open_group(path, mode="r"))
    record = volume.describe("p", str(path), channels=["membrane"])
    image = volume.open_volume(record, tmp_path)
    assert np.array_equal(image.read(record.box)[0], MAPS[1])
    assert record.spacing_nm == (50, 4.6, 4.6)
    assert record.translation_nm == (0, 9.2, 0)


def test_an_export_has_its_pyramid(tmp_path: Path):
    path = to_zarr(tmp_path / "p.ome.zarr", CLASSES, kind="mode", label=LABEL)
    levels = ngff.read_metadata(path).levels
    assert len(levels) > 1
    assert all(ngff.open_array(path / level.path).read().result().any() for level in levels)


def test_a_huge_export_has_fewer_files_each_written_once_and_the_same_voxels(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(shards, "MANY", 4)
    array = RNG.integers(0, 3, (70, 150, 90)).astype(np.uint8)
    read: list[Box] = []
    whole = Box.of_shape(array.shape)
    monkeypatch.setattr(importers, "SLAB_BYTES", 64 * 64 * 90)

    def once(box: Box) -> np.ndarray:
        read.append(box)
        return array[box.slices]

    options: dict[str, Any] = {"kind": "mode", "label": LABEL, "axes": "zyx", "shape": array.shape, "dtype": "uint8"}
    options |= SIZE | {"name": "scan", "translation_nm": (0, 0, 0)}
    exporters.export_ome_zarr(tmp_path / "few.zarr", once, **options)
    assert sum(box.voxels for box in read) == array.size
    stored = zarr.open_array(tmp_path / "few.zarr/s0", mode="r")
    assert stored.shards and all(box == box.snap_outwards(stored.shards).intersect(whole) for box in read)
    assert sum(1 for file in (tmp_path / "few.zarr/s0/c").rglob("*") if file.is_file()) <= 4
    monkeypatch.undo()
    to_zarr(tmp_path / "many.zarr", array, kind="mode", label=LABEL)
    assert zarr.open_array(tmp_path / "many.zarr/s0", mode="r").shards is None
    levels = ngff.read_metadata(tmp_path / "few.zarr").levels
    for level in levels:
        few, many = (np.asarray(zarr.open_array(tmp_path / f"{n}.zarr/{level.path}")) for n in ("few", "many"))
        assert np.array_equal(few, many)
    assert np.array_equal(np.asarray(stored), array) and len(levels) > 1


@pytest.mark.parametrize("unit, shown", [("nanometer", "nm"), ("micrometer", "µm"), ("angstrom", "Å")])
def test_an_ome_tiff_has_physical_sizes(tmp_path: Path, unit: str, shown: str):
    path = to_tiff(tmp_path / "a [1].ome.tif", CLASSES, unit=unit)
    assert np.array_equal(tifffile.imread(path), CLASSES)
    with tifffile.TiffFile(path) as file:
        assert file.ome_metadata is not None
        assert f'PhysicalSizeXUnit="{shown}"' in file.ome_metadata
        assert file.series[0].axes == "ZYX"
    with importers.open_source(path) as source:
        assert source.spacing is not None
        sizes = [s * ngff.UNITS_NM[unit] for s in source.spacing]
        assert sizes == pytest.approx([50, 4.6, 4.6])


def test_channels_of_an_ome_tiff_are_named(tmp_path: Path):
    path = to_tiff(tmp_path / "a.ome.tif", MAPS, channel_names=("background", "membrane", "other"))
    with importers.open_source(path) as source:
        assert source.channel_names == ("background", "membrane", "other")
        assert np.array_equal(source.read(Box.of_shape(source.shape), None, (0, 1, 2)), MAPS)


def test_a_tiff_becomes_a_bigtiff_when_it_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exporters, "BIG_TIFF", CLASSES.nbytes)
    with tifffile.TiffFile(to_tiff(tmp_path / "a.tif", CLASSES)) as file:
        assert not file.is_bigtiff
    monkeypatch.setattr(exporters, "BIG_TIFF", CLASSES.nbytes - 1)
    with tifffile.TiffFile(to_tiff(tmp_path / "b.tif", CLASSES)) as file:
        assert file.is_bigtiff
        assert np.array_equal(file.asarray(), CLASSES)


@pytest.mark.parametrize("write", [to_zarr, to_tiff])
def test_voxels_are_read_once_in_slabs_and_progress_reaches_its_total(tmp_path: Path, monkeypatch, write):
    monkeypatch.setattr(exporters, "SLAB_BYTES", 10 * 41 * 50)
    monkeypatch.setattr(importers, "SLAB_BYTES", 10 * 41 * 50)
    read: list[Box] = []
    seen: list[tuple[float, float]] = []

    class Watched(np.ndarray):
        def __getitem__(self, index):
            read.append(Box(tuple(s.start for s in index[1:]), tuple(s.stop for s in index[1:])))
            return np.asarray(self)[index]

    write(tmp_path / "out", CLASSES.view(Watched), progress=lambda done, total, unit: seen.append((done, total)))
    assert sum(box.voxels for box in read) == CLASSES.size
    assert len(read) > 1
    assert seen[-1][0] == seen[-1][1]


@pytest.mark.parametrize("write", [to_zarr, to_tiff])
def test_an_export_replaces_nothing(tmp_path: Path, write):
    target = tmp_path / "out"
    target.write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        write(target, CLASSES)
    assert target.read_text() == "mine"


def failing(error: Exception):
    class Failing(np.ndarray):
        def __getitem__(self, index):
            if index[1].stop > 64:
                raise error
            return np.asarray(self)[index]

    return CLASSES.view(Failing)


@pytest.mark.parametrize("write", [to_zarr, to_tiff])
@pytest.mark.parametrize(
    "error, expected",
    [
        (OSError(errno.ENOSPC, "No space left on device"), SpaceError),
        (OSError(errno.EROFS, "Read-only file system"), SpaceError),
        (ValueError("Error writing local file: No space left on device [source]"), SpaceError),
        (OSError(errno.EIO, "Input/output error"), OSError),
        (VolumeError("chunk: Permission denied"), VolumeError),
    ],
)
def test_an_export_that_fails_leaves_nothing_and_says_why(tmp_path: Path, write, error, expected):
    with pytest.raises(expected) as caught:
        write(tmp_path / "out", failing(error))
    assert type(caught.value) is expected
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("write", [to_zarr, to_tiff])
def test_a_place_that_cannot_be_made_is_a_space_error(tmp_path: Path, write):
    (tmp_path / "file").write_text("")
    with pytest.raises(SpaceError, match="could not be made") as caught:
        write(tmp_path / "file" / "out", CLASSES)
    assert caught.value.exit_code == 5
