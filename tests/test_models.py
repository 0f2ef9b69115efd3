"""A version is listed whole or not at all, and is loaded only as it was saved."""

import json

import numpy as np
import pytest
from rondel.store import ledger, models
from rondel.store.errors import ModelError, SpaceError, UsageError
from rondel.store.models import CARD, WEIGHTS, Draft
from rondel.store.records import RoundState

ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(4, np.float32)}


def save(project, boxes=(1, 2), edit=9, **calls):
    draft = Draft(
        parent=None, round=1, classes=("background", "membrane", "organelle"), steps=3, seconds=0.5, edit=edit,
        boxes=boxes, loss=0.25, card={"labels": [1, 2, 3]}, curve=((1, 0.5, 0.1, None), (2, 0.25, 0.05, 0.4)),
    )  # fmt: skip
    return models.save(project, draft, ARRAYS, **calls)


class Died(BaseException):
    pass


def die(*_: object) -> None:
    raise Died


def test_a_version_comes_back_as_it_was_saved(project):
    model = save(project)
    arrays, card = models.load(project, 1)
    assert all((arrays[name] == ARRAYS[name]).all() for name in ARRAYS) and arrays.keys() == ARRAYS.keys()
    assert (model.number, model.boxes, model.edit, model.champion) == (1, (1, 2), 9, False)
    assert (card["model"], card["labels"], card["sha256"]) == (1, [1, 2, 3], model.sha256)
    assert models.curve(project.database, 1) == [(1, 0.5, 0.1, None), (2, 0.25, 0.05, 0.4)]


def test_versions_are_numbered_and_none_is_ever_overwritten(project):
    save(project)
    first = (models.model_folder(project, 1) / WEIGHTS).read_bytes()
    assert save(project).number == 2
    assert (models.model_folder(project, 1) / WEIGHTS).read_bytes() == first


@pytest.mark.parametrize("moment", ["before the card", "before the rename", "before the row"])
def test_a_version_that_was_saved_by_half_is_not_listed_and_its_number_is_used_again(project, monkeypatch, moment):
    with monkeypatch.context() as patch, pytest.raises(Died):
        match moment:
            case "before the card":
                write = models.write_bytes
                patch.setattr(models, "write_bytes", lambda p, c: die() if p.name == CARD else write(p, c))
                save(project)
            case "before the rename":
                save(project, add=die)
            case "before the row":
                patch.setattr(models, "sync_folder", die)
                save(project)
    assert models.models(project.database) == [] and models.next_number(project.database) == 1
    with pytest.raises(UsageError, match="no model 1"):
        models.load(project, 1)
    assert save(project).number == 1
    models.load(project, 1)
    assert [path.name for path in (project.folder / "models").iterdir()] == ["0001"]


def test_a_round_moves_on_in_the_commit_that_lists_its_model(project):
    ledger.open_round(project.database, None, "typical", 0)
    save(project, finish_round=True)
    current = ledger.last_round(project.database)
    assert current and (current.state, current.trained) == (RoundState.SCORING, 1)


@pytest.mark.parametrize("harm", ["flip", "cut", "other", "gone", "card"])
def test_weights_that_are_not_those_that_were_saved_are_refused(project, harm):
    save(project)
    path = models.model_folder(project, 1) / (CARD if harm == "card" else WEIGHTS)
    content = bytearray(path.read_bytes())
    match harm:
        case "flip":
            content[-1] ^= 1
            path.write_bytes(content)
        case "cut" | "card":
            path.write_bytes(content[:-7])
        case "other":
            from safetensors.numpy import save as to_bytes

            path.write_bytes(to_bytes({name: array + 1 for name, array in ARRAYS.items()}))
        case "gone":
            path.unlink()
    with pytest.raises(ModelError, match="model 1.*models use"):
        models.load(project, 1)


def test_a_version_is_kept_as_plain_numbers(project):
    """A pickle would run code when it is loaded."""
    save(project)
    content = (models.model_folder(project, 1) / WEIGHTS).read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert {header[name]["dtype"] for name in ARRAYS} == {"F32"}
    assert {p.name for p in models.model_folder(project, 1).iterdir()} == {WEIGHTS, CARD}


def test_a_place_that_cannot_be_written_lists_nothing(project):
    (project.folder / "models").rmdir()
    (project.folder / "models").write_text("a file is in the way")
    with pytest.raises(SpaceError, match="model 1 could not be saved"):
        save(project)
    assert models.models(project.database) == []


def test_the_gate_names_the_champion_and_a_person_may_go_back(project):
    save(project)
    save(project)
    models.judge(project.database, 1, "first model", True)
    models.judge(project.database, 2, "lower by more than 0.02", False)
    assert [(m.champion, m.verdict) for m in models.models(project.database)] == [
        (True, "first model"),
        (False, "lower by more than 0.02"),
    ]
    models.use(project.database, 2, "chosen by ann")
    assert models.one(project.database, None).number == 2
    assert [m.champion for m in models.models(project.database)] == [False, True]


def test_no_model_yet_says_what_to_do(project):
    with pytest.raises(UsageError, match="no model yet.*rondel round"):
        models.one(project.database, None)
