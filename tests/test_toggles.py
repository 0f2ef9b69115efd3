"""Choices are told apart by their marks alone, where colours may be missing."""

import asyncio

from rondel.tui.toggles import Choice, Tick
from textual.app import App, ComposeResult
from textual.widgets import RadioSet


class Toggles(App[None]):
    def compose(self) -> ComposeResult:
        yield Tick("tested")
        with RadioSet():
            yield Choice("2-D", value=True)
            yield Choice("3-D")


def test_what_is_chosen_has_another_mark() -> None:
    async def go() -> None:
        app = Toggles()
        async with app.run_test() as pilot:

            def marks() -> list[str]:
                return [str(w.render()).strip() for w in (*app.query(Tick), *app.query(Choice))]

            assert marks() == ["▐ ▌ tested", "▐●▌ 2-D", "▐○▌ 3-D"]
            await pilot.press("enter", "tab", "down", "enter")
            assert marks() == ["▐X▌ tested", "▐○▌ 2-D", "▐●▌ 3-D"]

    asyncio.run(go())
