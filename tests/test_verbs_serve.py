"""Verbs while the server runs: they reach the page, and change labels through the server."""

import json
import shutil
import signal
import socket
import stat
import subprocess
import webbrowser
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from rondel.store import locks, serving
from rondel.viewer import link

from .doors import HEARING, Rondel, blobs, rondel, trained_project, waiting
from .small_server import SmallServer, small_server

__all__ = ["rondel"]


@pytest.fixture
def cells(rondel: Rondel, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    """A project after its first round."""
    shutil.copytree(trained_project(rondel, tmp_path_factory), tmp_path / "own")
    return tmp_path / "own" / "cells"


@pytest.fixture
def server(cells: Path) -> Iterator[SmallServer]:
    with small_server(cells) as running:
        yield running


@pytest.fixture
def browsers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pages that browsers were started with, on a machine that has a screen."""
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda page: opened.append(page) or True)
    monkeypatch.setenv("DISPLAY", ":0")
    for name in ("SSH_CONNECTION", "SSH_TTY"):
        monkeypatch.delenv(name, raising=False)
    return opened


def test_label_shows_a_box_and_prints_link_and_tunnel(rondel: Rondel, cells: Path, server: SmallServer) -> None:
    box = waiting(rondel, cells)[0]["id"]
    lines = rondel.ok("-p", cells, "label", box).out.splitlines()
    assert lines[0] == f"box {box} is shown in the page that you have open"
    assert lines[1] == f"http://127.0.0.1:{server.port}/open/a-secret?box={box}"
    assert f"ssh -N -L {server.port}:127.0.0.1:{server.port} " in lines[2] and len(lines) == 3
    assert server.shown == [{"person": "ann", "box": box}]


def test_label_takes_the_next_box_that_nobody_else_has_open(rondel: Rondel, cells: Path, server: SmallServer) -> None:
    first, second = [box["id"] for box in waiting(rondel, cells)[:2]]
    rondel.ok("-p", cells, "label")
    server.people = [{"person": "bob", "box": first}]
    rondel.ok("-p", cells, "label")
    server.people = [{"person": "ann", "box": first}]
    rondel.ok("-p", cells, "label")
    assert [shown["box"] for shown in server.shown] == [first, second, first]


def test_label_says_what_is_due_when_no_box_waits(rondel: Rondel, cells: Path, server: SmallServer) -> None:
    for box in waiting(rondel, cells):
        rondel.ok("-p", cells, "skip", box["id"], "--why", "blurred")
    ran = rondel("-p", cells, "label")
    assert ran.code == 2 and len(ran.err.splitlines()) == 1 and "no box waits" in ran.err and "rondel" in ran.err[8:]


@pytest.mark.parametrize(
    "words", [("99",), ("--from", "a.npy"), ("3", "--keep-open"), ("3", "--map", "0=1"), ("3", "--from", "a", "--open")]
)
def test_a_label_that_makes_no_sense_starts_no_server(rondel: Rondel, cells: Path, words: tuple[str, ...]) -> None:
    ran = rondel("-p", cells, "label", *words)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert not (cells / "serve.json").exists() and not (cells / "jobs" / "serve.log").exists()


def test_view_shows_a_volume_and_a_model(rondel: Rondel, cells: Path, server: SmallServer) -> None:
    said = rondel.ok("-p", cells, "view", "--model", "1").out
    assert server.shown == [{"person": "ann", "volume": "scan", "model": 1}]
    assert f"http://127.0.0.1:{server.port}/open/a-secret?volume=scan&model=1" in said
    for words in (("view", "none"), ("view", "--model", "9")):
        assert rondel("-p", cells, *words).code == 2
    assert len(server.shown) == 1


def test_status_says_who_is_connected(rondel: Rondel, cells: Path, server: SmallServer) -> None:
    server.people = [{"person": "bob", "box": 2}, {"person": "eve", "box": None, "volume": "scan"}]
    said = rondel.ok("-p", cells, "status").out
    assert f"server: port {server.port} on {socket.gethostname()} (pid " in said
    assert "connected: bob (box 2), eve (scan)" in said and "secret" not in said
    (found,) = rondel.ok("-p", cells, "status", "--json").json("projects")
    assert found["server"]["people"] == server.people and found["server"]["port"] == server.port
    assert not {"key", "secret", "cookie"} & set(found["server"])
    server.people = []
    assert "nobody connected" in rondel.ok("-p", cells, "status").out


def test_status_without_a_server_says_nothing_of_one(
    rondel: Rondel, cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(cells)  # the path of this test holds the word
    assert "server" not in rondel.ok("status").out
    assert rondel.ok("-p", cells, "status", "--json").json("projects")[0]["server"] is None
    assert rondel.ok("-p", cells, "stop").out == "no server runs\n"


def test_labels_are_changed_through_the_server(
    rondel: Rondel, cells: Path, server: SmallServer, tmp_path: Path
) -> None:
    box = waiting(rondel, cells)[0]["id"]
    np.save(tmp_path / "box.npy", np.full((12, 16, 16), 2, np.uint8))
    rondel.ok("-p", cells, "label", box, "--from", tmp_path / "box.npy", "--keep-open")
    rondel.ok("-p", cells, "undo")
    rondel.ok("-p", cells, "redo", "--box", box)
    rondel.ok("-p", cells, "revert", box)
    rondel.ok("-p", cells, "boxes", "done", box)
    rondel.ok("-p", cells, "repair")
    assert server.asked == ["write", "undo", "redo", "revert", "finish", "repair"]
    ran = rondel("-p", cells, "boxes", "done", box)
    assert (ran.code, len(ran.err.splitlines())) == (2, 1) and "cannot become done" in ran.err


def test_jobs_write_labels_and_export_them_while_the_server_runs(rondel: Rondel, tmp_path: Path) -> None:
    image, truth = blobs()
    np.save(tmp_path / "scan.npy", image)
    np.save(tmp_path / "truth.npy", truth)
    project = tmp_path / "dense"
    rondel.ok("init", project, "--classes", "background,blob")
    with small_server(project) as server:
        added = (
            "add",
            tmp_path / "scan.npy",
            "--spacing",
            "10,10,10",
            "--unit",
            "nm",
            "--labels",
            tmp_path / "truth.npy",
        )
        said = rondel.ok("-p", project, *added, "--as", "train").out
        assert "1 train boxes imported" in said and server.asked == ["write", "finish"]
        rondel.ok("-p", project, "export", "scan", tmp_path / "out.tif", "--what", "labels")
    assert (tifffile.imread(tmp_path / "out.tif") == truth).all()


def test_a_browser_gets_the_link_by_a_file_that_only_its_owner_reads(
    rondel: Rondel, cells: Path, server: SmallServer, browsers: list[str]
) -> None:
    rondel.ok("-p", cells, "label", "--open")
    (page,) = browsers
    assert page.startswith("file://") and "secret" not in page
    file = Path(page.removeprefix("file://"))
    assert f"127.0.0.1:{server.port}/open/a-secret?box=" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_browser_is_started_only_where_it_is_wanted(
    rondel: Rondel, cells: Path, server: SmallServer, browsers: list[str]
) -> None:
    rondel.ok("-p", cells, "label")
    assert browsers == []
    rondel.ok("-p", cells, "config", "serve.open", "true")
    rondel.ok("-p", cells, "view")
    assert len(browsers) == 1


@pytest.mark.parametrize("variable", ["SSH_CONNECTION", "SSH_TTY"])
def test_no_browser_is_ever_started_over_ssh(
    rondel: Rondel, cells: Path, server: SmallServer, browsers: list[str], monkeypatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "10.0.0.1 50000 10.0.0.2 22")
    rondel.ok("-p", cells, "config", "serve.open", "true")
    for words in (("label", "--open"), ("view", "--open"), ("serve", "--detach", "--open"), ("serve", "--open")):
        ran = rondel.ok("-p", cells, *words)
        assert "no browser is started over ssh" in ran.err and "http://127.0.0.1" in ran.out
    assert browsers == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_serve_ends_with_the_signals_own_code_and_leaves_what_the_next_one_needs(
    cells: Path, number: signal.Signals
) -> None:
    words = [*HEARING, "-p", str(cells), "serve", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        said = "".join(iter(process.stdout.readline, "}\n")) + "}"
        (server,) = json.loads(said)["servers"]
        found = serving.running(cells)
        assert found and (found.pid, found.port) == (server["pid"], server["port"]) and found.pid == process.pid
        process.send_signal(number)
        assert process.wait(60) == 128 + number
        assert (process.stdout.read(), process.stderr.read()) == ("", "")
    assert serving.load(cells) == replace(found, pid=0)
    assert not locks.holder(cells / locks.LABELS)


def test_serve_while_a_server_runs_prints_its_link_again(rondel: Rondel, cells: Path, server: SmallServer) -> None:
    (found,) = rondel.ok("-p", cells, "serve", "--json").json("servers")
    assert found["link"] == link.link(server.serving) and found["port"] == server.port
    ran = rondel("-p", cells, "serve", "--port", 1 + server.port % 60000, "--detach")
    assert (ran.code, len(ran.err.splitlines())) == (2, 1) and f"port {server.port}" in ran.err
    assert rondel.ok("-p", cells, "serve", "--port", server.port).out.startswith("http://")
