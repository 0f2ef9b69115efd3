"""Strokes of pages become durable in order, and every page on a box sees what is saved."""

import asyncio
import json
import random
from typing import Any

import numpy as np
import pytest
from rondel.store import edits, label_boxes, labels, writer
from rondel.store.box import Box
from rondel.store.edits import Stroke
from rondel.store.errors import RondelError
from rondel.store.maps import MapPlan, Maps
from rondel.store.project import open_project
from rondel.store.records import EditKind, State
from rondel.store.serving import SavedSession
from tornado.httpclient import AsyncHTTPClient

from .small_pages import REGIONS, Page, Served, line_of, make_project, serving

FIRST, SECOND, FLAT = 1, 2, 3
CENTRE = [[8.0, 13.0, 13.0]]


@pytest.fixture
def folder(tmp_path):
    assert make_project(tmp_path / "cells") == [FIRST, SECOND, FLAT]
    return tmp_path / "cells"


def run(folder, test, sessions: tuple[SavedSession, ...] = ()) -> None:
    """Run a test in the server's own loop, and check at the end that labels are what the journal says."""

    async def whole() -> None:
        async with serving(folder, sessions) as served:
            await test(served)

    asyncio.run(whole())
    with open_project(folder) as project:
        everywhere = Box.of_shape(project.volume_record("scan").shape)
        found = labels.read(project, "scan", everywhere)
        np.testing.assert_array_equal(found, edits.replay(project.database, "scan", everywhere))
        outside = np.ones(everywhere.shape, bool)
        for region in REGIONS:
            outside[region.slices] = False
        assert not found[outside].any()


def saved(served: Served, box: int) -> np.ndarray:
    found = label_boxes.get(served.project.database, box)
    return labels.read(served.project, found.volume, found.box)


def same(served: Served, *pages: Page) -> None:
    """Check that pages, canvas and label array show the same."""
    for page in pages:
        wanted = saved(served, page.head["id"])
        np.testing.assert_array_equal(page.view(), wanted)
        np.testing.assert_array_equal(page.base, wanted)
        canvas = served.desk.canvas_of(page.head["serial"])
        assert canvas is not None and canvas.revision == page.revision
        np.testing.assert_array_equal(canvas.voxels, wanted)


def test_a_page_is_told_all_of_its_box(folder):
    async def test(served):
        page = await served.page(FIRST)
        head = page.head
        assert (head["id"], head["volume"], head["origin"]) == (FIRST, "scan", [2, 4, 6])
        assert (head["shape"], head["spacing"], head["unit"]) == ([16, 26, 27], [10.0] * 3, "nanometer")
        assert (head["state"], head["purpose"], head["reason"]) == ("proposed", "train", "reason 0")
        assert (head["revision"], head["acked"], head["seconds"], head["model"]) == (0, 0, 0, None)
        assert [c["name"] for c in head["classes"]] == ["background", "membrane", "organelle"]
        assert head["people"] == [{"person": "ann", "box": FIRST, "volume": "scan"}]
        assert (head["person"], head["project"]) == ("ann", "cells")
        assert head["serial"] == served.sessions.all()[0].serial
        same(served, page)

    run(folder, test)


def test_a_stroke_is_journalled_before_it_is_answered_and_needs_no_patch(folder):
    async def test(served):
        page = await served.page(FIRST)
        answer = await page.done(page.paint([*CENTRE, [9.0, 20.0, 3.5]], 2, plane=0))
        assert answer["type"] == "ack" and (answer["revision"], answer["edit"]) == (1, 1)
        edit = edits.find(served.project.database, 1)
        assert (edit.kind, edit.person, edit.box, edit.voxels) == (EditKind.PAINT, "ann", FIRST, answer["voxels"])
        assert (saved(served, FIRST) == 2).sum() == edit.voxels > 20
        assert label_boxes.get(served.project.database, FIRST).state == State.OPEN
        assert (await page.told("heads", state="open"))["state"] == "open"
        assert page.frames == 1
        same(served, page)

    run(folder, test)


def test_strokes_sent_all_at_once_are_done_in_their_order(folder):
    async def test(served):
        dice = random.Random(1)
        page = await served.page(FIRST)
        for k in range(60):
            only = dice.choice((None, None, 0, 1))
            page.paint(line_of((16, 26, 27), dice), k % 4, dice.choice((0.5, 3.0)), dice.choice((None, 0, 1, 2)), only)
        await page.settle()
        assert all(answer["type"] == "ack" for answer in page.answers.values())
        numbers = [row["client_number"] for row in served.project.database.rows("SELECT * FROM edit ORDER BY number")]
        assert numbers == sorted(numbers) and len(numbers) > 40
        same(served, page)

    run(folder, test)


