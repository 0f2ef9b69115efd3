"""Pages are led from box to box, and hear what others, verbs and jobs do around them."""

import asyncio

import pytest
from rondel.store import edits, label_boxes
from rondel.store.records import State

from .small_pages import Served, make_project
from .test_desk import CENTRE, FIRST, FLAT, SECOND, run, same


@pytest.fixture
def folder(tmp_path):
    make_project(tmp_path / "cells")
    return tmp_path / "cells"


def state(served: Served, box: int) -> State:
    return label_boxes.get(served.project.database, box).state


def test_done_comes_after_the_strokes_and_leads_to_the_next_box(folder):
    async def test(served):
        page = await served.page(FIRST)
        serial = page.head["serial"]
        page.paint(CENTRE, 2)
        page.op("empty")
        number = page.op("done")
        assert (await page.done(number))["type"] == "ack"
        assert edits.last_number(served.project.database, FIRST) == 2 and state(served, FIRST) == State.DONE
        await page.told("box", id=SECOND)
        await page.until(lambda: page.revision == 0)
        assert page.head["shape"] == [16, 24, 16] and page.head["serial"] != serial
        assert page.head["round"] == {"number": 0, "done": 0, "total": 0}
        canvas = served.desk.canvas_of(serial)
        assert canvas is not None and canvas.id == FIRST  # the layer that is closing may still ask
        page.paint([[1.0, 2.0, 3.0]], 3)
        await page.settle()
        same(served, page)

    run(folder, test)


def test_an_untouched_box_stays_proposed_until_it_is_done(folder):
    async def test(served):
        page = await served.page(FIRST)
        page.op("go", to="next")
        await page.told("box", id=SECOND)
        assert state(served, FIRST) == state(served, SECOND) == State.PROPOSED
        await page.done(page.op("done"))
        assert state(served, SECOND) == State.DONE

    run(folder, test)


def test_a_box_is_held_until_its_page_says_goodbye(folder):
    async def test(served):
        def held() -> set[int | None]:
            return {s.box for s in served.sessions.all() if s.saved.held}

        first, second = await served.page(FIRST), await served.page(SECOND, person="bob")
        twin = await served.twin(first)
        assert held() == {FIRST, SECOND}
        first.op("go", to=FLAT)
        await twin.told("box", id=FLAT)
        assert held() == {FLAT, SECOND}
        second.cut()  # its computer sleeps, and it comes back
        first.close()
        while len(served.desk.pages) > 1:
            await asyncio.sleep(0.01)
        assert held() == {FLAT, SECOND}
        twin.line.close(1001, "the tab is closed")
        while served.desk.pages:
            await asyncio.sleep(0.01)
        assert held() == {SECOND}

    run(folder, test)


def test_skip_keeps_the_reason_and_an_edit_opens_the_box_again(folder):
    async def test(served):
        page = await served.page(FIRST)
        page.op("skip", why="out of\nfocus")
        await page.told("box", id=SECOND)
        box = label_boxes.get(served.project.database, FIRST)
        assert (box.state, box.why, box.person) == (State.SKIPPED, "out of focus", "ann")
        page.op("go", to="previous")
        await page.told("box", id=FIRST, state="skipped")
        await page.until(lambda: page.revision == 0)
        await page.done(page.paint(CENTRE, 2))
        await page.told("heads", state="open")
        assert state(served, FIRST) == State.OPEN

    run(folder, test)


def test_a_skip_without_a_reason_is_refused(folder):
    async def test(served):
        page = await served.page(FIRST)
        answer = await page.done(page.op("skip", why=" \n"))
        assert answer["type"] == "refused" and "without a reason" in answer["message"]
        assert state(served, FIRST) == State.PROPOSED and page.head["id"] == FIRST

    run(folder, test)


@pytest.mark.parametrize(
    "op", [{"op": "done"}, {"op": "skip", "why": "dark"}, {"op": "skip"}, {"op": "go", "to": "next"}]
)
def test_a_dropped_box_leads_on_and_stays_dropped(folder, op):
    async def test(served):
        page = await served.page(FIRST)
        with served.project.database.transaction() as connection:
            connection.execute("UPDATE box SET state = 'dropped' WHERE id = ?", (FIRST,))
        await page.told("heads", state="dropped")
        assert (await page.done(page.op(**op)))["type"] == "ack"
        await page.told("box", id=SECOND)
        assert state(served, FIRST) == State.DROPPED

    run(folder, test)


def test_an_undo_opens_a_box_that_was_done(folder):
    async def test(served):
        page = await served.page(FIRST)
        page.paint(CENTRE, 2)
        page.op("done")
        await page.told("box", id=SECOND)
        page.op("go", to=FIRST)
        await page.told("box", id=FIRST, state="done")
        await page.until(lambda: page.revision >= 0)
        await page.done(page.op("undo"))
        assert state(served, FIRST) == State.OPEN

    run(folder, test)


