import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from rondel.store import importers, ngff, shards, tiff, volume
from rondel.store.box import Box
from rondel.store.errors import LabelError, RondelError, UsageError, VolumeError

from .foreign import digest, write_image

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 4000, (6, 40, 50)).astype(np.uint16)
OME = {
    "axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 500, "PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 2,
}  # fmt: skip


def imported(source: Path, target: Path, **choices) -> volume.Volume:
    importers.import_image(source, target, name="scan", **choices)
    return volume.open_volume(volume.describe("scan", target.name, imported=True, root=target.parent), target.parent)


def everything(image: volume.Volume) -> np.ndarray:
    return image.read(image.record.box)


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_an_ome_tiff_keeps_its_voxels_and_spacing(tmp_path: Path, bigtiff: bool, compression):
    path = tmp_path / "a scan[é].ome.tif"
    tifffile.imwrite(path, STACK, metadata=OME, bigtiff=bigtiff, compression=compression)
    before = digest(tmp_path)
    image = imported(path, tmp_path / "scan.ome.zarr")
    assert np.array_equal(everything(image)[0], STACK)
    assert image.record.spacing_nm == (2000, 500, 500)
    assert image.record.unit == "micrometer"
    assert {k: v for k, v in digest(tmp_path).items() if k.endswith(".tif")} == before


def test_an_imagej_tiff_keeps_its_voxels_and_spacing(tmp_path: Path):
    tifffile.imwrite(
        tmp_path / "a.tif", STACK, imagej=True, resolution=(2, 4), metadata={"spacing": 2, "unit": "um", "axes": "ZYX"}
    )
    image = imported(tmp_path / "a.tif", tmp_path / "scan.ome.zarr")
    assert np.array_equal(everything(image)[0], STACK)
    assert image.record.spacing_nm == (2000, 250, 500)


@pytest.mark.parametrize("metadata", [None, {}])
def test_a_plain_stack_is_z_y_x_and_needs_its_spacing(tmp_path: Path, metadata):
    tifffile.imwrite(tmp_path / "a.tif", STACK, metadata=metadata, photometric="minisblack", resolution=(300, 300))
    with pytest.raises(VolumeError, match="no spacing") as caught:
        imported(tmp_path / "a.tif", tmp_path / "scan.ome.zarr")
    assert "--spacing" in caught.value.hint
    with pytest.raises(VolumeError, match="no unit") as caught:
        imported(tmp_path / "a.tif", tmp_path / "scan.ome.zarr", spacing=(2, 1, 1))
    assert "--unit" in caught.value.hint
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]
    image = imported(tmp_path / "a.tif", tmp_path / "scan.ome.zarr", spacing=(2, 1, 1), unit="nm")
    assert np.array_equal(everything(image)[0], STACK)


def test_axes_are_never_guessed(tmp_path: Path):
    four = STACK.reshape(2, 3, 40, 50)
    tifffile.imwrite(tmp_path / "a.tif", four, photometric="minisblack")
    np.save(tmp_path / "a.npy", four)
    for name in ("a.tif", "a.npy"):
        with pytest.raises(VolumeError, match="axes") as caught:
            importers.open_source(tmp_path / name)
        assert "--axes" in caught.value.hint
        with importers.open_source(tmp_path / name, "tzyx") as source:
            assert (source.axes, source.shape) == ("tzyx", (3, 40, 50))
            assert np.array_equal(source.read(Box.of_shape(source.shape), 1)[0], four[1])
        for wrong in ("zyx", "qzyx", "zzyx", "tczx"):
            with pytest.raises(VolumeError, match="axes"):
                importers.open_source(tmp_path / name, wrong)


def test_a_first_axis_of_three_is_sections_not_channels(tmp_path: Path):
    np.save(tmp_path / "a.npy", STACK[:3])
    with importers.open_source(tmp_path / "a.npy") as source:
        assert (source.axes, source.shape) == ("zyx", (3, 40, 50))


