import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rondel.store import ngff, pyramid
from rondel.store.box import Box
from rondel.store.errors import VolumeError

from .foreign import digest


def make(path: Path, array: np.ndarray, kind, chunk: int = 16, levels: int = 4, spacing=(20, 10, 10)) -> Path:
    ngff.create_multiscale(
        path, name="a", axes="zyx" if array.ndim == 3 else "czyx", shape=array.shape,
        chunks=(1,) * (array.ndim - 3) + (chunk,) * 3, dtype=array.dtype.name, spacing_nm=spacing, unit="nanometer",
        levels=levels, kind=kind,
    )  # fmt: skip
    ngff.open_array(path / "s0", write=True).write(array).result()
    return path


def levels_of(path: Path) -> list[np.ndarray]:
    return [ngff.open_array(path / level.path).read().result() for level in ngff.read_metadata(path).levels]


def blocks(array: np.ndarray, factor):
    """Yield the coarse index and the voxels of every block, cut ones at the far end too."""
    coarse = [-(-n // f) for n, f in zip(array.shape, factor)]
    for index in itertools.product(*(range(n) for n in coarse)):
        yield index, array[tuple(slice(i * f, (i + 1) * f) for i, f in zip(index, factor))].ravel()


def slow_mode(values: np.ndarray) -> int:
    counts = np.bincount(values)
    return int(max(np.flatnonzero(counts == counts.max())))


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 7)] * 3),
    factor=st.tuples(*[st.integers(1, 2)] * 3),
    seed=st.integers(0, 999),
)
def test_mode_is_the_most_frequent_value_of_a_block_and_ties_go_to_the_larger(shape, factor, seed):
    labels = np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint8)
    coarse = pyramid.mode(labels, factor)
    for index, values in blocks(labels, factor):
        assert coarse[index] == slow_mode(values)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 7)] * 3),
    factor=st.tuples(*[st.integers(1, 2)] * 3),
    dtype=st.sampled_from(["uint8", "uint16", "int16", "uint32", "float32"]),
)
def test_mean_is_the_mean_of_a_block_and_rounds_half_up(shape, factor, dtype):
    top = 250 if dtype == "uint8" else 30000
    image = np.random.default_rng(1).integers(-top if dtype == "int16" else 0, top, shape).astype(dtype)
    coarse = pyramid.mean(image, factor)
    assert coarse.dtype == image.dtype
    for index, values in blocks(image, factor):
        exact = values.astype(np.float64).mean()
        assert coarse[index] == pytest.approx(exact if dtype == "float32" else np.floor(exact + 0.5), rel=1e-6)


@pytest.mark.parametrize("kind", ["mode", "mean"])
def test_a_refreshed_pyramid_equals_one_built_anew(tmp_path: Path, kind):
    rng = np.random.default_rng(2)
    array = rng.integers(0, 4, (21, 45, 38)).astype(np.uint8)
    path = make(tmp_path / "a.zarr", array, kind)
    pyramid.build(path)
    for box in (Box((3, 5, 7), (4, 6, 8)), Box((15, 20, 1), (21, 45, 30)), Box((0, 0, 0), (0, 0, 0))):
        array[box.slices] = rng.integers(0, 4, box.shape)
        ngff.open_array(path / "s0", write=True)[box.slices].write(array[box.slices]).result()
        pyramid.refresh(path, box)
    fresh = make(tmp_path / "b.zarr", array, kind)
    pyramid.build(fresh)
    for refreshed, built in zip(levels_of(path), levels_of(fresh)):
        assert np.array_equal(refreshed, built)


def test_odd_shapes_round_up_and_every_level_comes_from_the_finer_one(tmp_path: Path):
    image = np.random.default_rng(3).integers(0, 255, (2, 9, 33, 35)).astype(np.uint16)
    path = make(tmp_path / "a.zarr", image, "image", spacing=(10, 10, 10))
    pyramid.build(path)
    levels = levels_of(path)
    assert [a.shape for a in levels] == [(2, 9, 33, 35), (2, 5, 17, 18), (2, 3, 9, 9), (2, 2, 5, 5)]
    for fine, coarse in zip(levels, levels[1:]):
        assert np.array_equal(coarse, pyramid.mean(fine, (2, 2, 2)))


def test_refresh_writes_only_the_chunks_above_the_box(tmp_path: Path):
    labels = np.random.default_rng(4).integers(1, 4, (32, 64, 64)).astype(np.uint8)
    path = make(tmp_path / "a.zarr", labels, "mode", levels=2, spacing=(10, 10, 10))
    pyramid.build(path)
    before = digest(path)
    box = Box((0, 0, 0), (10, 10, 10))
    labels[box.slices] = 7
    ngff.open_array(path / "s0", write=True)[box.slices].write(labels[box.slices]).result()
    pyramid.refresh(path, box)
    after = digest(path)
    changed = {Path(p).relative_to(path).as_posix() for p in after if after[p] != before.get(p)}
    assert changed == {"s0/c/0/0/0", "s1/c/0/0/0"}


def test_erasing_everything_empties_the_coarse_levels(tmp_path: Path):
    path = make(tmp_path / "a.zarr", np.full((8, 32, 32), 2, np.uint8), "mode")
    pyramid.build(path)
    ngff.open_array(path / "s0", write=True).write(np.zeros((8, 32, 32), np.uint8)).result()
    pyramid.refresh(path, Box.of_shape((8, 32, 32)))
    assert not any(level.any() for level in levels_of(path))


def test_progress_reaches_its_total_and_can_cancel(tmp_path: Path):
    path = make(tmp_path / "a.zarr", np.ones((16, 40, 40), np.uint8), "mode")
    seen: list[tuple[float, float]] = []
    pyramid.build(path, lambda done, total, unit: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1]

    def stop(done: float, total: float, unit: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pyramid.build(path, stop)


def test_a_foreign_pyramid_of_other_factors_is_refused(tmp_path: Path):
    from .foreign import write_image

    fine = np.zeros((9, 9, 9), np.uint8)
    path = write_image(tmp_path / "f.zarr", [fine, fine[::3, ::3, ::3]], "zyx", scales=[(1, 1, 1), (3, 3, 3)])
    with pytest.raises(VolumeError, match="blocks of 2"):
        pyramid.build(path)
