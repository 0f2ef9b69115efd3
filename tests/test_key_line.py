"""The line of keys: every screen has one, it names each thing once, and a click on it is the key."""

import pytest
from rondel.store.project import Project
from rondel.tui.key_line import KeyLine, fit
from rondel.tui.main_screen import MainScreen
from textual.binding import Binding

from .screens import run, text_of, until


def last_line(app) -> str:
    return text_of(app).splitlines()[-1]


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (120, 40), (180, 50)])
@pytest.mark.parametrize(
    ("key", "keys"),
    [
        ("M", "e export  esc back"),
        ("J", "esc back  M models"),
        ("S", "/ filter  esc back"),
        ("l", "esc back  M models"),
    ],
)
def test_every_screen_shows_its_keys(project: Project, size: tuple[int, int], key: str, keys: str) -> None:
    async def steps(app, pilot) -> None:
        await pilot.press(key)
        await until(pilot, lambda: keys in last_line(app))
        assert last_line(app).count("esc back") == 1 and "? help  q quit" in last_line(app)

    run(project, steps, size)


def test_a_click_on_a_key_presses_it(project: Project) -> None:
    async def steps(app, pilot) -> None:
        await pilot.press("M")
        await until(pilot, lambda: "esc back" in last_line(app))
        await pilot.click(KeyLine, offset=(last_line(app).index("esc back"), 0))
        await until(pilot, lambda: isinstance(app.screen, MainScreen))

    run(project, steps)


def test_where_it_is_narrow_help_and_quit_are_kept() -> None:
    bindings = [Binding(key, key, "do something") for key in "abcdefg"]
    bindings += [Binding("question_mark", "help", "help", key_display="?"), Binding("q", "leave", "quit")]
    assert [binding.key for binding in fit(bindings, 30)] == ["a", "question_mark", "q"]
