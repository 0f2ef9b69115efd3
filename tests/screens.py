"""The whole app of screens on a project, driven by keys."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from rondel.store import ledger
from rondel.store.box import Box
from rondel.store.project import Project
from rondel.store.records import LabelBox, Purpose, RoundState
from rondel.tui.app import RondelApp
from rondel.tui.watcher import first_look
from textual.pilot import Pilot

from .conftest import add_box

Steps = Callable[[RondelApp, Pilot], Awaitable[None]]
PATIENCE = 60.0


def run(project: Project | Path, steps: Steps, size: tuple[int, int] = (120, 40)) -> RondelApp:
    """Open the screens of a project, without a server of its own, and go through the steps of a test."""
    folder = project if isinstance(project, Path) else project.folder
    app = RondelApp(folder, first_look(folder), serve=False)

    async def go() -> None:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await pilot.pause()
            await steps(app, pilot)

    asyncio.run(go())
    return app


async def until(pilot: Pilot, holds: Callable[[], object]) -> None:
    """Wait until something holds; fails with the screen's text when it never does."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, text_of(pilot.app)
        await pilot.pause(0.02)
    await pilot.pause()


async def write(pilot: Pilot, text: str) -> None:
    """Type a text."""
    names = {" ": "space", ",": "comma", ":": "colon"}
    await pilot.press(*(names.get(letter, letter) for letter in text))


def text_of(app) -> str:
    """Return what stands on the screen, line by line."""
    strips = app.screen._compositor.render_strips(app.size)
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


def said(app: RondelApp) -> list[str]:
    """Return the lines of the log."""
    return [line.text for _, line in app.lines]


@pytest.fixture
def boxes(project: Project, monkeypatch: pytest.MonkeyPatch) -> list[LabelBox]:
    """Three boxes of a round in which boxes are labelled: a test box first."""
    monkeypatch.setenv("RONDEL_PERSON", "ann")
    ledger.open_round(project.database, None, "typical", 0)
    ledger.set_round(project.database, 1, RoundState.LABELLING)
    return [
        add_box(project, Box((0, 0, 20 * k), (16, 16, 20 * k + 16)), priority=1 - k / 10, purpose=purpose)
        for k, purpose in enumerate((Purpose.TEST, Purpose.TRAIN, Purpose.TRAIN))
    ]
