"""Lines break and messages are nonsense: no stroke is lost or doubled, and nothing but a refusal comes of it."""

import asyncio
import json
import logging
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rondel.store import beside, edits, labels
from rondel.store.errors import SpaceError
from rondel.store.serving import SavedSession
from rondel.viewer import messages, plan, views
from tornado.websocket import websocket_connect

from .small_pages import Page, line_of, make_project, serving
from .test_desk import CENTRE, FIRST, SECOND, run, same, saved

CUTS = 100


@pytest.fixture
def folder(tmp_path):
    make_project(tmp_path / "cells")
    return tmp_path / "cells"


def test_100_cut_lines_lose_no_stroke_and_double_none(folder):
    async def test(served):
        dice = random.Random(0)
        page, other = await served.page(FIRST), await served.page(FIRST, person="bob")
        sent = 0
        for _ in range(CUTS):
            for _ in range(dice.randrange(1, 5)):
                page.paint(line_of((16, 26, 27), dice), 1 + sent % 3, 2.0)
                sent += 1
            if dice.random() < 0.5:
                await page.settle()
            page.cut()
            page.paint(line_of((16, 26, 27), dice), 1 + sent % 3, 2.0)
            sent += 1
            await page.connect()
        await page.settle()
        assert page.next == sent + 1
        numbers = [edit["client_number"] for edit in served.project.database.rows("SELECT * FROM edit ORDER BY number")]
        assert numbers == sorted(set(numbers)) and len(numbers) > 2 * CUTS
        await other.until(lambda: other.revision == page.revision)
        same(served, page, other)
        np.testing.assert_array_equal(saved(served, FIRST), await oracle(served, page, sent))

    run(folder, test)


async def oracle(served, page, sent: int) -> np.ndarray:
    """Paint all strokes anew, once each and in their order, without any server."""
    dice, number = random.Random(0), 0
    page.base[:] = 0
    for _ in range(CUTS):
        strokes = [line_of((16, 26, 27), dice) for _ in range(dice.randrange(1, 5))]
        dice.random()
        for points in [*strokes, line_of((16, 26, 27), dice)]:
            page._raster(
                page.base, {"points": points, "radius": 2.0, "plane": None, "only": None, "value": 1 + number % 3}
            )
            number += 1
    assert number == sent
    return page.base


def test_a_page_that_reconnects_is_told_what_is_saved_and_where_it_is(folder):
    async def test(served):
        page = await served.page(FIRST)
        page.paint(CENTRE, 2)
        page.op("go", to=SECOND)
        page.cut()
        await page.connect()
        await page.settle()
        await page.until(lambda: page.head["id"] == SECOND and page.revision >= 0)
        assert page.head["acked"] <= 2 and edits.last_number(served.project.database) == 1
        same(served, page)

    run(folder, test)


def test_an_old_line_of_the_same_page_is_closed_when_a_new_one_comes(folder):
    async def test(served):
        page = await served.page(FIRST)
        old = page.line
        await page.connect()
        assert old is not None
        while await old.read_message() is not None:
            pass
        assert old.close_code == 1001
        await page.done(page.paint(CENTRE, 2))
        assert len(served.sessions.all()[0].sockets) == 1
        page.cut()
        await page.connect()
        same(served, page)

    run(folder, test)


def test_a_page_that_lost_a_revision_asks_again_by_saying_hello(folder):
    async def test(served):
        page = await served.page(FIRST)
        await page.done(page.paint(CENTRE, 2))
        page.revision, page.base[:] = -1, 0
        page.send(type="hello", client=page.client, person="ann", box=FIRST, missing=[])
        await page.until(lambda: page.revision == 1)
        same(served, page)

    run(folder, test)


def test_after_a_restart_pages_go_on_where_they_were(folder):
    async def first(served):
        page = await served.page(FIRST)
        page.paint(CENTRE, 2)
        await page.settle()
        page.paint([[3.0, 4.0, 5.0]], 3)
        await page.settle()
        page.cut()
        kept.append(page)

    async def second(served):
        page = await served.page(FIRST, client=kept[0].client)
        assert page.head["acked"] == 2 and page.revision == 0
        page.next = 3
        page.op("undo")
        await page.settle()
        assert edits.last_number(served.project.database) == 3
        same(served, page)

    kept: list = []
    run(folder, first)
    run(folder, second)


