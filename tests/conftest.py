"""Small real projects that tests work on."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait leave the processor to other processes

for number in (signal.SIGINT, signal.SIGHUP):  # ignored where tests run in the background, and by all that they start
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)

from rondel.store import label_boxes  # noqa: E402
from rondel.store import project as projects  # noqa: E402
from rondel.store.box import Box  # noqa: E402
from rondel.store.edits import Stroke  # noqa: E402
from rondel.store.project import Project  # noqa: E402
from rondel.store.records import EditKind, LabelBox, Purpose, State, VolumeRecord  # noqa: E402

from .browser import chromium, screen, server, shared_server  # noqa: E402, F401

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"

RECORD = VolumeRecord(
    name="scan",
    url="scan.ome.zarr",
    imported=False,
    level=0,
    time=None,
    channels=(0,),
    axes="zyx",
    shape=(40, 70, 80),
    chunks=(40, 64, 64),
    dtype="uint8",
    spacing_nm=(10.0, 10.0, 10.0),
    translation_nm=(0.0, 0.0, 0.0),
    unit="nanometer",
    intensities=((0.0, 255.0),),
)


@pytest.fixture(scope="session", autouse=True)
def taste(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what whoever runs the tests likes out of them, and what they choose out of their home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project of three classes with one volume whose image is never read."""
    with projects.create(tmp_path / "cells", ["background", "membrane", "organelle"]) as made:
        projects.add_volume(made, RECORD)
        yield made


@pytest.fixture
def box(project: Project) -> LabelBox:
    return add_box(project, Box((4, 8, 8), (20, 40, 40)))


def add_box(project: Project, region: Box, **changes) -> LabelBox:
    label_box = LabelBox(0, "scan", region, 1, Purpose.TRAIN, State.PROPOSED, 0.5, "for a test")
    return label_boxes.get(project.database, label_boxes.add(project.database, [replace(label_box, **changes)])[0])


def stroke(region: Box, value: int, number: int, *, person: str = "ann", box: int | None = None, mask=None) -> Stroke:
    """A stroke that paints one value over a region, or over the mask's part of it."""
    mask = np.ones(region.shape, bool) if mask is None else mask
    values = np.full(region.shape, value, np.uint8)
    return Stroke(EditKind.PAINT, "scan", region, mask, values, person, f"client-{person}", number, box)
