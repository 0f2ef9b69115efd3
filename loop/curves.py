"""How does quality grow with the boxes that were labelled? Learning curves as CSV, PNG and text, and loss curves.

A quality of None is n/a: an empty field on disk, `n/a` in a table, a gap in a line. matplotlib is used by its objects,
never by pyplot, so that nothing global changes and no display is needed.
"""

import csv
import io
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..store.atomic import write_bytes, write_text
from ..store.errors import InvalidDataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEADER = ("strategy", "seed", "round", "boxes", "voxels", "actions", "seconds", "class", "dice", "low", "high")
X = Literal["round", "boxes", "voxels", "actions", "seconds"]
AXES: dict[X, str] = {
    "round": "round",
    "boxes": "labelled boxes",
    "voxels": "labelled voxels",
    "actions": "labelling actions",
    "seconds": "time (s)",
}
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#000000")
"""Told apart by colour-blind people (Okabe and Ito 2008), the yellow darkened to be read on white."""
MARKERS = "os^Dv<>"
Loss = Sequence[tuple[int, float, float, float | None]]
"""(step, loss, learning rate, loss on held-out boxes where it was looked at) of a training run."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Quality of one class after one round of one run."""

    strategy: str
    seed: int
    round: int
    boxes: int
    voxels: int
    """Labelled voxels so far."""
    actions: int | None
    seconds: float | None
    label: str
    """Name of the class."""
    dice: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """Quality of a strategy after one round, over its seeds."""

    strategy: str
    round: int
    x: dict[X, float | None]
    dice: float | None
    """Mean over seeds of the mean over classes."""
    low: float | None
    """The lowest seed; of a single seed the low end of its interval, taken as the mean of its classes' low ends."""
    high: float | None
    classes: dict[str, float | None]
    """Mean over seeds of each class."""
    seeds: dict[int, float | None]
    """Mean over classes of each seed."""


def write_csv(path: Path, points: Iterable[CurvePoint]) -> None:
    """Write one line a point below HEADER."""
    _write_rows(path, HEADER, ([getattr(p, "label" if h == "class" else h) for h in HEADER] for p in points))


