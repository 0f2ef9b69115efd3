"""How far do a few small boxes carry on real volumes? Runs `rondel simulate` on the data and prints it.

    python benchmarks/label_economy.py [--data ../shared/data] [--out FOLDER] [--seeds 3] [VOLUME …]

Boxes are proposed and scores are taken in the disjoint regions that each volume's meta.json suggests. Dice is the mean
over the classes that meta.json names for scoring. The dense arm is the same network trained on all labels of the region
that boxes come from, for as many steps as the rounds of the same seed took together.
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

VOLUMES = {"fib25_medulla": (5, 8), "vnc_sstem": (4, 8), "vessel_2p": (4, 4)}
"""Rounds, and boxes a round."""
DENSE = ("fib25_medulla",)
"""Volumes on which the dense arm is run too."""


WEIGHTS = {"fib25_medulla": {"membrane": 2.0}}
"""Class weights set by hand: membrane is a quarter of the volume, and what is missed of it matters most."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("volumes", nargs="*", default=list(VOLUMES))
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--out", type=Path, default=Path("label-economy"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--strategy", action="append")
    options = parser.parse_args()
    for name in options.volumes:
        folder = options.data / name
        if not (folder / "meta.json").exists():
            print(f"{name}: skipped, {folder} is not there")
            continue
        began = time.monotonic()
        strategies = options.strategy or (["foreground", "dense"] if name in DENSE else ["foreground"])
        out = simulate(folder, options.out / name, options.seeds, strategies)
        report(name, out, json.loads((folder / "meta.json").read_text()), time.monotonic() - began)


def simulate(folder: Path, out: Path, seeds: int, strategies: list[str]) -> Path:
    """Run the verbs as a person would; a finished simulation is not run again."""
    curves = out / "curves"
    rounds, boxes = VOLUMES[folder.name]
    if (curves / "result.json").exists():
        return curves
    meta = json.loads((folder / "meta.json").read_text())
    classes = ",".join(name for value, name in meta["classes"].items() if value != "0")
    start, stop = meta["split"]["train"]
    low, high = meta["split"]["test"]
    rondel("init", str(out / "project"), "--classes", classes)
    weigh(out / "project" / "project.toml", WEIGHTS.get(folder.name, {}))
    rondel("-p", str(out / "project"), "add", str(folder / "image.ome.tif"), "--name", "scan")
    rondel("-p", str(out / "project"), "config", "rank.candidates", "0")
    rondel(
        "-p",
        str(out / "project"),
        "simulate",
        "scan",
        "--truth",
        str(folder / "labels.ome.tif"),
        "--rounds",
        str(rounds),
        "--boxes",
        str(boxes),
        "--seeds",
        str(seeds),
        "--region",
        f"{start}:{stop},:,:",
        "--score-region",
        f"{low}:{high},:,:",
        "--out",
        str(curves),
        *(word for s in strategies for word in ("--strategy", s)),
    )
    return curves


def weigh(settings: Path, weights: dict[str, float]) -> None:
    """Give classes the weights that a person would set by hand in project.toml."""
    text = settings.read_text()
    for name, weight in weights.items():
        text = text.replace(f'name = "{name}"\n', f'name = "{name}"\nweight = {weight}\n')
    settings.write_text(text)


def rondel(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "rondel.tui.cli", *words], check=True)


def report(name: str, curves: Path, meta: dict, seconds: float) -> None:
    """Print, for each strategy, Dice after the first and the last round, and what share of dense that is."""
    scored = {meta["classes"][str(value)] for value in meta["score_classes"]}
    with (curves / "curve.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["class"] in scored]
    ends: dict[str, list[float]] = {}
    rounds, boxes = VOLUMES[name]
    print(f"\n{name}: {rounds} rounds of {boxes} boxes, {seconds:.0f} s")
    for strategy in sorted({row["strategy"] for row in rows}):
        pairs = []
        for seed in sorted({row["seed"] for row in rows if row["strategy"] == strategy}):
            own = [row for row in rows if (row["strategy"], row["seed"]) == (strategy, seed)]
            numbers = sorted({int(row["round"]) for row in own})
            pairs.append([mean_dice(own, numbers[0]), mean_dice(own, numbers[-1])])
        ends[strategy] = [last for _, last in pairs]
        rose = sum(last > first for first, last in pairs)
        words = ", ".join(f"{first:.3f} -> {last:.3f}" for first, last in pairs)
        print(f"  {strategy:<12} Dice first -> last round: {words}; rose in {rose} of {len(pairs)} seeds")
    for strategy, last in ends.items():
        if strategy != "dense" and "dense" in ends:
            middle, dense = statistics.median(last), statistics.median(ends["dense"])
            print(f"  {strategy}: median {middle:.3f} is {middle / dense:.2f} of dense {dense:.3f}")


def mean_dice(rows: list[dict], number: int) -> float:
    values = [float(row["dice"]) if row["dice"] else 0.0 for row in rows if int(row["round"]) == number]
    return statistics.mean(values)


if __name__ == "__main__":
    main()
