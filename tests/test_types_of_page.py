"""The page's JavaScript has the types that its comments declare."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

VIEWER = Path(__file__).parent.parent / "viewer"
STRICT = "--noEmit --allowJs --checkJs --strict --noUnusedLocals --noUnusedParameters"
LANGUAGE = "--target es2022 --module es2022 --moduleResolution bundler --lib es2022,dom,dom.iterable"


def compiler() -> list[str] | None:
    """Find typescript's compiler: on the path, or installed where npx looks; nothing is downloaded."""
    if found := shutil.which("tsc"):
        return [found]
    if not (npx := shutil.which("npx")):
        return None
    words = [npx, "--no-install", "tsc"]
    there = subprocess.run([*words, "--version"], capture_output=True, timeout=60).returncode == 0
    return words if there else None


def test_types_of_the_page():
    words = compiler()
    if words is None:
        pytest.skip("no typescript here: npm install -g typescript")
    files = sorted(map(str, VIEWER.glob("*.js")))
    assert files
    checked = subprocess.run(
        [*words, *STRICT.split(), *LANGUAGE.split(), *files],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"NO_COLOR": "1"},
    )
    assert checked.returncode == 0, checked.stdout
