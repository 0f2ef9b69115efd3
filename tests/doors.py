"""What tests at the command line share: a tiny image with its truth, running a verb, and a project that was trained."""

import functools
import hashlib
import json
import os
import shutil
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from rondel.tui import cli
from scipy import ndimage

SHAPE = (24, 64, 64)
SPACED = ("--spacing", "10,10,10", "--unit", "nm")
SETTINGS = {
    "boxes.shape": "12,16,16",
    "boxes.per_round": "2",
    "boxes.reserve": "1",
    "network.filters": "4,8,8",
    "test.boxes": "2",
    "test.bootstrap": "100",
    "train.steps": "4",
    "train.more_steps": "0",
    "train.patch": "16,16,16",
    "train.batch": "1",
}
HEARING = (
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "signal.signal(signal.SIGHUP, signal.SIG_DFL);"
    "from rondel.tui.cli import main; main()",
)
"""Runs the command line with signals as a terminal leaves them, even where the tests run in the background."""
PASSING = ("jobs", "project.db", "project.db-wal", "project.db-shm")
"""What of a project may change although a verb was refused: jobs and their table."""


@dataclass(frozen=True)
class Ran:
    """How a verb ended."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines on stderr that are no progress."""
        return [line for line in self.err.splitlines() if line.startswith("rondel:") or not line.endswith(" …")]

    def json(self, noun: str) -> list[Any]:
        """The things that --json printed, after a look at what is around them."""
        printed = json.loads(self.out)
        assert list(printed) == ["schema", noun] and printed["schema"] == 1
        return printed[noun]


class Rondel:
    """The command line, run in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *words: object) -> Ran:
        """Run a verb through main(), however it ends."""
        self.monkeypatch.setattr(sys, "argv", ["rondel", *map(str, words)])
        self.capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = self.capsys.readouterr()
        return Ran(code, out, err)

    def ok(self, *words: object) -> Ran:
        """Run a verb that must succeed."""
        ran = self(*words)
        assert ran.code == 0, (words, ran)
        return ran


@pytest.fixture
def rondel(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Rondel:
    monkeypatch.setenv("RONDEL_PERSON", "ann")
    monkeypatch.delenv("RONDEL_PROJECT", raising=False)
    return Rondel(monkeypatch, capsys)


@functools.cache
def blobs(shape: tuple[int, ...] = SHAPE) -> tuple[np.ndarray, np.ndarray]:
    """Return an image of bright blobs and its truth, both uint8; 1 is background, 2 a blob."""
    random = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(random.normal(size=shape), 3)
    truth = (smooth > np.quantile(smooth, 0.6)).astype(np.uint8) + 1
    image = np.clip(80.0 * truth + random.normal(size=shape) * 10, 0, 255).astype(np.uint8)
    return image, truth


def configure(rondel: Rondel, project: Path, **changes: str) -> None:
    """Make rounds of a project take seconds."""
    for key, value in (SETTINGS | {k.replace("__", "."): v for k, v in changes.items()}).items():
        rondel.ok("-p", project, "config", key, value)


def waiting(rondel: Rondel, project: Path) -> list[dict[str, Any]]:
    return rondel.ok("-p", project, "boxes", "list", "--state", "proposed", "--json").json("boxes")


def cut(array: np.ndarray, box: dict[str, Any]) -> np.ndarray:
    """Return the part of a volume's array that lies in a box as --json prints it."""
    return array[tuple(slice(a, b) for a, b in zip(box["box"]["start"], box["box"]["stop"]))]


def answer(rondel: Rondel, project: Path, truths: dict[str, np.ndarray], folder: Path) -> list[int]:
    """Label every waiting box from its volume's truth; returns the boxes' ids."""
    found = waiting(rondel, project)
    for box in found:
        np.save(folder / "answer.npy", cut(truths[box["volume"]], box))
        rondel.ok("-p", project, "label", box["id"], "--from", folder / "answer.npy")
    (folder / "answer.npy").unlink(missing_ok=True)
    return [box["id"] for box in found]


def trained_project(rondel: Rondel, factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the project "cells" after its first round; copy it before changing it."""
    place = factory.getbasetemp()
    done = (place.parent if "PYTEST_XDIST_WORKER" in os.environ else place) / "trained"
    with FileLock(f"{done}.lock"):  # tests that run side by side share it
        if not done.exists():
            _train(rondel, factory.mktemp("training")).rename(done)
    return done


def _train(rondel: Rondel, folder: Path) -> Path:
    """Make the project "cells" in a folder, and go through its first round; returns the folder."""
    image, truth = blobs()
    np.save(folder / "scan.npy", image)
    project = folder / "cells"
    rondel.ok("init", project, "--classes", "background,blob")
    configure(rondel, project)
    rondel.ok("-p", project, "add", folder / "scan.npy", "--spacing", "10,10,10", "--unit", "nm")
    rondel.ok("-p", project, "round")
    answer(rondel, project, {"scan": truth}, folder)
    rondel.ok("-p", project, "round")
    return folder


def contents(folder: Path) -> dict[str, str]:
    """Digest all that a folder holds, but for jobs, databases and locks."""
    found = {}
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in PASSING]
        for name in files:
            path = Path(place) / name
            if name not in PASSING and path.suffix != ".lock":
                found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
        found |= {str((Path(place) / name).relative_to(folder)): "folder" for name in folders}
    return found


def rows(project: Path) -> dict[str, list[tuple]]:
    """Return all rows of a project but those of jobs and what is counted of them."""
    with sqlite3.connect(project / "project.db") as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        kept = [name for name in names if name not in ("job", "progress", "change", "sqlite_sequence")]
        found = {name: database.execute(f"SELECT * FROM {name}").fetchall() for name in kept}
    database.close()
    return found


@pytest.fixture
def cells(
    rondel: Rondel, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of the project "cells" after its first round, beside scan.npy; the test stands in that folder."""
    shutil.copytree(trained_project(rondel, tmp_path_factory), tmp_path / "own")
    monkeypatch.chdir(tmp_path / "own")
    return tmp_path / "own" / "cells"


@pytest.fixture
def empty(rondel: Rondel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without volumes, with scan.npy, truth.npy and mask.npy (0 and 1) beside it."""
    monkeypatch.chdir(tmp_path)
    image, truth = blobs()
    for name, array in {"scan": image, "truth": truth, "mask": truth - 1}.items():
        np.save(f"{name}.npy", array)
    rondel.ok("init", "cells", "--classes", "background,blob")
    configure(rondel, Path("cells"))
    return tmp_path / "cells"