def test_next_goes_round_and_says_when_nothing_waits(folder):
    async def test(served):
        page = await served.page(SECOND)
        for wanted in (FLAT, FIRST, SECOND):
            page.op("go", to="next")
            await page.told("box", id=wanted)
        for box in (FIRST, FLAT):
            label_boxes.move(served.project.database, box, State.SKIPPED, "eve", why="for a test")
        assert (await page.done(page.op("done")))["type"] == "ack"
        assert "no other box waits" in (await page.told("note"))["text"]
        assert page.head["id"] == SECOND and page.head["state"] == "done"

    run(folder, test)


def test_next_names_the_boxes_that_wait_but_are_open_elsewhere(folder):
    async def test(served):
        ann, _ = await served.page(FIRST), await served.page(SECOND, person="bob")
        eve = await served.page(FLAT, person="eve")
        ann.op("go", to="next")
        assert f"boxes {SECOND}, {FLAT} wait, but are open in other pages" in (await ann.told("note"))["text"]
        await eve.done(eve.op("skip", why="dark"))
        ann.op("go", to="next")
        assert f"box {SECOND} waits, but is open in another page" in (await ann.told("note"))["text"]

    run(folder, test)


def test_there_is_nothing_before_the_first_box(folder):
    async def test(served):
        page = await served.page(FIRST)
        page.op("go", to="previous")
        assert "no box before" in (await page.told("note"))["text"]

    run(folder, test)


def test_next_passes_over_a_box_that_somebody_else_has_open(folder):
    async def test(served):
        ann, bob = await served.page(FIRST), await served.page(SECOND, person="bob")
        ann.op("go", to="next")
        await ann.told("box", id=FLAT)
        bob.cut()
        await ann.until(lambda: [p["person"] for p in ann.head["people"]] == ["ann"])
        ann.op("go", to=FIRST)
        await ann.told("box", id=FIRST)
        ann.op("go", to="next")
        await ann.told("box", id=SECOND)

    run(folder, test)


def test_two_who_ask_for_the_next_box_at_once_get_different_ones(folder):
    async def test(served):
        ann, bob = await served.page(FIRST), await served.page(FIRST, person="bob")
        ann.op("go", to="next")
        bob.op("go", to="next")
        for page in (ann, bob):
            page.heard.clear()
            await page.until(lambda page=page: page.head["id"] != FIRST)
        assert {ann.head["id"], bob.head["id"]} == {SECOND, FLAT}

    run(folder, test)


def test_a_done_that_is_sent_again_leads_on_only_once(folder):
    async def test(served):
        page = await served.page(FIRST)
        number = page.op("done")
        done = dict(page.queue[0])
        await page.told("box", id=SECOND)
        page.heard.clear()
        page.send(**done)
        await page.told("ack", number=number)
        page.next += 1
        page.send(**{**done, "number": page.next - 1})  # as after a restart that forgot the number
        assert (await page.done(page.next - 1))["type"] == "ack"
        await page.done(page.op("undo"))
        assert page.head["id"] == SECOND and state(served, SECOND) == State.PROPOSED
        assert not [message for message in page.heard if message["type"] == "box"]

    run(folder, test)


def test_strokes_for_the_box_before_still_reach_it(folder):
    async def test(served):
        page = await served.page(FIRST)
        page.op("go", to=SECOND)
        number = page.paint(CENTRE, 2)
        await page.told("box", id=SECOND)
        await page.done(number)
        assert edits.last_number(served.project.database, FIRST) == 1 and page.revision == 0

    run(folder, test)


def test_a_page_shows_the_volume_and_labels_the_box_that_is_clicked(folder):
    async def test(served):
        page = await served.page(FIRST)
        page.op("view")
        head = await page.told("view")
        assert [b["id"] for b in head["boxes"]] == [FIRST, SECOND, FLAT] and head["volume"] == "scan"
        assert head["boxes"][1] == {
            "id": SECOND, "start": [4, 20, 36], "stop": [20, 44, 52], "state": "proposed", "purpose": "train",
            "layer": "proposed", "says": "box 2, proposed: reason 1",
        }  # fmt: skip
        label_boxes.move(served.project.database, SECOND, State.SKIPPED, "eve")
        await page.until(lambda: page.head["boxes"][1]["state"] == "skipped")
        refused = await page.done(page.op("paint", box=0, points=CENTRE, radius=1.0, value=2))
        assert refused["type"] == "refused"
        page.op("label", box=FLAT)
        await page.told("box", id=FLAT)
        page.op("label", box=99)
        assert "no box 99" in (await page.told("note"))["text"]
        assert page.head["id"] == FLAT

    run(folder, test)


def test_a_dropped_box_takes_no_more_strokes(folder):
    async def test(served):
        page = await served.page(FIRST)
        label_boxes.move(served.project.database, FIRST, State.DROPPED, "eve")
        await page.told("heads", state="dropped")
        refused = await page.done(page.paint(CENTRE, 2))
        assert refused["type"] == "refused" and "dropped" in refused["message"]
        assert edits.last_number(served.project.database) == 0
        page.op("go", to="next")
        await page.told("box", id=SECOND)

    run(folder, test)
