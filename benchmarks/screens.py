"""How fast do the screens start, how long may a key wait, and how many bytes does a preview take?

    python benchmarks/screens.py [--runs 9] [--keys 4]

The screens run on pseudo terminals, on a project that lists 10,000 boxes. Starts are interleaved with those of a
process that only imports Textual and of an empty Textual app, so that a busy moment hits all of them. Then a model is
trained and predicts a volume while keys are pressed and boxes change: a task in the screens' event loop sleeps 5 ms
again and again, and how much longer it slept is the lag. Two figures say how much of that is the machine's: the
processor time that the loop itself used meanwhile, and the lag of a loop that does nothing, in a process beside it.
"""

import argparse
import asyncio
import fcntl
import itertools
import json
import os
import pty
import random
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rondel.loop import jobs
from rondel.store import label_boxes, ledger, settings_file
from rondel.store import project as projects
from rondel.store.box import Box
from rondel.store.edits import Stroke, open_journal
from rondel.store.project import open_project
from rondel.store.records import EditKind, JobState, LabelBox, Purpose, RoundState, State
from rondel.viewer import launch
from scipy import ndimage

BOXES, WAITING = 10_000, 20
SHAPE = (96, 320, 320)
SETTINGS = {
    "boxes.shape": "16,16,16",
    "boxes.per_round": "8",
    "boxes.reserve": "0",
    "test.boxes": "0",
    "network.filters": "8,8,8,8",
    "rank.candidates": "200",
    "train.steps": "30",
    "predict.memory_gb": "0.3",
}
NAP = 0.005
Beat = tuple[float, float, float]
"""When a nap ended, how much longer than asked it was, and the processor time that the loop's thread used in it."""
TAIL = 10_000
QUIET = 0.3
"""Seconds without a byte after which a frame is complete."""
IMPORT = (
    "import textual.app, textual.screen; from textual.widgets import DataTable, Input, RichLog, Static; print('here')"
)
EMPTY = """
from textual.app import App
from textual.widgets import Static
class Empty(App):
    BINDINGS = [("q", "quit", "")]
    def compose(self):
        yield Static("here")
Empty().run()
"""
SCREENS = "from pathlib import Path; from rondel.tui import screens; screens.show(Path({!r}), serve=False)"
DUE = "new box"
"""What the screens say once they are drawn, and nothing else on the way does."""
DOWN, ENTER, ESCAPE = "\x1b[B", "\r", "\x1b"
KEYS = (
    *(DOWN,) * 6, *"p]]x-", "5", "v", "1", ">", "<", "g", "12", ENTER, "/", "th", ENTER, DOWN, "/", ESCAPE
)  # fmt: skip
"""Through the list, the preview's slices, axes and contrast, the curve, pages, to a box, and a filter and back."""


