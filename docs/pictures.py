"""Make the README's pictures from a run of `rondel demo --auto`.

rondel demo --auto 2>&1 | tee demo.txt
python docs/pictures.py rondel-demo demo.txt
"""

import io
import re
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.text import Text
from rondel.store import importers, models
from rondel.store.box import Box
from rondel.store.maps import Maps
from rondel.store.project import Project, open_project

HERE = Path(__file__).parent
SECTION = 64


def main(folder: Path, transcript: Path) -> None:
    terminal(transcript.read_text(), HERE / "demo.svg")
    with open_project(folder / "project") as project:
        section(project, HERE / "demo.png")


def terminal(text: str, path: Path) -> None:
    """Draw what a terminal showed as SVG, without fonts from elsewhere."""
    console = Console(record=True, width=100, file=io.StringIO())
    console.print(Text("$ rondel demo --auto\n" + text.rstrip()))
    svg = console.export_svg(title="rondel")
    path.write_text(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code", "monospace"))


def section(project: Project, path: Path) -> None:
    """Draw one section: image, truth, classes and uncertainty of the champion, side by side."""
    from PIL import Image

    record = project.volumes()[0]
    champion = models.one(project.database, None)
    maps = Maps.open(project.folder, record.name, champion.number)
    box = Box((SECTION, 0, 0), (SECTION + 1, *record.shape[1:]))
    image = project.open_volume(record.name).read(box)[0, 0]
    truth = importers.open_labels(project.folder / str(record.truth), None, len(project.classes)).read(box)[0]
    unsure = maps.read_uncertainty(box)[0]
    grey = [np.repeat(a[..., None], 3, 2) for a in (image, unsure)]
    panels = [grey[0], tinted(project, image, truth), tinted(project, image, maps.read_classes(box)[0]), grey[1]]
    gap = np.full((image.shape[0], 6, 3), 255, np.uint8)
    row = np.concatenate([part for panel in panels for part in (panel, gap)][:-1], 1)
    Image.fromarray(row).save(path, optimize=True)


def tinted(project: Project, image: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Lay the colours of the classes but the first over an image."""
    shown = np.repeat(image[..., None], 3, 2).astype(float)
    for label_class in project.classes[1:]:
        colour = [int(label_class.colour[i : i + 2], 16) for i in (1, 3, 5)]
        inside = classes == label_class.value
        shown[inside] = 0.45 * shown[inside] + 0.55 * np.array(colour)
    return shown.astype(np.uint8)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
