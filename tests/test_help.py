"""The help of a panel or screen, at each size."""

import pytest
from rondel.store.project import Project
from rondel.tui.help import Help
from rondel.tui.main_screen import PANELS

from .screens import run, text_of, until

TITLES = {
    "boxes": "Boxes",
    "box": "The selected box",
    "preview": "Preview",
    "rounds": "Rounds",
    "curve": "Learning curve",
    "jobs": "Jobs",
    "link": "The page",
    "log": "Log",
}


@pytest.mark.parametrize("size", [(80, 24), (180, 50)])
def test_each_panel_says_what_it_is_and_which_keys_there_are(project: Project, size: tuple[int, int]) -> None:
    async def steps(app, pilot) -> None:
        for number, name in enumerate(PANELS, 1):
            await pilot.press(str(number))
            panel = app.screen.query_one(f"#{name}")
            await until(pilot, lambda panel=panel: panel in app.focused.ancestors_with_self)
            await pilot.press("question_mark")
            await until(pilot, lambda name=name: isinstance(app.screen, Help) and f"  {TITLES[name]} " in text_of(app))
            await pilot.press("end")
            await until(pilot, lambda: "q        leave; what runs goes on" in text_of(app))
            await pilot.press("escape")

    run(project, steps, size)


@pytest.mark.parametrize(("key", "title"), [("M", "Models"), ("J", "Jobs"), ("S", "Settings")])
def test_each_screen_says_what_it_is_and_only_its_own_keys(project: Project, key: str, title: str) -> None:
    async def steps(app, pilot) -> None:
        await pilot.press(key, "question_mark")
        await until(pilot, lambda: isinstance(app.screen, Help) and f"  {title} " in text_of(app))
        await pilot.press("end")
        await pilot.pause()
        assert "go to a panel" not in text_of(app) and "back to the rounds" in text_of(app)

    run(project, steps, (120, 60))