def test_a_page_hears_that_its_image_is_out_of_reach_and_that_it_is_back(folder):
    image = folder / "scan.ome.zarr"

    async def first(served):
        await served.page(FIRST)
        kept.extend(session.saved for session in served.sessions.all())

    async def second(served):
        (session,) = served.sessions.all()
        page = Page(f"ws://127.0.0.1:{served.port}/ws/{session.token}")
        await page.connect()
        assert "scan.ome.zarr does not exist" in (await page.told("note"))["text"]
        served.sessions.resume(session.token, "what the page shows")
        page.paint(CENTRE, 2)
        await page.settle()
        same(served, page)
        (folder / "away").rename(image)
        assert (await page.told("note"))["text"] == "the image can be read again"
        shared = session.viewer.shared_state
        assert "layers" in shared.raw_state and shared.state_generation == "what the page shows"

    kept: list[SavedSession] = []
    run(folder, first)
    image.rename(folder / "away")
    views._look.cache_clear()  # another process knows nothing of the image
    run(folder, second, tuple(kept))


def test_a_full_disk_keeps_the_stroke_in_the_page_until_there_is_space(folder, monkeypatch):
    async def test(served):
        page = await served.page(FIRST)
        with monkeypatch.context() as patch:
            patch.setattr(served.desk.scribe.journal, "write", _full)
            page.paint(CENTRE, 2)
            page.paint([[3.0, 4.0, 5.0]], 3)
            assert "trying again" in (await page.told("note"))["text"]
            with pytest.raises(ConnectionError, match="1013"):
                await page.settle()
        assert len(page.queue) == 2 and edits.last_number(served.project.database) == 0
        await page.connect()
        await page.settle()
        assert edits.last_number(served.project.database) == 2
        same(served, page)

    run(folder, test)


def _full(*_):
    raise SpaceError("project.db could not be written: disk full", "free space, then try again")


def test_an_edit_that_is_in_the_journal_but_could_not_be_applied_is_applied_later(folder, monkeypatch):
    async def test(served):
        page, other = await served.page(FIRST), await served.page(FIRST, person="bob")
        with monkeypatch.context() as patch:
            patch.setattr(edits.Journal, "_apply", _no_space)
            page.paint(CENTRE, 2)
            with pytest.raises(ConnectionError, match="1013"):
                await page.settle()
        assert edits.last_number(served.project.database) == 1 and not saved(served, FIRST).any()
        await page.connect()
        await page.settle()
        await other.until(lambda: other.revision == page.revision)
        assert edits.last_number(served.project.database) == 1 and saved(served, FIRST).any()
        same(served, page, other)

    run(folder, test)


def _no_space(*_):
    raise ValueError(beside.NO_SPACE_TEXTS[0])


def test_a_tool_that_fails_is_refused_and_the_server_goes_on(folder, monkeypatch, caplog):
    async def test(served):
        page = await served.page(FIRST)
        with monkeypatch.context() as patch:
            patch.setattr(labels, "read", _no_space)
            patch.setattr(served.desk.scribe.journal, "_checked", _no_space)
            refused = await page.done(page.paint(CENTRE, 2))
            assert refused["type"] == "refused" and "log" in refused["hint"]
        await page.done(page.paint(CENTRE, 3))
        same(served, page)

    run(folder, test)
    assert "Paint could not be done" in caplog.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"points": [[float("nan"), 1, 1]]}, "finite"),
        ({"points": [[1e300, 1, 1]]}, "less than"),
        ({"points": []}, "at least 1"),
        ({"points": [[1, 1, 1]] * (messages.MOST_POINTS + 1)}, "at most"),
        ({"points": [[1, 1]]}, "required"),
        ({"points": "1,1,1"}, "valid array"),
        ({"radius": 0}, "greater than"),
        ({"radius": -1}, "greater than"),
        ({"radius": 1e9}, "less than"),
        ({"radius": float("inf")}, "finite"),
        ({"value": 7}, "not declared"),
        ({"value": -1}, "greater than"),
        ({"value": 2.5}, "integer"),
        ({"value": True}, "integer"),
        ({"plane": 3}, "0, 1 or 2"),
        ({"only": 999}, "less than"),
        ({"box": 99}, "no box 99"),
        ({"box": "1"}, "integer"),
        ({"box": None}, "no box is open"),
        ({"op": "explode"}, "tag"),
        ({"op": ["paint"]}, "tag"),
        ({"client": "somebody-else"}, "hello"),
        ({"op": "fill", "at": [99, 0, 0]}, "outside the box"),
        ({"op": "fill", "at": [-1, 0, 0]}, "greater than"),
        ({"op": "copy", "axis": 0, "from": 3, "to": 999}, "outside the box"),
        ({"op": "interpolate", "axis": 4}, "0, 1 or 2"),
        ({"op": "go", "to": "nowhere"}, "next"),
        ({"op": "skip", "why": "x" * 1000}, "at most"),
    ],
)
def test_absurd_ops_are_refused_and_nothing_is_logged(folder, caplog, changes, words):
    async def test(served):
        page = await served.page(FIRST)
        fields = {"op": "paint", "points": CENTRE, "radius": 2.0, "value": 2, **changes}
        op = fields.pop("op")
        refused = await page.done(page.op(op, **fields))
        assert refused["type"] == "refused" and words in refused["message"], refused
        assert edits.last_number(served.project.database) == 0
        await page.done(page.paint(CENTRE, 2))
        same(served, page)

    run(folder, test)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_stroke_that_would_keep_everybody_waiting_is_refused(folder, monkeypatch):
    async def test(served):
        page = await served.page(FIRST)
        monkeypatch.setattr(plan, "MOST_WORK", 100 * 16 * 26 * 27)
        for count, answer in ((101, "refused"), (99, "patch")):
            number = page.op("paint", points=[[8.0, 8.0, 8.0]] * count, radius=1000.0, value=2)
            assert (await page.done(number))["type"] == answer

    run(folder, test)


