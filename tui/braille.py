"""How are lines drawn in characters? Eight dots a cell, a mark a point, axes with their numbers; pure functions."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.text import Text

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of the dots of a braille character, by line and column."""
BLANK = 0x2800
MARKS = "●■▲◆○□△◇"
"""One a line, so that lines are told apart without colours."""
MARGIN = 5
"""Cells to the left of the drawing, for the numbers of the y axis."""
AXIS = "dim"


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    colour: str
    """A rich style."""
    points: tuple[Point, ...]
    dashed: bool = False
    whiskers: bool = False
    """Whether intervals are drawn."""


@dataclass(slots=True)
class _Canvas:
    """Cells of dots, of the style that was drawn last, and marks over them."""

    width: int
    height: int
    dots: dict[tuple[int, int], int] = field(default_factory=dict)
    styles: dict[tuple[int, int], str] = field(default_factory=dict)
    marks: dict[tuple[int, int], tuple[str, str]] = field(default_factory=dict)

    def dot(self, x: int, y: int, style: str) -> None:
        """Set a dot, counted from the top left."""
        cell = (y // 4, x // 2)
        self.dots[cell] = self.dots.get(cell, 0) | DOTS[y % 4][x % 2]
        self.styles[cell] = style

    def mark(self, x: int, y: int, character: str, style: str) -> None:
        self.marks[y // 4, x // 2] = character, style

    def line(self, row: int) -> Text:
        text = Text()
        for column in range(self.width):
            cell = (row, column)
            dots = self.dots.get(cell, 0)
            text.append(*self.marks.get(cell, (chr(BLANK + dots) if dots else " ", self.styles.get(cell, ""))))
        return text


@dataclass(frozen=True, slots=True)
class _Frame:
    """How values lie on the dots."""

    left: float
    right: float
    bottom: float
    top: float
    columns: int
    rows: int

    def column(self, x: float) -> int:
        return round((x - self.left) / (self.right - self.left) * (self.columns - 1))

    def row(self, y: float) -> int:
        inside = min(self.top, max(self.bottom, y))
        return round((self.top - inside) / (self.top - self.bottom) * (self.rows - 1))


def chart(lines: Sequence[Line], width: int, height: int, x_name: str) -> list[Text]:
    """Draw lines with axes into so many cells; the first line lies on top. No points, no lines."""
    canvas = _Canvas(width - MARGIN - 1, height - 2)
    points = [point for line in lines for point in line.points]
    if not points or canvas.width < 8 or canvas.height < 2:
        return []
    frame = _frame(points, canvas, any(line.whiskers for line in lines))
    for line in reversed(lines):
        _draw_intervals(canvas, frame, line)
    for line, mark in reversed(list(zip(lines, marks(lines)))):
        _draw(canvas, frame, line, mark)
    ticks = _ticks(frame, canvas.height)
    drawn = [
        Text.assemble((f"{ticks.get(row, ''):>{MARGIN}}", AXIS), ("┤" if row in ticks else "│", AXIS), canvas.line(row))
        for row in range(canvas.height)
    ]
    return [*drawn, Text(" " * MARGIN + "└" + "─" * canvas.width, AXIS), _x_numbers(frame, canvas.width, x_name)]


def marks(lines: Sequence[Line]) -> list[str]:
    return [MARKS[k % len(MARKS)] for k in range(len(lines))]


def _frame(points: Sequence[Point], canvas: _Canvas, whiskers: bool) -> _Frame:
    heights = [p.y for p in points]
    if whiskers:
        heights += [v for p in points for v in (p.low, p.high) if v is not None]
    bottom = math.floor(min(heights) * 10) / 10
    top = max(math.ceil(max(heights) * 10) / 10, bottom + 0.1)
    left, right = min(p.x for p in points), max(p.x for p in points)
    if left == right:
        left, right = left - 1, right + 1
    return _Frame(left, right, bottom, top, canvas.width * 2, canvas.height * 4)


def _draw_intervals(canvas: _Canvas, frame: _Frame, line: Line) -> None:
    for point in line.points if line.whiskers else ():
        if point.low is not None and point.high is not None:
            for y in range(frame.row(point.high), frame.row(point.low) + 1, 2):
                canvas.dot(frame.column(point.x), y, line.colour)


def _draw(canvas: _Canvas, frame: _Frame, line: Line, mark: str) -> None:
    places = [(frame.column(p.x), frame.row(p.y)) for p in line.points]
    for start, stop in zip(places, places[1:]):
        for k, (x, y) in enumerate(_between(start, stop)):
            if not line.dashed or k % 6 < 3:
                canvas.dot(x, y, line.colour)
    for x, y in places:
        canvas.mark(x, y, mark, line.colour)


def _between(start: tuple[int, int], stop: tuple[int, int]) -> Iterator[tuple[int, int]]:
    steps = max(abs(stop[0] - start[0]), abs(stop[1] - start[1]), 1)
    for k in range(steps + 1):
        yield round(start[0] + (stop[0] - start[0]) * k / steps), round(start[1] + (stop[1] - start[1]) * k / steps)


def _ticks(frame: _Frame, height: int) -> dict[int, str]:
    """Number the lines of cells at which a tenth, a fifth or half lies, whatever fits."""
    for step in (0.05, 0.1, 0.2, 0.5, 1.0):
        values = [frame.bottom + k * step for k in range(int((frame.top - frame.bottom) / step + 1.001))]
        if 2 <= len(values) <= (height + 1) // 2:
            break
    else:
        values = [frame.bottom, frame.top]
    return {frame.row(value) // 4: f"{value:.2f}" for value in values}


def _x_numbers(frame: _Frame, width: int, name: str) -> Text:
    left, right = short(frame.left), short(frame.right)
    middle = name.center(max(0, width - len(left) - len(right)))[: max(0, width - len(left) - len(right))]
    return Text(" " * (MARGIN + 1) + left + middle + right, AXIS)


def short(number: float) -> str:
    """Write a number in few characters: 1.2 M, 340 k, 12."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(number) >= size:
            return f"{number / (1e3 if letter == 'k' else size):.3g} {letter}"
    return f"{number:.3g}" if abs(number) < 1000 else f"{number:.0f}"
