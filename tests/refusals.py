"""Projects and files for what rondel refuses: one line that says what and what to do, and nothing is written."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from .doors import Ran, Rondel, blobs, contents, rows, trained_project

SPACED = ("--spacing", "1,1,1", "--unit", "nm")


@pytest.fixture
def room(rondel: Rondel, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the trained project "cells" and files of every badness, shared since nothing may be written."""
    folder = tmp_path_factory.getbasetemp() / "room"
    if not folder.exists():
        shutil.copytree(trained_project(rondel, tmp_path_factory), folder)
        make_bad_files(folder)
    monkeypatch.chdir(folder)
    return folder


def make_bad_files(folder: Path) -> None:
    _, truth = blobs()
    np.save(folder / "truth.npy", truth)
    np.save(folder / "short.npy", truth[:, :, :-1])
    box = np.ones((12, 16, 16), np.uint8)
    for name, labels in {
        "box": box, "narrow": box[:, :, 1:], "flat": box[0], "float": box.astype(np.float32),
        "negative": np.full(box.shape, -1, np.int16), "v300": box.astype(np.uint16) * 300, "v3": box * 3,
        "volume": box[None].repeat(3, 0),
    }.items():  # fmt: skip
        np.save(folder / f"{name}.npy", labels)
    np.save(folder / "objects.npy", np.array([{}]), allow_pickle=True)
    np.save(folder / "complex.npy", np.ones((4, 8, 8), np.complex64))
    tifffile.imwrite(folder / "whole.tif", truth)
    whole = (folder / "whole.tif").read_bytes()
    (folder / "cut.tif").write_bytes(whole[: len(whole) // 2])
    shutil.copy(folder / "cut.tif", folder / "a b.tif")
    (folder / "empty.tif").write_bytes(b"")
    (folder / "text.tif").write_text("no image")
    (folder / "photo.jpg").write_text("no image")
    (folder / "nothing").mkdir()
    (folder / "sections").mkdir()
    tifffile.imwrite(folder / "sections" / "1.tif", truth[0])
    (folder / "plain.zarr").mkdir()
    (folder / "plain.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')


def check(ran: Ran, code: int, says: str) -> None:
    assert ran.code == code, ran
    assert ran.out == ""
    assert len(ran.errors) == 1, ran.err
    assert re.fullmatch(r"rondel: .+; .+", ran.errors[0]), ran.err
    assert re.search(says, ran.errors[0]), ran.err
    assert "\x1b" not in ran.err and "\u202e" not in ran.err


def refused(rondel: Rondel, folder: Path, words: tuple[object, ...], code: int, says: str) -> None:
    """Run a verb that must be refused, and compare all there is before and after."""
    before = contents(folder), rows(folder / "cells")
    check(rondel(*words), code, says)
    assert (contents(folder), rows(folder / "cells")) == before
