"""Prediction: tiles give what one whole pass gives, in maps, bins and single boxes."""

import itertools
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from rondel.loop import network
from rondel.loop.device import Device
from rondel.loop.engine import undone
from rondel.loop.network import plan_network
from rondel.loop.normalise import Normalisation
from rondel.loop.predict import Predictor, plan_tiles, predict, predict_box
from rondel.loop.uncertainty import quantise
from rondel.store.box import Box, Tile
from rondel.store.errors import Cancelled, ModelError
from rondel.store.maps import CARD, FEATURES, MapPlan, Maps
from rondel.store.settings import NetworkTable

from .images import make_volume, texture

CLASSES = ((1, "background", "#808080"), (2, "membrane", "#e63c3c"), (5, "organelle", "#3c8ce6"))
CPU = Device("cpu", False, 1, "CPU")
NORMAL = Normalisation((20.0,), (230.0,))
FILTERS = (4, 8, 12)


def random_weights(plan: network.NetworkPlan, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights that give varied answers, with batch-norm statistics as training leaves them behind."""
    rng = np.random.default_rng(seed)
    arrays = network.state(network.build(plan, seed))
    for name, values in arrays.items():
        if name.endswith("running_mean"):
            arrays[name] = rng.normal(0, 0.3, values.shape).astype(np.float32)
        elif name.endswith("running_var"):
            arrays[name] = rng.uniform(0.3, 2, values.shape).astype(np.float32)
        elif values.ndim == 1:
            arrays[name] = rng.normal(0.5, 0.5, values.shape).astype(np.float32)
    head = "output_block.conv.conv.weight"
    arrays[head] = (arrays[head] * 4).astype(np.float32)
    return arrays


class Case:
    """A volume, a network and an empty map of it."""

    def __init__(
        self, folder, shape, *, dims: Literal[2, 3] = 3, spacing=(10.0, 10.0, 10.0), box=(16, 16, 16), channels=1
    ) -> None:
        image = texture(shape) if channels == 1 else np.stack([texture(shape, c) for c in range(channels)])
        self.volume = make_volume(folder, image, spacing_nm=spacing)
        settings = NetworkTable(dims=dims, filters=FILTERS)
        self.plan = plan_network(settings, spacing, shape, channels, len(CLASSES))
        self.predictor = Predictor.load(self.plan, random_weights(self.plan), CPU)
        self.normalisation = Normalisation((20.0,) * channels, (230.0,) * channels)
        self.maps = Maps.create(folder, MapPlan.of(self.volume.record, 1, box, CLASSES))
        self.done: list[Box] = []

    @property
    def whole(self) -> Box:
        return self.volume.record.box

    def untiled(self) -> np.ndarray:
        """One pass over the whole volume, with the unfolded network: float32 (K, Z, Y, X)."""
        net = network.build(self.plan, 0)
        network.load_state(net, random_weights(self.plan))
        read = self.whole.snap_outwards(self.plan.stride)
        image = torch.from_numpy(self.normalisation.apply(self.volume.read_reflected(read)))
        with torch.inference_mode():
            found = net.eval()(image[None]).softmax(1)[0].numpy()
        return found[(slice(None), *self.whole.slices)]

    def features(self) -> np.ndarray:
        """What one pass over the whole volume sees, as many times as it stands for voxels: float32 (F, Z, Y, X)."""
        net = network.build(self.plan, 0)
        network.load_state(net, random_weights(self.plan))
        image = self.normalisation.apply(self.volume.read_reflected(self.whole.snap_outwards(self.plan.stride)))
        with torch.inference_mode():
            _, found = network.seeing(net.eval())(torch.from_numpy(image)[None])
        voxels = found[0].numpy()
        for axis, step in enumerate(self.plan.stride, 1):
            voxels = voxels.repeat(step, axis)
        return voxels[(slice(None), *self.whole.slices)]

    def tiles(self, write, region=None) -> list[Tile]:
        return plan_tiles(self.maps, region or self.whole, write, self.plan)

    def run(self, write, region=None, **options) -> int:
        tiles = self.tiles(write, region)
        return predict(
            self.volume, self.maps, self.predictor, self.normalisation,
            tiles=tiles, done=set(self.done), record=lambda tile: self.done.append(tile.write), **options,
        )  # fmt: skip


CASES: dict[str, tuple[tuple[int, int, int], dict[str, Any]]] = {
    "3-D": ((40, 56, 64), {}),
    "3-D, odd": ((33, 47, 61), {}),
    "3-D, thin": ((5, 50, 63), {"box": (5, 16, 16)}),
    "3-D, bins thinner than the stride": ((34, 40, 48), {"box": (6, 16, 16)}),
    "3-D, anisotropic": ((12, 60, 61), {"spacing": (40.0, 10.0, 10.0), "box": (4, 16, 16)}),
    "3-D, two channels": ((32, 33, 34), {"channels": 2}),
    "2-D, sections": ((6, 70, 61), {"dims": 2, "spacing": (50.0, 10.0, 10.0), "box": (1, 16, 16)}),
    "2-D, image": ((1, 90, 101), {"dims": 2, "box": (1, 16, 16)}),
}


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory) -> Case:
    shape, options = CASES[request.param]
    return Case(tmp_path_factory.mktemp("case"), shape, **options)


def test_tiled_equals_untiled(case):
    expected = case.untiled()
    assert expected.std() > 0.05  # the answers vary, so that wrong ones would show
    case.run((16, 32, 16), probabilities=True)
    found = case.maps.read_probabilities(case.whole) / 255
    assert np.abs(found - expected).max() <= 1 / 255
    top = np.sort(expected, 0)
    clear = top[-1] - top[-2] > 1 / 255
    labels = np.array([value for value, _, _ in CLASSES], np.uint8)[expected.argmax(0)]
    np.testing.assert_array_equal(case.maps.read_classes(case.whole)[clear], labels[clear])
    entropy = -(expected * np.log(np.maximum(expected, 1e-30))).sum(0) / np.log(len(CLASSES))
    assert np.abs(case.maps.read_uncertainty(case.whole) / 255 - entropy).max() <= 1 / 255


def test_bins_are_block_means_of_the_maps(case):
    case.run((16, 32, 16), probabilities=True)
    p = case.maps.read_probabilities(case.whole) / 255
    unsure = case.maps.read_uncertainty(case.whole) / 255
    classes = case.maps.read_classes(case.whole)
    image = case.normalisation.apply(case.volume.read(case.whole))[0]
    expected = {"valid": np.ones(image.shape), "entropy": unsure, "mean": image}
    expected |= {f"entropy:{v}": p[k] * unsure for k, (v, _, _) in enumerate(CLASSES)}
    expected |= {f"fraction:{v}": classes == v for v, _, _ in CLASSES}
    bins, step = case.maps.bins(), case.maps.plan.bin
    counts = [-(-n // b) for n, b in zip(image.shape, step)]
    assert bins.shape[1:] == tuple(counts)
    for index in itertools.product(*map(range, counts)):
        cell = Box.at([i * b for i, b in zip(index, step)], step).intersect(case.whole).slices
        found = dict(zip(case.maps.plan.statistics, bins[(slice(None), *index)].astype(float)))
        for name, voxels in expected.items():
            assert found[name] == pytest.approx(voxels[cell].mean(), abs=4e-3), name
        assert found["deviation"] == pytest.approx(image[cell].std(), abs=1e-3)


@pytest.mark.parametrize("write", [(16, 32, 16), (64, 16, 48)])
def test_features_of_bins_are_those_of_one_pass_however_tiles_are_cut(case, write):
    expected, names = case.features(), case.maps.plan.statistics
    case.done.clear()
    case.run(write)
    bins = case.maps.bins()[names.index("feature:0") :].astype(float)
    assert len(bins) == FEATURES and bins.std() > 0.05
    step = case.maps.plan.bin
    for index in np.ndindex(bins.shape[1:]):
        cell = Box.at([i * b for i, b in zip(index, step)], step).intersect(case.whole).slices
        means = expected[(slice(None), *cell)].mean((1, 2, 3))
        np.testing.assert_allclose(bins[(slice(None), *index)], means, atol=2e-3 * np.abs(expected).max())


@pytest.mark.parametrize("write", [(16, 32, 32), (64, 64, 64)])
def test_a_box_alone_agrees_with_the_maps_and_with_one_pass(case, write):
    case.run((16, 32, 16), probabilities=True)
    expected = case.untiled()
    for box in (case.whole, Box.at([n // 3 for n in case.whole.shape], [max(n // 2, 1) for n in case.whole.shape])):
        found = predict_box(case.volume, box, case.predictor, case.normalisation, write)
        assert found.dtype == np.float32
        assert np.abs(found - expected[(slice(None), *box.slices)]).max() < 1e-5  # one stride less of context: 1e-4
        assert np.abs(found - case.maps.read_probabilities(box) / 255).max() <= 1 / 255
        rounded = quantise(torch.from_numpy(found)).numpy().astype(int)
        assert np.abs(rounded - case.maps.read_probabilities(box)).max() <= 1


@pytest.fixture
def small(tmp_path) -> Case:
    return Case(tmp_path, (40, 40, 48))


def contents(case: Case) -> dict[str, bytes]:
    return {str(p.relative_to(case.maps.folder)): p.read_bytes() for p in case.maps.folder.rglob("*") if p.is_file()}


def test_a_run_that_was_stopped_goes_on_where_it_was_and_ends_equal(tmp_path, small):
    once = Case(tmp_path / "once", (40, 40, 48))
    once.run((16, 16, 16))
    with pytest.raises(Cancelled):
        small.run((16, 16, 16), cancelled=lambda: len(small.done) == 7)
    first = list(small.done)
    assert len(first) == 8  # the one that was being written
    seen = []
    small.run((16, 16, 16), progress=lambda done, total, unit: seen.append((done, total, unit)))
    assert sorted(small.done) == sorted({*small.done})
    assert small.done[:8] == first
    assert sorted(small.done) == sorted(once.done)
    assert contents(small) == contents(once)
    total = small.whole.voxels
    assert seen[0][0] > sum(box.voxels for box in first)
    assert seen[-1] == (total, total, "voxels")


def test_a_map_made_before_bins_held_features_is_filled_without_them(tmp_path, small):
    old = Case(tmp_path / "old", (40, 40, 48))
    plan = replace(old.maps.plan, volume="old", features=0)
    card = Maps.create(tmp_path, plan).folder / CARD
    fields = json.loads(card.read_text())
    del fields["features"]
    card.write_text(json.dumps(fields))
    old.maps = Maps.create(tmp_path, replace(plan, features=FEATURES))  # as a run that goes on does
    assert old.maps.plan == plan
    for case in (old, small):
        case.run((16, 16, 16))
    np.testing.assert_array_equal(old.maps.bins()[:], small.maps.bins()[:-FEATURES])


def test_a_tile_that_fails_while_written_is_done_again(tmp_path, small, monkeypatch):
    once = Case(tmp_path / "once", (40, 40, 48))
    once.run((16, 16, 16))
    write_bins = Maps.write_bins

    def fail_once(self, box, bins):
        if len(small.done) == 3:
            raise OSError("pulled the plug")
        write_bins(self, box, bins)

    monkeypatch.setattr(Maps, "write_bins", fail_once)
    with pytest.raises(OSError, match="plug"):
        small.run((16, 16, 16))
    assert len(small.done) == 3
    monkeypatch.setattr(Maps, "write_bins", write_bins)
    small.run((16, 16, 16))
    assert contents(small) == contents(once)


def test_a_tile_is_on_disk_when_it_is_recorded(small):
    def check(tile: Tile) -> None:
        fresh = Maps.open(small.maps.folder.parents[2], "scan", 1)
        assert fresh.read_classes(tile.write).all()
        place = tuple(slice(a // b, -(-c // b)) for a, c, b in zip(tile.write.start, tile.write.stop, (16, 16, 16)))
        assert (fresh.bins()[(0, *place)] == 1).all()

    predict(
        small.volume, small.maps, small.predictor, small.normalisation,
        tiles=small.tiles((16, 16, 16)), done=set(), record=check,
    )  # fmt: skip


def test_a_region_is_grown_to_whole_bins_and_nothing_else_is_touched(small):
    small.run((32, 32, 32), Box((4, 4, 4), (20, 30, 40)))
    valid = small.maps.bins()[0]
    assert set(np.unique(valid)) == {0, 1}
    assert valid[:2, :2, :3].all()
    assert valid.sum() == 12
    predicted = small.maps.read_classes(small.whole) > 0
    assert predicted[:32, :32, :48].all()
    assert predicted.sum() == 32 * 32 * 48


def test_tiles_cut_otherwise_are_passed_over_where_all_of_them_is_done(small):
    small.run((16, 16, 16), Box((0, 0, 0), (32, 40, 48)))
    due = undone(small.tiles((32, 16, 32)), set(small.done), small.maps.plan.bin)
    assert {tile.write.start[0] for tile in due} == {32}
    lost = small.done.pop(0)
    due = undone(small.tiles((32, 16, 32)), set(small.done), small.maps.plan.bin)
    assert [tile for tile in due if tile.write.start[0] == 0 and tile.write.contains(lost)]


class Counted(torch.nn.Module):
    """A network that counts how often it runs."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network, self.runs = network, 0

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.runs += 1
        return self.network(images)


def padded(folder: Path, channels: int) -> tuple[Case, Counted]:
    """A long volume of which three quarters are padding."""
    case = Case(folder, (16, 16, 192), channels=channels)
    shape = case.volume.record.shape
    image = np.stack([texture(shape, c) for c in range(channels)])
    image[..., :144] = np.arange(7, 7 + channels)[:, None, None, None]
    case.volume = make_volume(folder, image if channels > 1 else image[0], name="padded")
    case.predictor = replace(case.predictor, network=Counted(case.predictor.network))
    return case, case.predictor.network  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize("channels", [1, 2])
def test_the_network_runs_once_for_equal_blank_tiles_and_the_maps_are_as_if_it_ran_for_all(
    tmp_path, channels, monkeypatch
):
    case, network = padded(tmp_path / "one", channels)
    tiles = case.tiles((16, 16, 16))
    images = [case.volume.read_reflected(tile.read) for tile in tiles]
    blank = [np.ptp(image, axis=(1, 2, 3)).max() == 0 for image in images]
    different = {(tile.read.shape, tile.inner) for tile, empty in zip(tiles, blank) if empty}
    assert (len(tiles), sum(blank), len(different)) == (12, 7, 3)
    found = case.run((16, 16, 16), probabilities=True)
    assert found == sum(blank)
    assert network.runs == len(tiles) - sum(blank) + len(different)
    monkeypatch.setattr("rondel.loop.predict._blank", lambda image: ())
    every, network = padded(tmp_path / "every", channels)
    assert every.run((16, 16, 16), probabilities=True) == 0
    assert network.runs == len(tiles)
    assert contents(case) == contents(every)


def test_progress_may_stop_a_run(small):
    def stop(done: float, total: float, unit: str) -> None:
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        small.run((16, 16, 16), progress=stop)
    assert len(small.done) == 1


def test_values_that_are_no_numbers_are_never_written(small):
    arrays = random_weights(small.plan)
    arrays["output_block.conv.conv.bias"] = np.array([np.nan, 0, 0], np.float32)
    small.predictor = Predictor.load(small.plan, arrays, CPU)
    with pytest.raises(ModelError, match="no numbers"):
        small.run((16, 16, 16))
    assert not small.done
    assert not small.maps.read_classes(small.whole).any()


def test_bfloat16_stays_near_float32(small):
    exact = predict_box(small.volume, small.whole, small.predictor, small.normalisation, (64, 64, 64))
    half = Predictor.load(small.plan, random_weights(small.plan), Device("cpu", True, 1, "CPU"))
    found = predict_box(small.volume, small.whole, half, small.normalisation, (64, 64, 64))
    assert np.abs(found - exact).mean() < 0.01


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_processor(tmp_path, small):
    exact = predict_box(small.volume, small.whole, small.predictor, small.normalisation, (64, 64, 64))
    other = Case(tmp_path / "cuda", small.whole.shape)
    card = Device("cuda", False, os.cpu_count() or 1, "GPU")
    other.predictor = Predictor.load(small.plan, random_weights(small.plan), card)
    found = predict_box(other.volume, other.whole, other.predictor, other.normalisation, (64, 64, 64))
    assert np.abs(found - exact).max() <= 2 / 255
    for case in (small, other):
        case.run((16, 16, 16), probabilities=True)
    maps = [case.maps.read_probabilities(case.whole).astype(int) for case in (small, other)]
    assert np.abs(maps[0] - maps[1]).max() <= 2
    classes = [case.maps.read_classes(case.whole) for case in (small, other)]
    assert np.mean(classes[0] != classes[1]) < 0.001
    np.testing.assert_allclose(small.maps.bins()[:], other.maps.bins()[:], atol=0.01)
