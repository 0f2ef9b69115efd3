"""A process that paints, undoes and redoes until it is killed; it prints the number of every edit that was saved."""

import sys
import uuid
from pathlib import Path

import numpy as np
from rondel.store import edits
from rondel.store.box import Box
from rondel.store.edits import Stroke
from rondel.store.errors import UsageError
from rondel.store.project import open_project
from rondel.store.records import EditKind


def main(folder: Path, person: str, box: int, region: Box) -> None:
    rng = np.random.default_rng()
    client = uuid.uuid4().hex
    with open_project(folder) as project:
        for number in range(1_000_000):
            with edits.open_journal(project) as journal:
                try:
                    edit = _turn(journal, rng, person, box, region, (client, number))
                except UsageError:
                    continue
            print(edit.number, flush=True)


def _turn(journal, rng, person, box, region, sender):
    choice = rng.random()
    if choice < 0.2:
        return journal.undo(box, person, sender)
    if choice < 0.3:
        return journal.redo(box, person, sender)
    start = rng.integers(region.start, np.array(region.stop) - 2).tolist()
    part = Box.at(start, rng.integers(2, 12, 3).tolist()).intersect(region)
    mask = rng.random(part.shape) < 0.7
    mask.flat[0] = True
    values = np.full(part.shape, rng.integers(4), np.uint8)
    return journal.write(Stroke(EditKind.PAINT, "scan", part, mask, values, person, sender[0], sender[1], box))


if __name__ == "__main__":
    numbers = [int(v) for v in sys.argv[4].split(",")]
    corner, stop = numbers[:3], numbers[3:]
    region = Box((corner[0], corner[1], corner[2]), (stop[0], stop[1], stop[2]))
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), region)
