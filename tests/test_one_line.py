"""Lines that are one row high are drawn anew where their words or their styles differ, and nowhere else."""

import asyncio

from rondel.tui.one_line import OneLine
from textual.app import App, ComposeResult
from textual.content import Content


class Host(App):
    def compose(self) -> ComposeResult:
        yield OneLine()


def test_a_line_follows_words_and_styles_and_lays_nothing_out(monkeypatch) -> None:
    drawn: list[tuple[str, bool]] = []
    update = OneLine.update

    def noted(self: OneLine, line: Content, *, layout: bool = True) -> None:
        drawn.append((line.plain, layout))
        update(self, line, layout=layout)

    monkeypatch.setattr(OneLine, "update", noted)
    app = Host()

    async def go() -> None:
        async with app.run_test(size=(40, 3)) as pilot:
            line = app.query_one(OneLine)
            for text, style in (("one", "bold"), ("one", "bold"), ("one", "red"), ("two", "red")):
                line.write(Content(text).stylize(style))
                await pilot.pause()
            assert "two" in "".join(s.text for s in line.render_line(0))

    asyncio.run(go())
    assert drawn == [("one", False), ("one", False), ("two", False)]
