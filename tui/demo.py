"""What does `rondel demo` do? It makes a volume that looks like tissue and takes it through its first rounds."""

import time
from pathlib import Path
from typing import Any, Literal

from ..loop import rounds as round_order
from ..store import ledger, models
from ..store import project as projects
from ..store.errors import UsageError
from ..store.project import Project
from ..store.records import RoundState
from . import browser, door, screens

SHAPE = (128, 208, 208)
SPACING_NM = (16.0, 8.0, 8.0)
NAME = "tissue"


def run(folder: Path, *, auto: bool, rounds: int, seed: int, serve: bool) -> int:
    """Make the demo project, and with `auto` answer its rounds from the truth, else open the screens.

    Returns the exit code.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty", "name a new folder: rondel demo FOLDER")
    classes = _make_volume(folder, seed)
    with projects.create(folder / "project", classes, name="demo", seed=seed) as project:
        door.run(
            project,
            "import",
            {
                "name": NAME,
                "image": str((folder / f"{NAME}.ome.zarr").resolve()),
                "spacing": None,
                "unit": None,
                "axes": None,
                "level": 0,
                "time": None,
                "channels": None,
                "labels": str((folder / f"{NAME}.truth.ome.zarr").resolve()),
                "purpose": "truth",
                "mapping": {},
                "relink": False,
            },
        )
        door.run(project, "round", {})
        if auto:
            _answer_rounds(project, folder, rounds)
        door.say(f"project {folder / 'project'}", *door.status_lines(project))
        shown = not auto and serve and screens.can_show()
        if serve and not shown:
            browser.offer_later(project)
    return screens.show(folder / "project") if shown else 0


def _make_volume(folder: Path, seed: int) -> list[str]:
    """Generate the tissue and write it, and its truth beside it, as OME-Zarr."""
    from ..loop.tissue import tissue
    from ..store import exporters, ngff
    from ..store.settings import COLOURS

    began = time.monotonic()
    door.note(f"generating tissue of {' x '.join(map(str, SHAPE))} voxels …")
    image, truth, classes = tissue(SHAPE, SPACING_NM, seed)
    folder.mkdir(parents=True, exist_ok=True)
    label = ngff.LabelMetadata(tuple((k + 1, c, COLOURS[k]) for k, c in enumerate(classes)), f"../{NAME}.ome.zarr")
    outputs: tuple[tuple[Any, str, Literal["image", "mode"], Any], ...] = (
        (image, "", "image", None),
        (truth, ".truth", "mode", label),
    )
    for array, ending, kind, metadata in outputs:
        exporters.export_ome_zarr(
            folder / f"{NAME}{ending}.ome.zarr",
            lambda box, array=array: array[box.slices],
            name=NAME,
            axes="zyx",
            shape=SHAPE,
            dtype="uint8",
            spacing_nm=SPACING_NM,
            translation_nm=(0.0, 0.0, 0.0),
            unit="nanometer",
            kind=kind,
            label=metadata,
        )
    door.note(f"generated and written in {time.monotonic() - began:.0f} s")
    return list(classes)


def _answer_rounds(project: Project, folder: Path, count: int) -> None:
    """Let an oracle answer `count` rounds; prints the learning curve and saves it as PNG and CSV."""
    from ..loop import curves, oracle
    from ..store import importers
    from ..store.maps import Maps

    truth = importers.open_labels(project.truth_path(NAME), None, len(project.classes))
    totals, points = {"boxes": 0, "voxels": 0, "actions": 0}, []
    began = time.monotonic()
    for _ in range(count):
        champion = models.champion(project.database)
        maps = Maps.open(project.folder, NAME, champion.number) if champion else None
        for box in round_order.waiting_boxes(project):
            answer = oracle.answer(project, box, truth, maps.read_classes(box.box) if maps else None)
            if box.purpose == "train":
                totals = {
                    "boxes": totals["boxes"] + 1,
                    "voxels": totals["voxels"] + answer.voxels,
                    "actions": totals["actions"] + answer.actions,
                }
        door.run(project, "round", {})
        points += _points(project, totals, time.monotonic() - began)
        door.note(door.status_lines(project)[1])
    curves.write_csv(folder / "curve.csv", points)
    background = project.classes[0].name
    curves.draw(folder / "curve.png", points, background=background)
    door.say(
        curves.table(points, background), curves.plot(points, background), f"written to {folder}: curve.csv, curve.png"
    )


def _points(project: Project, totals: dict[str, int], seconds: float) -> list:
    from ..loop.curves import CurvePoint

    closed = [r for r in ledger.rounds(project.database) if r.state == RoundState.CLOSED][-1]
    names = {c.value: c.name for c in project.classes}
    return [
        CurvePoint(
            "demo",
            project.settings.project.seed,
            closed.number,
            totals["boxes"],
            totals["voxels"],
            totals["actions"],
            round(seconds, 2),
            names[s.label],
            s.dice,
            s.low,
            s.high,
        )
        for s in ledger.scores(project.database, closed.trained or 0)
    ]
