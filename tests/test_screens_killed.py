"""Screens are closed, lose their terminal, or are killed: the page and the training that they started go on."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from rondel.loop import jobs
from rondel.store import job_rows, label_boxes, ledger, locks, serving, settings_file
from rondel.store.box import Box
from rondel.store.edits import open_journal
from rondel.store.project import open_project
from rondel.store.records import ENDED, JobState, RoundState, State
from rondel.viewer import launch

from .conftest import stroke
from .served import BOX, make_project
from .terminal import PATIENCE, RONDEL, Terminal, terminal

ENDLESS = {
    "network.filters": "4,8,8",
    "train.steps": "1000000",
    "train.patch": "16,16,16",
    "train.batch": "1",
    "train.precision": "float32",
    "predict.threads": "1",
}

TRAINING = ("round 1 of 10, training", "▶ round", "train model 1", "2 strokes saved", "no page is open")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A project in which an endless training is due; what was started in it is stopped."""
    with make_project(tmp_path) as project:
        for key, value in ENDLESS.items():
            settings_file.change(project.folder / "project.toml", key, value)
        ledger.open_round(project.database, None, "typical", 0)
        ledger.set_round(project.database, 1, RoundState.LABELLING)
        start, (depth, height, width) = BOX.box.start, BOX.box.shape
        with open_journal(project) as journal:
            for value in (1, 2):
                half = Box.at((start[0], start[1] + (value - 1) * height // 2, start[2]), (depth, height // 2, width))
                journal.write(stroke(half, value, value, box=1))
        for state in (State.OPEN, State.DONE):
            label_boxes.move(project.database, 1, state, "ann")
        found = project.folder
    yield found
    launch.stop(found)
    with open_project(found) as project:
        for job in job_rows.select(project.database):
            if job.state not in ENDED and job.pid:
                os.kill(job.pid, signal.SIGKILL)


def quit(shown: Terminal) -> None:
    shown.press("q")
    assert shown.ended() == 0


def hang_up(shown: Terminal) -> None:
    pid = shown.pid
    shown.hang_up()
    gone(pid)


def kill(shown: Terminal) -> None:
    os.kill(shown.pid, signal.SIGKILL)
    assert shown.ended() == 128 + signal.SIGKILL


def gone(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE
    with suppress(ProcessLookupError):
        while True:
            os.kill(pid, 0)
            assert time.monotonic() < deadline, "the screens outlive their terminal"
            time.sleep(0.05)


def steps(folder: Path) -> float:
    """Return how many steps of the training are reported, which leaves the processor to whoever paints."""
    with open_project(folder) as project:
        job = jobs.refresh(project, 1)
        assert job.state == JobState.RUNNING and job.pid, job
        assert os.getpriority(os.PRIO_PROCESS, job.pid) > os.getpriority(os.PRIO_PROCESS, 0)
        progress = job_rows.progress(project.database, 1)
    return progress.done if progress else 0.0


def state(text: str) -> list[str]:
    """Return what the screens say of the project, without what changes while time goes by."""
    lines = [line.split("││")[0] for line in text.splitlines() if re.search(r" (proposed|open|done|skipped) +\d", line)]
    return [*lines, *re.findall(r"http://\S+/open/\S+|round \d+ of \d+, \w+|\d+ strokes saved", text)]


@pytest.mark.parametrize("end", [quit, hang_up, kill], ids=["closed", "terminal lost", "killed"])
def test_page_and_training_outlive_the_screens(folder: Path, end: Callable[[Terminal], None]) -> None:
    with terminal(*RONDEL, folder=folder, OMP_NUM_THREADS="1") as shown:
        shown.shows("train model 1 on 1 new box", "/open/")
        shown.press("Space")
        before = state(shown.shows(*TRAINING))
        server = serving.running(folder)
        end(shown)
    told, deadline = steps(folder), time.monotonic() + PATIENCE
    while steps(folder) <= told:
        assert time.monotonic() < deadline, "the training does not go on"
        time.sleep(0.05)
    assert server is not None and serving.running(folder) == server
    assert launch.connected(server) == []
    assert locks.holder(folder / locks.COMPUTE) is not None

    with terminal(*RONDEL, folder=folder) as again:
        assert state(again.shows(*TRAINING)) == before and len(before) >= 5
        again.press("J")
        again.shows("Job 1, round: running", "cancel the job")
        again.press("c")
        again.shows("Cancel job 1 (round)?")
        again.press("y")
        again.shows("Job 1, round: cancelled")
        again.press("q")
        again.shows("go on training model 1")
        quit(again)
