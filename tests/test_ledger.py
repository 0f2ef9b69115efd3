"""Rounds, scores, done tiles and jobs are rows that say what happened."""

import pytest
from rondel.store import job_rows, ledger
from rondel.store.box import Box
from rondel.store.errors import UsageError
from rondel.store.records import JobState, Progress, RoundState, Score, State

from .conftest import add_box
from .test_models import save

TILE, NEXT = Box((0, 0, 0), (16, 64, 64)), Box((16, 0, 0), (32, 64, 64))


def score(label: int, dice: float | None) -> Score:
    return Score(1, label, 2, dice, dice, dice, dice, dice, dice)


def test_rounds_are_numbered_and_keep_what_they_came_to(project):
    database = project.database
    assert ledger.last_round(database) is None
    ledger.open_round(database, None, "typical", 1)
    ledger.set_round(database, 1, RoundState.SCORING, trained=4)
    ledger.set_round(database, 1, RoundState.CLOSED)
    second = ledger.open_round(database, 4, "foreground", 2)
    first = ledger.get_round(database, 1)
    assert (first.state, first.trained, first.closed_at is not None) == (RoundState.CLOSED, 4, True)
    assert (second.number, second.state, second.model) == (2, RoundState.RANKING, 4)
    assert [r.number for r in ledger.rounds(database)] == [1, 2] and ledger.last_round(database) == ledger.get_round(
        database, 2
    )
    with pytest.raises(UsageError, match="no round 3"):
        ledger.get_round(database, 3)


def test_scores_are_replaced_and_what_is_not_known_stays_so(project):
    save(project)
    ledger.set_scores(project.database, 1, [score(1, 0.5), score(2, 0.5), score(3, 0.5)])
    ledger.set_scores(project.database, 1, [score(1, 0.9), score(2, None)])
    assert ledger.scores(project.database, 1) == [score(1, 0.9), score(2, None)]


def test_mean_dice_leaves_out_the_first_class_and_what_is_absent():
    assert ledger.mean_dice([score(1, 0.0), score(2, 0.5), score(3, 0.7), score(4, None)]) == pytest.approx(0.6)
    assert ledger.mean_dice([score(1, 0.9), score(2, None)]) is None


def test_tiles_are_done_per_volume_model_and_with_or_without_probabilities(project):
    database = project.database
    ledger.record_tile(database, "scan", 1, TILE, False)
    ledger.record_tile(database, "scan", 1, NEXT, True)
    ledger.record_tile(database, "scan", 2, NEXT, False)
    assert ledger.done_tiles(database, "scan", 1) == {TILE, NEXT}
    assert ledger.done_tiles(database, "scan", 1, True) == {NEXT}
    ledger.record_tile(database, "scan", 1, TILE, True)
    assert ledger.done_tiles(database, "scan", 1, True) == {TILE, NEXT}
    ledger.forget_tiles(database, "scan", 1)
    assert ledger.done_tiles(database, "scan", 1) == set() and ledger.done_tiles(database, "scan", 2) == {NEXT}


def test_the_backlog_counts_boxes_by_state(project):
    for state in (State.DONE, State.DONE, State.OPEN):
        add_box(project, TILE, state=state)
    assert ledger.backlog(project.database) == {"done": 2, "open": 1}


def test_a_job_ends_once(project):
    database = project.database
    job = job_rows.queue(database, "round", {"a": [1, 2]})
    job_rows.begin(database, job.id)
    job_rows.end(database, job.id, JobState.DONE, result={"boxes": 3})
    job_rows.end(database, job.id, JobState.LOST, error="too late", exit_code=1)
    ended = job_rows.get(database, job.id)
    assert (ended.state, ended.arguments, ended.result, ended.error) == (JobState.DONE, {"a": [1, 2]}, {"boxes": 3}, "")


def test_progress_is_replaced_and_wakes_no_screen(project):
    before = project.database.changes()
    for done in (1.0, 2.0):
        job_rows.set_progress(project.database, 7, Progress("train", done, 10.0, "steps", "", 0.0))
    assert job_rows.progress(project.database, 7) == Progress("train", 2.0, 10.0, "steps", "", 0.0)
    assert project.database.changes() == before and job_rows.progress(project.database, 8) is None
