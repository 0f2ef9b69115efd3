"""Label chunks that were lost or damaged come back from the journal, and no others are touched."""

import shutil

import numpy as np
import pytest
from rondel.store import edits, labels, ngff, repair
from rondel.store.box import Box

from .conftest import stroke

ALL = Box((0, 0, 0), (40, 70, 80))
NEAR, FAR = Box((0, 0, 0), (40, 64, 64)), Box((0, 64, 64), (40, 70, 80))


@pytest.fixture
def painted(project):
    """Labels in two of the four chunks, pyramid and all; what they are is returned too."""
    edits.submit(project, stroke(Box((4, 8, 8), (20, 40, 40)), 2, 1))
    edits.submit(project, stroke(Box((4, 64, 64), (20, 70, 80)), 3, 2))
    assert repair.repair(project, "scan") == []
    return project, labels.read(project, "scan", ALL)


def chunk(project, *index: int | str):
    return project.labels_path("scan").joinpath("s0", "c", *map(str, index))


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "gone", "wrong"])
def test_a_chunk_that_was_harmed_is_rebuilt_and_only_that_one(painted, harm):
    project, wanted = painted
    path, other = chunk(project, 0, 0, 0), chunk(project, 0, 1, 1)
    content, stamp = bytearray(path.read_bytes()), other.stat().st_mtime_ns
    match harm:
        case "flip":
            content[len(content) // 2] ^= 16
            path.write_bytes(content)
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "empty":
            path.write_bytes(b"")
        case "gone":
            path.unlink()
        case "wrong":
            labels.open_labels(project, "scan", write=True)[NEAR.slices].write(1).result()
    assert repair.repair(project, "scan") == [NEAR]
    np.testing.assert_array_equal(labels.read(project, "scan", ALL), wanted)
    assert other.stat().st_mtime_ns == stamp
    assert repair.repair(project, "scan") == []


def test_labels_that_no_edit_made_are_taken_away(painted):
    project, wanted = painted
    labels.open_labels(project, "scan", write=True)[0:4, 64:70, 0:8].write(2).result()
    assert repair.repair(project, "scan") == [Box((0, 64, 0), (40, 70, 64))]
    np.testing.assert_array_equal(labels.read(project, "scan", ALL), wanted)


def test_the_coarse_levels_above_a_rebuilt_chunk_follow(painted):
    project, wanted = painted
    chunk(project, 0, 1, 1).unlink()
    repair.repair(project, "scan")
    coarse = np.asarray(ngff.open_array(project.labels_path("scan") / "s1").read().result())
    assert (coarse[2:10, 32:35, 32:40] == 3).all()


def test_what_killed_writers_left_is_swept(painted):
    project, _ = painted
    stray = [chunk(project, 0, 0, name) for name in ("0.__lock", "0.3f2a.partial")]
    for path in stray:
        path.write_bytes(b"")
    repair.repair(project, "scan")
    assert not any(path.exists() for path in stray)


def test_a_label_array_that_is_gone_comes_back_whole(painted):
    project, wanted = painted
    shutil.rmtree(project.labels_path("scan"))
    assert repair.repair(project, "scan") == [NEAR, FAR]
    np.testing.assert_array_equal(labels.read(project, "scan", ALL), wanted)
