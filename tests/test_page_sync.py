"""The page's edits arrive exactly once and in order over lines that break, and pages end up seeing what is saved."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

TRIAL = Path(__file__).parent / "page_sync_trial.mjs"
VIEWER = Path(__file__).parent.parent / "viewer"
SEEDS = range(8)


def run(seed: int, operations: int = 80) -> dict[str, Any]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node here")
    words = [node, str(TRIAL), VIEWER.as_uri(), str(seed), str(operations)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def trials() -> list[dict[str, Any]]:
    return [run(seed) for seed in SEEDS]


def test_lines_were_cut_and_pages_reloaded(trials: list[dict[str, Any]]):
    assert sum(trial["cuts"] for trial in trials) > 100
    assert sum(trial["reloads"] for trial in trials) > 10


def test_every_operation_is_saved_once_and_in_order(trials: list[dict[str, Any]]):
    for trial in trials:
        assert trial["saved"] == trial["sent"] and all(trial["ordered"])
        assert trial["unsaved"] == [0, 0]


def test_both_pages_end_up_with_what_the_server_holds(trials: list[dict[str, Any]]):
    assert all(all(trial["views"]) for trial in trials)


def test_no_answer_undoes_the_stroke_under_the_pointer(trials: list[dict[str, Any]]):
    assert not any(trial["undone"] for trial in trials)
