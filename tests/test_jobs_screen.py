"""The screen of jobs, with their logs and the graphics cards."""

import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from rondel.loop import jobs
from rondel.store import job_rows
from rondel.store.project import Project
from rondel.store.records import JobState, Progress
from rondel.tui import gpu
from rondel.tui.gpu import Gpu
from rondel.tui.jobs_screen import NO_JOB, JobsScreen, gpu_line
from rondel.tui.snapshot import Running

from .screen_host import HOSTILE, drive, look, settle, text_of


def ended(project: Project, kind: str, state: JobState, log: str = "", **more) -> int:
    job = job_rows.queue(project.database, kind, {"volume": HOSTILE, "model": None})
    job_rows.begin(project.database, job.id)
    jobs.log_path(project, job.id).write_text(log)
    job_rows.end(project.database, job.id, state, **more)
    return job.id


@pytest.fixture
def worked(project: Project) -> Path:
    """A project after two jobs."""
    ended(project, "round", JobState.DONE, "first [line]\nsecond\rthird\n", result={"notes": ["model 1 [trained]"]})
    ended(project, "predict", JobState.FAILED, "Traceback\x1b[31m", error="no space", hint="free some", exit_code=5)
    return project.folder


def test_jobs_are_listed_with_how_they_ended_and_what_they_wrote(worked: Path) -> None:
    async def steps(host, pilot) -> None:
        shown = text_of(host)
        assert "2     predict   ! failed" in shown and "no space; free some" in shown
        assert "Traceback\\x1b[31m" in shown and "\x1b" not in shown
        await pilot.press("down")
        await settle(pilot)
        shown = text_of(host)
        assert "Job 1, round: done" in shown and "model 1 [trained]" in shown
        assert "first [line]" in shown and "third" in shown and "second" not in shown and "Traceback" not in shown

    drive(JobsScreen(look(worked)), steps, worked)


def test_a_running_job_shows_how_far_it_is_and_its_log_is_followed(worked: Path, project: Project) -> None:
    before = look(worked)
    screen = JobsScreen(before)
    now = time.time()
    job = replace(before.jobs[0], state=JobState.RUNNING, started=now - 75, ended=None, error="")
    progress = Progress("train [model] 4", 30, 120, "steps", "loss 0.2", now)
    running = Running(job, progress, now - 10, 0, (0.9, 0.5, 0.2))
    state = replace(before, jobs=(job, *before.jobs[1:]), running=(running,))

    async def steps(host, pilot) -> None:
        screen.show(state)
        await settle(pilot)
        shown = text_of(host)
        assert "train [model] 4" in shown and "25 %" in shown and "0:30 left" in shown and "30 of 120 steps" in shown
        assert "0.900 → 0.200" in shown and "▶ running" in shown
        jobs.log_path(project, 2).write_text("Traceback\x1b[31m\nand more\n")
        screen._follow()
        await settle(pilot)
        assert "and more" in text_of(host) and text_of(host).count("Traceback") == 1

    drive(screen, steps, worked)


def test_a_running_job_is_cancelled_after_a_question(worked: Path) -> None:
    before = look(worked)
    state = replace(before, jobs=(replace(before.jobs[0], state=JobState.RUNNING), before.jobs[1]))
    screen = JobsScreen(state)

    async def steps(host, pilot) -> None:
        await pilot.press("c", "n")
        assert host.said == []
        await pilot.press("c", "y")
        await settle(pilot)
        assert host.said == ["job 2 is failed"], "the database knows that it has ended"
        await pilot.press("down", "c")
        assert host.screen is screen, "an ended job cannot be cancelled"

    drive(screen, steps, worked)


def test_the_cursor_stays_on_its_job_when_another_begins(worked: Path, project: Project) -> None:
    screen = JobsScreen(look(worked))

    async def steps(host, pilot) -> None:
        await pilot.press("down")
        ended(project, "export", JobState.DONE)
        screen.show(look(worked))
        await settle(pilot)
        assert screen.job and screen.job.id == 1

    drive(screen, steps, worked)


def test_a_log_that_is_gone_is_said_once_and_quietly(worked: Path, project: Project) -> None:
    jobs.log_path(project, 2).unlink()

    async def steps(host, pilot) -> None:
        await settle(pilot)
        assert "the log of job 2 is gone" in text_of(host) and host.said == []

    drive(JobsScreen(look(worked)), steps, worked)


def test_without_jobs_the_next_step_is_said(project: Project) -> None:
    async def steps(host, pilot) -> None:
        assert NO_JOB[:30] in text_of(host)
        await pilot.press("c", "down", "up")

    drive(JobsScreen(look(project.folder)), steps, project.folder)


def library(cards: int, uses: bool = True) -> ModuleType:
    """Stand in for NVIDIA's library on a machine without its driver; it answers as the real one does."""
    module = ModuleType("pynvml")
    module.NVMLError = type("NVMLError", (Exception,), {})  # type: ignore[attr-defined]  # a module made here

    def use(handle):
        if not uses:
            raise module.NVMLError("Not Supported")  # type: ignore[attr-defined]  # as above
        return SimpleNamespace(gpu=61)

    for name, answer in {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: cards,
        "nvmlDeviceGetHandleByIndex": lambda k: k,
        "nvmlDeviceGetName": lambda handle: f"card {handle}",
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(used=38 << 30, total=139 << 30),
        "nvmlDeviceGetUtilizationRates": use,
    }.items():
        setattr(module, name, answer)
    return module


def test_cards_are_shown_where_the_library_is_there(worked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", library(2))

    async def steps(host, pilot) -> None:
        assert "card 0" in text_of(host) and "38.0 of 139.0 GiB, 61 % busy" in text_of(host)

    drive(JobsScreen(look(worked)), steps, worked)


def test_a_card_that_does_not_say_its_use_shows_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", library(1, uses=False))
    assert gpu.read_gpus() == (Gpu("card 0", 38 << 30, 139 << 30, None),)
    assert gpu_line(gpu.read_gpus()[0]).plain.endswith("38.0 of 139.0 GiB")


def test_without_the_library_there_are_no_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert gpu.read_gpus() == ()
