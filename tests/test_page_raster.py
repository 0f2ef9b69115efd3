"""The page paints the same voxels as the server, and tells them by the same checksum."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from . import raster_cases

VIEWER = Path(__file__).parent.parent / "viewer"
SCRIPT = """
import fs from "node:fs";
import { crcOf, paintStroke, strokeRegion, weights, whole } from %s;
const answers = JSON.parse(fs.readFileSync(0)).map((given) => {
  const { shape, spacing } = given;
  const stroke = { ...given, value: 1, only: null };
  const voxels = new Uint8Array(shape[0] * shape[1] * shape[2]);
  paintStroke(voxels, shape, weights(spacing), stroke);
  const region = strokeRegion(shape, weights(spacing), stroke);
  return {
    region: [...region.start, ...region.stop],
    count: voxels.reduce((sum, v) => sum + v, 0),
    crc: crcOf(voxels, shape, whole(shape)),
  };
});
console.log(JSON.stringify(answers));
"""


@pytest.fixture(scope="module")
def painted() -> list[dict]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node here")
    script = SCRIPT % json.dumps((VIEWER / "raster.js").as_uri())
    words = [node, "--input-type=module", "-e", script]
    given = json.dumps(raster_cases.read())
    return json.loads(subprocess.run(words, input=given, capture_output=True, text=True, check=True, timeout=60).stdout)


@pytest.mark.parametrize("what", ["region", "count", "crc"])
def test_strokes_cover_the_same_voxels_on_the_page(painted: list[dict], what: str):
    cases = raster_cases.read()
    assert len(painted) == len(cases) >= 300
    wrong = [case for case, answer in zip(cases, painted) if answer[what] != case[what]]
    assert not wrong
