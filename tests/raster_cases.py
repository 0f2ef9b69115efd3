"""Strokes that Python and JavaScript must rasterise alike, and the rule spelt out voxel by voxel as their oracle.

`python tests/raster_cases.py` writes raster_cases.json anew; each case there holds

    shape, spacing, points, radius, plane    the stroke, in voxels of the box, axes z, y, x
    region                                   its bounding region z0, y0, x0, z1, y1, x1; zeros where it misses the box
    count, crc                               voxels covered, and crc32 of the whole box's mask (bytes 0 and 1, C order)
"""

import json
import math
import random
import zlib
from itertools import product
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "raster_cases.json"
CASES = 300
SHAPES = ((12, 12, 12), (16, 9, 13), (1, 24, 24), (2, 17, 5), (5, 1, 20), (7, 11, 1), (1, 1, 1), (3, 32, 33))
SPACINGS = ((1.0, 1.0, 1.0), (10.0, 10.0, 10.0), (50.0, 4.6, 4.6), (8.0, 8.0, 4.0), (0.1, 0.3, 0.7), (40.0, 4.0, 4.0))
RADII = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 0.1, 7.25, 20.0)


def draw(number: int) -> dict[str, Any]:
    """Draw a stroke: points on voxel centres, between them and anywhere, some outside the box, some twice."""
    dice = random.Random(number)
    shape, spacing = dice.choice(SHAPES), dice.choice(SPACINGS)
    digits = dice.choice((0, 1, 3, 15))
    reach = dice.choice((0.0, 0.0, 3.0, 30.0))
    points = [[round(dice.uniform(-reach - 0.5, n - 0.5 + reach), digits) for n in shape]]
    for _ in range(dice.choice((0, 1, 1, 3, 6))):
        if dice.random() < 0.3:
            points.append(list(points[-1]))
            points[-1][dice.randrange(3)] += dice.choice((0.0, 1.0, -2.5))
        else:
            points.append([round(dice.uniform(-reach - 0.5, n - 0.5 + reach), digits) for n in shape])
    radius = dice.choice((*RADII, round(dice.uniform(0.5, 9), digits) or 0.5))
    return {
        "shape": list(shape),
        "spacing": list(spacing),
        "points": points,
        "radius": radius,
        "plane": dice.choice((0, 1, 2, 0, None)),
    }


def oracle(case: dict[str, Any]) -> bytearray:
    """Return the mask of the whole box, a byte a voxel, by asking each voxel about each segment."""
    shape, points, r, plane = case["shape"], case["points"], case["radius"], case["plane"]
    w = [s / min(case["spacing"]) for s in case["spacing"]]
    chosen = None if plane is None else math.floor(points[0][plane] + 0.5)
    mask = bytearray(math.prod(shape))
    for place, q in enumerate(product(*(range(n) for n in shape))):
        if plane is not None and q[plane] != chosen:
            continue
        mask[place] = any(inside(q, a, b, w, r, plane) for a, b in zip([points[0], *points], points))
    return mask


def inside(q, a, b, w, r, plane) -> bool:
    d = [0.0 if i == plane else w[i] * (b[i] - a[i]) for i in range(3)]
    p = [0.0 if i == plane else w[i] * (q[i] - a[i]) for i in range(3)]
    length = (d[0] * d[0] + d[1] * d[1]) + d[2] * d[2]
    t = min(1.0, max(0.0, ((p[0] * d[0] + p[1] * d[1]) + p[2] * d[2]) / length)) if length > 0 else 0.0
    e = [p[i] - t * d[i] for i in range(3)]
    return (e[0] * e[0] + e[1] * e[1]) + e[2] * e[2] <= r * r


def region(case: dict[str, Any]) -> list[int]:
    """Return the bounding region of a stroke, clipped to the box."""
    w = [s / min(case["spacing"]) for s in case["spacing"]]
    points, r, plane = case["points"], case["radius"], case["plane"]
    found = []
    for a, b in zip([points[0], *points], points):
        low = [max(0, math.floor(min(a[i], b[i]) - r / w[i])) for i in range(3)]
        high = [min(n, math.ceil(max(a[i], b[i]) + r / w[i]) + 1) for i, n in enumerate(case["shape"])]
        if plane is not None:
            chosen = math.floor(points[0][plane] + 0.5)
            low[plane], high[plane] = max(0, chosen), min(case["shape"][plane], chosen + 1)
        if all(start < stop for start, stop in zip(low, high)):
            found.append((low, high))
    if not found:
        return [0] * 6
    return [min(low[i] for low, _ in found) for i in range(3)] + [max(high[i] for _, high in found) for i in range(3)]


def answered(case: dict[str, Any]) -> dict[str, Any]:
    mask = oracle(case)
    return {**case, "region": region(case), "count": sum(mask), "crc": zlib.crc32(mask)}


def read() -> list[dict[str, Any]]:
    return json.loads(FILE.read_text())


if __name__ == "__main__":
    lines = ",\n".join(json.dumps(answered(draw(number)), separators=(",", ":")) for number in range(CASES))
    FILE.write_text(f"[\n{lines}\n]\n")
