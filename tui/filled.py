"""How is a table filled anew? With columns as wide as what they hold.

Textual measures cells only once the table is idle, and keeps what was painted before that; a width that is given holds
from the first paint on.
"""

from collections.abc import Sequence

from rich.text import Text
from textual.widgets import DataTable


def fill(table: DataTable, heads: Sequence[str], rows: Sequence[Sequence[Text]], keys: Sequence[str]) -> None:
    """Replace all columns and rows of a table."""
    table.clear(columns=True)
    for k, head in enumerate(heads):
        widest = max([len(head), *(row[k].cell_len for row in rows)])
        table.add_column(Text(head), width=max(1, widest))
    for row, key in zip(rows, keys, strict=True):
        table.add_row(*row, key=key)
