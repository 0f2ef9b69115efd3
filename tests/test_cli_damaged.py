"""Whatever is damaged, lost or locked in a project is said in one line, and nothing is written over it."""

import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rondel.store import locks
from rondel.store.project import open_project

from .doors import Ran, Rondel, cells, contents, rondel, rows
from .refusals import SPACED, check, refused, room

__all__ = ["cells", "rondel", "room"]


def append(text: str) -> Callable[[Path], object]:
    def change(project: Path) -> None:
        with (project / "project.toml").open("a") as file:
            file.write(text)

    return change


def set_schema(project: Path) -> None:
    with sqlite3.connect(project / "project.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()


def damage(size: int, noise: bytes) -> Callable[[Path], object]:
    """Keep the first bytes of project.db, and put noise after them."""

    def change(project: Path) -> None:
        file = project / "project.db"
        file.write_bytes(file.read_bytes()[:size] + noise)

    return change


def flip(name: str, at: int) -> Callable[[Path], object]:
    def change(project: Path) -> None:
        file = project / name
        content = bytearray(file.read_bytes())
        content[at] ^= 255
        file.write_bytes(content)

    return change


def without_classes(project: Path) -> None:
    text = (project / "project.toml").read_text()
    (project / "project.toml").write_text(re.sub(r"\[\[class\]\]\nvalue = 2\n.*\n.*\n", "", text))


PROJECTS = {
    "newer schema": (set_schema, 3, "newer rondel.*upgrade"),
    "database of noise": (damage(0, b"\x07" * 9000), 3, "project.db cannot be read.*backups"),
    "database cut": (damage(6000, b""), 3, "project.db cannot be (read|used).*backups"),
    "database zeroed": (damage(4096, bytes(60000)), 3, "project.db cannot be (read|used).*backups"),
    "database emptied": (damage(0, b""), 3, "project.db is empty.*backups"),
    "database gone": (lambda p: (p / "project.db").unlink(), 3, "no project.db"),
    "no TOML": (append("\nx = = 3\n"), 2, "not valid TOML.*line"),
    "no text": (lambda p: (p / "project.toml").write_bytes(b"\xff\xfe\x00"), 2, "not valid TOML"),
    "emptied settings": (lambda p: (p / "project.toml").write_text(""), 2, r"needs 2 or more.*\[\[class\]\]"),
    "class removed": (without_classes, 2, "declares 1 classes, but needs 2"),
    "unknown table": (append("\n[trian]\nsteps = 3\n"), 2, "'trian'.*'train'"),
    "unknown key": (append("\n[[volume]]\nname = 'scan'\nregoin = ':,:,:'\n"), 2, "regoin.*region"),
    "undeclared order": (append("\n[[class]]\nvalue = 7\nname = 'x'\ncolour = '#000000'\n"), 2, "values are 1, 2"),
}  # fmt: skip


@pytest.mark.parametrize("harm, code, says", PROJECTS.values(), ids=PROJECTS)
def test_a_damaged_project_is_refused_by_every_verb(rondel: Rondel, cells: Path, harm, code: int, says: str) -> None:
    harm(cells)
    np.save("box.npy", np.ones((12, 16, 16), np.uint8))
    before = contents(cells)
    for words in (("status",), ("boxes",), ("round",), ("label", 6, "--from", "box.npy"), ("models", "use", 1)):
        check(rondel("-p", cells, *words), code, says)
    assert contents(cells) == before
    assert list(cells.glob("project.db.*")) == []


@pytest.mark.parametrize("name, at", [("weights.safetensors", -9), ("weights.safetensors", 4), ("model.json", 0)])
def test_a_tampered_model_is_never_used(rondel: Rondel, cells: Path, name: str, at: int) -> None:
    flip(f"models/0001/{name}", at)(cells)
    before = rows(cells)
    check(rondel("-p", cells, "models", "use", 1), 3, "model 1")
    assert rows(cells) == before


def test_a_tampered_model_predicts_nothing(rondel: Rondel, cells: Path) -> None:
    flip("models/0001/weights.safetensors", -9)(cells)
    shutil.rmtree(cells / "maps")
    before = rows(cells)
    check(rondel("-p", cells, "predict"), 3, "weights of model 1.*restore")
    assert rows(cells) == before and not (cells / "maps").exists()


def test_a_volume_that_was_not_predicted_is_not_exported(rondel: Rondel, cells: Path) -> None:
    rondel.ok("-p", cells, "add", "scan.npy", "--name", "second", *SPACED)
    refused(
        rondel, cells.parent, ("-p", cells, "export", "second", "new.tif"), 2, "not complete.*rondel predict second"
    )


def test_probabilities_that_were_not_kept_are_not_exported(rondel: Rondel, cells: Path) -> None:
    with open_project(cells) as project, project.database.transaction() as connection:
        connection.execute("UPDATE tile SET probabilities = 0")
    words = ("-p", cells, "export", "scan", "new.tif", "--what", "probabilities")
    refused(rondel, cells.parent, words, 2, "not complete.*--probabilities")


def test_a_lost_image_is_named(rondel: Rondel, cells: Path) -> None:
    shutil.rmtree(cells / "volumes" / "scan.ome.zarr")
    for verb in ("info", "predict"):
        check(rondel("-p", cells, verb, "scan"), 3, "scan.ome.zarr does not exist")


def test_a_lost_log_is_named(rondel: Rondel, cells: Path) -> None:
    (cells / "jobs" / "0001.log").unlink()
    check(rondel("-p", cells, "jobs", "log", 1), 2, "log of job 1 is gone")


def test_while_labels_are_locked_nothing_is_labelled(rondel: Rondel, cells: Path) -> None:
    np.save("box.npy", np.ones((12, 16, 16), np.uint8))
    before = rows(cells)
    with locks.hold(cells / locks.LABELS, "a page", 1):
        ran = rondel("-p", cells, "label", 6, "--from", "box.npy")
    check(ran, 4, f"labels.lock is held by a page .pid {os.getpid()} on {re.escape(socket.gethostname())}")
    assert rows(cells) == before


def test_while_something_computes_no_round_starts(rondel: Rondel, cells: Path) -> None:
    before = rows(cells)
    with locks.hold(cells / locks.COMPUTE, "job 7 (round)", 1):
        for words in (("predict",), ("train",), ("boxes", "propose")):
            check(rondel("-p", cells, *words), 4, f"held by job 7 .round. .pid {os.getpid()} on {socket.gethostname()}")
    assert rows(cells) == before


def test_errors_of_the_program_as_it_is_installed(room: Path) -> None:
    for words, code in ((["-p", "cells", "info", "\x1b[31mx"], 2), (["-p", "cells", "models", "use", "9"], 2)):
        ran = subprocess.run([sys.executable, "-m", "rondel.tui.cli", *words], capture_output=True, text=True)
        check(Ran(ran.returncode, ran.stdout, ran.stderr), code, "there is no")


def test_debug_shows_where_an_error_came_from(rondel: Rondel, room: Path) -> None:
    with pytest.raises(ValueError, match="no box 99"):
        rondel("--debug", "-p", "cells", "boxes", "done", 99)
