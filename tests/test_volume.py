import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rondel.store import volume
from rondel.store.box import Box
from rondel.store.errors import VolumeError

from .foreign import change_metadata, digest, served, write_image

RNG = np.random.default_rng(0)
FIVE = RNG.integers(0, 4000, (2, 3, 6, 20, 24)).astype(np.uint16)  # (T, C, Z, Y, X)


def one_level(path: Path, array: np.ndarray, axes: str, **options) -> Path:
    return write_image(path, [array], axes, scales=[[2.0 if a == "z" else 0.5 for a in axes]], **options)


def opened(url: str | Path, **choices) -> volume.Volume:
    return volume.open_volume(volume.describe("scan", str(url), **choices), Path("/nowhere"))


@pytest.mark.parametrize("axes", ["tczyx", "zyxct", "xyzct", "cxtyz", "yxztc"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_axes_in_any_order_give_the_same_voxels(tmp_path: Path, axes: str, version: str):
    stored = FIVE.transpose(["tczyx".index(a) for a in axes])
    path = one_level(tmp_path / "i.zarr", stored, axes, version=version)
    image = opened(path, time=1, channels=[2, 0])
    assert image.record.axes == axes
    assert image.record.shape == (6, 20, 24)
    assert image.record.spacing_nm == (2000, 500, 500)
    box = Box((1, 3, 5), (4, 20, 9))
    assert np.array_equal(image.read(box), FIVE[1][[2, 0]][:, 1:4, 3:20, 5:9])


@pytest.mark.parametrize(
    "axes", [a for n in (2, 3, 4) for a in ("".join(p) for p in itertools.combinations("tczyx", n))]
)
def test_missing_axes_have_length_one(tmp_path: Path, axes: str):
    if not {"y", "x"} <= set(axes):
        with pytest.raises(VolumeError, match="declares axes"):
            opened(one_level(tmp_path / "i.zarr", np.zeros((4,) * len(axes), np.uint8), axes))
        return
    stored = FIVE[tuple(slice(None) if a in axes else 0 for a in "tczyx")]
    image = opened(
        one_level(tmp_path / "i.zarr", stored, axes),
        time=1 if "t" in axes else None,
        channels=[1] if "c" in axes else None,
    )
    expected = FIVE[1 if "t" in axes else 0, 1 if "c" in axes else 0]
    assert np.array_equal(image.read(image.record.box)[0], expected if "z" in axes else expected[:1])


def test_a_channel_is_chosen_by_name_or_index(tmp_path: Path):
    omero = {"channels": [{"label": n, "color": "FFFFFF"} for n in ("DAPI", "GFP", "2nd")]}
    path = one_level(tmp_path / "i.zarr", FIVE[0], "czyx", omero=omero)
    whole = Box.of_shape((6, 20, 24))
    assert np.array_equal(opened(path, channels=["GFP", "0"]).read(whole), FIVE[0][[1, 0]])
    with pytest.raises(VolumeError, match="3 channels") as caught:
        opened(path)
    assert "--channel" in caught.value.hint
    assert "GFP" in caught.value.hint
    for wrong in (["mCherry"], [3], [-1], ["GFP", 1]):
        with pytest.raises(VolumeError) as caught:
            opened(path, channels=wrong)
        assert "--channel" in caught.value.hint


def test_a_time_point_must_be_chosen_when_there_are_several(tmp_path: Path):
    path = one_level(tmp_path / "i.zarr", FIVE[:, 0], "tzyx")
    for wrong in (None, 2, -1):
        with pytest.raises(VolumeError, match="time point") as caught:
            opened(path, time=wrong)
        assert "--time" in caught.value.hint
    assert opened(one_level(tmp_path / "j.zarr", FIVE[:1, 0], "tzyx")).record.time == 0
    flat = one_level(tmp_path / "k.zarr", FIVE[0, 0], "zyx")
    with pytest.raises(VolumeError, match="no t axis"):
        opened(flat, time=0)


@pytest.mark.parametrize("spacing", [None, (0, 1, 1), (1, -1, 1), (1, 1, float("nan")), (float("inf"), 1, 1)])
def test_spacing_that_is_none_needs_the_flag(tmp_path: Path, spacing):
    scales = None if spacing is None else [spacing]
    path = write_image(tmp_path / "i.zarr", [FIVE[0, 0]], "zyx", scales=scales)
    with pytest.raises(VolumeError, match="spacing") as caught:
        opened(path)
    assert "--spacing" in caught.value.hint
    assert opened(path, spacing=(4, 1, 1), unit="nm").record.spacing_nm == (4, 1, 1)
    with pytest.raises(VolumeError, match="no voxel size"):
        opened(path, spacing=(0, 1, 1))


def test_a_missing_or_unknown_unit_needs_the_flag(tmp_path: Path):
    for k, unit in enumerate([None, "pixel"]):
        path = one_level(tmp_path / f"{k}.zarr", FIVE[0, 0], "zyx", unit=unit)
        with pytest.raises(VolumeError, match="unit") as caught:
            opened(path)
        assert "--unit" in caught.value.hint
        record = opened(path, unit="µm").record
        assert (record.unit, record.spacing_nm) == ("micrometer", (2000, 500, 500))


def test_given_spacing_wins_and_the_report_says_so(tmp_path: Path):
    path = one_level(tmp_path / "i.zarr", FIVE[0, 0], "zyx")
    record = volume.describe("scan", str(path), spacing=(3, 1, 1))
    assert record.spacing_nm == (3000, 1000, 1000)
    assert volume.report(record, tmp_path)["notes"] == [
        "spacing 3,1,1 micrometer was given and is used; the file says 2,0.5,0.5"
    ]
    assert volume.report(volume.describe("scan", str(path)), tmp_path)["notes"] == []


def pyramid_of(path: Path) -> tuple[Path, list[np.ndarray]]:
    fine = RNG.integers(0, 255, (4, 20, 26)).astype(np.uint8)
    levels = [fine, fine[:, ::2, ::2], fine[::2, ::4, ::4]]
    return write_image(path, levels, "zyx", scales=[(2, 1, 1), (2, 2, 2), (4, 4, 4)]), levels


def test_a_box_is_in_voxels_of_the_working_level_and_read_at_any(tmp_path: Path):
    path, levels = pyramid_of(tmp_path / "i.zarr")
    image = opened(path, level=1)
    assert image.record.shape == (4, 10, 13)
    assert image.record.spacing_nm == (2000, 2000, 2000)
    box = Box((1, 3, 4), (3, 7, 10))
    assert np.array_equal(image.read(box)[0], levels[1][box.slices])
    assert np.array_equal(image.read(box, 0)[0], levels[0][1:3, 6:14, 8:20])
    assert np.array_equal(image.read(box, 2)[0], levels[2][0:2, 1:4, 2:5])
    assert np.array_equal(image.read(image.record.box, 2)[0], levels[2])
    for wrong in (3, -1):
        with pytest.raises(VolumeError, match="no level"):
            image.read(box, wrong)
        with pytest.raises(VolumeError, match="no level"):
            opened(path, level=wrong)


def test_a_box_outside_the_volume_is_refused(tmp_path: Path):
    image = opened(pyramid_of(tmp_path / "i.zarr")[0])
    with pytest.raises(VolumeError, match="reaches outside"):
        image.read(Box((0, 0, 0), (5, 20, 26)))


@pytest.mark.parametrize("shape", [(1, 20, 26), (2, 5, 26), (4, 20, 26)])
def test_reflection_past_the_border_is_numpys(tmp_path: Path, shape):
    stored = RNG.integers(0, 255, shape).astype(np.uint8)
    image = opened(one_level(tmp_path / "i.zarr", stored, "zyx"))
    pads = [(9, 7), (13, 3), (0, 60)]
    box = Box((-9, -13, 0), (shape[0] + 7, shape[1] + 3, shape[2] + 60))
    assert np.array_equal(image.read_reflected(box)[0], np.pad(stored, pads, "reflect"))
    inner = Box((-2, 1, -5), (1, 4, 3))
    part = np.pad(stored, pads[:2] + [(5, 0)], "reflect")[7:10, 14:17, 0:8]
    assert np.array_equal(image.read_reflected(inner)[0], part)


def test_many_boxes_come_in_order_while_only_a_few_are_read_ahead(tmp_path: Path):
    image = opened(one_level(tmp_path / "i.zarr", FIVE[0, 0], "zyx"))
    rng = np.random.default_rng(0)
    boxes = [Box.at(rng.integers(-3, (5, 18, 22)).tolist(), (2, 5, 7)) for _ in range(40)]
    asked: list[Box] = []

    def one_by_one() -> Iterator[Box]:
        for box in boxes:
            asked.append(box)
            yield box

    found = image.read_many(one_by_one())
    for n, box in enumerate(boxes):
        assert np.array_equal(next(found), image.read_reflected(box))
        assert len(asked) == min(n + volume.AHEAD + 1, len(boxes))
    assert list(found) == []


def test_an_error_in_one_of_many_boxes_is_raised_in_its_place(tmp_path: Path):
    path = one_level(tmp_path / "i.zarr", FIVE[0, 0], "zyx")
    image = opened(path)
    (path / "0" / "c" / "0" / "1" / "0").write_bytes(b"no chunk")
    found = image.read_many(Box.at((0, y, 0), (2, 4, 4)) for y in (0, 8, 16))
    assert np.array_equal(next(found)[0], FIVE[0, 0, :2, :4, :4])
    next(found)
    with pytest.raises(VolumeError, match="cannot be read"):
        next(found)


def test_nothing_that_is_read_is_ever_written_to(tmp_path: Path):
    path = one_level(tmp_path / "raw" / "i.zarr", FIVE, "tczyx")
    before = digest(tmp_path / "raw")
    image = opened(path, time=0, channels=[0, 1])
    image.read_reflected(Box((-3, -3, -3), (9, 9, 9)))
    volume.report(image.record, tmp_path)
    assert digest(tmp_path / "raw") == before


def test_an_image_on_a_url_reads_as_the_local_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = one_level(tmp_path / "i.zarr", FIVE[0], "czyx", version="0.4")
    with served(tmp_path) as address:
        image = opened(f"{address}/{path.name}", channels=[1])
        box = Box((0, 2, 3), (6, 19, 20))
        assert np.array_equal(image.read(box)[0], FIVE[0, 1][box.slices])


def test_intensities_are_percentiles_of_finite_values(tmp_path: Path):
    image = np.linspace(0, 1000, 6 * 20 * 24, dtype=np.float32).reshape(6, 20, 24)
    image[0, 0, :3] = (np.nan, np.inf, -np.inf)
    low, high = opened(one_level(tmp_path / "i.zarr", image, "zyx"), percentiles=(10, 90)).record.intensities[0]
    assert (low, high) == pytest.approx((100, 900), abs=2)
    with pytest.raises(VolumeError, match="no finite values"):
        opened(one_level(tmp_path / "n.zarr", np.full((4, 4, 4), np.nan, np.float32), "zyx"))


def test_sampled_intensities_stay_within_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from rondel.store import intensities

    monkeypatch.setattr(intensities, "SAMPLE_BLOCKS", 3)
    monkeypatch.setattr(intensities, "SAMPLE_VOXELS", 1000)
    record = opened(one_level(tmp_path / "i.zarr", FIVE[0, 0], "zyx")).record
    read: list[Box] = []

    def count(boxes: list[Box]) -> list[np.ndarray]:
        read.extend(boxes)
        return [np.zeros((1, *box.shape), np.uint8) for box in boxes]

    intensities.sample(record, count, (0, 100))
    assert len(set(read)) == 3
    assert sum(box.voxels for box in read) <= 3000


@pytest.mark.parametrize("dtype", ["int32", "float64", "uint64"])
def test_a_data_type_that_is_no_intensity_is_refused(tmp_path: Path, dtype: str):
    path = one_level(tmp_path / "i.zarr", np.zeros((4, 4, 4), dtype), "zyx")
    with pytest.raises(VolumeError, match=dtype) as caught:
        opened(path)
    assert "convert" in caught.value.hint


def test_bool_is_read_as_uint8(tmp_path: Path):
    image = opened(one_level(tmp_path / "i.zarr", np.eye(8, dtype=bool)[None], "zyx"))
    assert image.read(image.record.box).dtype == np.uint8
    assert image.read(image.record.box).sum() == 8


def test_a_store_that_changed_or_is_damaged_says_so(tmp_path: Path):
    path = one_level(tmp_path / "i.zarr", FIVE[0, 0], "zyx")
    record = volume.describe("scan", str(path))
    for chunk in (path / "0" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(chunk.read_bytes()[:20])
    with pytest.raises(VolumeError, match="cannot be read"):
        volume.open_volume(record, tmp_path).read(record.box)
    one_level(path, FIVE[0, 0, :3], "zyx")
    with pytest.raises(VolumeError, match="not the one that was added"):
        volume.open_volume(record, tmp_path)


def test_the_report_tells_levels_and_what_is_missing(tmp_path: Path):
    path, _ = pyramid_of(tmp_path / "i.zarr")
    change_metadata(path, lambda ome: [axis.pop("unit") for axis in ome["multiscales"][0]["axes"]])
    report = volume.report(volume.describe("scan", str(path), unit="um", level=1), tmp_path)
    assert [level["spacing"] for level in report["levels"]] == [[2, 1, 1], [2, 2, 2], [4, 4, 4]]
    assert [level["shape"] for level in report["levels"]] == [[4, 20, 26], [4, 10, 13], [2, 5, 7]]
    assert report["missing"] == ["unit: the one given when it was added is used"]


def test_what_is_read_of_a_sharded_image_are_the_chunks_inside(tmp_path: Path):
    filled = np.ones((32, 64, 64), np.uint8)
    sharded = opened(one_level(tmp_path / "s.zarr", filled, "zyx", shards=(32, 32, 64))).record
    assert sharded.chunks == (16, 16, 16)
    told = volume.report(sharded, tmp_path)
    assert (told["chunks"], told["shards"]) == ([16, 16, 16], [32, 32, 64])
    plain = volume.report(opened(one_level(tmp_path / "p.zarr", filled, "zyx")).record, tmp_path)
    assert (plain["shards"], plain["levels"][0]["shards"]) == (None, None)


def test_the_place_of_the_working_level_is_kept(tmp_path: Path):
    path, _ = pyramid_of(tmp_path / "i.zarr")

    def move(ome: dict) -> None:
        steps = ome["multiscales"][0]["datasets"][1]["coordinateTransformations"]
        steps.append({"type": "translation", "translation": [0, 0.5, 0.5]})

    change_metadata(path, move)
    assert volume.describe("scan", str(path), level=1).translation_nm == (0, 500, 500)
    doubled = volume.describe("scan", str(path), level=1, spacing=(4, 4, 4))
    assert doubled.translation_nm == (0, 1000, 1000)
