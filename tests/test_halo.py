"""A smaller context is a setting; what it costs in truth is measured by direct comparison."""

import re
from pathlib import Path

import numpy as np
import pytest
from rondel.loop import halo as halos
from rondel.loop import mapping
from rondel.loop.predict import plan_tiles
from rondel.store import maps, settings_file
from rondel.store.box import Box
from rondel.store.project import open_project
from rondel.store.settings import PredictTable

from . import small_rounds
from .doors import Rondel, rondel
from .small_rounds import Quiet
from .test_predict import Case

__all__ = ["rondel"]

WRITE, SMALL = (16, 16, 32), (4, 4, 4)


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Case:
    return Case(tmp_path_factory.mktemp("case"), (48, 48, 64))


def tiled(case: Case, halo, write=WRITE) -> np.ndarray:
    """Predict all tiles of the volume with this context, float32 (K, Z, Y, X)."""
    answer = np.empty((case.plan.classes, *case.whole.shape), np.float32)
    for tile in plan_tiles(case.maps, case.whole, write, case.plan, halo):
        found = case.predictor.forward(case.volume.read_reflected(tile.read), case.normalisation).probabilities
        answer[(slice(None), *tile.write.slices)] = found[(slice(None), *tile.inner.slices)].numpy()
    return answer


def test_the_default_is_exact_and_more_than_exact_is_not_read(case):
    exact = case.plan.halo
    assert halos.chosen(case.plan, PredictTable()) == exact
    assert halos.chosen(case.plan, PredictTable(halo=exact[0] + 1)) == exact
    assert halos.chosen(case.plan, PredictTable(halo=3)) == (3, 3, 3)
    assert plan_tiles(case.maps, case.whole, WRITE, case.plan) == plan_tiles(
        case.maps, case.whole, WRITE, case.plan, exact
    )


@pytest.mark.parametrize("halo", [SMALL, (0, 0, 0)])
def test_the_measured_error_is_that_of_tiles_predicted_so_and_exactly(case, halo):
    exact, less = case.untiled(), tiled(case, halo)
    place = (slice(None), *halos.sample(case.whole.shape, WRITE).slices)
    found = halos.measure(case.volume, case.predictor, case.normalisation, WRITE, halo)
    assert found.difference == pytest.approx(np.abs(less - exact)[place].mean(), rel=1e-3)
    assert found.changed == pytest.approx((less.argmax(0) != exact.argmax(0))[place[1:]].mean(), abs=1e-4)
    assert found.difference > 1e-4


def test_tiles_of_less_context_stay_on_the_strides_and_differ_only_where_they_meet(case):
    write = (48, 48, 32)
    tiles = plan_tiles(case.maps, case.whole, write, case.plan, SMALL)
    edges = [edge for tile in tiles for edge in zip(tile.read.start, tile.read.stop, case.plan.stride)]
    assert len(tiles) == 2 and all(a % s == b % s == 0 for a, b, s in edges)
    wrong = np.abs(tiled(case, SMALL, write) - case.untiled()).max(0) > 1e-4
    far = case.plan.halo[2]
    assert wrong[:, :, 32 - far : 32 + far].any()
    assert not wrong[:, :, : 32 - far].any() and not wrong[:, :, 32 + far :].any()


def test_a_sample_lies_where_tiles_meet():
    assert halos.sample((100, 100, 100), (64, 64, 100)) == Box((40, 40, 26), (88, 88, 74))
    assert halos.sample((1, 65, 30), (1, 64, 30)) == Box((0, 17, 0), (1, 65, 30))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("halo") / "cells"
    small_rounds.make_labelled(folder)
    settings_file.change(folder / "project.toml", "train.steps", "4")
    settings_file.change(folder / "project.toml", "rank.candidates", "1")
    with open_project(folder) as project:
        small_rounds.run_round(project)
    return folder


def test_prediction_and_doctor_say_what_less_context_costs(rondel: Rondel, trained: Path):
    assert rondel("-p", trained, "config", "predict.halo", "4").code == 0
    told = rondel("-p", trained, "predict", "scan").out
    assert "context of 4 x 4 x 4, by [predict] halo: " in told and "of voxels where tiles meet change class" in told
    told = rondel("-p", trained, "doctor").out
    assert "of voxels where tiles meet change class" in " ".join(told.split())
    assert re.search(r" 0 of \d tiles, ", rondel("-p", trained, "predict", "scan").out)
    refused = rondel("-p", trained, "config", "predict.halo", "some")
    assert refused.code != 0 and "halo" in refused.err


def test_a_map_with_more_context_than_is_set_is_kept_and_said_to_be_exact(trained: Path):
    for n, halo in enumerate(("exact", "4", "exact")):
        settings_file.change(trained / "project.toml", "predict.halo", halo)
        with open_project(trained) as project:
            if n == 0:
                maps.remove(project.folder, "scan", 1)
            found = mapping.predict_volume(project, "scan", 1, Quiet())
        assert (found["computed"], "lost" in found) == (0 if n else found["tiles"], False)


def test_a_map_begun_with_less_context_is_made_anew_once_more_is_set(trained: Path):
    for halo, less in (("4", True), ("exact", False)):
        settings_file.change(trained / "project.toml", "predict.halo", halo)
        with open_project(trained) as project:
            if less:
                maps.remove(project.folder, "scan", 1)
            found = mapping.predict_volume(project, "scan", 1, Quiet())
        assert (found["computed"], "lost" in found) == (found["tiles"], less)
