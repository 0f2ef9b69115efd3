"""The brush covers exactly the voxels that the rule names, and the page's cases stay as they are."""

import random
import zlib

import numpy as np
import pytest
from rondel.store.box import Box
from rondel.viewer import brush, capsule

from . import raster_cases

CASES = raster_cases.read()


def whole(case) -> np.ndarray:
    region, mask = stroke(case)
    found = np.zeros(case["shape"], np.uint8)
    found[region.slices] = mask
    return found


def stroke(case):
    return brush.rasterise(tuple(case["shape"]), case["spacing"], case["points"], case["radius"], case["plane"])


@pytest.mark.parametrize("number", range(0, len(CASES), 10))
def test_the_brush_covers_what_the_golden_cases_say(number):
    for case in CASES[number : number + 10]:
        found = whole(case)
        region, _ = stroke(case)
        assert [*region.start, *region.stop] == case["region"]
        assert (int(found.sum()), zlib.crc32(found.tobytes())) == (case["count"], case["crc"]), case


def test_the_golden_cases_say_what_the_rule_spelt_out_says():
    for number in random.Random(0).sample(range(len(CASES)), 40):
        assert raster_cases.answered(raster_cases.draw(number)) == CASES[number]


def test_the_cases_reach_every_corner_of_the_rule():
    planes = {case["plane"] for case in CASES}
    assert planes == {None, 0, 1, 2} and len(CASES) == raster_cases.CASES
    assert sum(case["count"] == 0 for case in CASES) > 10
    assert sum(0 < case["count"] < np.prod(case["shape"]) for case in CASES) > 150
    assert any(len(case["points"]) == 1 for case in CASES) and any(len(case["points"]) > 6 for case in CASES)


def test_the_brush_equals_the_oracle_on_strokes_drawn_anew():
    for number in range(10_000, 10_040):
        case = raster_cases.draw(number)
        np.testing.assert_array_equal(whole(case).ravel(), np.frombuffer(raster_cases.oracle(case), np.uint8))


def test_half_a_voxel_of_radius_paints_one_voxel():
    region, mask = brush.rasterise((8, 8, 8), (1, 1, 1), [(3.0, 4.0, 5.0)], 0.5, None)
    assert np.argwhere(mask).tolist() == [[a - b for a, b in zip((3, 4, 5), region.start)]]


def test_a_sphere_is_round_in_space_on_thick_sections():
    region, mask = brush.rasterise((9, 41, 41), (40, 4, 4), [(4.0, 20.0, 20.0)], 15.0, None)
    extent = np.ptp(np.argwhere(mask), axis=0) + 1
    assert extent.tolist() == [3, 31, 31]


def test_a_flat_disc_stays_in_the_slice_of_its_first_point():
    region, mask = brush.rasterise((8, 8, 8), (1, 1, 1), [(2.5, 1.0, 1.0), (6.0, 6.0, 6.0)], 2.0, 0)
    assert (region.start[0], region.stop[0]) == (3, 4) and mask.any()


def test_a_stroke_beside_the_box_covers_nothing():
    region, mask = brush.rasterise((8, 8, 8), (1, 1, 1), [(2.0, 2.0, 30.0)], 3.0, None)
    assert region == Box((0, 0, 0), (0, 0, 0)) and mask.size == 0


def test_work_counts_the_voxels_that_are_looked_at():
    assert brush.work((8, 8, 8), (1, 1, 1), [(4.0, 4.0, 4.0), (4.0, 4.0, 5.0)], 1.0, None) == 3**3 + 3 * 3 * 4


def segments_drawn(dice: random.Random, shape) -> tuple[list[float], list[float]]:
    """Draw a segment: anywhere, on voxel centres, along an axis, nearly along one, or of next to no length."""
    a, b = ([dice.uniform(-20, n + 20) for n in shape] for _ in range(2))
    axis, kind = dice.randrange(3), dice.randrange(5)
    if kind in (1, 2, 3):
        a = [float(round(v)) for v in a]
        b = [float(round(v)) for v in b]
    if kind in (2, 3):
        b = [v if i == axis else a[i] for i, v in enumerate(b)]
    if kind == 3:
        b[axis - 1] += dice.choice((1e-15, 3e-15, 1e-9, 1e-7))
    if kind == 4:
        b = [v + dice.choice((0.0, 1e-12, 1e-9, 1e-3)) for v in a]
    return a, b


@pytest.mark.parametrize("seed", range(4))
def test_the_shortcut_for_large_strokes_equals_the_rule(seed, monkeypatch):
    dice, hit = random.Random(seed), 0
    for _ in range(100):
        shape = dice.choice(((40, 30, 40), (20, 60, 40), (64, 30, 30)))
        w = dice.choice(((1.0, 1.0, 1.0), (11.0, 1.0, 1.0), (1.0, 1.0, 2.5), (2.0, 1.3, 1.0)))
        radius = dice.choice((5.0, 13.0, 25.0, 3.5, dice.uniform(2.1, 40)))
        a, b = segments_drawn(dice, shape)
        found = capsule.near(Box.of_shape(shape), w, a, b, radius, None)
        with monkeypatch.context() as patch:
            patch.setattr(capsule, "MANY", 1 << 40)
            wanted = capsule.near(Box.of_shape(shape), w, a, b, radius, None)
        np.testing.assert_array_equal(found, wanted)
        hit += bool(wanted.any())
    assert hit > 40
