"""A ranking predicts a pool of candidates that does not grow with the volume."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from rondel.loop import device, mapping, rounds
from rondel.loop.loaded import load
from rondel.store import label_boxes, ledger, maps, settings_file
from rondel.store import project as projects
from rondel.store.box import Box
from rondel.store.errors import UsageError
from rondel.store.project import Project, open_project
from rondel.store.records import Purpose, State

from . import small_rounds
from .images import make_volume, texture
from .small_predicted import save_model
from .small_rounds import SHAPE, Quiet

CELL = 32 * 64 * 64


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pool") / "cells"
    small_rounds.make_labelled(folder)
    settings_file.change(folder / "project.toml", "train.steps", "4")
    settings_file.change(folder / "project.toml", "rank.candidates", str(4 * CELL // 16**3))
    with open_project(folder) as project:
        known = label_boxes.select(project.database)
        places = [Box.at((8, y, x), (16, 16, 16)) for y in (0, 160) for x in (8, 120, 240)]
        free = [place for place in places if not any(place.overlaps(row.box) for row in known)]
        tests = [replace(known[0], box=place, purpose=Purpose.TEST, state=State.PROPOSED) for place in free]
        label_boxes.add(project.database, tests)
        rounds.work_round(project, {}, Quiet())
    return folder


def predicted(project: Project) -> np.ndarray:
    opened = maps.Maps.open(project.folder, "scan", 1)
    return np.asarray(opened.bins()[opened.plan.statistics.index("valid")]) == 1


def test_a_round_predicts_as_much_as_the_pool_holds_and_proposes_from_it(labelled):
    with open_project(labelled) as project:
        valid = predicted(project)
        cells = [valid[:, y : y + 4, x : x + 4] for y in range(0, 12, 4) for x in range(0, 16, 4)]
        whole = [cell for cell in cells if cell.all()]
        waiting = [row for row in rounds.waiting_boxes(project) if row.purpose == Purpose.TEST]
        assert len(whole) == 4 < len(cells) == np.prod(SHAPE) // CELL
        assert len(waiting) > 2 and valid.mean() < 0.6
        proposed = label_boxes.select(project.database, round=2, purpose=Purpose.TRAIN)
        assert len(proposed) == 3
        for row in (*proposed, *waiting):
            assert valid[tuple(slice(a // 16, -(-b // 16)) for a, b in zip(row.box.start, row.box.stop))].all()


def test_proposing_more_boxes_in_the_round_predicts_nothing_anew(labelled):
    with open_project(labelled) as project:
        before = ledger.done_tiles(project.database, "scan", 1)
        rounds.work_rank(project, {"count": 1}, Quiet())
        assert ledger.done_tiles(project.database, "scan", 1) == before


def test_where_boxes_wait_everywhere_the_region_is_predicted_once(labelled):
    with open_project(labelled) as project:
        forget(project)
        first = label_boxes.select(project.database)[0]
        boxes = [Box.at((0, y, x), (32, 32, 32)) for y in range(0, 192, 32) for x in range(0, 256, 32)]
        rows = [replace(first, id=0, box=box, state=State.PROPOSED) for box in boxes]
        ids = label_boxes.add(project.database, rows)
        rounds.work_rank(project, {"count": 1}, Quiet())
        assert sum(box.voxels for box in ledger.done_tiles(project.database, "scan", 1)) == np.prod(SHAPE)
        for id in ids:
            label_boxes.move(project.database, id, State.DROPPED, "test")


def test_when_the_time_is_up_no_further_cell_is_begun(labelled):
    with open_project(labelled) as project:
        forget(project)
        rounds.work_rank(project, {"count": 1, "within": 1e-6}, Quiet())
        assert len(ledger.done_tiles(project.database, "scan", 1)) == 1


def test_without_a_limit_all_is_predicted(labelled):
    settings_file.change(labelled / "project.toml", "rank.candidates", "0")
    with open_project(labelled) as project:
        rounds.work_rank(project, {"count": 1}, Quiet())
        assert predicted(project).all()


def test_a_project_may_choose_boxes_unlike_its_labelled_ones(labelled):
    settings_file.change(labelled / "project.toml", "rank.strategy", "diverse")
    with open_project(labelled) as project:
        before = len(label_boxes.select(project.database))
        rounds.work_rank(project, {"count": 2}, Quiet())
        added = sorted(label_boxes.select(project.database), key=lambda row: row.id)[before:]
        assert [row.strategy for row in added] == ["diverse", "diverse"]
        assert all(row.reason.startswith(("unlike the boxes so far", "like another box")) for row in added)


def test_a_map_made_before_bins_held_features_is_ranked_by_the_other_strategies(labelled):
    with open_project(labelled) as project:
        card = maps.map_folder(project.folder, "scan", 1) / maps.CARD
        fields = json.loads(card.read_text())
        del fields["features"]
        card.write_text(json.dumps(fields))
        with pytest.raises(UsageError, match="before bins held features") as refused:
            rounds.work_rank(project, {"count": 1}, Quiet())
        assert "remove the folder maps/scan" in refused.value.hint
    settings_file.change(labelled / "project.toml", "rank.strategy", "entropy")
    with open_project(labelled) as project:
        rounds.work_rank(project, {"count": 1}, Quiet())
        assert maps.Maps.open(project.folder, "scan", 1).plan.features == 0
        forget(project)


REGION = Box((0, 0, 0), (32, 64, 64))


def test_probabilities_are_kept_with_what_is_predicted_where_boxes_on_show_would_cost_more(labelled):
    with open_project(labelled) as project:
        forget(project)
        mapping.predict_volume(project, "scan", 1, Quiet(), region=REGION, shown=10)
        assert ledger.done_tiles(project.database, "scan", 1, probabilities=True)
        row = label_boxes.select(project.database)[0]
        boxes = [replace(row, box=Box.at(start, (16, 16, 16))) for start in ((0, 32, 16), (0, 128, 128))]
        opened, told = maps.Maps.open(project.folder, "scan", 1), Told()
        kept = opened.read_probabilities(boxes[0].box)
        mapping.keep_probabilities(project, 1, boxes, told)
        assert told.stages == ["probabilities of the boxes"], "only the box that lies elsewhere is predicted"
        assert opened.read_probabilities(boxes[1].box).any()
        forget(project)
        mapping.keep_probabilities(project, 1, boxes, told)
        again = maps.Maps.open(project.folder, "scan", 1).read_probabilities(boxes[0].box)
        assert np.abs(kept.astype(int) - again).max() <= 1


def test_what_was_predicted_without_probabilities_is_not_predicted_again_for_them(labelled):
    with open_project(labelled) as project:
        forget(project)
        mapping.predict_volume(project, "scan", 1, Quiet(), region=REGION)
        before = project.database.changes()["tile"]
        assert ledger.done_tiles(project.database, "scan", 1, probabilities=True) == set()
        mapping.predict_volume(project, "scan", 1, Quiet(), region=REGION, shown=10)
        assert project.database.changes()["tile"] == before


def test_no_tile_of_a_pool_takes_more_memory_than_is_set(tmp_path):
    shape, gigabytes = (1, 640, 640), 0.005
    with projects.create(tmp_path / "cells", ["dark", "bright"]) as project:
        told = {"network.filters": "4,8,8", "predict.memory_gb": str(gigabytes)}
        told |= {"predict.precision": "float32", "predict.backend": "torch"}
        for key, value in told.items():
            settings_file.change(project.folder / "project.toml", key, value)
        projects.add_volume(project, make_volume(project.folder, texture(shape)).record)
    with open_project(tmp_path / "cells") as project:
        save_model(project, 0, shape)
        # The first cell drawn lies at a border, where a tile reads less than one inside.
        mapping.predict_pool(project, "scan", 1, Quiet(), mapping.Limit(48 * 64 * 64, math.inf, seed=1, shown=0))
        predictor = load(project, 1).predictor
        reads = [
            box.grow(predictor.plan.halo).intersect(Box.of_shape(shape))
            for box in ledger.done_tiles(project.database, "scan", 1)
        ]
        need = device.bytes_per_voxel(predictor.plan, predictor.device)
    assert len({box.shape for box in reads}) > 1
    assert max(box.voxels for box in reads) * need <= gigabytes * 1e9


def forget(project: Project) -> None:
    ledger.forget_tiles(project.database, "scan", 1)
    maps.remove(project.folder, "scan", 1)


class Told(Quiet):
    """Remembers the stages that it was told of."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def __call__(self, stage: str, done: float, total: float, unit: str, text: str = "") -> None:
        self.stages.append(stage)
