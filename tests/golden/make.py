"""Make the golden project of this version: python tests/golden/make.py NAME

It is made once for each released schema and kept for ever; test_golden.py opens every one there is.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SETTINGS = {
    "train.steps": "6",
    "train.patch": "16,16,16",
    "network.filters": "4,8,8",
    "boxes.shape": "16,16,16",
    "boxes.per_round": "3",
    "boxes.reserve": "1",
    "test.boxes": "2",
}


def main(name: str) -> None:
    target = HERE / name
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        shutil.copytree(Path(folder) / "cells", target)
    clean(target)


def make(folder: Path) -> None:
    """Take a small volume through a round with the verbs: labels, an undo, a skip, a model, a map, the next boxes."""
    image, truth = volume()
    np.save(folder / "scan.npy", image)
    np.save(folder / "truth.npy", truth)
    rondel(folder, "init", "cells", "--classes", "background,spot", "--seed", "3")
    for key, value in SETTINGS.items():
        rondel(folder, "-p", "cells", "config", key, value)
    rondel(folder, "-p", "cells", "add", "scan.npy", "--spacing", "8,8,8", "--unit", "nm")
    rondel(folder, "-p", "cells", "round")
    boxes = json.loads(rondel(folder, "-p", "cells", "boxes", "list", "--json"))["boxes"]
    for box in boxes[:-1]:
        region = tuple(slice(a, b) for a, b in zip(box["box"]["start"], box["box"]["stop"]))
        np.save(folder / "answer.npy", truth[region])
        rondel(folder, "-p", "cells", "label", str(box["id"]), "--from", "answer.npy")
    last = str(boxes[-1]["id"])
    rondel(folder, "-p", "cells", "label", last, "--from", "answer.npy", "--keep-open")
    rondel(folder, "-p", "cells", "undo", "--box", last)
    rondel(folder, "-p", "cells", "skip", last, "--why", "blurred")
    rondel(folder, "-p", "cells", "round")
    rondel(folder, "-p", "cells", "models", "note", "1", "the first")


def volume() -> tuple[np.ndarray, np.ndarray]:
    """Return an image of bright spots, uint8 (Z, Y, X), and its classes."""
    rng = np.random.default_rng(3)
    z, y, x = np.ogrid[:32, :48, :48]
    spots = np.zeros((32, 48, 48), np.uint8)
    for a, b, c in rng.integers(4, 44, (40, 3)):
        spots[(z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2 < 30] = 1
    image = 60 + 80 * spots + rng.normal(0, 12, spots.shape)
    return image.clip(0, 255).astype(np.uint8), 1 + spots


def rondel(folder: Path, *words: str) -> str:
    environment = {**os.environ, "RONDEL_PERSON": "ann"}
    command = [sys.executable, "-m", "rondel.tui.cli", *words]
    return subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def clean(project: Path) -> None:
    """Leave out what names the machine, and what may be deleted at any time."""
    import sqlite3

    for pattern in ("*.lock", "jobs/*", "backups/*", "cache/*", "models/*/curve.png"):
        for path in project.glob(pattern):
            path.unlink()
    with sqlite3.connect(project / "project.db") as rows:
        rows.execute("UPDATE job SET host = 'somewhere', arguments = '{}'")
        rows.execute("DELETE FROM progress")
    rows.execute("PRAGMA journal_mode=DELETE")
    rows.execute("VACUUM")
    rows.close()
    for sub in ("jobs", "backups", "cache", "exports"):
        (project / sub).rmdir()


if __name__ == "__main__":
    main(sys.argv[1])
