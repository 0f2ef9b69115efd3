"""What other systems fell into: labels lost or misplaced, volumes skipped, scores that flatter, paint that was none."""

import os

import numpy as np
import pytest
import torch
from rondel.loop import judge, learn, rounds
from rondel.loop.device import prepare
from rondel.loop.loaded import Loaded
from rondel.loop.losses import known_loss
from rondel.loop.network import plan_network
from rondel.loop.normalise import Normalisation
from rondel.loop.predict import Predictor, plan_tiles, predict
from rondel.store import atomic, edits, label_boxes, labels, ledger, models
from rondel.store import project as projects
from rondel.store.box import Box
from rondel.store.errors import LabelError, VolumeError
from rondel.store.maps import MapPlan, Maps
from rondel.store.project import Project
from rondel.store.records import LabelBox, Purpose, RoundState, State
from rondel.store.settings import NetworkTable

from .conftest import add_box, stroke
from .foreign import digest
from .images import make_volume, texture
from .small_rounds import Quiet, make_labelled, run_round
from .test_models import save
from .test_predict import CPU, random_weights

SHAPE = (32, 32, 48)
LEFT, RIGHT = Box((0, 0, 0), (16, 16, 16)), Box((16, 16, 32), (32, 32, 48))


@pytest.fixture
def cells(tmp_path):
    """A project of two classes with one small volume."""
    with projects.create(tmp_path / "cells", ["dark", "bright"]) as project:
        projects.add_volume(project, make_volume(project.folder, texture(SHAPE)).record)
        yield project


def done_box(project: Project, region: Box, values: np.ndarray | int, **changes) -> LabelBox:
    """Add a box, label it and declare it done."""
    box = add_box(project, region, state=State.OPEN, **changes)
    painted = stroke(region, 0, box.id, box=box.id)
    painted.values[...] = values
    edits.submit(project, painted)
    return label_boxes.move(project.database, box.id, State.DONE, "ann")


