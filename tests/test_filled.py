"""Tables whose columns are as wide as what they hold, at once."""

from rich.text import Text
from rondel.tui.filled import fill
from textual.widgets import DataTable

from .screen_host import drive


def test_a_table_that_is_painted_right_after_it_was_filled_cuts_nothing() -> None:
    table = DataTable()

    async def steps(host, pilot) -> None:
        for text in ("0.8123", "a longer one", "短い"):
            fill(table, ("", "Dice"), [[Text("★"), Text(text)]], ["1"])
            painted = "".join(segment.text for segment in table.render_line(1))
            assert f"★  {text} " in painted
            await pilot.pause()
            assert "".join(segment.text for segment in table.render_line(1)) == painted

    drive(table, steps)


def test_a_table_without_rows_has_its_heads() -> None:
    table = DataTable()

    async def steps(host, pilot) -> None:
        fill(table, ("", "Dice"), [], [])
        assert "Dice" in "".join(segment.text for segment in table.render_line(0))

    drive(table, steps)
