"""kill -9 at any moment loses no acknowledged edit and leaves no wrong voxel."""

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from rondel.store import edits, labels, repair
from rondel.store.box import Box

from .conftest import add_box

KILLS = 100
PAINTER = Path(__file__).parent / "painter.py"


def test_two_painters_killed_100_times_lose_nothing(project, tmp_path):
    region = Box((4, 8, 8), (28, 60, 72))
    box = add_box(project, region)
    dice = random.Random(0)
    acknowledged: set[int] = set()
    corners = ",".join(str(v) for v in (*region.start, *region.stop))
    for turn in range(KILLS // 2):
        outputs = [tmp_path / f"{person}-{turn}" for person in ("ann", "bob")]
        painters = [
            subprocess.Popen(
                [sys.executable, PAINTER, project.folder, output.name[:3], str(box.id), corners],
                stdout=output.open("wb"),
            )
            for output in outputs
        ]
        _wait_for_first_edit(outputs, painters)
        time.sleep(dice.random() * 0.15)  # the moment of the kill is what is drawn, nothing is waited for
        for painter in painters:
            painter.kill()
            painter.wait()
        for output in outputs:
            acknowledged.update(int(line) for line in output.read_text().split("\n")[:-1])

    with edits.open_journal(project):
        committed = {row["number"] for row in project.database.rows("SELECT number FROM edit")}
        assert len(acknowledged) > KILLS and acknowledged <= committed
        found = labels.read(project, "scan", Box.of_shape((40, 70, 80)))
    np.testing.assert_array_equal(found, _oracle(project))
    np.testing.assert_array_equal(found, edits.replay(project.database, "scan", Box.of_shape((40, 70, 80))))
    assert repair.repair(project, "scan") == []
    assert not list(project.labels_path("scan").rglob("*.__lock"))


def _oracle(project) -> np.ndarray:
    """What the array must hold: on each voxel the last edit that covers it and is not undone, painted in order."""
    undone: set[int] = set()
    rows = project.database.rows("SELECT * FROM edit ORDER BY number")
    for row in rows:
        if row["kind"] == "undo":
            undone.add(row["target"])
        elif row["kind"] == "redo":
            undone.discard(row["target"])
    wanted = np.zeros((40, 70, 80), np.uint8)
    for row in rows:
        if row["kind"] not in ("undo", "redo") and row["number"] not in undone:
            region, mask, after = edits._voxels(row)
            wanted[region.slices][mask] = after
    return wanted


def _wait_for_first_edit(outputs, painters) -> None:
    deadline = time.monotonic() + 60
    while not all(output.stat().st_size for output in outputs):
        assert time.monotonic() < deadline and all(p.poll() is None for p in painters)
        time.sleep(0.005)  # painters tell of an edit by a file
