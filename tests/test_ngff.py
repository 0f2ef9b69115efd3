import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from rondel.store import ngff
from rondel.store.errors import UsageError, VolumeError

from .foreign import change_metadata, served, write_image

CLASSES = ((1, "background", "#808080"), (2, "membrane", "#e63c3c"))


def make_labels(path: Path, shape=(33, 41, 50), levels: int = 3) -> Path:
    ngff.create_multiscale(
        path, name="scan", shape=shape, chunks=(33, 32, 32), dtype="uint8", spacing_nm=(50, 4.6, 4.6), unit="nanometer",
        levels=levels, kind="mode", label=ngff.LabelMetadata(CLASSES, "../scan.ome.zarr"),
    )  # fmt: skip
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_both_versions_are_read_with_axes_scales_and_channels(tmp_path: Path, version: str):
    image = np.zeros((2, 3, 4, 20, 24), np.uint16)
    omero = {
        "channels": [{"label": n, "color": "00FF00", "window": {"start": 1, "end": 9}} for n in ("DAPI", "GFP", "c")]
    }
    path = write_image(
        tmp_path / "a b[1].zarr", [image, image[..., ::2, ::2]], "tczyx", version=version, omero=omero,
        scales=[(1, 1, 2, 0.5, 0.5), (1, 1, 2, 1, 1)],
    )  # fmt: skip
    metadata = ngff.read_metadata(path)
    assert (metadata.version, metadata.zarr_format) == (version, 2 if version == "0.4" else 3)
    assert metadata.order == "tczyx"
    assert metadata.unit("y") == "micrometer"
    assert [level.shape for level in metadata.levels] == [(2, 3, 4, 20, 24), (2, 3, 4, 10, 12)]
    assert metadata.levels[1].scale == (1, 1, 2, 1, 1)
    assert metadata.levels[0].chunks == (2, 3, 4, 16, 16)
    assert metadata.channels[1] == ngff.Channel("GFP", "#00ff00", (1.0, 9.0))
    assert metadata.dtype == "uint16"


def test_a_shard_is_the_chunk_that_one_writer_owns(tmp_path: Path):
    path = write_image(tmp_path / "s.zarr", [np.zeros((32, 64, 64), np.uint8)], "zyx", shards=(32, 32, 64))
    level = ngff.read_metadata(path).levels[0]
    assert (level.chunks, level.inner_chunks) == ((32, 32, 64), (16, 16, 16))


def test_transformations_of_image_and_level_combine(tmp_path: Path):
    outer = [{"type": "scale", "scale": [2, 2, 2]}, {"type": "translation", "translation": [1, 0, 0]}]
    path = write_image(tmp_path / "o.zarr", [np.zeros((4, 4, 4), np.uint8)], "zyx", scales=[(3, 1, 1)], outer=outer)

    def move(ome: dict) -> None:
        steps = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"]
        steps.append({"type": "translation", "translation": [5, 0, 0]})

    change_metadata(path, move)
    level = ngff.read_metadata(path).levels[0]
    assert level.scale == (6, 2, 2)
    assert level.translation == (11, 0, 0)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_image_is_read_over_http(tmp_path: Path, version: str):
    image = np.arange(4 * 20 * 24, dtype=np.uint16).reshape(4, 20, 24)
    write_image(tmp_path / "my scan.zarr", [image], "zyx", version=version, scales=[(1, 1, 1)])
    with served(tmp_path) as address:
        metadata = ngff.read_metadata(f"{address}/my scan.zarr")
        array = ngff.open_array(f"{address}/my scan.zarr/{metadata.levels[0].path}")
        assert np.array_equal(array.read().result(), image)
        with pytest.raises(VolumeError, match="no multiscales"):
            ngff.read_metadata(f"{address}/other.zarr")


def broken_axes(ome: dict) -> None:
    ome["multiscales"][0]["axes"][0]["name"] = "x"


def broken_type(ome: dict) -> None:
    ome["multiscales"][0]["axes"][0]["type"] = "channel"


def two_axes(ome: dict) -> None:
    del ome["multiscales"][0]["axes"][0]


def no_datasets(ome: dict) -> None:
    ome["multiscales"][0]["datasets"] = []


def reversed_levels(ome: dict) -> None:
    ome["multiscales"][0]["datasets"].reverse()


def no_path(ome: dict) -> None:
    del ome["multiscales"][0]["datasets"][0]["path"]


def two_scales(ome: dict) -> None:
    ome["multiscales"][0]["datasets"][0]["coordinateTransformations"] = [{"type": "scale", "scale": [1, 1]}]


def future(ome: dict) -> None:
    ome["version"] = "0.9"


def missing_level(ome: dict) -> None:
    ome["multiscales"][0]["datasets"][1]["path"] = "9"


def emptied(ome: dict) -> None:
    ome.clear()


