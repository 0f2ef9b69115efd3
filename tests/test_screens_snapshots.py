"""Five screens at two sizes, cell by cell: what stands there and in which colours.

After a change that is meant, RONDEL_RENEW=1 writes the files of tests/snapshots/ anew; their differences show what it
changed.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from string import ascii_letters, digits, punctuation

import numpy as np
import pytest
from rich.style import Style
from rondel.tui.app import RondelApp
from rondel.tui.preview_panel import PreviewPanel
from rondel.tui.watcher import first_look
from textual.pilot import Pilot
from textual.widgets import DataTable, Input

from .screens import until
from .steady_project import PORT, open_steady, still

FOLDER = Path(__file__).parent / "snapshots"
SIZES = [(80, 24), (120, 40)]
LETTERS = ascii_letters + digits + punctuation.replace(" ", "")
SECONDS = 20.0
Steps = Callable[[RondelApp, Pilot], Awaitable[None]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator:
    with still(monkeypatch) as clock:
        yield clock


def picture(app: RondelApp, port: str) -> str:
    """Write the screen down: its text, then a letter for the style of each cell, then what the letters mean."""
    texts, styles, known = [], [], dict[str, str]()
    for strip in app.screen._compositor.render_strips(app.size):
        texts.append("".join(segment.text for segment in strip).replace(port, PORT).rstrip())
        line = ""
        for segment in strip:
            name = describe(segment.style or Style.null())
            line += known.setdefault(name, LETTERS[len(known)]) * segment.cell_length
        styles.append(line)
    meanings = [f"{letter}  {name}" for name, letter in known.items()]
    return "\n".join([*texts, "", *styles, "", *meanings, ""])


def describe(style: Style) -> str:
    colours = [c.get_truecolor().hex if c else "default" for c in (style.color, style.bgcolor)]
    words = [word for word in ("bold", "dim", "italic", "underline", "reverse") if getattr(style, word)]
    return " ".join([f"{colours[0]} on {colours[1]}", *words])


async def compare(name: str, app: RondelApp, pilot: Pilot, port: str) -> None:
    """Wait until the screen is what it was; when the files are renewed, until it stays as it is."""
    width, height = app.size
    file = FOLDER / f"{name}-{width}x{height}.txt"
    if os.environ.get("RONDEL_RENEW"):
        shown = ""
        while shown != (shown := picture(app, port)):
            await pilot.pause(1.0)
        FOLDER.mkdir(exist_ok=True)
        file.write_text(shown)
    wanted = file.read_text()
    deadline = time.monotonic() + SECONDS
    while picture(app, port) != wanted and time.monotonic() < deadline:
        await pilot.pause(0.05)
    assert picture(app, port).splitlines() == wanted.splitlines()


def show(app: RondelApp, name: str, port: str, size: tuple[int, int], steps: Steps) -> None:
    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await steps(app, pilot)
            for field in app.screen.query(Input):
                field.cursor_blink = False
            await compare(name, app, pilot, port)

    asyncio.run(run())


async def seen(app: RondelApp, pilot: Pilot) -> None:
    """Wait for what threads bring to the main screen."""
    panel = app.screen.query_one(PreviewPanel)
    await until(pilot, lambda: app.snapshot and app.snapshot.server and app.snapshot.server.people)
    await until(pilot, lambda: panel.preview is not None or not panel.region.area)


async def models(app: RondelApp, pilot: Pilot) -> None:
    await pilot.press("M")
    await until(pilot, lambda: app.screen.query(DataTable))


async def jobs(app: RondelApp, pilot: Pilot) -> None:
    await pilot.press("J")
    await until(pilot, lambda: app.screen.query("Log"))
    await until(pilot, lambda: app.screen.query_one("Log").line_count > 2)  # type: ignore[attr-defined]


async def settings(app: RondelApp, pilot: Pilot) -> None:
    """Filtered, so that settings which come later are not on the picture."""
    await pilot.press("S")
    await until(pilot, lambda: app.screen.query("#sentence"))
    await pilot.press("slash", *"boxes.", "enter", "down")


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("steps", [seen, models, jobs, settings], ids=["main", "models", "jobs", "settings"])
def test_screen(clock, tmp_path: Path, size: tuple[int, int], steps: Steps, request: pytest.FixtureRequest) -> None:
    with open_steady(tmp_path / "cells", clock) as port:
        app = RondelApp(tmp_path / "cells", first_look(tmp_path / "cells"), serve=False)
        name = "main" if steps is seen else steps.__name__
        show(app, name, port, size, steps)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_wizard(clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "scan.npy", np.zeros((16, 32, 32), np.uint8))
    (tmp_path / "other.ome.tif").touch()

    async def steps(app: RondelApp, pilot: Pilot) -> None:
        await until(pilot, lambda: app.screen.query("#offered") and app.screen.query_one("#offered").display)

    show(RondelApp(tmp_path, None, serve=False), "wizard", "no port", size, steps)
