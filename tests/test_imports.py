"""What the doors load: nothing slow, so that a verb answers at once."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from .doors import Rondel, rondel, trained_project

__all__ = ["rondel"]

SLOW = ("torch", "monai", "dask", "neuroglancer", "textual")
PROGRAM = f"""
import atexit, sys
atexit.register(lambda: print("loaded", *[m for m in {SLOW} if m in sys.modules], file=sys.stderr))
from rondel.tui.cli import main
sys.argv = ["rondel", *sys.argv[1:]]
main()
"""


@pytest.fixture
def cells(rondel: Rondel, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    shutil.copytree(trained_project(rondel, tmp_path_factory), tmp_path / "own")
    np.save(tmp_path / "own" / "box.npy", np.ones((12, 16, 16), np.uint8))
    return tmp_path / "own"


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        (),
        ("-p", "cells", "status"),
        ("-p", "cells", "next"),
        ("-p", "cells", "boxes", "list"),
        ("-p", "cells", "models", "list"),
        ("-p", "cells", "info"),
        ("-p", "cells", "config", "train.steps", "5"),
        ("-p", "cells", "label", "6", "--from", "box.npy"),
        ("-p", "cells", "history"),
        ("-p", "cells", "undo"),
        ("-p", "cells", "stop"),
        ("-p", "cells", "models", "use", "1"),
        ("-p", "cells", "export", "scan", "labels.tif", "--what", "labels"),
    ],
    ids=" ".join,
)
def test_verbs_load_nothing_slow(cells: Path, words: tuple[str, ...]) -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM, *words], cwd=cells, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.splitlines()[-1] == "loaded"


def test_the_probe_sees_what_is_loaded() -> None:
    ran = subprocess.run([sys.executable, "-c", f"import textual\n{PROGRAM}", "--help"], capture_output=True, text=True)
    assert ran.stderr.splitlines()[-1] == "loaded textual"
