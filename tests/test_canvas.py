"""The box being painted is served whole, chunk by chunk and revision by revision."""

import numpy as np
import pytest
from rondel.store.box import Box
from rondel.viewer.canvas import Canvas


def canvas(shape) -> Canvas:
    voxels = np.random.default_rng(0).integers(0, 4, shape, np.uint8)
    return Canvas(3, Box.at((4, 5, 6), shape), "scan", voxels)


@pytest.mark.parametrize(
    ("shape", "chunk", "grid"),
    [
        ((96, 96, 96), (32, 32, 32), (3, 3, 3)),
        ((33, 10, 64), (32, 10, 32), (2, 1, 2)),
        ((1, 300, 128), (1, 128, 128), (1, 3, 1)),
        ((2, 5, 7), (2, 5, 7), (1, 1, 1)),
    ],
)
def test_chunks_put_together_are_the_box_and_zeros_around_it(shape, chunk, grid):
    painted = canvas(shape)
    assert (painted.chunk_shape, painted.grid) == (chunk, grid)
    together = np.zeros([n * c for n, c in zip(grid, chunk)], np.uint8)
    for index in np.ndindex(grid):
        cell = Box.at([i * c for i, c in zip(index, chunk)], chunk)
        together[cell.slices] = np.frombuffer(painted.chunk(index), np.uint8).reshape(chunk)
    np.testing.assert_array_equal(together[Box.of_shape(shape).slices], painted.voxels)
    together[Box.of_shape(shape).slices] = 0
    assert not together.any()


@pytest.mark.parametrize("index", [(3, 0, 0), (0, -1, 0), (0, 0), (0, 0, 0, 0)])
def test_a_chunk_off_the_grid_is_an_error(index):
    with pytest.raises(IndexError, match="grid"):
        canvas((96, 96, 96)).chunk(index)


def test_an_edit_makes_a_new_revision_and_leaves_the_old_one_as_it_was():
    painted = canvas((8, 8, 8))
    before, kept = painted.voxels, painted.voxels.copy()
    painted.put(Box((1, 2, 3), (2, 4, 6)), np.full((1, 2, 3), 9, np.uint8))
    np.testing.assert_array_equal(before, kept)
    assert painted.revision == 1 and (painted.voxels == 9).sum() == 6 and (painted.voxels[1, 2:4, 3:6] == 9).all()
    with pytest.raises(ValueError, match="read-only"):
        painted.voxels[0, 0, 0] = 1
