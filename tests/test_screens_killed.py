"""Screens are closed, lose their terminal, or are killed: the page and the training that they started go on."""

import asyncio
import os
import re
import signal
import time
import urllib.request
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
from .small_pages import Page
from .terminal import PATIENCE, RONDEL, Terminal, terminal

ENDLESS = {
    "network.filters": "4,8,8",
    "train.steps": "1000000",
    "train.patch": "16,16,16",
    "train.batch": "1",
    "train.precision": "float32",
    "predict.threads": "1",
}

TRAINING = ("round 1 of 10, training", "▶ train model 1", "1 page open: bob (box 2)")


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
    assert shown.ended() == 0, shown.text()


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


def steps_on(folder: Path) -> None:
    told, deadline = steps(folder), time.monotonic() + PATIENCE
    while steps(folder) <= told:
        assert time.monotonic() < deadline, "the training does not go on"
        time.sleep(0.05)


def state(text: str) -> list[str]:
    """Return what the screens say of the project, without what changes while time goes by and somebody paints."""
    rows = re.findall(r" (proposed|open|done|skipped) +(\d+) +(\w+)", text)
    return [*map(" ".join, rows), *re.findall(r"http://\S+/open/\S+|round \d+ of \d+, \w+", text)]


def open_page(folder: Path) -> Page:
    """Return a page of bob's on box 2, at the server that the screens started."""
    found = serving.load(folder)
    assert found
    host = f"127.0.0.1:{found.port}"
    with urllib.request.urlopen(f"http://{host}/open/{found.secret}?box=2") as answer:
        token = answer.read().decode().split("/v/")[1].split("/")[0]
        cookie = answer.headers["Set-Cookie"].split(";")[0]
    return Page(f"ws://{host}/ws/{token}", "bob", {"Cookie": cookie, "Origin": f"http://{host}"})


async def listen(page: Page) -> None:
    """Hear the server as long as the page is open, as a browser does."""
    while True:
        await page.hear()


async def paint(page: Page, value: int) -> None:
    """Paint a stroke, on the connection that there is, and wait until the server has it."""
    number = page.paint([[8, 4, 4], [8, 12, 12]], value)
    async with asyncio.timeout(PATIENCE):
        while number not in page.answers:
            await asyncio.sleep(0.05)
    assert page.answers[number]["type"] == "ack"


def begin_training(shown: Terminal) -> None:
    shown.shows("train model 1 on 1 new box", "/open/")
    shown.press("Space")
    shown.shows("1 box waits to be labelled")
    shown.press("y")


def stop_training(shown: Terminal) -> None:
    """Cancel the job by its keys, and leave."""
    shown.press("J")
    shown.shows("Job 1, round: running", "cancel the job")
    shown.press("c")
    shown.shows("Cancel job 1 (round)?")
    shown.press("y")
    shown.shows("Job 1, round: cancelled")
    shown.press("q")
    shown.shows("go on training model 1")
    quit(shown)


async def outlive(folder: Path, end: Callable[[Terminal], None]) -> None:
    """Paint in a page and train while screens end in some way and others begin; what takes long is done in threads."""
    away = asyncio.to_thread
    with terminal(*RONDEL, folder=folder, OMP_NUM_THREADS="1") as shown:
        await away(begin_training, shown)
        page = await away(open_page, folder)
        await page.connect()
        listening = asyncio.create_task(listen(page))
        await paint(page, 1)
        before = state(await away(shown.shows, *TRAINING, "3 strokes saved"))
        server = serving.running(folder)
        await away(end, shown)
    await paint(page, 2)
    await away(steps_on, folder)
    assert server is not None and serving.running(folder) == server
    assert locks.holder(folder / locks.COMPUTE) is not None

    with terminal(*RONDEL, folder=folder) as again:
        assert state(await away(again.shows, *TRAINING, "4 strokes saved")) == before and len(before) == 4
        listening.cancel()
        page.close()
        await away(stop_training, again)


@pytest.mark.parametrize("end", [quit, hang_up, kill], ids=["closed", "terminal lost", "killed"])
def test_painting_and_training_outlive_the_screens(folder: Path, end: Callable[[Terminal], None]) -> None:
    asyncio.run(outlive(folder, end))