def test_a_stroke_that_changes_nothing_is_answered_and_is_no_edit(folder):
    async def test(served):
        page = await served.page(FIRST)
        answers = [await page.done(page.paint(CENTRE, 0)), await page.done(page.paint([[900.0, 0.0, 0.0]], 2))]
        assert [(a["type"], a["edit"], a["revision"]) for a in answers] == [("ack", None, 0)] * 2
        assert edits.last_number(served.project.database) == 0
        assert label_boxes.get(served.project.database, FIRST).state == State.PROPOSED

    run(folder, test)


def test_an_op_that_is_sent_again_is_not_done_again(folder):
    async def test(served):
        page = await served.page(FIRST)
        page.paint(CENTRE, 2)
        stroke = dict(page.queue[0])
        await page.settle()
        page.op("undo")
        undo = dict(page.queue[0])
        await page.settle()
        for op in (stroke, undo, stroke):
            page.heard.clear()
            page.send(**op)
            assert (await page.told("ack", number=op["number"]))["edit"] == op["number"]
        assert edits.last_number(served.project.database) == 2
        same(served, page)

    run(folder, test)


def test_two_people_on_one_box_see_each_others_strokes_in_one_order(folder):
    async def test(served):
        ann, bob = await served.page(FIRST), await served.page(FIRST, person="bob")
        tab = await served.twin(ann)
        dice = random.Random(2)

        async def paint(page: Page) -> None:
            for _ in range(25):
                page.paint(line_of((16, 26, 27), dice), dice.randrange(4), 3.0)
                if dice.random() < 0.3:
                    page.op(dice.choice(("undo", "redo")))
                if dice.random() < 0.5:
                    await page.settle()
            await page.settle()

        await asyncio.gather(paint(ann), paint(bob))
        last = served.desk.scribe.canvases[FIRST].revision
        await asyncio.gather(*(page.until(lambda page=page: page.revision == last) for page in (ann, bob, tab)))
        assert all(page.revisions == list(range(1, last + 1)) for page in (ann, bob, tab))
        assert {edit.person for edit in edits.history(served.project.database)} == {"ann", "bob"}
        same(served, ann, bob, tab)

    run(folder, test)


def test_undo_takes_back_ones_own_stroke_and_leaves_the_others(folder):
    async def test(served):
        ann, bob = await served.page(FIRST), await served.page(FIRST, person="bob")
        await ann.done(ann.paint(CENTRE, 2, 4.0))
        await bob.until(lambda: bob.revision == 1)
        await bob.done(bob.paint([[8.0, 13.0, 16.0]], 3, 2.0))
        await ann.until(lambda: ann.revision == 2)
        painted, under = saved(served, FIRST), (saved(served, FIRST) == 3).sum()
        assert (await ann.done(ann.op("undo")))["type"] == "patch"
        assert (saved(served, FIRST) == 3).sum() == under and not (saved(served, FIRST) == 2).any()
        await ann.done(ann.op("redo"))
        np.testing.assert_array_equal(saved(served, FIRST), painted)
        refused = await bob.done(bob.op("redo"))
        assert refused["type"] == "refused" and "nothing to redo" in refused["message"] and refused["hint"]
        await bob.until(lambda: bob.revision == 4)
        same(served, ann, bob)

    run(folder, test)


def test_every_tool_changes_what_the_page_then_shows(folder):
    async def test(served):
        page = await served.page(FIRST)
        for k in (4, 10):
            page.paint([[float(k), 8.0, 8.0]], 2, 3.0, plane=0)
        page.op("interpolate", axis=0, value=2, only=None)
        page.op("copy", axis=0, **{"from": 10}, to=11, only=None)
        page.op("fill", at=[0, 20, 20], plane=0, value=3)
        page.op("threshold", points=[[14.0, 20.0, 20.0]], radius=3.0, plane=0, value=2, only=0)
        page.op("empty")
        await page.settle()
        kinds = [edit.kind for edit in edits.history(served.project.database)]
        wanted = ["paint", "paint", "interpolate", "copy", "fill", "threshold", "empty"]
        assert kinds == [EditKind(kind) for kind in wanted]
        assert all(answer["type"] in ("ack", "patch") for answer in page.answers.values())
        assert (saved(served, FIRST)[11] == saved(served, FIRST)[10]).any() and (saved(served, FIRST) > 0).all()
        same(served, page)

    run(folder, test)