class Shown:
    """A program on a pseudo terminal, and the last that it wrote."""

    def __init__(self, *words: str, size: tuple[int, int] = (120, 40)) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        for name in ("NO_COLOR", "COLUMNS", "LINES"):
            environment.pop(name, None)
        self.written = b""
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=environment
        )
        os.close(slave)

    def read(self, seconds: float) -> int:
        """Read what is there, waiting so long for it; returns how many bytes that were."""
        if not select.select([self.master], [], [], seconds)[0]:
            return 0
        try:
            found = os.read(self.master, 1 << 20)
        except OSError:  # it has ended
            return 0
        self.written = (self.written + found)[-TAIL:]  # all of it would take ever longer to add to
        return len(found)

    def until(self, text: str) -> float:
        """Read until it has written a text; returns the seconds since it began."""
        while text.encode() not in self.written:
            if not self.read(1.0) and self.process.poll() is not None:
                raise SystemExit(f"{self.process.args} ended:\n{self.written.decode(errors='replace')[-2000:]}")
        return time.perf_counter() - self.began

    def settle(self) -> int:
        """Read until it is quiet; returns how many bytes that were."""
        total = 0
        while count := self.read(QUIET):
            total += count
        return total

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def close(self) -> None:
        self.press("q")
        while self.process.poll() is None:
            self.read(0.05)
        os.close(self.master)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9, help="starts of each kind")
    parser.add_argument("--keys", type=float, default=4.0, help="keys a second while a job computes")
    parser.add_argument("--app", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--control", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.app:
        run_app(Path(words.app[0]), Path(words.app[1]))
        return
    if words.control:
        asyncio.run(run_control(Path(words.control)))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = make_project(Path(place))
        compare_starts(folder, words.runs)
        measure_lag(folder, Path(place), words.keys)
        count_bytes(folder)


def make_project(place: Path) -> Path:
    """Make a project whose training is due, with 10,000 boxes beside the one that is labelled."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=SHAPE).astype(np.float32), 3)
    image = np.clip(128 + 40 * smooth / smooth.std(), 0, 255).astype(np.uint8)
    np.save(place / "scan.npy", image)
    folder = place / "cells"
    with projects.create(folder, ["background", "cell"]) as project:
        for key, value in SETTINGS.items():
            settings_file.change(folder / "project.toml", key, value)
        verb(folder, "add", str(place / "scan.npy"), "--spacing", "10,10,10", "--unit", "nm")
        ledger.open_round(project.database, None, "typical", 0)
        ledger.set_round(project.database, 1, RoundState.LABELLING)
        labelled = Box((64, 16, 16), (96, 64, 64))
        first = LabelBox(0, "scan", labelled, 1, Purpose.TRAIN, State.PROPOSED, 0.9, "labelled for the benchmark")
        ids = label_boxes.add(project.database, [first])
        values = (1 + (image[labelled.slices] > 128)).astype(np.uint8)
        with open_journal(project) as journal:
            whole = np.ones(labelled.shape, bool)
            journal.write(Stroke(EditKind.IMPORT, "scan", labelled, whole, values, "ann", "benchmark", 1, ids[0]))
        for state in (State.OPEN, State.DONE):
            label_boxes.move(project.database, ids[0], state, "ann")
        label_boxes.add(project.database, map(listed_box, range(BOXES)))
    return folder


def listed_box(number: int) -> LabelBox:
    """Return a box that waits or, like most, is skipped: whatever waits has to be predicted."""
    chosen, state = random.Random(number), State.OPEN if number < WAITING else State.SKIPPED
    start = [chosen.randrange(0, side - 16, 16) for side in (48, *SHAPE[1:])]
    reason = f"one of {BOXES} that are listed"
    return LabelBox(0, "scan", Box.at(start, (16, 16, 16)), 1, Purpose.TRAIN, state, chosen.random(), reason)


def verb(folder: Path, *words: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "rondel.tui.cli", "-p", str(folder), *words], check=True, stderr=subprocess.DEVNULL
    )


def compare_starts(folder: Path, runs: int) -> None:
    """Print how long it takes until the screens are drawn, over importing Textual."""
    kinds = {"import": (IMPORT, "here"), "empty": (EMPTY, "here"), "screens": (SCREENS.format(str(folder)), DUE)}
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    for run in range(runs + 1):
        for kind, (program, text) in kinds.items():
            shown = Shown(sys.executable, "-c", program)
            seconds = shown.until(text)
            if run:  # the first warms the file cache
                times[kind].append(seconds)
            shown.settle()
            shown.close()
    bare = statistics.median(times["import"])
    for kind, said in (("empty", "an empty Textual app"), ("screens", f"the screens, {BOXES} boxes")):
        low, middle, high = (1000 * (t - bare) for t in statistics.quantiles(times[kind], n=4))
        print(f"{said}: drawn {middle:.0f} ms after importing Textual (quartiles {low:.0f} to {high:.0f})")
    print(f"importing Textual: {1000 * bare:.0f} ms from the start of Python")


def measure_lag(folder: Path, place: Path, keys: float) -> None:
    """Print how long an event of the screens waits while a job computes, keys are pressed and boxes change."""
    shown = Shown(sys.executable, __file__, "--app", str(folder), str(place / "screens.json"))
    shown.until(DUE)
    control = subprocess.Popen([sys.executable, __file__, "--control", str(place / "control.json")])
    stages: list[tuple[float, str]] = []
    with open_project(folder) as project, work(shown, folder, keys):
        job = jobs.start(project, "round", {})
        job = jobs.follow(project, job, lambda progress: stages.append((time.time(), progress.stage)))
        if job.state != JobState.DONE:
            raise SystemExit(f"the round failed: {job.error}")
    shown.close()
    launch.stop(folder)  # enter on a box starts it
    control.send_signal(signal.SIGTERM)
    control.wait()
    beats = {name: json.loads((place / f"{name}.json").read_text()) for name in ("screens", "control")}
    for stage, said in (("train", "while a model trains"), ("predict", "while it predicts"), ("", "all the time")):
        times = [moment for moment, found in stages if found.startswith(stage)]
        if not times:
            raise SystemExit(f"no stage {stage} among {sorted({found for _, found in stages})}")
        screens, control = (
            [(lag, used) for moment, lag, used in beats[name] if times[0] <= moment <= times[-1]] for name in beats
        )
        print(f"event loop {said}, {times[-1] - times[0]:.0f} s:")
        print(f"    lag {spread([lag for lag, _ in screens])}")
        print(f"    its own processor time {spread([used for _, used in screens])}")
        print(f"    lag of a loop that does nothing {spread([lag for lag, _ in control])}")


def spread(seconds: list[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100)
    return f"median {1000 * cuts[49]:.1f}, p99 {1000 * cuts[98]:.1f}, largest {1000 * max(seconds):.0f} ms"


@contextmanager
def work(shown: Shown, folder: Path, keys: float) -> Iterator[None]:
    """Press so many keys a second and change a box every second, from a thread, until the block ends."""
    ended = threading.Event()

    def run() -> None:
        with open_project(folder) as project:
            for k in itertools.count():
                if ended.is_set():
                    break
                shown.press(KEYS[k % len(KEYS)])
                if k % max(1, round(keys)) == 0:
                    label_boxes.add_seconds(project.database, 2 + k % BOXES, 5.0)
                until = time.monotonic() + 1 / keys
                while (left := until - time.monotonic()) > 0:
                    shown.read(left)
        shown.press(ESCAPE)
        shown.settle()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def count_bytes(folder: Path) -> None:
    """Print how many bytes a terminal is sent when the preview goes to the next slice."""
    for size in ((80, 24), (120, 40), (180, 50)):
        shown = Shown(sys.executable, "-c", SCREENS.format(str(folder)), size=size)
        shown.until("Preview")
        shown.press("p")
        shown.settle()
        sizes = []
        for _ in range(15):
            shown.press("[")
            sizes.append(shown.settle())
        shown.close()
        sizes = [count for count in sizes if count > 500]  # at the box's end nothing changes
        print(
            f"bytes of a preview frame at {size[0]}x{size[1]}: median {statistics.median(sizes):.0f}, "
            f"largest {max(sizes)}, of {len(sizes)} frames"
        )


def run_app(folder: Path, out: Path) -> None:
    """Show the screens, with a task in their event loop that notes how late it wakes up."""
    from rondel.tui import app, screens

    beats: list[Beat] = []

    class Measured(app.RondelApp):
        def on_ready(self) -> None:
            self.beat = asyncio.create_task(beat(beats))

    app.RondelApp = Measured
    screens.show(folder, serve=False)
    out.write_text(json.dumps(beats))


async def run_control(out: Path) -> None:
    """Note the same of an event loop that has nothing else to do, until SIGTERM."""
    beats: list[Beat] = []
    task = asyncio.create_task(beat(beats))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await asyncio.wait([task])
    out.write_text(json.dumps(beats))


async def beat(beats: list[Beat]) -> None:
    while True:
        began, used = time.perf_counter(), time.thread_time()
        await asyncio.sleep(NAP)
        beats.append((time.time(), time.perf_counter() - began - NAP, time.thread_time() - used))


if __name__ == "__main__":
    main()