def read_csv(path: Path) -> list[CurvePoint]:
    """Read what `write_csv` wrote; raises InvalidDataError naming the line that is none."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    if not rows or tuple(rows[0]) != HEADER:
        raise InvalidDataError(f"{path.name} is no learning curve", f"its first line is {','.join(HEADER)}")
    return [_parse(row, f"{path.name} line {n}") for n, row in enumerate(rows[1:], 2)]


def write_training_csv(path: Path, curve: Loss) -> None:
    _write_rows(path, ("step", "loss", "rate", "held_out"), curve)


def summarise(points: Iterable[CurvePoint], background: str | None = None) -> list[Summary]:
    """Join the points of a strategy and round; the class named `background` stays out of the means over classes."""
    groups: dict[tuple[str, int], list[CurvePoint]] = {}
    for point in points:
        groups.setdefault((point.strategy, point.round), []).append(point)
    order = list(dict.fromkeys(strategy for strategy, _ in groups))
    return [_summary(groups[key], background) for key in sorted(groups, key=lambda k: (order.index(k[0]), k[1]))]


def table(points: Iterable[CurvePoint], background: str | None = None) -> str:
    """Lay out a line a round: boxes, labelled voxels, mean Dice with its interval, and the Dice of each class."""
    lines: list[str] = []
    for strategy, rounds in _strategies(summarise(points, background)).items():
        names = list(rounds[0].classes)
        seeds = len(rounds[0].seeds)
        interval = "[lowest, highest]" if seeds > 1 else "[low, high]"
        lines.append(f"{strategy}, mean of {seeds} seeds" if seeds > 1 else strategy)
        columns = [max(len(n), 5) for n in names]
        titles = "".join(f"  {n:>{w}}" for n, w in zip(names, columns))
        lines.append(f"round  boxes       voxels  {'Dice ' + interval:<22}{titles}")
        for s in rounds:
            dice = f"{_text(s.dice)} [{_text(s.low)}, {_text(s.high)}]"
            classes = "".join(f"  {_text(s.classes.get(n)):>{w}}" for n, w in zip(names, columns))
            boxes, voxels = (_text(s.x[x], ",.0f") for x in ("boxes", "voxels"))
            lines.append(f"{s.round:>5}  {boxes:>5}  {voxels:>11}  {dice:<22}{classes}")
    return "\n".join(lines)


def plot(points: Iterable[CurvePoint], background: str | None = None, width: int = 60, height: int = 10) -> str:
    """Draw mean Dice over labelled boxes in plain characters, one mark a strategy, at most `width` columns."""
    strategies = _strategies(summarise(points, background))
    marked = [(mark, *_line(rounds, "boxes")) for mark, rounds in zip("*o+x#@%&" * 99, strategies.values())]
    known = [(x, y) for _, xs, ys in marked for x, y in zip(xs, ys) if np.isfinite(x) and np.isfinite(y)]
    if not known:
        return "no Dice to draw: n/a"
    (left, bottom), (right, top) = np.min(known, axis=0), np.max(known, axis=0)
    bottom, top = np.floor(bottom * 10) / 10, max(np.ceil(top * 10) / 10, np.floor(bottom * 10) / 10 + 0.1)
    columns = width - 6
    canvas = np.full((height, columns), " ")
    for mark, xs, ys in reversed(marked):
        for x, y in zip(*_dense(xs, ys, columns)):
            row = round((top - y) / (top - bottom) * (height - 1))
            canvas[row, round((x - left) / max(right - left, 1) * (columns - 1))] = mark
    scale = [f"{top:.1f}"] + [""] * (height - 2) + [f"{bottom:.1f}"]
    lines = [f"{tick:>4} |{''.join(row)}".rstrip() for tick, row in zip(scale, canvas)]
    ends = f"{left:.0f}{'labelled boxes':^{columns - len(f'{left:.0f}{right:.0f}')}}{right:.0f}"
    legend = "   ".join(f"{mark} {name}" for (mark, _, _), name in zip(marked, strategies))
    return "\n".join(["Dice", *lines, f"     +{'-' * columns}", f"      {ends}", *textwrap.wrap(legend, width)])


def draw(path: Path, points: Iterable[CurvePoint], x: X = "boxes", background: str | None = None) -> None:
    """Draw mean Dice over `x` as PNG: a line and a band a strategy, thin lines its seeds; the classes of a lone one."""
    strategies = _strategies(summarise(points, background))
    several = any(len(s.seeds) > 1 for rounds in strategies.values() for s in rounds)

    def fill(figure: "Figure") -> None:
        axes = figure.subplots()
        for k, rounds in enumerate(strategies.values()):
            _draw_strategy(axes, rounds, x, k)
        if len(strategies) == 1:
            _draw_classes(axes, next(iter(strategies.values())), x, background)
        _set_axes(axes, x, {s.x[x] for rounds in strategies.values() for s in rounds})
        if not strategies:
            return
        title = "mean of seeds,\nband from lowest to highest" if several else "band: interval of the score"
        legend = axes.legend(title=title, frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.01, 1))
        legend.set_alignment("left")

    _save(path, fill, (8, 4.5))


def draw_training(path: Path, curve: Loss) -> None:
    """Draw loss (logarithmic) and learning rate over steps as PNG."""
    from matplotlib.ticker import LogLocator

    steps, loss, rate, held_out = np.array(curve, float).T
    watched = np.isfinite(held_out)
    window = max(1, len(steps) // 20)
    smooth = np.convolve(loss, np.ones(window) / window, "valid")

    def fill(figure: "Figure") -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        above.plot(steps, loss, color=COLOURS[5], linewidth=0.8, label="each step")
        above.plot(
            steps[window // 2 :][: len(smooth)],
            smooth,
            color=COLOURS[0],
            linewidth=1.8,
            label=f"mean of {window} steps",
        )
        if watched.any():
            above.plot(steps[watched], held_out[watched], "o", color=COLOURS[2], label="held-out boxes")
        above.set(yscale="log", ylabel="loss")
        above.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        above.yaxis.set_major_formatter("{x:g}")
        above.yaxis.set_minor_formatter("")
        above.legend(frameon=False, fontsize=9)
        below.plot(steps, rate, color=COLOURS[1])
        below.set(xlabel="step", ylabel="learning rate", ylim=(0, None))

    _save(path, fill, (7, 5))


def _write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _parse(row: list[str], place: str) -> CurvePoint:
    try:
        strategy, seed, number, boxes, voxels, actions, seconds, label, *quality = row
        dice, low, high = (float(q) if q else None for q in quality)
        counts = int(seed), int(number), int(boxes), int(voxels), int(actions) if actions else None
    except ValueError as error:
        raise InvalidDataError(f"{place} is no point of a curve: {error}", "write it by 'rondel simulate'") from None
    return CurvePoint(strategy, *counts, float(seconds) if seconds else None, label, dice, low, high)


def _summary(points: list[CurvePoint], background: str | None) -> Summary:
    """Summarise the points of one strategy and round."""
    by_seed = {seed: [p for p in points if p.seed == seed] for seed in dict.fromkeys(p.seed for p in points)}
    counted = {seed: [p for p in of if p.label != background and p.dice is not None] for seed, of in by_seed.items()}
    seeds = {seed: _mean(p.dice for p in of) for seed, of in counted.items()}
    if len(seeds) > 1:
        known = [v for v in seeds.values() if v is not None]
        low, high = min(known, default=None), max(known, default=None)
    else:
        (of,) = counted.values()
        whole = all(p.low is not None and p.high is not None for p in of)
        low, high = (_mean(p.low for p in of), _mean(p.high for p in of)) if whole else (None, None)
    return Summary(
        strategy=points[0].strategy,
        round=points[0].round,
        x={x: _mean(getattr(of[0], x) for of in by_seed.values()) for x in AXES},
        dice=_mean(seeds.values()),
        low=low,
        high=high,
        classes={n: _mean(p.dice for p in points if p.label == n) for n in dict.fromkeys(p.label for p in points)},
        seeds=seeds,
    )


def _mean(values: Iterable[float | None]) -> float | None:
    """Average what is known; None when nothing is."""
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def _strategies(summaries: list[Summary]) -> dict[str, list[Summary]]:
    return {name: [s for s in summaries if s.strategy == name] for name in dict.fromkeys(s.strategy for s in summaries)}


def _floats(values: Iterable[float | None]) -> np.ndarray:
    return np.array([np.nan if v is None else v for v in values], float)


def _line(rounds: list[Summary], x: X) -> tuple[np.ndarray, np.ndarray]:
    return _floats(s.x[x] for s in rounds), _floats(s.dice for s in rounds)


def _dense(x: np.ndarray, y: np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Fill a line in between its known points, so that every column it crosses has a mark."""
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        return x[:0], y[:0]
    order = np.argsort(x[known], kind="stable")
    x, y = x[known][order], y[known][order]
    between = np.linspace(x[0], x[-1], 2 * columns)
    return between, np.interp(between, x, y)


