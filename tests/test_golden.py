"""Projects of every version so far open, and can be worked in."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from rondel.loop import rounds
from rondel.loop.loaded import load
from rondel.loop.predict import predict_box
from rondel.store import edits, label_boxes, labels, ledger, models
from rondel.store.box import Box
from rondel.store.maps import Maps
from rondel.store.project import open_project
from rondel.store.records import RoundState, State

GOLDEN = sorted(path.parent for path in (Path(__file__).parent / "golden").glob("*/project.toml"))


@pytest.fixture(params=GOLDEN, ids=[path.name for path in GOLDEN])
def golden(request, tmp_path):
    with open_project(Path(shutil.copytree(request.param, tmp_path / "cells"))) as project:
        yield project


def test_there_is_a_golden_project():
    assert GOLDEN


def test_rows_are_what_they_were(golden):
    assert [v.name for v in golden.volumes()] == ["scan"]
    assert [c.name for c in golden.classes] == ["background", "spot"]
    assert [r.state for r in ledger.rounds(golden.database)] == [RoundState.CLOSED, RoundState.LABELLING]
    states = [b.state for b in label_boxes.select(golden.database, round=1)]
    assert states.count(State.DONE) == 5 and states.count(State.SKIPPED) == 1
    champion = models.champion(golden.database)
    assert champion and (champion.number, champion.note) == (1, "the first")
    assert rounds.due(golden).step == "label"


def test_labels_are_what_the_journal_says_and_an_edit_can_be_undone(golden):
    whole = Box.of_shape((32, 48, 48))
    np.testing.assert_array_equal(labels.read(golden, "scan", whole), edits.replay(golden.database, "scan", whole))
    done = label_boxes.select(golden.database, state=[State.DONE])[0]
    with edits.open_journal(golden) as journal:
        journal.undo(done.id, "ann", ("test", 1))
    assert not labels.read(golden, "scan", done.box).any()


def test_the_model_predicts_what_it_predicted(golden):
    loaded = load(golden, 1)
    volume = golden.open_volume("scan")
    box = Box((0, 0, 0), (16, 48, 48))
    found = predict_box(volume, box, loaded.predictor, loaded.normalisation(volume.record), (32, 48, 48))
    kept = Maps.open(golden.folder, "scan", 1).read_classes(box)
    assert (kept == np.array(loaded.labels)[found.argmax(0)]).mean() > 0.99  # other processors round otherwise