def test_time_and_channels_are_chosen(tmp_path: Path):
    five = RNG.integers(0, 255, (2, 3, 2, 20, 24)).astype(np.uint8)
    described = OME | {"axes": "TCZYX", "Channel": {"Name": ["DAPI", "GFP", "RFP"]}}
    tifffile.imwrite(tmp_path / "a.ome.tif", five, metadata=described)
    for choices, flag in (({"channels": [0]}, "--time"), ({"time": 1}, "--channel"), ({"time": 2}, "--time")):
        with pytest.raises(VolumeError) as caught:
            imported(tmp_path / "a.ome.tif", tmp_path / "scan.ome.zarr", **choices)
        assert flag in caught.value.hint
    image = imported(tmp_path / "a.ome.tif", tmp_path / "scan.ome.zarr", time=1, channels=["RFP", 0])
    assert np.array_equal(everything(image), five[1][[2, 0]])
    assert [c.name for c in image.metadata.channels] == ["RFP", "DAPI"]
    assert image.record.channels == (0, 1)


def test_colours_of_a_tiff_are_channels(tmp_path: Path):
    colour = RNG.integers(0, 255, (4, 20, 24, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", colour, photometric="rgb")
    tifffile.imwrite(tmp_path / "flat.tif", colour[0], photometric="rgb", metadata=None)
    choices = {"spacing": (1, 1, 1), "unit": "nm", "channels": [0, 1, 2]}
    stack = imported(tmp_path / "stack.tif", tmp_path / "stack.zarr", **choices)
    assert np.array_equal(everything(stack), colour.transpose(3, 0, 1, 2))
    flat = imported(tmp_path / "flat.tif", tmp_path / "flat.zarr", **choices)
    assert np.array_equal(everything(flat)[:, 0], colour[0].transpose(2, 0, 1))


def test_a_flat_image_has_one_section(tmp_path: Path):
    tifffile.imwrite(tmp_path / "a.tif", STACK[0])
    image = imported(tmp_path / "a.tif", tmp_path / "scan.ome.zarr", spacing=(0.5, 0.25), unit="um")
    assert image.record.shape == (1, 40, 50)
    assert image.record.spacing_nm == (250, 500, 250)
    assert np.array_equal(everything(image)[0, 0], STACK[0])


def test_given_spacing_wins_over_the_file_and_is_noted(tmp_path: Path):
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata=OME)
    image = imported(tmp_path / "a.ome.tif", tmp_path / "scan.ome.zarr", spacing=(3, 1, 1))
    assert image.record.spacing_nm == (3000, 1000, 1000)
    notes = volume.report(image.record, tmp_path)["notes"]
    assert "spacing 3,1,1 micrometer was given and is used; the file says 2,0.5,0.5" in notes


@pytest.mark.parametrize("kind", ["plain", "pages", "imagej", "ome", "big"])
def test_a_truncated_tiff_is_refused_wherever_it_was_cut_and_leaves_nothing(tmp_path: Path, kind: str):
    path, target = tmp_path / "a.tif", tmp_path / "out" / "scan.ome.zarr"
    target.parent.mkdir()
    options = {
        "plain": {"photometric": "minisblack"},
        "pages": {"photometric": "minisblack", "metadata": None},
        "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}},
        "ome": {"ome": True, "metadata": {"axes": "ZYX"}, "compression": "zlib"},
        "big": {"bigtiff": True, "compression": "zlib", "photometric": "minisblack"},
    }[kind]
    tifffile.imwrite(path, STACK, **options)
    whole = path.read_bytes()
    for cut in np.linspace(1, len(whole) - 40, 25).astype(int):
        path.write_bytes(whole[:cut])
        try:
            image = imported(path, target, spacing=(1, 1, 1), unit="nm")
        except VolumeError as error:
            assert error.hint
            assert not list(target.parent.iterdir())
            continue
        # tifffile closes some files with bytes that nobody needs: then every voxel must be there.
        assert np.array_equal(everything(image)[0], STACK)
        break


def test_damaged_pixels_leave_nothing_behind(tmp_path: Path):
    path, target = tmp_path / "a.tif", tmp_path / "out" / "scan.ome.zarr"
    tifffile.imwrite(path, STACK, compression="zlib", photometric="minisblack")
    with tifffile.TiffFile(path) as file:
        last = file.pages[5].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[last : last + 200] = bytes(200)
    path.write_bytes(bytes(content))
    with pytest.raises(VolumeError, match="cannot be read"):
        imported(path, target, spacing=(1, 1, 1), unit="nm")
    assert not list(target.parent.iterdir())


@pytest.mark.parametrize("ending", ["tif", "png"])
def test_a_folder_of_sections_is_stacked_in_natural_order(tmp_path: Path, ending: str):
    folder = tmp_path / "sections [1]"
    folder.mkdir()
    for k, section in enumerate(STACK):
        name = folder / f"s{k * 3}.{ending}"  # s0, s3, s6, s9, s12, s15
        tifffile.imwrite(name, section) if ending == "tif" else Image.fromarray(section).save(name)
    (folder / "notes.txt").write_text("not a section")
    image = imported(folder, tmp_path / "scan.ome.zarr", spacing=(1, 1, 1), unit="nm")
    assert np.array_equal(everything(image)[0], STACK)


def test_sections_that_differ_are_named(tmp_path: Path):
    for k, section in enumerate((STACK[0], STACK[1], STACK[2, :30], STACK[3])):
        Image.fromarray(section).save(tmp_path / f"s{k}.png")
    with pytest.raises(VolumeError, match="s2.png"):
        imported(tmp_path, tmp_path / "out" / "a.zarr", spacing=(1, 1, 1), unit="nm")
    Image.fromarray(STACK[2].astype(np.uint8)).save(tmp_path / "s2.png")
    with pytest.raises(VolumeError, match="s2.png"):
        imported(tmp_path, tmp_path / "out" / "a.zarr", spacing=(1, 1, 1), unit="nm")
    (tmp_path / "s2.png").write_bytes((tmp_path / "s1.png").read_bytes()[:200])
    with pytest.raises(VolumeError, match="s2.png"):
        imported(tmp_path, tmp_path / "out" / "a.zarr", spacing=(1, 1, 1), unit="nm")
    tifffile.imwrite(tmp_path / "s4.tif", STACK[0])
    with pytest.raises(VolumeError, match="both TIFF and PNG"):
        importers.open_source(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(VolumeError, match="holds no TIFF or PNG"):
        importers.open_source(tmp_path / "empty")


def test_npy_is_read_and_a_broken_one_refused(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.asfortranarray(STACK.astype(">u2")))
    image = imported(tmp_path / "a.npy", tmp_path / "scan.ome.zarr", spacing=(1, 1, 1), unit="nm")
    assert np.array_equal(everything(image)[0], STACK)
    assert image.record.dtype == "uint16"
    content = (tmp_path / "a.npy").read_bytes()
    for damaged in (content[:1000], content[:20], b"", b"junk" * 50):
        (tmp_path / "b.npy").write_bytes(damaged)
        with pytest.raises(VolumeError, match="cannot be read"):
            importers.open_source(tmp_path / "b.npy")
    np.save(tmp_path / "c.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(VolumeError, match="cannot be read"):
        importers.open_source(tmp_path / "c.npy")


@pytest.mark.parametrize(
    "dtype, kept", [("bool", "uint8"), ("int16", "int16"), ("float16", "float16"), ("float32", None)]
)
def test_data_types_are_kept_and_bool_becomes_uint8(tmp_path: Path, dtype: str, kept: str | None):
    array = RNG.integers(0, 2, (3, 8, 8)).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    image = imported(tmp_path / "a.npy", tmp_path / "scan.ome.zarr", spacing=(1, 1, 1), unit="nm")
    assert image.record.dtype == (kept or dtype)
    assert np.array_equal(everything(image)[0], array)


@pytest.mark.parametrize("dtype", ["float64", "complex64", "int64"])
def test_other_data_types_are_refused(tmp_path: Path, dtype: str):
    np.save(tmp_path / "a.npy", np.zeros((3, 8, 8), dtype))
    with pytest.raises(VolumeError, match=dtype) as caught:
        imported(tmp_path / "a.npy", tmp_path / "scan.ome.zarr", spacing=(1, 1, 1), unit="nm")
    assert "convert" in caught.value.hint


@pytest.mark.parametrize("name", ["nothing.tif", "notes.txt", "empty.tif"])
def test_what_is_no_image_is_refused(tmp_path: Path, name: str):
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty.tif").touch()
    with pytest.raises(VolumeError) as caught:
        importers.open_source(tmp_path / name)
    assert caught.value.hint


def test_an_import_replaces_nothing_and_a_cancelled_one_leaves_nothing(tmp_path: Path):
    np.save(tmp_path / "a.npy", STACK)
    target = tmp_path / "out" / "scan.ome.zarr"

    def stop(done: float, total: float, unit: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imported(tmp_path / "a.npy", target, spacing=(1, 1, 1), unit="nm", progress=stop)
    assert not list(target.parent.iterdir())
    left = target.parent / f".{target.name}.0123abcd.partial"
    left.mkdir()
    imported(tmp_path / "a.npy", target, spacing=(1, 1, 1), unit="nm")
    assert [p.name for p in target.parent.iterdir()] == [target.name]
    before = digest(target)
    with pytest.raises(UsageError, match="exists already"):
        imported(tmp_path / "a.npy", target, spacing=(1, 1, 1), unit="nm")
    assert digest(target) == before


def test_large_sections_are_read_in_bands_and_give_the_same_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    image = RNG.integers(0, 255, (5, 300, 90)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack", rowsperstrip=32, compression="zlib")
    monkeypatch.setattr(importers, "SLAB_BYTES", 5 * 90 * 130)
    monkeypatch.setattr(importers, "CHUNK_VOXELS", 5 * 64 * 64)
    monkeypatch.setattr(tiff, "LARGE_PAGE", 1000)
    boxes = list(importers.slabs(image.shape, importers.image_chunks(image.shape), 1))
    assert [b.shape for b in boxes] == [(5, 128, 90), (5, 128, 90), (5, 44, 90)]
    done = imported(tmp_path / "a.tif", tmp_path / "scan.ome.zarr", spacing=(1, 1, 1), unit="nm")
    assert np.array_equal(everything(done)[0], image)


def test_an_import_never_holds_the_whole_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for _ in range(256):
            writer.write(np.zeros((256, 256), np.uint8), contiguous=True)  # 16 MB
    monkeypatch.setattr(importers, "SLAB_BYTES", 1 << 20)
    with importers.open_source(path, "zyx") as source:
        chunks = importers.image_chunks(source.shape)
        assert max(b.voxels for b in importers.slabs(source.shape, chunks, 1)) <= 64 * 64 * 256
    tracemalloc.start()
    importers.import_image(path, tmp_path / "s.zarr", name="s", axes="zyx", spacing=(1, 1, 1), unit="nm")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 << 20


@pytest.mark.parametrize("channels", [1, 2])
def test_a_huge_import_has_fewer_files_and_the_same_image(tmp_path: Path, channels: int, monkeypatch):
    image = RNG.integers(0, 255, (channels, 70, 150, 290)).astype(np.uint8)
    np.save(tmp_path / "a.npy", image)
    given = {"axes": "czyx", "spacing": (1, 1, 1), "unit": "nm", "channels": range(channels)}
    many = imported(tmp_path / "a.npy", tmp_path / "many.zarr", **given)
    monkeypatch.setattr(importers, "SLAB_BYTES", channels * 64 * 100 * 290)
    monkeypatch.setattr(shards, "MANY", 10)
    few = imported(tmp_path / "a.npy", tmp_path / "few.zarr", **given)
    assert np.array_equal(everything(few), image) and np.array_equal(everything(many), image)
    for level in ngff.read_metadata(tmp_path / "few.zarr").levels:
        stored, plain = (zarr.open_array(tmp_path / f"{name}.zarr/{level.path}", mode="r") for name in ("few", "many"))
        assert plain.shards is None and np.array_equal(np.asarray(stored), np.asarray(plain))
        assert (stored.shards or stored.chunks)[-3] == stored.chunks[-3]  # a slab is one chunk thick
    assert sum(1 for file in (tmp_path / "few.zarr/s0/c").rglob("*") if file.is_file()) <= 10


def test_chunks_are_wide_where_there_are_few_sections():
    assert importers.image_chunks((250, 250, 250)) == (64, 64, 64)
    assert importers.image_chunks((1, 5000, 5000)) == (1, 512, 512)
    assert importers.image_chunks((16, 5000, 100)) == (16, 128, 100)


def labels_file(folder: Path, values: np.ndarray, kind: str) -> Path:
    path = folder / f"labels.{kind}"
    if kind == "tif":
        tifffile.imwrite(path, values, photometric="minisblack", compression="zlib")
    elif kind == "npy":
        np.save(path, values)
    else:
        write_image(path, [values], "zyx")
    return path


@pytest.mark.parametrize("kind", ["tif", "npy", "zarr"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_labels_are_read_by_boxes_from_any_format(tmp_path: Path, kind: str, dtype: str):
    values = RNG.integers(0, 3, (5, 20, 24)).astype(dtype)
    with importers.open_labels(labels_file(tmp_path, values, kind), None, 2) as labels:
        assert labels.shape == (5, 20, 24)
        box = Box((1, 2, 3), (4, 9, 20))
        read = labels.read(box)
        assert read.dtype == np.uint8
        assert np.array_equal(read, values[box.slices])


def test_labels_are_mapped_and_unlabelled_stays_so_unless_mapped(tmp_path: Path):
    path = labels_file(tmp_path, np.array([[[0, 1, 300]]], np.uint16), "npy")
    whole = Box.of_shape((1, 1, 3))
    assert importers.open_labels(path, {0: 1, 1: 2, 300: 0}, 2).read(whole).tolist() == [[[1, 2, 0]]]
    assert importers.open_labels(path, {1: 2, 300: 1}, 2).read(whole).tolist() == [[[0, 2, 1]]]
    with pytest.raises(LabelError, match="value 300.*--map"):
        importers.open_labels(path, {0: 1, 1: 2}, 2).read(whole)
    with pytest.raises(LabelError, match="--map leads to 3"):
        importers.open_labels(path, {0: 3}, 2)


def test_a_value_that_is_no_class_names_the_value_the_classes_and_the_flag(tmp_path: Path):
    values = np.ones((5, 20, 24), np.int16)
    for bad in (3, -1):
        values[4, 19, 23] = bad
        with importers.open_labels(labels_file(tmp_path, values, "npy"), None, 2) as labels:
            labels.read(Box((0, 0, 0), (4, 20, 24)))
            with pytest.raises(LabelError, match=f"value {bad}, .* 1 to 2") as caught:
                labels.read(Box.of_shape(labels.shape))
            assert "--map" in caught.value.hint


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_labels_that_are_no_whole_numbers_are_refused(tmp_path: Path, dtype: str):
    with pytest.raises(LabelError, match=dtype):
        importers.open_labels(labels_file(tmp_path, np.ones((2, 4, 4), dtype), "npy"), None, 2)


def test_labels_with_channels_are_refused(tmp_path: Path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 8, 8, 3), np.uint8), photometric="rgb")
    with pytest.raises(LabelError, match="zyxc"):
        importers.open_labels(tmp_path / "a.tif", None, 2)


def test_every_error_is_one_line(tmp_path: Path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 3, 8, 8), np.uint8), photometric="minisblack")
    with pytest.raises(RondelError) as caught:
        importers.open_source(tmp_path / "a.tif")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3
