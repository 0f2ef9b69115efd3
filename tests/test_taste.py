"""What a person likes is kept for them, not in a project."""

import asyncio
from pathlib import Path

import pytest
from rondel.store.project import Project
from rondel.tui import taste
from rondel.tui.app import RondelApp
from rondel.tui.theme import THEME
from rondel.tui.watcher import first_look

from .screens import said, text_of, until, write


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("TEXTUAL_THEME", raising=False)
    return tmp_path


def opened(project: Project, steps=None) -> RondelApp:
    app = RondelApp(project.folder, first_look(project.folder), serve=False)

    async def go() -> None:
        async with app.run_test(size=(100, 30)) as pilot:
            await pilot.pause()
            if steps:
                await steps(app, pilot)

    asyncio.run(go())
    return app


async def choose_nord(app, pilot) -> None:
    await pilot.press("ctrl+p")
    await write(pilot, "theme")
    await until(pilot, lambda: "Change the current theme" in text_of(app))
    await pilot.press("enter")
    await until(pilot, lambda: "Search for themes" in str(app.screen.query("Input").first().placeholder))
    await write(pilot, "nord")
    await until(pilot, lambda: text_of(app).count("nord") == 2)  # what was typed, and what was found
    await pilot.press("enter")
    await until(pilot, lambda: app.theme == "nord")


def test_a_theme_that_was_chosen_is_there_the_next_time_and_in_no_project(project: Project) -> None:
    async def steps(app, pilot) -> None:
        await choose_nord(app, pilot)
        await until(pilot, lambda: taste.theme() == "nord")

    assert opened(project).theme == THEME.name and not taste.place().exists(), "only what was chosen is kept"
    opened(project, steps)
    assert opened(project).theme == "nord"
    assert not [file for file in project.folder.rglob("*.toml") if "nord" in file.read_text()]


@pytest.mark.parametrize("text", ["theme = [", "theme = 3", 'theme = "none of them"', "\udcff\udcfe"])
def test_a_file_that_is_broken_changes_nothing(project: Project, text: str) -> None:
    taste.place().parent.mkdir(parents=True)
    taste.place().write_bytes(text.encode("utf-8", "surrogateescape"))
    assert opened(project).theme == THEME.name


def test_a_theme_that_cannot_be_kept_is_chosen_all_the_same_and_that_is_said(project: Project, home: Path) -> None:
    (home / "config").write_text("no folder")

    async def steps(app, pilot) -> None:
        await choose_nord(app, pilot)
        await until(pilot, lambda: any("screens.toml" in line or "config" in line for line in said(app)))

    assert opened(project, steps).theme == "nord"


@pytest.mark.parametrize("named", ["", "not/absolute"])
def test_without_a_folder_for_settings_it_is_the_usual_one(home: Path, monkeypatch, named: str) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", named)
    monkeypatch.setenv("HOME", str(home))
    assert taste.place() == home / ".config" / "rondel" / "screens.toml"
