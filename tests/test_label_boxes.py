"""Boxes make legal moves only, and test boxes are never trained on."""

import itertools

import pytest
from rondel.store import edits, label_boxes
from rondel.store.box import Box
from rondel.store.errors import UsageError
from rondel.store.records import MOVES, Purpose, State

from .conftest import add_box, stroke
from .test_models import save

LEGAL = {
    ("proposed", "open"), ("proposed", "skipped"), ("proposed", "dropped"), ("open", "done"), ("open", "skipped"),
    ("done", "open"), ("skipped", "open"),
}  # fmt: skip
REGION = Box((0, 0, 0), (16, 16, 16))


@pytest.mark.parametrize(("state", "to"), [*itertools.product(State, State)])
def test_a_box_moves_as_the_table_says_and_no_other_way(project, state, to):
    box = add_box(project, REGION, state=state)
    if (state, to) in LEGAL:
        assert label_boxes.move(project.database, box.id, to, "ann").state == to
    else:
        with pytest.raises(UsageError, match=f"box {box.id} is {state} and cannot become {to}; it can become"):
            label_boxes.move(project.database, box.id, to, "ann")
        assert label_boxes.get(project.database, box.id) == box


def test_every_state_has_a_row_in_the_table():
    assert set(MOVES) == set(State)


def test_moving_notes_who_and_why_and_when(project, box):
    skipped = label_boxes.move(project.database, box.id, State.SKIPPED, "ann", why="blurred")
    assert (skipped.person, skipped.why, skipped.done_at) == ("ann", "blurred", None)
    label_boxes.move(project.database, box.id, State.OPEN, "bob")
    done = label_boxes.move(project.database, box.id, State.DONE, "bob")
    assert (done.person, done.why) == ("bob", "") and done.done_at and done.done_at >= done.created


def test_a_box_that_taught_a_model_never_becomes_a_test_box(project, box):
    other = add_box(project, REGION)
    save(project, boxes=(box.id,))
    with pytest.raises(UsageError, match=f"box {box.id} taught model 1"):
        label_boxes.protect(project.database, box.id)
    assert label_boxes.get(project.database, box.id).purpose == Purpose.TRAIN
    assert label_boxes.protect(project.database, other.id).purpose == Purpose.TEST


def test_only_train_boxes_of_earlier_rounds_that_nobody_opened_are_dropped(project):
    kinds = [
        {"round": 1},
        {"round": 1, "purpose": Purpose.TEST},
        {"round": 1, "state": State.OPEN},
        {"round": 1, "state": State.DONE},
        {"round": 2},
    ]
    boxes = [add_box(project, REGION.shift((n, 0, 0)), **changes) for n, changes in enumerate(kinds)]
    assert label_boxes.drop_proposed(project.database, 2) == 1
    assert [b.id for b in label_boxes.select(project.database, state=[State.DROPPED])] == [boxes[0].id]


def test_what_holds_an_edit_or_is_on_a_page_is_not_dropped(project):
    begun, shown, other = [add_box(project, REGION.shift((20 * n, 0, 0))).id for n in range(3)]
    with edits.open_journal(project) as journal:
        journal.write(stroke(Box((1, 1, 1), (2, 2, 2)), 2, 1, box=begun))
    assert label_boxes.drop_proposed(project.database, 2, {shown, 99}) == 1
    assert [b.id for b in label_boxes.select(project.database, state=[State.DROPPED])] == [other]


def test_a_round_counts_what_is_asked_for(project):
    kinds = [
        *({"state": state} for state in State),
        *({"state": state, "reserve": True} for state in State),
        {"round": 2, "state": State.DONE},
    ]
    for changes in kinds:
        add_box(project, REGION, **changes)
    found = label_boxes.select(project.database)
    assert label_boxes.progress(found, 1) == (2, 5)  # proposed, open, done; open and done in reserve
    assert label_boxes.progress(found, 2) == (1, 1) and label_boxes.progress(found, 3) == (0, 0)


def test_boxes_are_listed_test_first_then_by_priority_and_reserve_last(project):
    kinds = [
        {"priority": 0.2},
        {"priority": 0.9, "reserve": True},
        {"priority": 0.7},
        {"priority": 0.1, "purpose": Purpose.TEST},
    ]
    ids = [add_box(project, REGION, **changes).id for changes in kinds]
    assert [b.id for b in label_boxes.select(project.database)] == [ids[3], ids[2], ids[0], ids[1]]


def test_places_are_taken_by_all_boxes_but_dropped_ones(project):
    for n, state in enumerate(State):
        add_box(project, REGION.shift((n, 0, 0)), state=state)
    dropped = REGION.shift((list(State).index(State.DROPPED), 0, 0))
    taken = label_boxes.taken(project.database, "scan")
    assert len(taken) == len(State) - 1 and dropped not in taken


def test_boxes_whose_rows_are_the_same_are_taken_over(project):
    first, second, third = (add_box(project, REGION, priority=p) for p in (0.9, 0.8, 0.7))
    known = label_boxes.select_again(project.database, {})
    assert [box for _, box in known.values()] == [first, second, third]
    label_boxes.move(project.database, second.id, State.OPEN, "ann")
    label_boxes.move(project.database, third.id, State.DROPPED, "ann")
    again = label_boxes.select_again(project.database, known)
    assert list(again) == [first.id, second.id] and again[second.id][1].state == State.OPEN
    assert again[first.id] is known[first.id]


def test_boxes_are_listed_by_their_states(project):
    boxes = {state: add_box(project, REGION, state=state) for state in State}
    wanted = [State.OPEN, State.DONE]
    assert label_boxes.select(project.database, state=wanted) == [boxes[state] for state in wanted]
    assert len(label_boxes.select(project.database)) == len(State)
