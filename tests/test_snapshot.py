"""What the screens know of a project: re-read only where it moved, with rates and estimates that follow from it."""

import time
from dataclasses import replace

import pytest
from rondel.loop import rounds
from rondel.store import job_rows, label_boxes, ledger, locks
from rondel.store.box import Box
from rondel.store.edits import open_journal
from rondel.store.project import Project
from rondel.store.records import JobState, Progress, Purpose, RoundState, State
from rondel.tui.snapshot import Running, next_waiting, read, waiting_first

from .conftest import add_box, stroke


@pytest.fixture
def boxes(project: Project):
    ledger.open_round(project.database, None, "typical", 0)
    ledger.set_round(project.database, 1, RoundState.LABELLING)
    return [add_box(project, Box((0, 0, 20 * k), (16, 16, 20 * k + 16))) for k in range(3)]


def test_what_did_not_move_is_taken_over(project, boxes) -> None:
    first = read(project, None)
    label_boxes.move(project.database, 1, State.OPEN, "ann")
    second = read(project, first)
    assert second.boxes is not first.boxes and second.box(1).state == State.OPEN  # type: ignore[union-attr]
    for kept in ("volumes", "rounds", "saves", "models", "scores", "curves", "jobs"):
        assert getattr(second, kept) is getattr(first, kept), kept
    assert read(project, second) == second


def test_edits_are_summed_up_by_box(project, boxes) -> None:
    first = read(project, None)
    with open_journal(project) as journal:
        for number in (1, 2):
            journal.write(stroke(boxes[0].box, 2, number, person="bob", box=1))
    second = read(project, first)
    assert (second.edits, second.pending) == (2, 0)
    assert set(second.saves) == {1} and (second.saves[1].edits, second.saves[1].person) == (2, "bob")
    assert abs(second.saves[1].at - time.time()) < 60


def test_edits_that_are_not_applied_yet_are_pending(project, boxes) -> None:
    with open_journal(project) as journal:
        journal.write(stroke(boxes[0].box, 2, 1, box=1))
    with project.database.transaction() as rows:
        rows.execute("UPDATE meta SET value = '0' WHERE key = 'applied'")
    assert read(project, None).pending == 1


def test_what_is_due_follows_the_boxes(project, boxes) -> None:
    first = read(project, None)
    assert (first.due.step, first.due.computes) == ("label", False)
    for box in boxes:
        label_boxes.move(project.database, box.id, State.SKIPPED, "ann", why="x")
    assert read(project, first).due.step == "propose"


def test_dropped_boxes_are_not_shown_and_older_waiting_ones_are(project, boxes) -> None:
    ledger.set_round(project.database, 1, RoundState.CLOSED)
    ledger.open_round(project.database, None, "typical", 0)
    label_boxes.move(project.database, 1, State.DROPPED, "ann")
    label_boxes.move(project.database, 2, State.OPEN, "ann")
    label_boxes.move(project.database, 2, State.DONE, "ann")
    found = read(project, None)
    assert [box.id for box in found.boxes] == [2, 3]
    assert [box.id for box in found.boxes_of(2)] == [3]


def test_a_job_gets_a_rate_and_an_estimate_within_its_stage(project) -> None:
    job = job_rows.queue(project.database, "round", {})
    found = None
    with locks.hold(project.folder / "jobs" / f"{job.id:04d}.lock", "a job", 1):
        job_rows.begin(project.database, job.id)
        for done, updated, stage in ((0, 10.0, "read"), (10, 20.0, "train"), (30, 30.0, "train")):
            progress = Progress(stage, done, 40, "steps", f"loss {1 - done / 100}", updated)
            job_rows.set_progress(project.database, job.id, progress)
            found = read(project, found)
        assert found is not None
        (running,) = found.running
        assert (running.share, running.rate, running.seconds_left) == (0.75, 2.0, 5.0)
        assert running.losses == (1.0, 0.9, 0.7) and found.computing
    lost = read(project, found)
    assert not lost.running and lost.jobs[0].state == JobState.LOST


@pytest.mark.parametrize(("done", "updated"), [(5, 100.0), (0, 110.0)])
def test_no_rate_is_told_before_it_is_known(project, done, updated) -> None:
    job = job_rows.queue(project.database, "round", {})
    running = Running(job, Progress("train", done, 10, "steps", "", updated), since=100.0, first=0.0)
    assert running.rate is None and running.seconds_left is None


def test_painting_left_is_what_finished_boxes_took(project, boxes) -> None:
    label_boxes.add_seconds(project.database, 1, 120)
    label_boxes.add_seconds(project.database, 2, 30)
    assert read(project, None).seconds_left(boxes) is None
    label_boxes.move(project.database, 1, State.OPEN, "ann")
    label_boxes.move(project.database, 1, State.DONE, "ann")
    found = read(project, None)
    assert found.seconds_left(found.boxes) == 90 + 120


def test_waiting_boxes_come_first_and_test_boxes_before_others(boxes) -> None:
    done, test, reserve = (
        replace(boxes[0], state=State.DONE, priority=9.0),
        replace(boxes[1], purpose=Purpose.TEST, priority=0.0),
        replace(boxes[2], reserve=True, priority=5.0),
    )
    listed = [done, reserve, test]
    assert waiting_first(listed) == [test, reserve, done] and next_waiting(listed) == test
    assert next_waiting([done]) is None


def test_the_next_box_is_the_one_that_is_due(project, boxes) -> None:
    ledger.open_round(project.database, None, "typical", 1)
    ledger.set_round(project.database, 2, RoundState.LABELLING)
    newer = replace(boxes[0], id=0, round=2, priority=9.0, state=State.PROPOSED, box=Box((0, 40, 40), (8, 48, 48)))
    label_boxes.add(project.database, [newer])
    found = read(project, None)
    first = rounds.waiting_boxes(project)[0]
    assert found.next_box == first == waiting_first(found.boxes)[0]
    assert found.due.words.startswith(f"label box {first.id} ")
