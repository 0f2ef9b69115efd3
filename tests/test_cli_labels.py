"""Boxes and labels at the command line: what is drawn from files, undone, moved on and mended."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from rondel import viewer
from rondel.store import edits, labels, project
from rondel.store.box import Box
from rondel.store.records import EditKind
from rondel.tui import headline, snapshot, verbs_label
from rondel.viewer import board

from .conftest import stroke
from .doors import (
    SPACED,
    Rondel,
    blobs,
    cells,
    cut,
    empty,
    rondel,
    waiting,
)

__all__ = ["cells", "empty", "rondel"]


def test_reserve_boxes_are_counted_apart_everywhere(rondel: Rondel, cells: Path) -> None:
    assert "round 2 of 10 planned, labelling, 0 of 2 boxes done" in rondel.ok("-p", cells, "status").out
    assert "(2 boxes wait, 1 in reserve)" in rondel.ok("-p", cells, "next").out
    table = [line.split() for line in rondel.ok("-p", cells, "rounds").out.splitlines()]
    assert [row[2:5] for row in table[1:]] == [["5", "of", "5"], ["0", "of", "2"]]
    with project.open_project(cells) as opened:
        assert board.read(opened.database).progress() == {"number": 2, "done": 0, "total": 2}
        assert "0 of 2 boxes done" in [part.text for part in headline.parts(snapshot.read(opened, None))]
    skipped = waiting(rondel, cells)[:2]
    for box in skipped:
        rondel.ok("-p", cells, "skip", box["id"], "--why", "blurred")
    assert "(1 in reserve)" in rondel.ok("-p", cells, "next").out


def test_history_calls_tools_what_the_page_calls_them(rondel: Rondel, cells: Path) -> None:
    keys = (Path(viewer.__file__).parent / "keys.js").read_text()
    buttons = [word.casefold() for word in re.findall(r'word: "([^"]+)"', keys)]
    for kind in set(EditKind) - {EditKind.IMPORT, EditKind.REVERT}:
        shown = verbs_label.tool(kind, "").strip()
        assert any(re.match(rf"{shown}\b", word) for word in buttons), kind
    box = waiting(rondel, cells)[0]
    region = Box(box["box"]["start"], box["box"]["stop"])
    with project.open_project(cells) as opened, edits.open_journal(opened) as journal:
        for number, kind in enumerate((EditKind.EMPTY, EditKind.INTERPOLATE, EditKind.PAINT), 1):
            journal.write(replace(stroke(region, number % 2 + 1, number, box=box["id"]), kind=kind))
    lines = rondel.ok("-p", cells, "history", "--box", box["id"]).out.splitlines()
    assert [re.split("  +", line.strip())[1] for line in lines] == ["tool", "rest is background", "between", "brush"]
    made = rondel.ok("-p", cells, "history", "--box", box["id"], "--json").json("edits")
    assert [edit["kind"] for edit in made] == ["empty", "interpolate", "paint"]


def read_labels(cells: Path) -> np.ndarray:
    with project.open_project(cells) as opened:
        record = opened.volume_record("scan")
        found = labels.read(opened, "scan", record.box)
        assert np.array_equal(found, edits.replay(opened.database, "scan", record.box))
    return found


def test_labels_are_undone_redone_and_reverted(rondel: Rondel, cells: Path) -> None:
    before = read_labels(cells)
    box = waiting(rondel, cells)[0]
    np.save("box.npy", cut(blobs()[1], box))
    rondel.ok("-p", cells, "label", box["id"], "--from", "box.npy", "--keep-open")
    after = read_labels(cells)
    assert not np.array_equal(after, before) and np.array_equal(cut(after, box), cut(blobs()[1], box))
    rondel.ok("-p", cells, "undo")
    assert np.array_equal(read_labels(cells), before)
    rondel.ok("-p", cells, "redo", "--box", box["id"])
    assert np.array_equal(read_labels(cells), after)
    rondel.ok("-p", cells, "revert", box["id"])
    assert np.array_equal(read_labels(cells), before)
    rondel.ok("-p", cells, "undo", "--box", box["id"])
    assert np.array_equal(read_labels(cells), after)
    kinds = [e["kind"] for e in rondel.ok("-p", cells, "history", "--box", box["id"], "--json").json("edits")]
    assert kinds == ["import", "undo", "redo", "revert", "undo"]


def test_zero_in_a_label_file_is_unlabelled(rondel: Rondel, cells: Path) -> None:
    box = waiting(rondel, cells)[0]
    part = cut(blobs()[1], box).copy()
    part[:, :8] = 0
    np.save("box.npy", part)
    said = rondel.ok("-p", cells, "label", box["id"], "--from", "box.npy").out
    assert f"{part.size // 2} of {part.size} voxels" in said
    assert np.array_equal(cut(read_labels(cells), box), part)


def state(rondel: Rondel, cells: Path, id: int) -> str:
    return next(b["state"] for b in rondel.ok("-p", cells, "boxes", "list", "--json").json("boxes") if b["id"] == id)


def test_boxes_are_skipped_reopened_added_and_protected(rondel: Rondel, cells: Path) -> None:
    rondel.ok("-p", cells, "skip", 6, "--why", "blurred")
    assert state(rondel, cells, 6) == "skipped" and "skipped: blurred" in rondel.ok("-p", cells, "boxes").out
    rondel.ok("-p", cells, "boxes", "reopen", 6)
    rondel.ok("-p", cells, "boxes", "done", 6)
    assert state(rondel, cells, 6) == "done"
    rondel.ok("-p", cells, "boxes", "add", "0:2,0:8,0:8", "--test")
    added = rondel.ok("-p", cells, "boxes", "list", "--json").json("boxes")[-1]
    rondel.ok("-p", cells, "boxes", "test", 7)
    tests = [b["id"] for b in rondel.ok("-p", cells, "boxes", "list", "--json").json("boxes") if b["purpose"] == "test"]
    assert sorted(tests) == [1, 2, 7, 9], added


def test_repair_mends_a_damaged_chunk(rondel: Rondel, cells: Path) -> None:
    before = read_labels(cells)
    chunk = next(p for p in (cells / "labels" / "scan.ome.zarr" / "s0" / "c").rglob("*") if p.is_file())
    chunk.write_bytes(b"noise")
    assert "1 chunks rebuilt" in rondel.ok("-p", cells, "repair").out
    assert np.array_equal(read_labels(cells), before)


@pytest.mark.parametrize("purpose", ["train", "test"])
def test_labels_that_exist_are_journalled_with_their_image(rondel: Rondel, empty: Path, purpose: str) -> None:
    rondel.ok("-p", empty, "add", "scan.npy", *SPACED, "--labels", "mask.npy", "--as", purpose, "--map", "0=1,1=2")
    assert np.array_equal(read_labels(empty), blobs()[1])
    boxes = rondel.ok("-p", empty, "boxes", "list", "--json").json("boxes")
    assert {(b["purpose"], b["state"], b["round"]) for b in boxes} == {(purpose, "done", 0)}
    assert {e["kind"] for e in rondel.ok("-p", empty, "history", "--json").json("edits")} == {"import"}


def test_truth_is_kept_for_oracles_and_never_journalled(rondel: Rondel, empty: Path) -> None:
    rondel.ok("-p", empty, "add", "scan.npy", *SPACED)
    rondel.ok("-p", empty, "add", "scan", "--labels", "truth.npy", "--as", "truth")
    (facts,) = rondel.ok("-p", empty, "info", "--json").json("volumes")
    stored = zarr.open_array(empty / facts["truth"] / "s0", mode="r")
    assert np.array_equal(np.asarray(stored[...]), blobs()[1])
    assert rondel.ok("-p", empty, "history", "--json").json("edits") == []
    assert rondel.ok("-p", empty, "boxes", "list", "--json").json("boxes") == []
