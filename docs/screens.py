"""Make the README's picture of the screens: the demo in its fourth round, in a terminal of 120 by 40.

rondel demo --auto
python docs/screens.py rondel-demo

It works on a copy, so the demo stays as it is.
"""

import asyncio
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from rondel.loop import oracle
from rondel.store import edits, importers, label_boxes, settings_file
from rondel.store.project import Project, open_project
from rondel.store.records import EditKind, LabelBox, State
from rondel.tui.app import RondelApp
from rondel.tui.preview_panel import PreviewPanel
from rondel.tui.watcher import first_look
from rondel.viewer import launch

PICTURE = Path(__file__).parent / "screens.svg"
SIZE = (120, 40)
PERSON, DONE = "ann", 3


def main(demo: Path) -> None:
    os.environ |= {"RONDEL_PERSON": PERSON, "COLORTERM": "truecolor"}
    with tempfile.TemporaryDirectory() as place:
        shutil.copytree(demo, Path(place) / "demo")
        folder = Path(place) / "demo" / "project"
        settings_file.change(folder / "project.toml", "serve.ssh", "you@host")
        with open_project(folder) as project:
            begin_round(project)
        launch.ensure(folder)
        try:
            PICTURE.write_text(asyncio.run(picture(folder)))
        finally:
            launch.stop(folder)


def begin_round(project: Project) -> None:
    """Answer a few of the waiting boxes after the truth, and paint one section of the next."""
    record = project.volumes()[0]
    truth = importers.open_labels(project.folder / str(record.truth), None, len(project.classes))
    waiting = label_boxes.select(project.database, state=[State.PROPOSED])
    for n, box in enumerate(waiting[:DONE]):
        oracle.answer(project, box, truth, None)
        label_boxes.add_seconds(project.database, box.id, 80 + 25 * n)
    paint_section(project, waiting[DONE], truth)


def paint_section(project: Project, box: LabelBox, truth: importers.LabelSource) -> None:
    """Paint the middle section of a box, class by class."""
    label_boxes.move(project.database, box.id, State.OPEN, PERSON)
    values = truth.read(box.box)
    section = np.arange(len(values))[:, None, None] == len(values) // 2
    for value in np.unique(values[section[:, 0, 0]]):
        painted = section & (values == value)
        stroke = edits.Stroke(EditKind.PAINT, box.volume, box.box, painted, values, PERSON, "docs", int(value), box.id)
        edits.submit(project, stroke)
    label_boxes.add_seconds(project.database, box.id, 50)


async def picture(folder: Path) -> str:
    """Draw the screens as SVG once the preview is there, without fonts from elsewhere."""
    app = RondelApp(folder, first_look(folder), serve=False)
    async with app.run_test(size=SIZE) as pilot:
        while app.screen.query_one(PreviewPanel).preview is None:
            await pilot.pause(0.1)
        await pilot.pause()
        svg = app.export_screenshot(title="rondel")
    return re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code", "monospace")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
