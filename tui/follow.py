"""How is a job's progress shown? Bars with rate and time left on a terminal, a line a stage elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..store.records import Progress

SCALES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


@contextmanager
def show_progress() -> Iterator[Callable[[Progress], None]]:
    """Give a function that shows progress on stderr for as long as the block lasts."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(24),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}", markup=False),
    )
    with Bars(*columns, console=Console(stderr=True), refresh_per_second=4) as bars:
        yield _Bars(bars)


class _Bars:
    def __init__(self, bars) -> None:
        self.bars = bars
        self.tasks: dict[str, object] = {}

    def __call__(self, progress: Progress) -> None:
        if progress.stage not in self.tasks:
            for task in self.tasks.values():
                known = next(t for t in self.bars.tasks if t.id == task)
                self.bars.update(task, completed=known.total)
            self.tasks[progress.stage] = self.bars.add_task(progress.stage, total=progress.total, rate="", text="")
        task = self.tasks[progress.stage]
        self.bars.update(task, completed=progress.done, total=progress.total, text=progress.text)
        speed = next(t.speed for t in self.bars.tasks if t.id == task)
        self.bars.update(task, rate=f"{amount(speed)}{progress.unit}/s" if speed else "")


class _Lines:
    def __init__(self) -> None:
        self.stage = ""

    def __call__(self, progress: Progress) -> None:
        if progress.stage != self.stage:
            self.stage = progress.stage
            print(f"{progress.stage} …", file=sys.stderr, flush=True)


def amount(number: float) -> str:
    """Write a number with a thousands prefix: 1.9 M."""
    for size, letter in SCALES:
        if number >= size:
            return f"{number / size:.1f} {letter}"
    return f"{number:.1f} "