def test_a_prediction_is_accepted_whole_or_an_object_or_where_it_is_sure(folder):
    with open_project(folder) as project:
        record = project.volume_record("scan")
        plan = MapPlan.of(record, 1, (8, 16, 16), [(1, "background", "#808080"), (2, "membrane", "#e63c3c")])
        maps = Maps.create(folder, plan)
        everywhere = Box.of_shape(record.shape)
        classes = np.ones(record.shape, np.uint8)
        classes[4:8, 8:12, 8:12] = 2
        sure = np.full((2, *record.shape), 100, np.uint8)
        sure[:, 4:6] = 250
        bins = np.zeros((len(plan.statistics), *(-(-n // b) for n, b in zip(record.shape, plan.bin))))
        maps.write_tile(everywhere, classes, np.zeros(record.shape, np.uint8), bins, sure)

    async def test(served):
        page = await served.page(FIRST)
        refused = await page.done(page.op("accept", at=None, only=None, above=None))
        assert refused["type"] == "refused" and "no prediction" in refused["message"]
        served.sessions.all()[0].model = 1
        object_ = [4, 6, 4]
        await page.done(page.op("accept", at=object_, only=None, above=None))
        assert (saved(served, FIRST) > 0).sum() == 64
        await page.done(page.op("accept", at=None, only=0, above=0.9))
        assert (saved(served, FIRST) > 0).sum() == 64 + 2 * 26 * 27 - 32
        await page.done(page.op("accept", at=None, only=None, above=None))
        np.testing.assert_array_equal(saved(served, FIRST), classes[REGIONS[0].slices])
        same(served, page)

    run(folder, test)


def test_a_page_that_shows_something_else_is_put_right(folder):
    async def test(served):
        page = await served.page(FIRST)
        page.base[8, 13, 13] = 3
        answer = await page.done(page.paint([[8.0, 13.0, 15.0]], 2, 4.0, only=0))
        assert answer["type"] == "patch" and answer["revision"] == 1
        same(served, page)
        page.base[8, 13, 15] = 1
        answer = await page.done(page.paint([[8.0, 13.0, 15.0]], 2, 4.0, only=3))
        assert answer["type"] == "patch" and answer["revision"] == 1
        same(served, page)

    run(folder, test)


def test_what_a_verb_writes_shows_on_the_page(folder):
    async def test(served):
        page = await served.page(FIRST)
        region = Box((4, 6, 8), (30 - 24, 10, 12))
        stroke = Stroke(
            EditKind.IMPORT, "scan", region, np.ones(region.shape, bool), np.full(region.shape, 3, np.uint8), "eve",
            "verb-1", 1, FIRST,
        )  # fmt: skip
        for _ in range(2):
            edit = await post(served, writer.encode("write", stroke=stroke))
            assert (edit.number, edit.voxels, edit.person) == (1, region.voxels, "eve")
        await page.until(lambda: page.revision == 2)
        assert (page.base == 3).sum() == region.voxels
        await post(served, writer.encode("undo", box=FIRST, person="eve", sender=("verb-2", 1)))
        await page.until(lambda: page.revision == 3)
        page.paint(CENTRE, 2)
        await page.settle()
        first = REGIONS[0]
        await post(served, writer.encode(
            "revert", box=FIRST, volume="scan", region=first, person="eve", sender=("verb-3", 1), to=None))  # fmt: skip
        await page.until(lambda: page.revision == 5)
        assert not page.base.any()
        assert await post(served, writer.encode("repair", volume="scan")) == []
        assert (await post(served, writer.encode("finish", box=FIRST, person="eve"))).state == State.DONE
        await page.told("heads", state="done")
        same(served, page)

    run(folder, test)


async def post(served: Served, body: bytes) -> Any:
    answer = await AsyncHTTPClient().fetch(
        f"http://127.0.0.1:{served.port}/write", method="POST", body=body, raise_error=False
    )
    return writer.read_answer(answer.code, answer.body)


@pytest.mark.parametrize(
    ("operation", "arguments", "words"),
    [
        ("undo", {"box": 99, "person": "eve", "sender": ("v", 1)}, "no edit in box 99"),
        ("finish", {"box": 99, "person": "eve"}, "no box 99"),
        ("repair", {"volume": "../../etc"}, "no volume"),
        ("revert", {"box": 1, "volume": "scan", "region": Box((0, 0, 0), (999, 9, 9)), "person": "eve",
                    "sender": ("v", 1), "to": None}, "does not lie at"),
        ("revert", {"box": 1, "volume": "../x", "region": REGIONS[0], "person": "eve", "sender": ("v", 1),
                    "to": None}, "does not lie at"),
    ],
)  # fmt: skip
def test_a_verb_hears_why_it_is_refused(folder, operation, arguments, words):
    async def test(served):
        with pytest.raises(RondelError, match=words) as caught:
            await post(served, writer.encode(operation, **arguments))
        assert caught.value.hint
        assert edits.last_number(served.project.database) == 0

    run(folder, test)


@pytest.mark.parametrize("body", [b"", b"{}", b"\x02\x00\x00\x00{}", b"\xff\xff\xff\xff{}", b"\x04\x00\x00\x00null"])
def test_nonsense_to_write_is_answered_with_400(folder, body):
    async def test(served):
        url = f"http://127.0.0.1:{served.port}/write"
        answer = await AsyncHTTPClient().fetch(url, method="POST", body=body, raise_error=False)
        assert answer.code == 400 and json.loads(answer.body)["error"] == "InvalidDataError"

    run(folder, test)
