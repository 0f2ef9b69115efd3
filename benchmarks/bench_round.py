"""How long is it from labels saved to a new champion and its proposals on screen? Each stage of a warm round, timed.

    python benchmarks/bench_round.py [--data ../shared/data] [--train-within 12s] [--within 0] [--repeats 3] [--quick]
                                     [--steps 55 32]

A volume of 160x160x160, cut from fib25_medulla or made up where that is not there, gets 4 test boxes and 24 train
boxes of 32x32x32: 16 in round 1, from which the parent model comes, and 8 in round 2. Then `rondel round` is timed on
copies of the project until it has printed the boxes that come next. The settings are the defaults but for [train]
within (and [rank] within, where asked for), which a person sets who does not want to wait; 0 takes a limit away. With
--steps, trainings end after so many steps in place of a time, so that Dice does not depend on how busy the machine is.
The gate lets every model pass: one that does not become the champion predicts nothing, and its round takes less.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tifffile

SIDE, BOX = 160, 32
FIRST, SECOND = 16, 8
"""Train boxes of the round that gives the parent, and those labelled since."""
QUICK = {"boxes.per_round": "3", "test.boxes": "2", "boxes.shape": "16,16,16", "network.filters": "4,8,8"}
POLL_SECONDS = 0.02
"""How often the job is looked at, a process of its own: stages are timed to within this."""
CLASSES = "interior,membrane"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--train-within", default="12s")
    parser.add_argument("--within", default="0")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, nargs=2, help="steps of the parent's training and of the round's")
    parser.add_argument("--quick", action="store_true", help="a volume of 64 voxels a side, small boxes and network")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        source = write_volume(Path(folder), options.data / "fib25_medulla", 64 if options.quick else SIDE)
        parent = prepare(Path(folder), options)
        found = [timed_round(parent, Path(folder) / f"copy-{n}") for n in range(options.repeats)]
    tell(found, source, options)


def write_volume(folder: Path, data: Path, side: int) -> str:
    """Write image.tif and truth.tif, a cube of this side, and say where they are from."""
    if (data / "image.ome.tif").exists():
        cut = tuple(slice((250 - side) // 2, (250 + side) // 2) for _ in range(3))
        image, truth = (tifffile.imread(data / f"{name}.ome.tif")[cut] for name in ("image", "labels"))
        source = "fib25_medulla"
    else:
        from rondel.loop.tissue import MEMBRANE, tissue

        image, truth, _ = tissue((side, side, side), (10.0, 10.0, 10.0))
        truth = np.where(truth == MEMBRANE, 2, 1).astype(np.uint8)
        source = "made-up tissue"
    np.save(folder / "image.npy", image)
    np.save(folder / "truth.npy", truth)
    return source


def prepare(folder: Path, options: argparse.Namespace) -> Path:
    """Go through a first round and label the boxes of the second, as a person would; training is due then."""
    project, first = folder / "project", SECOND if options.quick else FIRST
    rondel(folder, "init", str(project), "--classes", CLASSES)
    rondel(project, "add", str(folder / "image.npy"), "--name", "scan", "--spacing", "10,10,10", "--unit", "nm")
    rondel(project, "config", "boxes.per_round", str(first))
    limit_training(project, options, 0, "20s")
    for key, value in (QUICK if options.quick else {}).items():
        rondel(project, "config", key, value)
    rondel(project, "round")
    answer(project, folder / "truth.npy")
    rondel(project, "config", "boxes.per_round", str(3 if options.quick else SECOND))
    rondel(project, "round")
    answer(project, folder / "truth.npy")
    limit_training(project, options, 1, options.train_within)
    rondel(project, "config", "rank.within", options.within)
    rondel(project, "config", "gate.drop", "1")
    return project


def limit_training(project: Path, options: argparse.Namespace, which: int, within: str) -> None:
    """Set how long the parent's training (0) or the round's (1) may take."""
    if options.steps:
        rondel(project, "config", "train.steps", str(options.steps[which]))
        rondel(project, "config", "train.more_steps", "0")
    else:
        rondel(project, "config", "train.within", within)


def rondel(project: Path, *words: str) -> None:
    """Run a verb; `init` alone names its own folder."""
    where = [] if words[0] == "init" else ["-p", str(project)]
    command = [sys.executable, "-m", "rondel.tui.cli", *where, *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def answer(folder: Path, truth: Path) -> None:
    """Label every box that waits but the reserve, by the truth."""
    from rondel.loop import oracle, rounds
    from rondel.store import importers, label_boxes
    from rondel.store.project import open_project

    with open_project(folder) as project:
        source = importers.open_labels(truth, None, 2)
        for box in rounds.waiting_boxes(project):
            if label_boxes.asked_for(box):
                oracle.answer(project, box, source, None)


@dataclass
class Timed:
    """A round as it was seen from outside."""

    total: float = 0.0
    stages: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Seconds and processor seconds of each stage, in their order."""
    processor: float = 0.0
    """Processor seconds of the job until now."""
    gigabytes: float = 0.0
    """Peak resident memory of the job."""
    dice: tuple[float | None, ...] = ()
    """Mean test Dice of the parent and of the new model."""
    everywhere: tuple[float, ...] = ()
    """Their mean Dice on all voxels outside train boxes."""
    steps: int = 0
    boxes: int = 0


