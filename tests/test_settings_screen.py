"""The screen of settings."""

from pathlib import Path

import pytest
from rondel.store import settings_file
from rondel.store.project import Project
from rondel.store.settings import Settings
from rondel.tui import setting_rows
from rondel.tui.settings_screen import SettingsScreen
from textual.events import Paste

from .screen_host import drive, look, settle, text_of


@pytest.fixture
def folder(project: Project) -> Path:
    return project.folder


def on_disk(folder: Path) -> Settings:
    return settings_file.load(folder / "project.toml")


async def go_to(pilot, key: str) -> None:
    """Filter by a key that is pasted, as the list is drawn anew for each letter that is typed."""
    screen = pilot.app.screen
    await pilot.press("slash")
    pilot.app.post_message(Paste(key))
    await pilot.pause()
    await pilot.press("enter")
    await settle(pilot)
    assert screen.setting.key == key


def test_every_setting_is_listed_with_its_sentence(folder: Path) -> None:
    screen = SettingsScreen(look(folder))

    async def steps(host, pilot) -> None:
        settings = on_disk(folder)
        wanted = [key for key, *_ in (*settings_file.describe_classes(settings), *settings_file.describe(settings))]
        assert [row.key for row in screen._rows] == wanted and len(wanted) > 50
        for row in screen._rows:
            assert row.sentence and (row.sentence[:20] in text_of(host))
            await pilot.press("down")
            if row.key == "boxes.shape":
                break

    drive(screen, steps, folder, size=(160, 90))


@pytest.mark.parametrize(
    ("key", "typed", "value"),
    [
        ("train.steps", "7", 7),
        ("boxes.shape", "16, 32,32", (16, 32, 32)),
        ("rank.strategy", "entropy", "entropy"),
        ("augment.flip", "false", False),
        ("project.name", "42", "42"),
        ("serve.hosts", "a.example,b.example", ("a.example", "b.example")),
    ],
)
def test_a_setting_is_changed_and_comments_stay(folder: Path, key: str, typed: str, value) -> None:
    file = folder / "project.toml"
    file.write_text(f"# mine\n{file.read_text()}")

    async def steps(host, pilot) -> None:
        await go_to(pilot, key)
        await pilot.press("enter", "ctrl+u", *typed, "enter")
        await settle(pilot)
        table, _, name = key.partition(".")
        assert getattr(getattr(on_disk(folder), table), name) == value
        assert host.said == [f"{key} = {typed}"] and file.read_text().startswith("# mine\n")
        assert host.screen.setting.changed

    drive(SettingsScreen(look(folder)), steps, folder)


def test_a_wrong_value_changes_nothing_and_is_asked_again(folder: Path) -> None:
    before = (folder / "project.toml").read_text()

    async def steps(host, pilot) -> None:
        await go_to(pilot, "train.steps")
        await pilot.press("e", "ctrl+u", *"many", "enter")
        await settle(pilot)
        assert "a whole number is wanted" in text_of(host) and "many" in text_of(host)
        assert (folder / "project.toml").read_text() == before
        await pilot.press("ctrl+u", "9", "enter")
        await settle(pilot)
        assert on_disk(folder).train.steps == 9

    drive(SettingsScreen(look(folder)), steps, folder)


def test_a_setting_goes_back_to_its_default(folder: Path) -> None:
    settings_file.change(folder / "project.toml", "boxes.shape", "16,16,16")

    async def steps(host, pilot) -> None:
        await go_to(pilot, "boxes.shape")
        assert host.screen.setting.changed
        await pilot.press("r")
        await settle(pilot)
        assert on_disk(folder).boxes.shape == "auto" and not host.screen.setting.changed
        await pilot.press("r")
        assert len(host.said) == 1, "what is at its default is left alone"

    drive(SettingsScreen(look(folder)), steps, folder)