def _text(value: float | None, form: str = ".3f") -> str:
    return "n/a" if value is None else format(value, form)


def _draw_strategy(axes: "Axes", rounds: list[Summary], x: X, k: int) -> None:
    colour, seeds = COLOURS[k % len(COLOURS)], list(rounds[0].seeds)
    at, dice = _line(rounds, x)
    low, high = _floats(s.low for s in rounds), _floats(s.high for s in rounds)
    axes.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)
    for seed in seeds if len(seeds) > 1 else ():
        axes.plot(at, _floats(s.seeds.get(seed) for s in rounds), color=colour, linewidth=0.7, alpha=0.6)
    mark, name = MARKERS[k % len(MARKERS)], rounds[0].strategy
    axes.plot(at, dice, color=colour, marker=mark, linewidth=2.2, markersize=5, label=name)


def _draw_classes(axes: "Axes", rounds: list[Summary], x: X, background: str | None) -> None:
    at, _ = _line(rounds, x)
    names = [n for n in rounds[0].classes if n != background]
    for k, name in enumerate(names if len(names) > 1 else (), 1):
        dice = _floats(s.classes.get(name) for s in rounds)
        style = ("--", ":", "-.")[k % 3]
        axes.plot(at, dice, style, color=COLOURS[k % len(COLOURS)], linewidth=1.1, label=name)


def _set_axes(axes: "Axes", x: X, values: set[float | None]) -> None:
    """Name the axes, put ticks where the rounds are, and keep Dice within 0 .. 1."""
    low, high = axes.get_ylim()
    axes.set(xlabel=AXES[x], ylabel="Dice, mean over classes")
    axes.set_ylim(max(0, np.floor(low * 10) / 10), min(1, np.ceil(high * 10) / 10))
    known = sorted(v for v in values if v is not None)
    if x in ("round", "boxes") and len(known) <= 12:
        axes.set_xticks(known)
    axes.xaxis.set_major_formatter("{x:,.0f}")


def _save(path: Path, fill: Callable[["Figure"], None], size: tuple[float, float]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=150, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    fill(figure)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(True, color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
    image = io.BytesIO()
    figure.savefig(image, format="png")
    write_bytes(path, image.getvalue())