def halves(region: Box) -> np.ndarray:
    values = np.ones(region.shape, np.uint8)
    values[:, :, region.shape[2] // 2 :] = 2
    return values


def teaching(project: Project) -> dict[int, np.ndarray]:
    """Return the labels that a training would see now, by box."""
    boxes = label_boxes.select(project.database, state=[State.DONE], purpose=Purpose.TRAIN)
    champion = models.champion(project.database)
    return {s.id: s.labels for s in learn._train_boxes(project, boxes, edits.last_number(project.database), champion)}


def test_a_file_that_cannot_be_replaced_whole_keeps_what_it_held(tmp_path, monkeypatch):
    path = tmp_path / "project.toml"
    atomic.write_text(path, "old")
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        atomic.write_text(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == [path.name] and path.read_text() == "old"


def test_a_whole_round_leaves_every_byte_of_the_image_as_it_was(tmp_path):
    folder = tmp_path / "cells"
    make_labelled(folder)
    image = folder / "scan.ome.zarr"
    before = digest(image)
    with projects.open_project(folder) as project:
        run_round(project)
        assert models.champion(project.database)
    assert before and digest(image) == before


def test_labels_stay_with_their_volume_when_others_are_added_before_and_after(cells):
    box = done_box(cells, LEFT, halves(LEFT))
    for name in ("aaa", "zzz"):
        projects.add_volume(cells, make_volume(cells.folder, texture(SHAPE, 1), name=name).record)
    assert label_boxes.get(cells.database, box.id).volume == "scan"
    np.testing.assert_array_equal(labels.read(cells, "scan", LEFT), halves(LEFT))
    assert not labels.read(cells, "aaa", LEFT).any() and not labels.read(cells, "zzz", LEFT).any()


def test_a_volume_that_cannot_be_read_stops_training_instead_of_being_left_out(cells):
    done_box(cells, LEFT, halves(LEFT))
    projects.add_volume(cells, make_volume(cells.folder, texture(SHAPE, 1), name="lost").record)
    add_box(cells, RIGHT, state=State.DONE, volume="lost")
    (cells.folder / "lost.ome.zarr").rename(cells.folder / "elsewhere.ome.zarr")
    with pytest.raises(VolumeError, match="lost"):
        learn.train_model(cells, 1, Quiet())
    assert models.models(cells.database) == []


@pytest.mark.parametrize("value", [1, 2])
def test_labels_of_one_class_are_refused_and_labelling_goes_on(cells, value):
    ledger.open_round(cells.database, None, "typical", 1)
    done_box(cells, LEFT, value)
    with pytest.raises(LabelError, match=f"only '{('dark', 'bright')[value - 1]}' is labelled.*label dark and bright"):
        rounds.train_step(cells, Quiet(), [])
    assert ledger.get_round(cells.database, 1).state == RoundState.LABELLING


def test_test_boxes_teach_nothing_however_they_are_labelled(cells):
    train = done_box(cells, LEFT, halves(LEFT))
    done_box(cells, RIGHT, halves(RIGHT), purpose=Purpose.TEST)
    assert list(teaching(cells)) == [train.id] and rounds.fresh_boxes(cells) == [train]
    label_boxes.protect(cells.database, train.id)
    with pytest.raises(LabelError, match="no train box is done"):
        learn.train_model(cells, 1, Quiet())


def test_labels_that_were_undone_or_erased_teach_no_longer(cells):
    box, other = done_box(cells, LEFT, halves(LEFT)), done_box(cells, RIGHT, halves(RIGHT))
    part = Box((0, 0, 0), (16, 16, 4))
    edits.submit(cells, stroke(part, 0, 90, box=box.id))
    assert not teaching(cells)[box.id][:, :, :4].any() and teaching(cells)[box.id][:, :, 4:].all()
    with edits.open_journal(cells) as journal:
        journal.undo(box.id, "ann", ("u", 1))
        assert (teaching(cells)[box.id] == halves(LEFT)).all()
        journal.undo(box.id, "ann", ("u", 2))
    assert list(teaching(cells)) == [other.id]


def test_boxes_labelled_since_the_champion_are_new_and_the_others_are_replayed(cells):
    boxes = [done_box(cells, LEFT, halves(LEFT)), done_box(cells, RIGHT, halves(RIGHT))]
    edit = edits.last_number(cells.database)
    save(cells, boxes=(boxes[0].id, boxes[1].id), edit=edit)
    models.judge(cells.database, 1, "first model", True)
    assert rounds.fresh_boxes(cells) == []
    edits.submit(cells, stroke(Box((0, 0, 0), (1, 1, 1)), 2, 90, box=boxes[0].id))
    third = done_box(cells, Box((16, 0, 0), (32, 16, 16)), 1)
    last = edits.last_number(cells.database)
    done = label_boxes.select(cells.database, state=[State.DONE])
    found = {s.id: s.new for s in learn._train_boxes(cells, done, last, models.champion(cells.database))}
    assert found == {boxes[0].id: True, boxes[1].id: False, third.id: True}
    assert {b.id for b in rounds.fresh_boxes(cells)} == {boxes[0].id, third.id}


def test_a_box_that_was_left_empty_does_not_ask_for_training_for_ever(cells):
    box = done_box(cells, LEFT, halves(LEFT))
    add_box(cells, RIGHT, state=State.DONE)
    save(cells, boxes=(box.id,), edit=edits.last_number(cells.database))
    assert rounds.fresh_boxes(cells) == []


def test_without_test_boxes_scores_are_not_known_and_the_newest_model_leads(cells):
    for number in (1, 2):
        save(cells)
        judge.score_and_gate(cells, number, Quiet())
        assert [s.dice for s in ledger.scores(cells.database, number)] == [None, None]
    champion = models.champion(cells.database)
    assert champion and champion.number == 2 and "too few to compare" in champion.verdict


def test_a_loss_does_not_depend_on_how_many_patches_it_is_over():
    logits, truth = torch.randn(2, 3, 4, 8, 8), torch.randint(0, 4, (2, 4, 8, 8), dtype=torch.uint8)
    once = known_loss("ce_dice", logits, truth, torch.ones(3))
    twice = known_loss("ce_dice", torch.cat([logits] * 2), torch.cat([truth] * 2), torch.ones(3))
    assert float(twice) == pytest.approx(float(once), rel=1e-5)


@pytest.mark.parametrize("channel", [0, 1])
def test_a_network_channel_is_written_as_its_own_label_value(cells, channel):
    prepare(CPU)
    volume = cells.open_volume("scan")
    plan = plan_network(NetworkTable(filters=(4, 4, 4)), (10, 10, 10), SHAPE, 1, 2)
    arrays = random_weights(plan)
    arrays["output_block.conv.conv.bias"] = np.eye(2, dtype=np.float32)[channel] * 1e6
    classes = tuple((c.value, c.name, c.colour) for c in cells.classes)
    maps = Maps.create(cells.folder, MapPlan.of(volume.record, 1, (16, 16, 16), classes))
    tiles = plan_tiles(maps, volume.record.box, SHAPE, plan)
    scale, predictor = Normalisation.of(volume.record), Predictor.load(plan, arrays, CPU)
    predict(volume, maps, predictor, scale, tiles=tiles, done=set(), record=lambda tile: None)
    assert (maps.read_classes(volume.record.box) == channel + 1).all()
    assert not labels.read(cells, "scan", volume.record.box).any()  # a prediction is no label until it is accepted


def test_a_model_scales_a_volume_as_it_was_trained_whatever_was_measured_since(cells):
    record = cells.volume_record("scan")
    trained = Normalisation((3.0,), (7.0,))
    plan = plan_network(NetworkTable(filters=(4, 4, 4)), (10, 10, 10), SHAPE, 1, 2)
    loaded = Loaded(1, Predictor.load(plan, random_weights(plan), CPU), (1, 2), ("dark", "bright"), {"scan": trained})
    assert loaded.normalisation(record) == trained != Normalisation.of(record)