@pytest.mark.parametrize("text", ["", "{", "null", "5", "[" * 5000, '{"type":5}', '{"type":"op","number":4}', b"\x00"])
def test_nonsense_on_the_line_is_refused(folder, text, caplog):
    async def test(served):
        page = await served.page(FIRST)
        assert page.line
        page.line.write_message(text, binary=isinstance(text, bytes))
        refused = await page.told("refused")
        assert refused["number"] == (4 if "4" in str(text) else 0)
        await page.done(page.paint(CENTRE, 2))

    run(folder, test)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_page_that_sends_nothing_but_nonsense_is_cut_off(folder):
    async def test(served):
        page = await served.page(FIRST)
        assert page.line
        for _ in range(200):
            page.line.write_message("{}")
        with pytest.raises(ConnectionError, match="1008"):
            await page.until(lambda: False)

    run(folder, test)


def test_ops_before_hello_and_sessions_that_are_not_known_are_refused(folder):
    async def test(served):
        page = await served.page(FIRST)
        line = await websocket_connect(page.url)
        line.write_message(json.dumps({"type": "op", "op": "empty", "client": page.client, "number": 1, "box": FIRST}))
        refused = json.loads(await line.read_message() or "")
        assert refused["type"] == "refused" and "hello" in refused["message"]
        with pytest.raises(Exception, match="404"):
            await websocket_connect(page.url + "x")
        assert edits.last_number(served.project.database) == 0

    run(folder, test)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KINDS = ["paint", "threshold", "fill", "interpolate", "copy", "accept", "empty", "undo", "redo", "done", "skip", "go",
         "view", "label"]  # fmt: skip
FIELDS = {
    "value": 2, "points": [[1.0, 2.0, 3.0]], "radius": 2.0, "plane": 0, "only": 0, "at": [1, 2, 3], "axis": 0,
    "from": 1, "to": 2, "above": 0.5, "why": "dark", "crc": 0, "region": [0, 0, 0, 4, 4, 4],
}  # fmt: skip


def test_generated_messages_past_the_first_checks_are_answered_and_end_nothing(folder, caplog):
    """Each is well formed but for some fields; the server answers each, and paints on afterwards."""

    async def whole(examples: list[dict]) -> None:
        async with serving(folder) as served:
            page = await served.page(FIRST)
            for fields in examples:
                for one in served.desk.pages:
                    one.refused = 0
                await page.done(page.op(fields.pop("op"), **fields))
            if page.head["type"] == "view" or page.head["state"] == "dropped":
                page.op("label", box=FIRST)
                await page.until(lambda: page.head["type"] == "box" and page.revision >= 0)
            await page.until(lambda: page.revision >= 0)
            await page.done(page.paint([[1.0, 1.0, 1.0]], 3))

    examples: list[dict] = []

    @settings(max_examples=400, database=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from([*FIELDS, "box"]), JSON, max_size=2))
    def draw(op, changes):
        examples.append({"op": op, **FIELDS, **changes})

    draw()
    asyncio.run(whole(examples))
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
