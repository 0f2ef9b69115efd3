"""Every virtual store opens over HTTP, and holds what the project's own readers read."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorstore
import zarr
from rondel.store import arrays as stored
from rondel.store import axes as axes_of
from rondel.store import edits, label_boxes, labels, ngff, pyramid, shards
from rondel.store import project as projects
from rondel.store import volume as volumes
from rondel.store.box import Box
from rondel.store.edits import Stroke
from rondel.store.maps import MapPlan, Maps
from rondel.store.project import Project
from rondel.store.records import EditKind, LabelBox, Purpose, State, VolumeRecord
from rondel.viewer import addresses, names
from rondel.viewer.canvas import Canvas
from zarr import codecs

from .data_server import DataServer, data_server, file_server
from .foreign import write_image

RNG = np.random.default_rng(0)
FIVE = RNG.integers(0, 4000, (2, 3, 6, 20, 24)).astype(np.uint16)  # (T, C, Z, Y, X)


@pytest.fixture
def empty(tmp_path: Path):
    with projects.create(tmp_path / "cells", ["background", "membrane", "organelle"]) as made:
        yield made


@pytest.fixture
def server(empty: Project):
    with data_server(empty.folder) as running:
        yield running


def add(project: Project, url: str | Path, name: str = "scan", **choices) -> VolumeRecord:
    return projects.add_volume(project, volumes.describe(name, str(url), **choices))


def opened(url: str, level: int = 0) -> np.ndarray:
    """Read a level over HTTP, by zarr-python and by tensorstore, which must agree."""
    kvstore = {"driver": "http", "base_url": f"{url}s{level}/"}
    read = tensorstore.open({"driver": "zarr3", "kvstore": kvstore}, open=True).result().read().result()
    by_zarr = zarr.open_group(url, mode="r", zarr_format=3)[f"s{level}"]
    assert isinstance(by_zarr, zarr.Array)
    assert np.array_equal(np.asarray(by_zarr[...]), read, equal_nan=read.dtype.kind == "f")
    return np.asarray(read)


def shown(array: np.ndarray, axes: str, record: VolumeRecord) -> np.ndarray:
    """Return what a person sees of a served level: (C, Z, Y, X)."""
    whole = axes_of.region(axes, Box.of_shape(axes_of.zyx(axes, array.shape)), record.time, slice(None))
    found = axes_of.to_czyx(array[whole], axes)
    return found[list(record.channels)]


def dims(server: DataServer, url: str) -> tuple[str, list[dict[str, np.ndarray]]]:
    """Return the served axes, and voxel size and place of each level by axis."""
    document = json.loads(server.ask(f"{url}zarr.json").body)
    multiscale = document["attributes"]["ome"]["multiscales"][0]
    word = "".join(a["name"] for a in multiscale["axes"])
    found = []
    for dataset in multiscale["datasets"]:
        scale, translation = (t[t["type"]] for t in dataset["coordinateTransformations"])
        found.append({a: np.array([s, t]) for a, s, t in zip(word, scale, translation)})
    return word, found


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["tczyx", "zyxct", "xyzct", "cxtyz"])
def test_images_in_any_layout_are_served_as_they_are_read(empty, server, tmp_path, axes: str, version: str):
    array = FIVE.transpose(["tczyx".index(a) for a in axes])
    path = write_image(tmp_path / "i.zarr", [array], axes, version=version, scales=[[0.5] * 5])
    record = add(empty, path, time=1, channels=[2, 0])
    url = addresses.image(server.origin, record)
    assert np.array_equal(opened(url), array)
    word, _ = dims(server, url)
    assert word == axes
    assert np.array_equal(shown(opened(url), word, record), empty.open_volume("scan").read(record.box))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32", "float16", "bool"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_every_data_type_of_an_image_is_one_that_the_client_knows(empty, server, tmp_path, dtype: str, version: str):
    array = RNG.integers(0, 2 if dtype == "bool" else 100, (6, 20, 24)).astype(dtype)
    record = add(empty, write_image(tmp_path / "i.zarr", [array], "zyx", version=version, scales=[[1, 1, 1]]))
    found = opened(addresses.image(server.origin, record))
    assert found.dtype in ("uint8", "uint16", "int16", "uint32", "float32")
    assert np.array_equal(found, array)


@pytest.mark.parametrize(
    "codec",
    [
        {"compressors": None},
        {"compressors": codecs.GzipCodec()},
        {"compressors": codecs.BloscCodec(cname="lz4", shuffle="bitshuffle")},
        {"compressors": [codecs.ZstdCodec(), codecs.Crc32cCodec()]},
        {"filters": codecs.TransposeCodec(order=(2, 0, 1)), "compressors": codecs.ZstdCodec()},
        {"serializer": codecs.BytesCodec(endian="big")},
        {"chunk_key_encoding": {"name": "v2", "separator": "."}},
        {"chunk_key_encoding": {"name": "default", "separator": "."}},
        {"shards": (32, 32, 32)},
        {"shards": (32, 32, 32), "compressors": codecs.BloscCodec(cname="zstd")},
    ],
)
@pytest.mark.parametrize("axes", ["zyx", "yx"])
def test_version_3_codecs_reach_the_client_undecoded(empty, server, tmp_path, codec: dict, axes: str):
    array = RNG.integers(0, 4000, (40, 50, 24)).astype(np.uint16)
    if axes == "yx":
        array = array[0]
        codec = {k: tuple(v[1:]) if k == "shards" else v for k, v in codec.items()}
        if "filters" in codec:
            codec["filters"] = codecs.TransposeCodec(order=(1, 0))
    path = write_image(tmp_path / "i.zarr", [array], axes, scales=[[1.0] * len(axes)])
    group = zarr.open_group(path, mode="r+")
    chunks = (16,) * len(axes)
    group.create_array("0", shape=array.shape, dtype="u2", chunks=chunks, overwrite=True, **codec)[...] = array
    record = add(empty, path)
    url = addresses.image(server.origin, record)
    assert np.array_equal(opened(url), array[np.newaxis] if axes == "yx" else array)
    first = server.ask(f"{url}s0/c/0/0/0").body
    files = [p.read_bytes() for p in (path / "0").rglob("*") if p.is_file() and p.name != "zarr.json"]
    assert first in files


@pytest.mark.parametrize(
    "codec",
    [
        {"compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}},
        {"compressor": {"id": "blosc", "cname": "zstd", "clevel": 5, "shuffle": -1, "blocksize": 0}},
        {"compressor": {"id": "zlib", "level": 1}},
        {"compressor": {"id": "gzip", "level": 1}},
        {"compressor": {"id": "bz2", "level": 1}},
        {"compressor": None, "order": "F"},
        {"compressor": {"id": "zstd", "level": 1}, "dtype": ">u2"},
        {"compressor": {"id": "zstd", "level": 1}, "dimension_separator": "."},
        {"compressor": {"id": "zstd", "level": 1}, "fill_value": None},
    ],
)
@pytest.mark.parametrize("axes", ["zyx", "yx"])
def test_version_2_codecs_are_told_in_the_words_of_version_3(empty, server, tmp_path, codec: dict, axes: str):
    array = RNG.integers(0, 4000, (20, 30, 24)).astype(np.uint16)[0 if axes == "yx" else slice(None)]
    path = write_image(tmp_path / "i.zarr", [array], axes, version="0.4", scales=[[1.0] * len(axes)])
    metadata = {"shape": array.shape, "chunks": [16] * len(axes), "dtype": "<u2", "order": "C", "fill_value": 0}
    spec = {"driver": "zarr", "kvstore": {"driver": "file", "path": f"{path}/0/"}}
    made = tensorstore.open(spec | {"metadata": metadata | codec}, create=True, delete_existing=True).result()
    made.write(array).result()
    record = add(empty, path)
    found = opened(addresses.image(server.origin, record))
    assert np.array_equal(found, array[np.newaxis] if axes == "yx" else array)


def test_a_level_lies_where_its_translation_says_seen_from_the_working_level(empty, server, tmp_path):
    levels = [np.zeros((8, 32, 36), np.uint8), np.zeros((8, 16, 18), np.uint8), np.zeros((4, 8, 9), np.uint8)]
    scales = [(40, 4, 4), (40, 8, 8), (80, 16, 16)]
    path = write_image(tmp_path / "i.zarr", levels, "zyx", scales=scales, unit="nanometer")
    document = json.loads((path / "zarr.json").read_text())
    for k, shift in enumerate([(5, 100, -7), (5, 102, -5), (25, 106, -1)]):
        steps = document["attributes"]["ome"]["multiscales"][0]["datasets"][k]["coordinateTransformations"]
        steps.append({"type": "translation", "translation": list(shift)})
    (path / "zarr.json").write_text(json.dumps(document))
    record = add(empty, path, level=1, spacing=(30, 10, 10), unit="nm")
    word, found = dims(server, addresses.image(server.origin, record))
    assert word == "zyx"
    for axis, sizes, places in (
        ("z", (30, 30, 60), (0, 0, 15)),
        ("y", (5, 10, 20), (-2.5, 0, 5)),
        ("x", (5, 10, 20), (-2.5, 0, 5)),
    ):
        assert [level[axis][0] for level in found] == pytest.approx(sizes)
        assert [level[axis][1] for level in found] == pytest.approx(places)


def test_without_scales_a_coarse_voxel_covers_whole_finer_ones(empty, server, tmp_path):
    levels = [np.zeros((8, 32, 36), np.uint8), np.zeros((8, 16, 18), np.uint8)]
    record = add(empty, write_image(tmp_path / "i.zarr", levels, "zyx"), spacing=(30, 10, 10), unit="nm")
    _, found = dims(server, addresses.image(server.origin, record))
    assert [level["y"].tolist() for level in found] == [[10, 0], [20, 5]]
    assert [level["z"].tolist() for level in found] == [[30, 0], [30, 0]]


def test_an_image_on_another_server_is_passed_on(empty, server, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "far").mkdir()
    array = FIVE[0].transpose(1, 2, 3, 0)
    for version, shard in (("0.4", None), ("0.5", None), ("0.5", (16, 16, 32, 4))):
        name = f"v{version[-1]}{'s' * bool(shard)}"
        if shard:
            write_image(tmp_path / "far" / f"{name}.zarr", [array], "zyxc", scales=[[1] * 4])
            group = zarr.open_group(tmp_path / "far" / f"{name}.zarr", mode="r+")
            made = group.create_array(
                "0", shape=array.shape, dtype="u2", chunks=(8, 8, 8, 1), shards=shard, overwrite=True
            )
            made[...] = array
        else:
            write_image(tmp_path / "far" / f"{name}.zarr", [array], "zyxc", version=version, scales=[[1] * 4])
    with file_server(tmp_path / "far") as far:
        for name in ("v4", "v5", "v5s"):
            record = add(empty, f"{far}/{name}.zarr", name, channels=[0])
            url = addresses.image(server.origin, record)
            assert np.array_equal(opened(url), array)
            assert server.ask(f"{url}s0/c/0/0/0/0").status == 200
            assert server.ask(f"{url}s0/c/0/0/0/9").status == 404
        gone = add(empty, f"{far}/v5.zarr", "gone", channels=[0])
    assert server.ask(f"{addresses.image(server.origin, gone)}zarr.json").status == 504


def test_a_disk_that_is_not_mounted_is_asked_again_and_is_no_empty_image(empty, server, tmp_path):
    path = write_image(tmp_path / "i.zarr", [np.zeros((8, 8, 8), "u2")], "zyx", scales=[[1] * 3])  # no chunk is stored
    record, other = add(empty, path), add(empty, path, "other")
    url = addresses.image(server.origin, record)
    assert server.ask(f"{url}s0/c/0/0/0").status == 200
    path.rename(tmp_path / "away")
    assert server.ask(f"{url}s0/c/0/0/0").status == 504  # the client tries again after this answer, and only then
    assert server.ask(f"{addresses.image(server.origin, other)}zarr.json").status == 504
    (tmp_path / "away").rename(path)
    assert server.ask(f"{url}s0/c/0/0/0").status == 200
    assert server.ask(f"{addresses.image(server.origin, other)}zarr.json").status == 200


def paint(project: Project, region: Box, value: int, number: int) -> None:
    mask, values = np.ones(region.shape, bool), np.full(region.shape, value, np.uint8)
    edits.submit(project, Stroke(EditKind.PAINT, "scan", region, mask, values, "ann", "test", number))


@pytest.fixture
def painted(empty: Project, tmp_path: Path) -> tuple[VolumeRecord, LabelBox]:
    """A volume with labels in and around a box, on all levels."""
    image = RNG.integers(0, 255, (40, 130, 150)).astype(np.uint8)
    record = add(empty, write_image(tmp_path / "i.zarr", [image], "zyx", scales=[[8.0, 8.0, 8.0]], unit="nanometer"))
    region = Box((5, 50, 60), (24, 90, 101))
    box = LabelBox(0, "scan", region, 1, Purpose.TRAIN, State.PROPOSED, 0.5, "")
    paint(empty, region, 2, 1)
    paint(empty, Box((0, 0, 0), (12, 70, 80)), 3, 2)
    pyramid.refresh(empty.labels_path("scan"), record.box)
    return record, label_boxes.get(empty.database, label_boxes.add(empty.database, [box])[0])


def test_saved_labels_are_those_on_disk(empty, server, painted):
    record, _ = painted
    url = addresses.saved(server.origin, record, 2)
    assert np.array_equal(opened(url), labels.read(empty, "scan", record.box))
    levels = ngff.read_metadata(empty.labels_path("scan")).levels
    assert len(levels) == 3
    for k in (1, 2):
        on_disk = stored.open_array(empty.labels_path("scan") / f"s{k}").read().result()
        assert np.array_equal(opened(url, k), on_disk) and on_disk.any()


def test_a_box_is_cut_out_of_saved_labels_on_every_level(empty, server, painted):
    record, box = painted
    url = addresses.saved(server.origin, record, 2, box.id)
    for k in range(3):
        expected = np.array(stored.open_array(empty.labels_path("scan") / f"s{k}").read().result())
        whole = expected.copy()
        corners = zip(box.box.start, box.box.stop)
        expected[tuple(slice(a // 2**k, -(-b // 2**k)) for a, b in corners)] = 0
        assert np.array_equal(opened(url, k), expected)
        assert not np.array_equal(expected, whole)


def test_chunks_of_labels_that_were_never_stored_are_blank(empty, server, painted):
    record, box = painted
    assert not (empty.labels_path("scan") / "s0/c/0/2/2").exists()
    for number in (0, box.id):
        answer = server.ask(f"{addresses.saved(server.origin, record, 2, number)}s0/c/0/2/2")
        assert answer.status == 200 and len(answer.body) < 100


def test_a_map_is_served_in_the_frame_of_the_volume(empty, server, painted):
    record, _ = painted
    plan = MapPlan.of(record, 3, (32, 32, 32), [(1, "background", "#808080"), (2, "membrane", "#e63c3c")])
    maps = Maps.create(empty.folder, plan)
    values = RNG.integers(0, 3, record.shape).astype(np.uint8)
    counts = [-(-n // b) for n, b in zip(record.shape, plan.bin)]
    maps.write_tile(record.box, values, values * 50, np.zeros((len(plan.statistics), *counts)))
    maps.finish()
    whats: tuple[addresses.What, ...] = ("classes", "uncertainty")
    for what, expected in zip(whats, (values, values * 50)):
        url = addresses.map(server.origin, record, 3, 1, what)
        assert np.array_equal(opened(url), expected)
        word, found = dims(server, url)
        assert [level["x"].tolist() for level in found] == [[8, 0], [16, 4], [32, 12]]
    assert server.ask(f"{addresses.map(server.origin, record, 4, 1, 'classes')}zarr.json").status == 404


@pytest.fixture
def sharded(empty, tmp_path, monkeypatch: pytest.MonkeyPatch):
    """An empty map of 12 chunks in 2 shards."""
    monkeypatch.setattr(shards, "MANY", 2)
    shape = (100, 128, 190)
    record = add(empty, write_image(tmp_path / "i.zarr", [np.zeros(shape, np.uint8)], "zyx", scales=[[1, 1, 1]]))
    plan = MapPlan.of(record, 3, (32, 32, 32), [(1, "background", "#808080"), (2, "membrane", "#e63c3c")])
    return record, Maps.create(empty.folder, plan)


def test_chunks_of_a_sharded_map_are_served_one_by_one(server, sharded):
    record, maps = sharded
    values = RNG.integers(0, 255, record.shape).astype(np.uint8)
    for box in (Box((0, 0, 0), (64, 128, 190)), Box((64, 0, 64), (100, 64, 190))):
        maps.write_tile(box, values[box.slices], 255 - values[box.slices], None)
    maps.finish()
    values[64:, 64:], values[64:, :, :64] = 0, 0
    url = addresses.map(server.origin, record, 3, 1, "classes")
    assert np.array_equal(opened(url), values)
    for level, found in enumerate(ngff.read_metadata(maps.folder / "classes.ome.zarr").levels):
        coarse = ngff.open_array(maps.folder / "classes.ome.zarr" / found.path).read().result()
        assert np.array_equal(opened(url, level), coarse)
    assert b"sharding_indexed" in (maps.folder / "classes.ome.zarr/s0/zarr.json").read_bytes()
    assert server.ask(f"{url}s0/c/0/0/3").status == 404

    chunk = server.ask(f"{url}s0/c/0/1/2")
    shard = (maps.folder / "classes.ome.zarr/s0/c/0/0/1").read_bytes()
    assert chunk.body in shard and chunk.headers["Content-Length"] == str(len(chunk.body))
    for asked, part in (("bytes=5-99", slice(5, 100)), ("bytes=-7", slice(-7, None)), ("bytes=100-", slice(100, None))):
        answer = server.ask(f"{url}s0/c/0/1/2", Range=asked)
        assert (answer.status, answer.body) == (206, chunk.body[part])
        assert answer.headers["Content-Range"].endswith(f"/{len(chunk.body)}")
    assert server.ask(f"{url}s0/c/0/1/2", Range=f"bytes={len(chunk.body)}-").status == 416
    assert server.ask(f"{url}s0/c/0/1/2", If_None_Match=chunk.headers["Etag"]).status == 304


def test_a_shard_that_is_written_anew_while_a_page_is_open_is_shown_as_it_is_now(server, sharded):
    """Chunks of one value take equally many bytes, so that one would pass for another at its old place."""
    record, maps = sharded
    url = addresses.map(server.origin, record, 3, 1, "classes")
    assert b"sharding" not in server.ask(f"{url}s0/zarr.json").body  # a page keeps the index of a shard for good
    kvstore = {"driver": "http", "base_url": f"{url}s0/"}
    page = tensorstore.open({"driver": "zarr3", "kvstore": kvstore}, open=True).result()
    truth, places = np.zeros(record.shape, np.uint8), list(np.ndindex(2, 2, 3))
    for value, place in enumerate(reversed(places), 1):
        box = Box.at([64 * i for i in place], (64, 64, 64)).intersect(record.box)
        truth[box.slices] = value
        maps.write_tile(box, truth[box.slices], truth[box.slices], None)
        assert np.array_equal(page.read().result(), truth)


def test_a_map_whose_shard_is_cut_off_is_an_error_and_no_blank(server, sharded):
    record, maps = sharded
    box = Box((0, 0, 0), (64, 64, 64))
    values = RNG.integers(0, 255, box.shape).astype(np.uint8)
    maps.write_tile(box, values, values, None)
    shard = maps.folder / "classes.ome.zarr/s0/c/0/0/0"
    url = addresses.map(server.origin, record, 3, 1, "classes")
    assert server.ask(f"{url}s0/c/0/0/0").status == 200
    assert len(server.ask(f"{url}s0/c/0/0/1").body) < 100
    whole = shard.read_bytes()
    for size in (0, 10, len(whole) // 2):
        shard.write_bytes(whole[:size])
        assert server.ask(f"{url}s0/c/0/0/0").status == 500


@pytest.mark.parametrize("shape", [(19, 40, 41), (1, 130, 140), (3, 20, 24)])
def test_an_open_box_is_served_whole_and_as_it_is_now(empty, server, painted, shape):
    record, _ = painted
    region = Box.at((2, 3, 5), shape)
    canvas = Canvas(1, region, "scan", RNG.integers(0, 4, shape).astype(np.uint8))
    server.canvases["abc"] = canvas
    url = addresses.box(server.origin, "abc")
    assert np.array_equal(opened(url), canvas.voxels)
    word, found = dims(server, url)
    assert [found[0][a].tolist() for a in word] == [[8, 16], [8, 24], [8, 40]]
    canvas.put(Box((0, 1, 1), (1, 5, 5)), np.full((1, 4, 4), 3, np.uint8))
    assert np.array_equal(opened(url), canvas.voxels)
    answer = server.ask(f"{url}s0/c/0/{canvas.grid[1] - 1}/{canvas.grid[2] - 1}")
    assert len(answer.body) == np.prod(canvas.chunk_shape)
    assert answer.headers["Cache-Control"] == "no-store"
    assert server.ask(f"{url}s0/c/0/{canvas.grid[1]}/0").status == 404
    assert server.ask(f"{addresses.box(server.origin, 'abd')}zarr.json").status == 404


def test_class_names_are_segment_properties(empty, server):
    url = addresses.names(server.origin, names.digest_of(empty.classes))
    found = json.loads(server.ask(f"{url}info").body)
    assert found["inline"]["ids"] == ["1", "2", "3"]
    assert found["inline"]["properties"][0]["values"] == ["background", "membrane", "organelle"]
    assert server.ask(f"{addresses.names(server.origin, '0' * 16)}info").status == 404


def test_a_volume_that_is_added_or_relinked_while_serving_is_found(empty, server, tmp_path):
    first, second = (RNG.integers(0, 255, (6, 20, 24)).astype(np.uint8) for _ in range(2))
    a = write_image(tmp_path / "a.zarr", [first], "zyx", scales=[[1, 1, 1]])
    b = write_image(tmp_path / "b.zarr", [second], "zyx", scales=[[1, 1, 1]])
    old = add(empty, a)
    assert np.array_equal(opened(addresses.image(server.origin, old)), first)
    projects.relink(empty, replace(old, url=str(b)))
    new = empty.volume_record("scan")
    assert np.array_equal(opened(addresses.image(server.origin, new)), second)
    other = addresses.image(server.origin, replace(new, url="elsewhere"))
    assert server.ask(f"{other}zarr.json").status == 404
