"""Pages are led from box to box, and hear what others, verbs and jobs do around them."""

import asyncio
import json
import time

import pytest
from rondel.store import edits, label_boxes, ledger, models
from rondel.store.models import Draft
from rondel.store.records import State
from tornado.httpclient import AsyncHTTPClient

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


def test_what_verbs_and_jobs_do_is_told_within_a_moment(folder):
    async def test(served):
        page = await served.page(FIRST)
        ledger.open_round(served.project.database, None, "typical", 0)
        await page.until(lambda: page.head["round"] == {"number": 1, "done": 0, "total": 3})
        label_boxes.move(served.project.database, SECOND, State.SKIPPED, "eve")
        await page.until(lambda: page.head["round"]["total"] == 2)
        draft = Draft(None, 1, ("background", "membrane"), 1, 1.0, 0, (), 0.5, {}, ())
        models.save(served.project, draft, {})
        assert (await page.told("note"))["text"] == "model 1 is ready"

    run(folder, test)


def test_a_class_that_is_added_can_be_painted_without_a_restart(folder):
    async def test(served):
        page = await served.page(FIRST)
        refused = await page.done(page.op("paint", points=CENTRE, radius=1.0, value=4))
        assert refused["type"] == "refused" and "not declared" in refused["message"]
        text = (folder / "project.toml").read_text()
        added = '[[class]]\nvalue = 4\nname = "vesicle"\ncolour = "#00ff00"\n'
        (folder / "project.toml").write_text(text + "\n" + added)
        served.desk.scribe.run(served.desk.scribe.read_board)
        assert (await page.done(page.op("paint", points=CENTRE, radius=1.0, value=4)))["type"] == "patch"
        (folder / "project.toml").write_text("no settings at all")
        served.desk.scribe.run(served.desk.scribe.read_board)
        assert (await page.done(page.op("paint", points=CENTRE, radius=1.0, value=3)))["type"] == "patch"
        (folder / "project.toml").write_text(text)

    run(folder, test)


def test_painting_is_counted_but_never_more_of_it_than_time_went_by(folder):
    async def test(served):
        served.desk._counted = Later(served.desk._counted)
        page = await served.page(FIRST)
        began = time.monotonic()
        page.send(type="seconds", box=FIRST, seconds=3000.0)
        head = await page.told("heads")
        assert 0 < head["seconds"] <= time.monotonic() - began + 1
        for seconds in (-1, 1e9, "5", None):
            page.send(type="seconds", box=FIRST, seconds=seconds)
            await page.told("refused", number=0)
        page.send(type="seconds", box=99, seconds=0.001)
        assert "no box 99" in (await page.told("note"))["text"]
        assert label_boxes.get(served.project.database, FIRST).seconds == head["seconds"]

    run(folder, test)


class Later(dict):
    """Counts painting of new pages from now on, rather than from some minutes ago."""

    def setdefault(self, key, default):
        return super().setdefault(key, time.monotonic())


def test_a_person_can_say_who_they_are(folder):
    async def test(served):
        page = await served.page(FIRST, person=None)
        assert page.head["person"] is None
        page.send(type="person", person="  Zoë\tB ")
        await page.until(lambda: page.head["people"][0]["person"] == "Zoë B")
        await page.done(page.paint(CENTRE, 2))
        assert edits.find(served.project.database, 1).person == "Zoë B"
        assert served.sessions.all()[0].person == "Zoë B"

    run(folder, test)


@pytest.mark.parametrize(
    ("state", "place"),
    [
        ({"dimensions": dict.fromkeys("xyz", [1e-8, "m"]), "position": [3.5, -1.2, 8.49]}, [8, -1, 4]),
        ({"dimensions": {"z": [1e-8, "m"]}, "position": [3.5]}, None),
        ({"dimensions": {"z": 1, "y": 1, "x": 1}, "position": ["a", 1, 1]}, None),
        ({"position": 3, "dimensions": 4}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_verbs_ask_where_in_the_volume_a_page_is(folder, state, place):
    async def test(served):
        await served.page(FIRST)

        async def position():
            answer = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{served.port}/status")
            return json.loads(answer.body)["people"][0]["position"]

        assert await position() == [9, 16, 19]  # the middle of the box
        served.sessions.all()[0].viewer.set_state(state)
        assert await position() == place

    run(folder, test)


def test_verbs_ask_who_is_there_and_move_the_page_of_a_person(folder):
    async def test(served):
        ann = await served.page(FIRST)
        await served.page(SECOND, person="bob")
        url = f"http://127.0.0.1:{served.port}"
        found = json.loads((await AsyncHTTPClient().fetch(f"{url}/status")).body)
        people = sorted(found["people"], key=lambda one: one["box"])
        assert [(p["person"], p["box"]) for p in people] == [("ann", FIRST), ("bob", SECOND)]
        assert (found["saved"], found["pending"], found["missing"]) == (0, 0, [])

        async def show(**wanted):
            answer = await AsyncHTTPClient().fetch(
                f"{url}/show", method="POST", body=json.dumps(wanted), raise_error=False
            )
            return answer.code, json.loads(answer.body)

        assert await show(person="ann", box=FLAT) == (200, {"shown": True})
        await ann.told("box", id=FLAT)
        assert await show(person="ann", volume="scan", model=None) == (200, {"shown": True})
        await ann.told("view", volume="scan")
        assert await show(person="eve", box=FLAT) == (200, {"shown": False})
        for wanted in ({"box": FLAT}, {"person": "ann", "box": "3"}, {"person": "ann", "x": 1}):
            code, body = await show(**wanted)
            assert code == 400 and body["error"] == "InvalidDataError"
        code, body = await show(person="ann", box=99)
        assert code == 400 and "no box 99" in body["message"]

    run(folder, test)


def test_canvases_that_nobody_shows_are_let_go_of(folder):
    async def test(served):
        page = await served.page(FIRST)
        for _ in range(12):
            for box in (SECOND, FLAT):
                page.op("go", to=box)
                await page.told("box", id=box)
        await asyncio.sleep(0)
        await served.desk.open_box(FLAT)
        assert FIRST not in served.desk.scribe.canvases and FLAT in served.desk.scribe.canvases

    run(folder, test)