def test_words_filter_the_list_and_escape_shows_all_again(folder: Path) -> None:
    screen = SettingsScreen(look(folder))

    async def steps(host, pilot) -> None:
        every = len(screen._rows)
        await pilot.press("slash", *"tunnel")
        await settle(pilot)
        assert [row.key for row in screen._rows] == ["serve.ssh"]
        await pilot.press(*" nothing of it")
        await settle(pilot)
        assert screen._rows == [] and "No setting has these words" in text_of(host)
        await pilot.press("enter", "e", "r", "escape")
        await settle(pilot)
        assert len(screen._rows) == every and host.screen is screen
        await pilot.press("escape")
        await settle(pilot)
        assert host.screen is not screen

    drive(screen, steps, folder)


@pytest.mark.parametrize(
    ("key", "typed", "wanted"),
    [
        ("class.2.name", "42", ("background", "42", "organelle")),
        ("class.3.colour", "#00ff7F", "#00ff7F"),
        ("class.4.name", "vesicle [x]", ("background", "membrane", "organelle", "vesicle [x]")),
    ],
)
def test_classes_are_renamed_coloured_and_added(folder: Path, key: str, typed: str, wanted) -> None:
    file = folder / "project.toml"
    file.write_text(f"# mine\n{file.read_text()}")

    async def steps(host, pilot) -> None:
        await go_to(pilot, key)
        await pilot.press("enter", "ctrl+u", *typed, "enter")
        await settle(pilot)
        classes = on_disk(folder).classes
        assert wanted == (classes[2].colour if "colour" in key else tuple(c.name for c in classes))
        assert [c.value for c in classes] == list(range(1, len(classes) + 1)) and file.read_text().startswith("# mine")
        assert host.said == [f"{key} = {typed}"] and typed in text_of(host)

    drive(SettingsScreen(look(folder)), steps, folder)


@pytest.mark.parametrize(
    ("key", "typed", "said"),
    [
        ("class.2.name", "background", "names differ from each other"),
        ("class.2.name", "", "at least 1 character"),
        ("class.3.colour", "blue", "should match pattern"),
        ("class.4.name", "membrane", "names differ from each other"),
        ("class.1.weight", "0", "above 0"),
    ],
)
def test_a_class_that_will_not_do_changes_nothing(folder: Path, key: str, typed: str, said: str) -> None:
    before = (folder / "project.toml").read_text()

    async def steps(host, pilot) -> None:
        await go_to(pilot, key)
        await pilot.press("e", "ctrl+u", *typed, "enter")
        await settle(pilot)
        assert said in " ".join(text_of(host).replace("│", " ").split())
        assert (folder / "project.toml").read_text() == before
        await pilot.press("escape")

    drive(SettingsScreen(look(folder)), steps, folder)


def test_what_others_change_is_shown_and_the_cursor_stays(folder: Path) -> None:
    screen = SettingsScreen(look(folder))

    async def steps(host, pilot) -> None:
        await go_to(pilot, "boxes.per_round")
        at = screen.setting
        settings_file.change(folder / "project.toml", "boxes.per_round", "3")
        screen.show(look(folder))
        await settle(pilot)
        assert at and screen.setting and screen.setting.key == at.key == "boxes.per_round"
        assert screen.setting.value == "3"

    drive(screen, steps, folder)


def test_every_default_can_be_written_as_it_is_shown(folder: Path) -> None:
    for row in setting_rows.rows(settings_file.parse({})):
        if row.default is None:
            continue  # the name of a class
        settings_file.change(folder / "project.toml", row.key, setting_rows.to_toml(row, row.default))
    changed = [row.key for row in setting_rows.rows(on_disk(folder)) if row.changed]
    assert changed == []


def test_words_that_a_setting_may_be_are_named() -> None:
    found = {row.key: row.may_be for row in setting_rows.rows(settings_file.parse({}))}
    assert found["rank.strategy"] == "random, foreground, entropy, diverse"
    assert found["augment.flip"] == "true, false" and found["network.dims"] == "auto, 2, 3"
    assert found["boxes.shape"] == "auto, or numbers with commas" and found["train.steps"] == ""
