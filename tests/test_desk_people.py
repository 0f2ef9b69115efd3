"""Who is there, and what do pages hear of what others do?"""

import asyncio
import json
import time

import pytest
from rondel.store import edits, label_boxes, ledger, models
from rondel.store.models import Draft
from rondel.store.records import State
from tornado.httpclient import AsyncHTTPClient

from .test_desk import CENTRE, FIRST, FLAT, SECOND, folder, run

__all__ = ["folder"]


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
