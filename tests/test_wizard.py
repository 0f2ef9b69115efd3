"""The pages of the first run."""

from pathlib import Path

import numpy as np
import pytest
from rondel.loop import jobs
from rondel.store.project import open_project
from rondel.store.records import ENDED
from rondel.tui.wizard import Wizard
from textual.widgets import Input, Select, SelectionList, Static

from .images import make_volume, texture
from .screen_host import drive, settle, text_of


@pytest.fixture
def here(tmp_path: Path) -> Path:
    make_volume(tmp_path, texture((16, 64, 64)), spacing_nm=(16.0, 8.0, 8.0))
    np.save(tmp_path / "plain [b].npy", texture((16, 64, 64)))
    np.save(tmp_path / "plain.npy", texture((16, 64, 64)))
    (tmp_path / "two").mkdir()
    make_volume(tmp_path / "two", np.stack([texture((8, 32, 32))] * 2), name="two")
    return tmp_path


def said(host) -> str:
    return str(host.screen.query_one("#said", Static).render())


async def look_at(pilot, image: Path) -> None:
    await pilot.press(*str(image), "enter")
    await settle(pilot)


def stop_jobs(folder: Path) -> None:
    with open_project(folder) as project:
        while any(job.state not in ENDED for job in jobs.jobs(project)):
            for job in jobs.jobs(project):
                jobs.cancel(project, job.id)


def test_a_project_is_made_with_keys_alone(here: Path) -> None:
    async def steps(host, pilot) -> None:
        assert "No project is here yet" in text_of(host) and "plain [b].npy" in text_of(host)
        await pilot.press("tab", "down", "down", "enter")
        await settle(pilot)
        shown = text_of(host)
        assert "2 of 4" in shown and "16 × 64 ×" in shown and "It is read where it is" in shown
        assert "16,8,8" in shown and "nanometer" in shown
        await pilot.press("enter")
        await settle(pilot)
        await pilot.press(*"cell", "enter")
        await settle(pilot)
        assert "as recommended: 3-D" in text_of(host) and "1 background, 2 cell" in text_of(host)
        await pilot.press("ctrl+n")
        for _ in range(400):
            await pilot.pause(0.05)
            if host.answer:
                break
        assert host.answer == here / "scan"

    drive(Wizard(here), steps, size=(100, 40))
    stop_jobs(here / "scan")
    with open_project(here / "scan") as project:
        assert [c.name for c in project.classes] == ["background", "cell"]
        assert [v.name for v in project.volumes()] == ["scan"]
        assert project.settings.network.dims == "auto"


def test_a_project_in_a_folder_below_can_be_opened(here: Path) -> None:
    (here / "cells").mkdir()
    (here / "cells" / "project.toml").touch()

    async def steps(host, pilot) -> None:
        assert "open the project cells" in text_of(host)
        await pilot.press("tab", "enter")
        await settle(pilot)
        assert host.answer == here / "cells"

    drive(Wizard(here), steps, size=(100, 40))


def test_what_is_missing_is_asked_for_before_the_next_page(here: Path) -> None:
    async def steps(host, pilot) -> None:
        await pilot.press("ctrl+n")
        assert "no image is named" in said(host)
        await look_at(pilot, here / "none.tif")
        assert "does not exist" in said(host) and host.screen.page == 0
        host.screen.query_one("#path", Input).value = ""
        await settle(pilot)
        assert said(host) == ""
        await look_at(pilot, here / "plain.npy")
        assert host.screen.page == 1 and "does not say its voxel size" in text_of(host)
        await pilot.press("ctrl+n")
        assert "voxel size is missing" in said(host)
        host.screen.query_one("#spacing", Input).value = "50,4,4"
        await pilot.press("ctrl+n")
        assert "unit" in said(host)
        host.screen.query_one("#unit").focus()
        await pilot.press("enter", "down", "enter", "ctrl+n")
        await settle(pilot)
        assert host.screen.page == 2
        assert isinstance(host.focused, Input) and host.focused.placeholder == "name of the class"
        await pilot.press("ctrl+n")
        assert "two classes at least" in said(host)
        await pilot.press("escape", "escape")
        assert host.screen.page == 0

    drive(Wizard(here), steps, size=(80, 24))


def test_only_what_has_to_be_chosen_is_shown(here: Path) -> None:
    async def steps(host, pilot) -> None:
        await look_at(pilot, here / "two" / "two.ome.zarr")
        screen = host.screen
        assert screen.query_one("#channels-field").display and not screen.query_one("#time-field").display
        assert not screen.query_one("#level-field").display
        screen.query_one("#channels", SelectionList).select_all()
        assert screen._plan().channels == (0, 1)

    drive(Wizard(here), steps)


def test_a_row_for_one_more_class_appears_as_names_are_typed(here: Path) -> None:
    async def steps(host, pilot) -> None:
        await look_at(pilot, here / "scan.ome.zarr")
        await pilot.press("ctrl+n")
        await settle(pilot)
        await pilot.press(*"one", "tab", "tab", *"two", "tab", "ctrl+u", *"#123456")
        await settle(pilot)
        assert host.screen._plan().classes[:3] == (
            ("background", "#56b4e9"),
            ("one", "#d55e00"),
            ("two", "#123456"),
        )
        assert len(host.screen.query("ClassRow")) == 4
        await pilot.press("ctrl+u", *"blue", "ctrl+n")
        assert "colour" in said(host) and host.screen.page == 2

    drive(Wizard(here), steps)


def test_an_image_that_cannot_be_added_is_said_and_leaves_nothing(here: Path) -> None:
    np.save(here / "empty.npy", np.full((4, 8, 8), np.nan, np.float32))

    async def steps(host, pilot) -> None:
        await look_at(pilot, here / "empty.npy")
        host.screen.query_one("#spacing", Input).value = "4,4,4"
        host.screen.query_one("#unit", Select).value = "nanometer"
        await pilot.press("ctrl+n")
        await settle(pilot)
        await pilot.press(*"cell", "ctrl+n")
        await settle(pilot)
        await pilot.press("ctrl+n")
        for _ in range(400):
            await pilot.pause(0.05)
            if not host.screen.busy:
                break
        assert "finite" in said(host) and host.screen.page == 3 and host.answer is None

    drive(Wizard(here), steps)
    assert not (here / "empty").exists()


def test_escape_on_the_first_page_gives_up(here: Path) -> None:
    wizard = Wizard(here)

    async def steps(host, pilot) -> None:
        await pilot.press("escape")
        await settle(pilot)
        assert host.screen is not wizard and host.answer is None

    drive(wizard, steps)