def timed_round(parent: Path, folder: Path) -> Timed:
    """Run the round that is due in a copy of the project, looking at the job's progress all the while."""
    from rondel.store import job_rows, label_boxes, ledger, models
    from rondel.store.project import open_project
    from rondel.store.records import Purpose, State

    shutil.copytree(parent, folder)
    found = Timed()
    with open_project(folder) as project:
        last, began = job_rows.select(project.database)[0].id, time.time()
        seen = {"start and imports": (began, 0.0)}
        verb = subprocess.Popen(
            [sys.executable, "-m", "rondel.tui.cli", "-p", str(folder), "round"], stdout=subprocess.DEVNULL
        )
        while verb.poll() is None:
            job = job_rows.select(project.database)[0]
            if job.id > last and job.pid:
                look(job.pid, found)
                progress = job_rows.progress(project.database, job.id)
                if progress:
                    seen.setdefault(progress.stage, (progress.updated, found.processor))
            time.sleep(POLL_SECONDS)  # how far the job is stands in its row
        found.total = time.time() - began
        if verb.returncode:
            raise SystemExit(f"rondel round ended with {verb.returncode}")
        model = models.champion(project.database)
        assert model and model.parent, "the new model is the champion"
        found.steps = model.steps
        scores = (ledger.scores(project.database, number) for number in (model.parent, model.number))
        found.dice = tuple(ledger.mean_dice(one) for one in scores)
        found.everywhere = tuple(dice_everywhere(project, number) for number in (model.parent, model.number))
        found.boxes = len(label_boxes.select(project.database, state=[State.PROPOSED], purpose=Purpose.TRAIN))
    marks = [*seen.values(), (began + found.total, found.processor)]
    for (stage, (at, spent)), (then, total) in zip(seen.items(), marks[1:]):
        found.stages[stage] = (then - at, total - spent)
    return found


def dice_everywhere(project, number: int) -> float:
    """Compare a model's map with the truth, class by class, wherever it was not trained."""
    from rondel.store import label_boxes
    from rondel.store.box import Box
    from rondel.store.maps import Maps
    from rondel.store.records import Purpose, State

    truth = np.load(project.folder.parent / "truth.npy")
    found = Maps.open(project.folder, "scan", number).read_classes(Box.of_shape(truth.shape))
    judged = found > 0
    for box in label_boxes.select(project.database, purpose=Purpose.TRAIN, state=[State.DONE]):
        judged[box.box.slices] = False
    pairs = [(found[judged] == value, truth[judged] == value) for value in (1, 2)]
    return float(np.mean([2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in pairs]))


def look(pid: int, found: Timed) -> None:
    """Read what a process took until now; it may have ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return
    for line in status.splitlines():
        if line.startswith("VmHWM"):
            found.gigabytes = int(line.split()[1]) * 1024 / 1e9
            found.processor = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")


def tell(found: list[Timed], source: str, options: argparse.Namespace) -> None:
    totals = sorted(f.total for f in found)
    limit = f"{options.steps[1]} steps" if options.steps else f"within {options.train_within}"
    print(f"warm round on {source}, [train] {limit}, [rank] within {options.within}")
    print(f"labels saved to proposals on screen: {statistics.median(totals):.1f} s", end=" ")
    print(f"(median of {len(totals)}, {totals[0]:.1f} to {totals[-1]:.1f})")
    for stage in found[0].stages:
        own = [f.stages[stage] for f in found if stage in f.stages]
        seconds, processor = (statistics.median(values) for values in zip(*own))
        print(f"  {stage:<30} {seconds:6.1f} s {processor:6.1f} CPU s")
    processor, gigabytes, steps = (
        statistics.median(getattr(f, name) for f in found) for name in ("processor", "gigabytes", "steps")
    )
    print(f"job: {processor:.1f} CPU s, peak memory {gigabytes:.2f} GB; {steps} steps; {found[0].boxes} boxes proposed")
    for where, what in (("the test boxes", "dice"), ("all but train boxes", "everywhere")):
        told = (" -> ".join(f"{dice:.3f}" for dice in getattr(f, what)) for f in found)
        print(f"mean Dice on {where}, parent -> new model: {', '.join(told)}")


if __name__ == "__main__":
    main()
