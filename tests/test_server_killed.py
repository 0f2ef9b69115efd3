"""kill -9 of the server while two people paint: no answered stroke is lost, none is doubled, no voxel is wrong.

RONDEL_KILLS sets how many kills are dealt out.
"""

import asyncio
import os
import random
import signal

import numpy as np
from rondel.store import edits, label_boxes, labels, repair
from rondel.store.box import Box
from rondel.store.project import Project, open_project
from rondel.viewer import brush
from tornado.httpclient import HTTPClientError
from tornado.simple_httpclient import HTTPTimeoutError
from tornado.websocket import WebSocketClosedError

from . import served
from .small_pages import Page, line_of, make_project

KILLS = int(os.environ.get("RONDEL_KILLS", "3"))
FIRST = 1
LOST = (OSError, WebSocketClosedError, HTTPClientError, HTTPTimeoutError)


def test_a_killed_server_loses_no_answered_stroke_and_leaves_no_wrong_voxel(tmp_path):
    make_project(tmp_path / "cells")
    pages = asyncio.run(deal_kills(tmp_path / "cells"))
    with open_project(tmp_path / "cells") as project, edits.open_journal(project):
        for page in pages:
            check_journal(project, page)
        check_voxels(project, pages)
    with open_project(tmp_path / "cells") as project:
        assert repair.repair(project, "scan") == []


async def deal_kills(folder) -> list[Page]:
    """Let two people paint in one box while the server is killed and started again."""
    dice, stop = random.Random(0), asyncio.Event()
    server = await asyncio.to_thread(served.begin, folder)
    try:
        pages = [page_of(server, person) for person in ("ann", "bob")]
        painting = [asyncio.create_task(paint(page, random.Random(page.person), stop)) for page in pages]
        for _ in range(KILLS):
            before = [len(page.answers) for page in pages]
            while any(len(page.answers) <= n for page, n in zip(pages, before)):
                assert not any(task.done() for task in painting) and server.process.poll() is None
                await asyncio.sleep(0.005)
            await asyncio.sleep(dice.random() * 0.2)  # the moment of the kill is what is drawn, nothing is waited for
            await asyncio.to_thread(server.stop, signal.SIGKILL)
            server = await asyncio.to_thread(served.begin, folder)
        stop.set()
        await asyncio.gather(*painting)
        last = max(page.revision for page in pages)
        await asyncio.gather(*(page.until(lambda page=page: page.revision == last) for page in pages))
        return pages
    finally:
        server.stop(signal.SIGTERM)


def page_of(server: served.Served, person: str) -> Page:
    token = server.open(f"?box={FIRST}")
    headers = {"Cookie": server.cookie, "Origin": f"http://{server.host}"}
    return Page(f"ws://{server.host}/ws/{token}", person, headers)


async def paint(page: Page, dice: random.Random, stop: asyncio.Event) -> None:
    """Paint like a person who notices nothing; what is sent is kept in `page.sent`."""
    connected = False
    while not stop.is_set() or page.queue or not connected:
        try:
            if not connected:
                await page.connect()
                connected = True
            if not stop.is_set() and len(page.queue) < 8:
                do_something(page, dice)
            if page.queue and (stop.is_set() or dice.random() < 0.7):
                await page.done(page.queue[0]["number"])
        except LOST:
            connected = False
            await asyncio.sleep(0.05)


def do_something(page: Page, dice: random.Random) -> None:
    if dice.random() < 0.2:
        page.op(dice.choice(("undo", "redo")))
    else:
        page.paint(
            line_of(page.base.shape, dice), dice.randrange(4), dice.choice((0.5, 2.0, 4.0)), dice.choice((0, None))
        )


def check_journal(project: Project, page: Page) -> None:
    """Each answered op is in the journal once, and covers the voxels that its stroke covers."""
    rows = project.database.rows("SELECT * FROM edit WHERE client = ? ORDER BY number", page.client)
    numbers = [row["client_number"] for row in rows]
    assert numbers == sorted(set(numbers)) and len(numbers) > KILLS
    known = {row["client_number"]: row for row in rows}
    for number, answer in page.answers.items():
        if answer["type"] == "ack" and answer["edit"] is not None:
            assert known[number]["number"] == answer["edit"]
    origin = label_boxes.get(project.database, FIRST).box
    strokes = {op["number"]: op for op in page.sent if op["op"] == "paint"}
    for number, row in known.items():
        if row["kind"] in ("paint", "erase"):
            stroke = strokes[number]
            region, mask, after = edits._voxels(row)
            wanted = np.zeros(origin.shape, bool)
            place, covered = brush.rasterise(
                origin.shape, (10, 10, 10), stroke["points"], stroke["radius"], stroke["plane"]
            )
            wanted[place.slices] = covered
            found = np.zeros(origin.shape, bool)
            found[region.relative_to(origin).slices] = mask
            np.testing.assert_array_equal(found, wanted)
            assert (after == stroke["value"]).all()


def check_voxels(project: Project, pages: list[Page]) -> None:
    """The array is what the journal replays to, and both pages show that."""
    everywhere = Box.of_shape(project.volume_record("scan").shape)
    found = labels.read(project, "scan", everywhere)
    np.testing.assert_array_equal(found, edits.replay(project.database, "scan", everywhere))
    box = label_boxes.get(project.database, FIRST).box
    for page in pages:
        np.testing.assert_array_equal(page.view(), found[box.slices])
    found[box.slices] = 0
    assert not found.any()
