import itertools
import math

import pytest
from rondel.loop.pool import CELLS, cell_shape, cells
from rondel.store.box import Box

REGION = Box((10, 0, 100), (500, 640, 900))


def test_cells_cover_the_region_once():
    found = list(cells(REGION, (64, 128, 64), 0))
    assert sum(cell.voxels for cell in found) == REGION.voxels
    assert all(REGION.contains(cell) for cell in found)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(found, 2))
    assert all(cell.start[1] % 128 == 0 for cell in found)


@pytest.mark.parametrize("seed", range(5))
def test_every_beginning_is_spread_over_the_region(seed):
    region = Box((0, 0, 0), (1024, 1024, 1024))
    found = list(itertools.islice(cells(region, (64, 64, 64), seed), 64))
    for axis in range(3):
        halves = sum(cell.start[axis] < 512 for cell in found)
        assert 28 <= halves <= 36  # drawn at random it would lie outside of this every third time
    eighths = {tuple(start // 512 for start in cell.start) for cell in found[:24]}
    assert len(eighths) == 8


def test_equal_seeds_draw_equal_cells_and_others_others():
    assert list(cells(REGION, (64, 64, 64), 3)) == list(cells(REGION, (64, 64, 64), 3))
    assert list(cells(REGION, (64, 64, 64), 3)) != list(cells(REGION, (64, 64, 64), 4))


@pytest.mark.parametrize(
    "chunks, shape, voxels, expected",
    [
        ((64, 64, 64), (4096, 4096, 4096), 24 * 128**3, (128, 128, 128)),
        ((64, 64, 64), (4096, 4096, 4096), 1, (64, 64, 64)),
        ((1, 64, 64), (1, 4096, 4096), 24 * 256**2, (1, 256, 256)),
        ((20, 64, 64), (20, 4096, 4096), 24 * 20 * 256**2, (20, 256, 256)),
    ],
)
def test_a_cell_is_whole_chunks_and_a_pool_holds_many(chunks, shape, voxels, expected):
    found = cell_shape(chunks, Box.of_shape(shape), voxels)
    assert found == expected
    assert found == tuple(chunks) or math.prod(found) * CELLS <= voxels


def test_a_huge_volume_is_drawn_from_without_listing_its_cells():
    region = Box((0, 0, 0), (20_000, 20_000, 20_000))
    assert len(set(itertools.islice(cells(region, (128, 128, 128), 0), 300))) == 300
