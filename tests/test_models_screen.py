"""The screen of model versions."""

from pathlib import Path

import pytest
from rondel.store import models
from rondel.store.project import Project, open_project
from rondel.tui.models_screen import NO_MODEL, ModelsScreen

from .screen_host import HOSTILE, drive, look, settle, text_of
from .small_models import add_model


@pytest.fixture
def versions(project: Project) -> Path:
    """Three versions, the second of them the champion."""
    add_model(project, (1,), (0.9, 0.5, None))
    add_model(project, (1, 2), (0.95, 0.8, 0.6), parent=1, champion=True)
    add_model(project, (1, 2, 3), None, parent=2)
    return project.folder


def test_every_version_is_listed_with_what_is_known_of_it(versions: Path) -> None:
    async def steps(host, pilot) -> None:
        shown = text_of(host)
        rows = [line.split() for line in shown.splitlines() if line.strip()[:1] in "123" and "–" in line or "★" in line]
        assert rows[0][:11] == ["1", "–", "1", "1", "0.500", "±0.100", "0.500", "n/a", "4", "1:23", "0.200"]
        assert rows[1][:8] == ["2", "★", "1", "1", "2", "0.700", "±0.100", "0.800"]
        assert "Model 3" in shown and "No score yet" in shown
        await pilot.press("up")
        shown = text_of(host)
        assert (
            "champion" in shown and "verdict on 2" in shown and "from model 1" in shown and "4 steps in 1:23" in shown
        )
        assert "membrane" in shown and "[0.700, 0.900]" in shown
        assert "0.900 → 0.200" in shown and "0.600 → 0.400" in shown, "losses, of training and held out"

    drive(ModelsScreen(look(versions)), steps, versions)


def test_two_versions_are_compared_class_by_class(versions: Path) -> None:
    async def steps(host, pilot) -> None:
        await pilot.press("up", "c")
        assert "Model 2 is marked" in text_of(host)
        await pilot.press("up")
        shown = {line.split()[0]: line.split()[1:] for line in text_of(host).splitlines()[6:] if line.strip()}
        assert shown["membrane"] == ["0.800", "0.500", "-0.300"]
        assert shown["organelle"] == ["0.600", "n/a", "n/a"]
        assert shown["boxes"] == ["2", "1", "-1"]
        await pilot.press("c")
        assert "verdict on 1" in text_of(host)

    drive(ModelsScreen(look(versions)), steps, versions)


def test_an_older_version_is_used_after_a_question(versions: Path) -> None:
    screen = ModelsScreen(look(versions))

    async def steps(host, pilot) -> None:
        await pilot.press("up", "up", "u", "n")
        assert host.said == [] and _champion(versions) == 2
        await pilot.press("u", "y")
        await settle(pilot)
        assert host.said == ["model 1 is the champion"] and _champion(versions) == 1
        screen.show(look(versions))
        await settle(pilot)
        assert screen.model and screen.model.number == 1 and screen.model.champion
        await pilot.press("u")
        assert host.screen is screen, "the champion is not used again"

    drive(screen, steps, versions)


def test_a_note_is_written_changed_and_removed(versions: Path) -> None:
    screen = ModelsScreen(look(versions))

    async def steps(host, pilot) -> None:
        await pilot.press("n", *"old [stain]", "enter")
        await settle(pilot)
        assert _note(versions, 3) == "old [stain]"
        screen.show(look(versions))
        await settle(pilot)
        assert text_of(host).count("old [stain]") == 2
        await pilot.press("n", "escape")
        assert _note(versions, 3) == "old [stain]"
        await pilot.press("n", "ctrl+u", "enter")
        await settle(pilot)
        assert _note(versions, 3) == ""

    drive(screen, steps, versions)


def test_export_asks_what_and_where(versions: Path) -> None:
    async def steps(host, pilot) -> None:
        await pilot.press("e")
        await settle(pilot)
        assert "scan-model-3-classes.ome.zarr" in text_of(host).replace("\n", "")
        await pilot.press("ctrl+u", *str(versions / "out.xyz"), "enter")
        await settle(pilot)
        assert ".xyz" in host.said[0] or "out" in host.said[0]
        await pilot.press("e")
        await settle(pilot)
        await pilot.press("escape")
        assert len(host.said) == 1

    drive(ModelsScreen(look(versions)), steps, versions)


def test_without_a_model_the_next_step_is_said_and_no_key_fails(project: Project) -> None:
    async def steps(host, pilot) -> None:
        assert NO_MODEL.splitlines()[-1][:40] in text_of(host)
        await pilot.press("u", "c", "n", "o", "down")

    drive(ModelsScreen(look(project.folder)), steps, project.folder)


def test_hostile_notes_show_as_text(versions: Path) -> None:
    with open_project(versions) as project:
        models.set_note(project.database, 3, HOSTILE)

    async def steps(host, pilot) -> None:
        assert "a[b]\\x1b[31m[/red]\\u202e" in text_of(host) and "\x1b" not in text_of(host)

    drive(ModelsScreen(look(versions)), steps, versions)


def _champion(folder: Path) -> int | None:
    with open_project(folder) as project:
        found = models.champion(project.database)
        return found.number if found else None


def _note(folder: Path, number: int) -> str:
    with open_project(folder) as project:
        return models.get(project.database, number).note
