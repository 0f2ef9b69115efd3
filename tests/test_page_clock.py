"""Painting time counts what a person does, and no pause."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

VIEWER = Path(__file__).parent.parent / "viewer"
SCRIPT = """
import { Clock } from %s;
let now = 0;
const clock = new Clock(() => now * 1000);
const counted = %s.map((at) => { now = at; clock.tick(); return clock.seconds; });
console.log(JSON.stringify([...counted, clock.take(), clock.seconds]));
"""


@pytest.mark.parametrize(
    "happened, counted",
    [
        ([0, 1, 2.5], [0, 1, 2.5, 2.5, 0]),
        ([100], [0, 0, 0]),
        ([0, 19, 60, 61], [0, 19, 19, 20, 20, 0]),
        ([0, 3600, 3601], [0, 0, 1, 1, 0]),
    ],
)
def test_idle_time_is_not_counted(happened: list[float], counted: list[float]):
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node here")
    script = SCRIPT % (json.dumps((VIEWER / "clock.js").as_uri()), json.dumps(happened))
    done = subprocess.run(
        [node, "--input-type=module", "-e", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout) == pytest.approx(counted)
