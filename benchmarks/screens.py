"""How quickly do the screens start, and how long do keys wait while jobs run and 10,000 boxes are listed?

python benchmarks/screens.py [--boxes 10000] [--seconds 30]
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rondel.store import job_rows, label_boxes, ledger, locks
from rondel.store import project as projects
from rondel.store.box import Box
from rondel.store.project import Project, open_project
from rondel.store.records import LabelBox, Progress, Purpose, RoundState, State, VolumeRecord
from rondel.tui.app import RondelApp
from rondel.tui.watcher import first_look

KEYS = ("down", "down", "2", "1", "comma", "down", "up", "greater_than_sign", "slash", "8", "escape", "M", "escape")
TICK = 0.005
STARTS = "import time, textual.app; t = time.perf_counter(); import rondel.tui.app; print(time.perf_counter() - t)"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--boxes", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--busy", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.busy:
        work(asked.busy)
        return
    print(f"import on top of textual   {min(start() for _ in range(3)):.2f} s")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "many"
        make(folder, asked.boxes)
        began = time.perf_counter()
        first_look(folder)
        print(f"first look at the project  {time.perf_counter() - began:.2f} s")
        jobs = [subprocess.Popen([sys.executable, __file__, "--busy", str(folder)]) for _ in range(2)]
        try:
            lags = sorted(asyncio.run(drive(folder, asked.seconds)))
        finally:
            for job in jobs:
                job.kill()
                job.wait()
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            print(f"event loop lag {name}         {1000 * lags[min(len(lags) - 1, int(share * len(lags)))]:.1f} ms")


def start() -> float:
    """Return the seconds that a new process takes to import the screens once it has Textual."""
    return float(subprocess.check_output([sys.executable, "-c", STARTS]))


def make(folder: Path, count: int) -> None:
    record = VolumeRecord(
        "scan", "scan.ome.zarr", False, 0, None, (0,), "zyx", (400, 4000, 4000), (64, 64, 64), "uint8",
        (10.0, 10.0, 10.0), (0.0, 0.0, 0.0), "nanometer", ((0.0, 255.0),),
    )  # fmt: skip
    with projects.create(folder, ["background", "cell"]) as project:
        projects.add_volume(project, record)
        ledger.open_round(project.database, None, "typical", 0)
        ledger.set_round(project.database, 1, RoundState.LABELLING)
        box = Box((0, 0, 0), (32, 32, 32))
        boxes = (LabelBox(0, "scan", box, 1, Purpose.TRAIN, State.PROPOSED, k / count, "many") for k in range(count))
        label_boxes.add(project.database, boxes)


def work(folder: Path) -> None:
    """Be a job: compute without end, report four times a second, and move a box every second."""
    import numpy as np

    with open_project(folder) as project:
        job = job_rows.queue(project.database, "train", {})
        with locks.hold(folder / "jobs" / f"{job.id:04d}.lock", "a job", 5):
            job_rows.begin(project.database, job.id)
            matrix, step = np.random.default_rng(0).random((400, 400)), 0
            while os.getppid() > 1:
                began = time.monotonic()
                while time.monotonic() - began < 0.25:
                    matrix = np.tanh(matrix @ matrix / 400)
                step += 1
                report(project, job.id, step)


def report(project: Project, job: int, step: int) -> None:
    progress = Progress("train model 1", step, 1000, "steps", f"loss {1 / step:.3f}", time.time())
    job_rows.set_progress(project.database, job, progress)
    if step % 4 == 0:
        label_boxes.add_seconds(project.database, 1 + step, 1.0)


async def drive(folder: Path, seconds: float) -> list[float]:
    """Press keys, and return by how much a timer was late each time."""
    app, lags = RondelApp(folder, first_look(folder), serve=False), []
    async with app.run_test(size=(180, 50)) as pilot:
        await pilot.pause(1)
        stop = time.monotonic() + seconds

        async def measure() -> None:
            while time.monotonic() < stop:
                before = time.perf_counter()
                await asyncio.sleep(TICK)
                lags.append(time.perf_counter() - before - TICK)

        measuring = asyncio.create_task(measure())
        while time.monotonic() < stop:
            for key in KEYS:
                await pilot.press(key)
                await asyncio.sleep(0.3)
        await measuring
    return lags


if __name__ == "__main__":
    main()