@pytest.mark.parametrize(
    "change, words",
    [
        (broken_axes, "declares axes x"), (broken_type, "z \\(channel\\)"), (two_axes, "axes"), (no_datasets, "levels"),
        (reversed_levels, "order"), (no_path, "cannot be understood"), (two_scales, "transformation"),
        (future, "OME-Zarr 0.9"), (missing_level, "cannot be opened"), (emptied, "no multiscales"),
    ],
)  # fmt: skip
def test_contradictory_metadata_is_one_line_with_a_hint(tmp_path: Path, change, words: str):
    image = np.zeros((4, 20, 24), np.uint8)
    path = write_image(tmp_path / "x.zarr", [image, image[:, ::2, ::2]], "zyx", scales=[(1, 1, 1), (1, 2, 2)])
    change_metadata(path, change)
    with pytest.raises(VolumeError, match=words) as caught:
        ngff.read_metadata(path)
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_stores_that_are_no_image_say_what_they_are(tmp_path: Path):
    with pytest.raises(VolumeError, match="does not exist"):
        ngff.read_metadata(tmp_path / "nothing.zarr")
    write_image(tmp_path / "outer" / "0", [np.zeros((4, 4, 4), np.uint8)], "zyx")
    zarr.open_group(tmp_path / "outer", mode="a", zarr_format=3).attrs["ome"] = {"bioformats2raw.layout": 3}
    with pytest.raises(VolumeError, match="no multiscales") as caught:
        ngff.read_metadata(tmp_path / "outer")
    assert str(tmp_path / "outer" / "0") in caught.value.hint
    with pytest.raises(VolumeError, match="bare zarr array"):
        ngff.read_metadata(tmp_path / "outer" / "0" / "0")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "zarr.json").write_text('{"zarr_format": 3,')
    with pytest.raises(VolumeError, match="not valid JSON"):
        ngff.read_metadata(tmp_path / "torn")


@pytest.mark.parametrize(
    "shape, spacing, last",
    [
        ((20, 1024, 1024), (50, 4.6, 4.6), (2, 16, 16)),
        ((1, 300, 200), (1, 1, 1), (1, 8, 8)),
        ((250, 250, 250), (10, 10, 10), (4, 4, 4)),
        ((60, 60, 60), (1, 1, 1), (1, 1, 1)),
    ],
)
def test_levels_halve_axes_until_voxels_are_isotropic(shape, spacing, last):
    factors = ngff.level_factors(shape, spacing)
    assert factors[0] == (1, 1, 1)
    assert factors[-1] == last
    assert all(b in (a, 2 * a) for fine, coarse in zip(factors, factors[1:]) for a, b in zip(fine, coarse))


def test_coarse_levels_keep_the_place_of_their_voxels(tmp_path: Path):
    metadata = ngff.read_metadata(make_labels(tmp_path / "l.zarr"))
    assert [level.shape for level in metadata.levels] == [(33, 41, 50), (33, 21, 25), (33, 11, 13)]
    assert metadata.levels[1].scale == (50, 9.2, 9.2)
    # The centre of the first coarse voxel is the mean of the two fine centres 0 and 4.6 nm that it covers.
    assert metadata.levels[1].translation == pytest.approx((0, 2.3, 2.3))
    assert metadata.levels[2].translation == pytest.approx((0, 6.9, 6.9))


def test_label_images_are_valid_and_list_colours_and_names_of_the_same_values(tmp_path: Path):
    from ome_zarr_models.v05 import ImageLabel

    path = make_labels(tmp_path / "l.zarr")
    block = ImageLabel.from_zarr(zarr.open_group(path, mode="r")).attributes.ome.image_label
    assert block is not None
    assert [c.label_value for c in block.colors or ()] == [p.label_value for p in block.properties or ()] == [1, 2]
    assert json.loads((path / "s0" / "zarr.json").read_text())["codecs"][-1]["name"] == "crc32c"


def test_images_with_channels_are_valid(tmp_path: Path):
    from ome_zarr_models.common.omero import Omero
    from ome_zarr_models.v05 import Image

    channels = [ngff.Channel("DAPI", "#0000ff", None), ngff.Channel("GFP", "#00ff00", (10.0, 200.0))]
    ngff.create_multiscale(
        tmp_path / "i.zarr", name="i", axes="czyx", shape=(2, 8, 16, 16), chunks=(1, 8, 16, 16), dtype="uint16",
        spacing_nm=(1000, 500, 500), translation_nm=(0, 250, 0), unit="micrometer", levels=2, kind="image",
        channels=channels,
    )  # fmt: skip
    group = Image.from_zarr(zarr.open_group(tmp_path / "i.zarr", mode="r"))
    Omero.model_validate(group.attributes.model_dump()["ome"]["omero"])
    metadata = ngff.read_metadata(tmp_path / "i.zarr")
    assert [c.name for c in metadata.channels] == ["DAPI", "GFP"]
    assert metadata.levels[0].translation == (0, 0, 0.25, 0)
    assert metadata.levels[0].scale == (1, 1, 0.5, 0.5)


def test_labels_are_shown_as_labels_by_ome_zarr(tmp_path: Path):
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Label, Reader

    location = parse_url(str(make_labels(tmp_path / "l.zarr")))
    assert location is not None
    nodes = [node for node in Reader(location)() if node.data]
    assert len(nodes) == 1
    assert nodes[0].load(Label) is not None
    assert nodes[0].metadata["properties"] == {1: {"name": "background"}, 2: {"name": "membrane"}}


def test_making_an_image_never_replaces_one(tmp_path: Path):
    path = make_labels(tmp_path / "l.zarr")
    before = json.loads((path / "zarr.json").read_text())
    with pytest.raises(UsageError, match="exists already"):
        make_labels(path, shape=(33, 5, 5))
    assert json.loads((path / "zarr.json").read_text()) == before
    assert [p.name for p in tmp_path.iterdir()] == ["l.zarr"]


def test_only_touched_chunks_exist_and_values_out_of_range_are_refused(tmp_path: Path):
    path = make_labels(tmp_path / "l.zarr")
    array = ngff.open_array(path / "s0", write=True)
    array[0:2, 0:2, 0:2].write(np.ones((2, 2, 2), np.uint8)).result()
    assert sum(p.is_file() for p in (path / "s0" / "c").rglob("*")) == 1
    with pytest.raises((TypeError, ValueError)):
        array[0:1, 0:1, 0:1].write(np.full((1, 1, 1), 300)).result()
