"""An answer that comes when nobody waits for it any more: its screen was closed, or the screens are about to end."""

import threading

import pytest
from rondel.store import job_rows
from rondel.store.project import Project
from rondel.store.records import JobState
from rondel.tui import jobs_screen, settings_screen
from rondel.tui.gpu import Gpu
from rondel.tui.jobs_screen import JobsScreen
from rondel.tui.main_screen import MainScreen
from rondel.tui.settings_screen import SettingsScreen

from .screens import run, said, text_of, until, write


class Held:
    """A function whose callers wait until it is let go."""

    def __init__(self, answer) -> None:
        self.answer = answer
        self.asked, self.free = threading.Event(), threading.Event()

    def __call__(self, *arguments, **named):
        self.asked.set()
        assert self.free.wait(60)
        return self.answer(*arguments, **named)


def idle(app) -> bool:
    return not [worker for worker in app.workers if worker.is_running]


@pytest.mark.parametrize("leave", [("escape",), ("escape", "q")], ids=["closed", "ended"])
@pytest.mark.parametrize("name", ["read_log", "read_gpus"])
def test_a_log_or_a_card_is_told_after_the_jobs_were_closed(project: Project, monkeypatch, name: str, leave) -> None:
    job = job_rows.queue(project.database, "rank", {})
    job_rows.end(project.database, job.id, JobState.DONE)
    held = Held((lambda project, id: "a line") if name == "read_log" else lambda: (Gpu("card", 1, 2, None),))
    monkeypatch.setattr(jobs_screen, name, held)

    async def steps(app, pilot) -> None:
        await pilot.press("J")
        await until(pilot, lambda: isinstance(app.screen, JobsScreen) and held.asked.is_set())
        screen = app.screen
        await pilot.press(*leave)
        await until(pilot, lambda: not screen.is_running)
        held.free.set()
        await until(pilot, lambda: not app.is_running or idle(app))

    app = run(project, steps)
    assert app.return_code in (None, 0) and not app._exception


def test_a_setting_that_is_refused_after_its_screen_was_closed_is_said(project: Project, monkeypatch) -> None:
    held = Held(settings_screen.settings_file.change)
    monkeypatch.setattr(settings_screen.settings_file, "change", held)

    async def steps(app, pilot) -> None:
        await pilot.press("S", "slash")
        await write(pilot, "train.steps")
        await pilot.press("enter", "e", "ctrl+u", *"many", "enter")
        await until(pilot, held.asked.is_set)
        screen = app.screen
        assert isinstance(screen, SettingsScreen)
        await pilot.press("escape", "escape")
        await until(pilot, lambda: isinstance(app.screen, MainScreen) and not screen.is_running)
        held.free.set()
        await until(pilot, lambda: any("train.steps" in line and "many" in line for line in said(app)))
        assert isinstance(app.screen, MainScreen), "nobody is asked again on another screen"

    run(project, steps)


def test_a_setting_that_is_changed_after_its_screen_was_closed_is_said(project: Project, monkeypatch) -> None:
    held = Held(settings_screen.settings_file.change)
    monkeypatch.setattr(settings_screen.settings_file, "change", held)

    async def steps(app, pilot) -> None:
        await pilot.press("S", "slash")
        await write(pilot, "rounds.planned")
        await pilot.press("enter", "e", "ctrl+u", *"33", "enter")
        await until(pilot, held.asked.is_set)
        await pilot.press("escape", "escape")
        await until(pilot, lambda: isinstance(app.screen, MainScreen))
        held.free.set()
        await until(pilot, lambda: "rounds.planned = 33" in said(app))
        await until(pilot, lambda: "round" in text_of(app))

    run(project, steps)


def test_the_server_comes_up_after_the_screens_were_left(project: Project, monkeypatch) -> None:
    from rondel.tui import actions
    from rondel.tui.app import RondelApp

    held = Held(lambda project: "the page is served")
    monkeypatch.setattr(actions, "start_server", held)
    started = RondelApp._open

    def opened(app, first) -> None:
        app.serve = True
        started(app, first)

    monkeypatch.setattr(RondelApp, "_open", opened)

    async def steps(app, pilot) -> None:
        await until(pilot, held.asked.is_set)
        app.exit()
        held.free.set()
        await until(pilot, lambda: not app.is_running)

    assert not run(project, steps)._exception
