"""Volumes on web servers and in buckets: credentials, what goes wrong in words, the cache, the page, and prediction."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr
from rondel.loop import mapping
from rondel.store import chunk_cache, settings_file
from rondel.store import project as projects
from rondel.store import volume as volumes
from rondel.store.box import Box
from rondel.store.errors import ForbiddenError, VolumeError
from rondel.store.volume import Volume, describe, open_volume
from rondel.viewer import addresses

from .data_server import data_server
from .doors import HEARING
from .far_away import SECRET, Buckets, Web, bucket_server, forget_credentials, silent_server, web_server
from .foreign import write_image
from .images import texture
from .small_predicted import assert_equal, make_predicted, outcome
from .small_rounds import Quiet

IMAGE = np.random.default_rng(0).integers(1, 255, (20, 40, 33)).astype(np.uint8)
WHOLE = Box.of_shape(IMAGE.shape)


@pytest.fixture(scope="module")
def buckets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buckets]:
    """An S3 server with an image of each layout, named 4, 5 and sharded."""
    folder = tmp_path_factory.mktemp("images")
    with bucket_server() as server:
        for name, version in (("4", "0.4"), ("5", "0.5"), ("sharded", "0.5")):
            path = write_image(folder / f"{name}.zarr", [IMAGE], "zyx", version=version, scales=[[1, 1, 1]])
            if name == "sharded":
                group = zarr.open_group(path, mode="r+")
                shape, chunks, shards = IMAGE.shape, (8, 8, 8), (16, 32, 16)
                made = group.create_array("0", shape=shape, dtype="u1", chunks=chunks, shards=shards, overwrite=True)
                made[...] = IMAGE
            server.put(path)
        yield server


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_credentials(monkeypatch, tmp_path)


@pytest.fixture
def s3(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> Buckets:
    monkeypatch.setenv("AWS_ENDPOINT_URL", buckets.endpoint)
    return buckets


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    write_image(tmp_path / "web" / "scan.zarr", [IMAGE], "zyx", scales=[[1, 1, 1]])
    with web_server(tmp_path / "web") as server:
        yield server


def log_in(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("AWS_ACCESS_KEY_ID", "me")
    patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


def opened(url: str, root: Path = Path()) -> Volume:
    return open_volume(describe("scan", url, root=root), root)


def refused(folder: Path, url: str) -> tuple[int, str]:
    """Add a volume to a new project at the command line; returns the exit code and the only line that it says."""
    projects.create(folder / "cells", ["background", "cell"]).close()
    words = [*HEARING, "-p", str(folder / "cells"), "add", url]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    (line,) = [line for line in ran.stderr.splitlines() if not line.endswith(" …")]
    return ran.returncode, line


def limit_cache(root: Path, gigabytes: float) -> Path:
    """Make a project folder that allows the cache so much."""
    root.mkdir()
    settings = settings_file.draft("cells", ["background", "cell"])
    tree = settings.model_dump(by_alias=True, mode="json") | {"remote": {"cache_gb": gigabytes}}
    settings_file.write(root / "project.toml", settings_file.parse(tree))
    return root


@pytest.mark.parametrize("name", ["4", "5", "sharded"])
def test_a_volume_in_an_open_bucket_is_read_without_credentials(s3, name: str):
    volume = opened(f"s3://open/data/{name}.zarr")
    for _ in range(2):  # from the server, and from the cache
        assert np.array_equal(volume.read(WHOLE)[0], IMAGE)
        assert np.array_equal(volume.read(Box((3, 9, 15), (17, 10, 33)))[0], IMAGE[3:17, 9:10, 15:33])


def test_a_closed_bucket_is_read_with_the_credentials_of_the_environment(s3, monkeypatch):
    log_in(monkeypatch)
    assert np.array_equal(opened("s3://closed/data/5.zarr").read(WHOLE)[0], IMAGE)


@pytest.mark.parametrize("kind", ["default", "named", "config"])
def test_a_closed_bucket_is_read_with_a_profile(buckets, monkeypatch, tmp_path, kind: str):
    (tmp_path / "aws").mkdir()
    keys = f"aws_access_key_id = me\naws_secret_access_key = {SECRET}\n"
    section = {"default": "default", "named": "work", "config": "profile work"}[kind]
    file = "config" if kind == "config" else "credentials"
    (tmp_path / "aws" / file).write_text(f"[{section}]\n{keys}endpoint_url = {buckets.endpoint}\n")
    if kind != "default":
        monkeypatch.setenv("AWS_PROFILE", "work")
    assert np.array_equal(opened("s3://closed/data/5.zarr").read(WHOLE)[0], IMAGE)


def test_secrets_are_written_nowhere(s3, monkeypatch, tmp_path, capfd):
    log_in(monkeypatch)
    with projects.create(tmp_path / "cells", ["background", "cell"]) as project:
        projects.add_volume(project, describe("scan", "s3://closed/data/5.zarr", root=project.folder))
        project.open_volume("scan").read(WHOLE)
    files = [*(tmp_path / "cells").rglob("*"), *(tmp_path / "cache").rglob("*")]
    assert not [path for path in files if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert SECRET not in "".join(capfd.readouterr())
    with pytest.raises(VolumeError, match="holds a password") as caught:
        opened(f"s3://me:{SECRET}@closed/data/5.zarr")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("s3://open/data/other.zarr", "no multiscales metadata"),
        ("s3://nowhere/data/5.zarr", "no bucket 'nowhere' at http://127"),
        ("s3://closed/data/5.zarr", "without credentials, and none were found.*AWS_PROFILE"),
        ("s3://", "names no bucket"),
    ],
)
def test_what_a_bucket_lacks_is_said(s3, url: str, says: str):
    with pytest.raises(VolumeError, match=says):
        opened(url)


def test_credentials_that_will_not_do_are_named(s3, web, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_PROFILE", "other")
    with pytest.raises(VolumeError, match="AWS_PROFILE names 'other'"):
        opened("s3://closed/data/5.zarr")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    code, line = refused(tmp_path, "s3://closed/data/5.zarr")  # a process of its own, since credentials are kept in one
    assert code == 3 and "credentials of AWS_ACCESS_KEY_ID cannot be used" in line
    log_in(monkeypatch)
    web.trouble = "403"
    monkeypatch.setenv("AWS_ENDPOINT_URL", web.address)
    with pytest.raises(ForbiddenError, match="may not be read with the credentials of AWS_ACCESS_KEY_ID"):
        opened("s3://bucket/c/scan.zarr")


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("http://127.0.0.1:9", "out of reach: nothing answers"),
        ("http://no-such-host.invalid", "out of reach: its host is not known"),
        ("https://{host}", "out of reach: no secure connection"),
    ],
)
@pytest.mark.parametrize("bucket", [False, True])
def test_a_server_out_of_reach_is_said_in_words(web, monkeypatch, address: str, says: str, bucket: bool):
    address = address.format(host=web.address.removeprefix("http://"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    with pytest.raises(VolumeError, match=says):
        opened("s3://open/data/5.zarr" if bucket else f"{address}/scan.zarr")


@pytest.mark.parametrize(
    ("trouble", "says"),
    [("cut", "broke off in the middle"), ("403", "forbidden: the server answered 403"), ("503", "answered 503")],
)
def test_chunks_that_do_not_come_are_no_image(web, tmp_path, trouble: str, says: str):
    volume = opened(f"{web.address}/scan.zarr")
    volume.read(WHOLE)
    shutil.rmtree(tmp_path / "cache")
    web.trouble = trouble
    with pytest.raises(VolumeError, match=says):
        volume.read(WHOLE)
    web.trouble = ""
    assert np.array_equal(volume.read(WHOLE)[0], IMAGE)


@pytest.mark.parametrize("silent", ["web", "bucket", "chunks"])
def test_a_silent_server_is_left_and_said_so(web, monkeypatch, tmp_path, silent: str):
    monkeypatch.setenv("TENSORSTORE_CURL_LOW_SPEED_TIME_SECONDS", "1")
    web.trouble = "hang"
    with silent_server() as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        places = {"web": address, "bucket": "s3://open", "chunks": web.address}
        code, line = refused(tmp_path, f"{places[silent]}/scan.zarr")
    assert code == 3 and line.startswith(f"rondel: {places[silent]}/scan.zarr")
    assert "out of reach: it stayed silent" in line


def test_chunks_are_fetched_once_by_all_who_read_them(web):
    volume = opened(f"{web.address}/scan.zarr")
    volume.read(WHOLE)
    web.asked.clear()
    again = opened(f"{web.address}/scan.zarr")
    assert np.array_equal(again.read(WHOLE)[0], IMAGE)
    assert set(web.asked) == {"/scan.zarr/0/c/0/1/1"}  # the one that is looked at for a change


def test_a_cache_of_no_size_keeps_nothing(web, tmp_path):
    root = limit_cache(tmp_path / "cells", 0)
    opened(f"{web.address}/scan.zarr", root).read(WHOLE)
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_hinders_nobody(web, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    assert np.array_equal(opened(f"{web.address}/scan.zarr").read(WHOLE)[0], IMAGE)


def test_damaged_files_of_the_cache_are_fetched_anew(web, tmp_path):
    opened(f"{web.address}/scan.zarr").read(WHOLE)
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    for number, path in enumerate(files):
        content = path.read_bytes()
        path.write_bytes([b"", content[:-9], content[:20] + b"\0\0\0\0" + content[24:]][number % 3])
    assert len(files) == 18
    assert np.array_equal(opened(f"{web.address}/scan.zarr").read(WHOLE)[0], IMAGE)


def test_an_image_that_is_written_anew_is_read_anew(web, tmp_path):
    opened(f"{web.address}/scan.zarr").read(WHOLE)
    write_image(tmp_path / "web" / "scan.zarr", [255 - IMAGE], "zyx", scales=[[1, 1, 1]])
    assert np.array_equal(opened(f"{web.address}/scan.zarr").read(WHOLE)[0], 255 - IMAGE)


def test_a_chunk_that_was_not_there_yet_is_looked_for_again(web, tmp_path):
    late, hidden = tmp_path / "web" / "scan.zarr" / "0" / "c" / "0" / "0" / "0", tmp_path / "late"
    late.rename(hidden)
    first = Box((0, 0, 0), (16, 16, 16))
    assert not opened(f"{web.address}/scan.zarr").read(first).any()
    hidden.rename(late)
    assert np.array_equal(opened(f"{web.address}/scan.zarr").read(first)[0], IMAGE[first.slices])


def test_the_cache_stays_within_its_limit_and_lets_go_of_what_is_not_used(tmp_path):
    noise, start = np.random.default_rng(0).bytes(1000), time.time() - 1000
    cache = chunk_cache.ChunkCache(tmp_path, 100_000)
    for number in range(300):
        cache.put(f"chunk {number}", noise)
        assert cache.get("chunk 0") == noise
        for path in tmp_path.glob("*/*"):  # as if a second went by
            if path.stat().st_mtime > start + 500:
                os.utime(path, (start + number, start + number))
    assert 50_000 < sum(path.stat().st_size for path in tmp_path.glob("*/*")) <= 100_000
    assert cache.get("chunk 299") == noise and cache.get("chunk 150") is None


def test_many_share_the_cache_and_read_what_was_written(tmp_path):
    contents = [np.random.default_rng(number).bytes(2000) for number in range(60)]
    caches = [chunk_cache.ChunkCache(tmp_path, 50_000) for _ in range(4)]  # as four processes have

    def use(turn: int) -> bool:
        cache, number = caches[turn % 4], turn * 7 % 60
        found = cache.get(f"chunk {number}")
        if found is None:
            cache.put(f"chunk {number}", contents[number])
        return found in (None, contents[number])

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(use, range(2000)))
    held = sum(path.stat().st_size for path in tmp_path.glob("*/*"))
    assert 0 < held <= 50_000 and not list(tmp_path.rglob("*.partial"))


def test_the_page_sees_a_bucket_through_the_server_alone(s3, monkeypatch, tmp_path):
    log_in(monkeypatch)
    with projects.create(tmp_path / "cells", ["background", "cell"]) as project:
        record = projects.add_volume(project, describe("scan", "s3://closed/data/sharded.zarr", root=project.folder))
        with data_server(project.folder) as server:
            url = addresses.image(server.origin, record)
            document = json.loads(server.ask(f"{url}s0/zarr.json").body)
            chunk = server.ask(f"{url}s0/c/1/2/3")
            assert server.ask(f"{url}s0/c/9/9/9").status == 404
    assert [codec["name"] for codec in document["codecs"]] == ["bytes"]
    assert document["chunk_grid"]["configuration"]["chunk_shape"] == [8, 8, 8]
    assert np.array_equal(np.frombuffer(chunk.body, np.uint8).reshape(8, 8, 8), IMAGE[8:16, 16:24, 24:32])


def test_a_volume_in_a_bucket_is_predicted_as_a_local_one(s3, monkeypatch, tmp_path):
    log_in(monkeypatch)
    made = make_predicted(tmp_path / "local")
    s3.put(made.folder / "scan.ome.zarr")
    with projects.open_project(made.folder) as project:
        local = project.volume_record("scan")
        assert np.array_equal(project.open_volume("scan").read(local.box)[0], texture(local.shape))
        shutil.rmtree(made.folder / "scan.ome.zarr")
        projects.relink(project, describe("scan", "s3://closed/data/scan.ome.zarr", root=project.folder))
        mapping.predict_volume(project, "scan", 1, Quiet(), probabilities=True)
        assert volumes.report(project.volume_record("scan"), project.folder)["url"] == "s3://closed/data/scan.ome.zarr"
        assert_equal(outcome(project), made.whole[1])
