"""The boxes on the main screen: how they are listed, and what each key does to them."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
from rondel.store import label_boxes, ledger
from rondel.store.box import Box
from rondel.store.edits import open_journal
from rondel.store.project import Project
from rondel.store.records import LabelBox, Purpose, State
from rondel.tui.boxes_panel import BoxesPanel
from textual.widgets import DataTable

from .conftest import add_box, stroke
from .screens import boxes, run, said, text_of, until, write
from .small_rounds import make_labelled
from .small_server import small_server

__all__ = ["boxes"]


def state_of(project: Project, box: LabelBox) -> State:
    return label_boxes.get(project.database, box.id).state


def test_done_skip_and_reopen_move_the_box_and_the_cursor_goes_on(project, boxes) -> None:
    async def steps(app, pilot) -> None:
        panel = app.screen.query_one(BoxesPanel)
        assert panel.chosen == 1
        await pilot.press("d")
        await until(pilot, lambda: "Nothing is painted in box 1" in text_of(app))
        assert state_of(project, boxes[0]) == State.PROPOSED
        await pilot.press("y")
        await until(pilot, lambda: panel.chosen == 2)
        assert state_of(project, boxes[0]) == State.DONE
        await pilot.press("s")
        await write(pilot, "out of focus")
        await pilot.press("enter")
        await until(pilot, lambda: panel.chosen == 3)
        skipped = label_boxes.get(project.database, 2)
        assert (skipped.state, skipped.why, skipped.person) == (State.SKIPPED, "out of focus", "ann")
        await pilot.press("g", "2", "enter")
        await until(pilot, lambda: panel.chosen == 2)
        await pilot.press("e")
        await until(pilot, lambda: state_of(project, boxes[1]) == State.OPEN)
        await until(pilot, lambda: "◐ open" in text_of(app))

    app = run(project, steps)
    assert [line.split(",")[0] for line in said(app)] == [
        "box 1 is done",
        "box 2 is skipped: out of focus",
        "box 2 is open",
    ]


def test_a_painted_box_is_done_without_a_question(project, boxes) -> None:
    with open_journal(project) as journal:
        journal.write(stroke(boxes[0].box, 2, 1, person="ann", box=1))

    async def steps(app, pilot) -> None:
        await pilot.press("d")
        await until(pilot, lambda: state_of(project, boxes[0]) == State.DONE)

    run(project, steps)


def test_a_first_model_is_not_due_for_a_box_that_is_done_without_paint(project, boxes) -> None:
    label_boxes.move(project.database, 2, State.OPEN, "ann")
    label_boxes.move(project.database, 2, State.DONE, "ann")

    async def steps(app, pilot) -> None:
        assert "space   label box 1 of 'scan', test (2 boxes wait)" in text_of(app)

    run(project, steps)


def test_escape_leaves_a_skip_undone(project, boxes) -> None:
    async def steps(app, pilot) -> None:
        await pilot.press("s", "enter")
        await until(pilot, lambda: "write it here first" in text_of(app))
        await pilot.press("x", "escape")
        await pilot.pause()
        assert state_of(project, boxes[0]) == State.PROPOSED

    run(project, steps)


def test_protecting_a_box_asks_first(project, boxes) -> None:
    async def steps(app, pilot) -> None:
        await pilot.press("down", "T", "n")
        await pilot.pause()
        assert label_boxes.get(project.database, 2).purpose == Purpose.TRAIN
        await pilot.press("T", "y")
        await until(pilot, lambda: label_boxes.get(project.database, 2).purpose == Purpose.TEST)

    run(project, steps)


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [("20,40,60", Box((12, 32, 52), (28, 48, 68))), ("30:40,50:60,70:80", Box((30, 50, 70), (40, 60, 80)))],
    ids=["around a voxel", "region"],
)
def test_a_box_is_added_by_hand(project, boxes, typed, wanted) -> None:
    async def steps(app, pilot) -> None:
        await pilot.press("a")
        await write(pilot, typed)
        await pilot.press("enter")
        await until(pilot, lambda: "box 4 added" in said(app))

    run(project, steps)
    assert label_boxes.get(project.database, 4).box == wanted


def test_a_region_that_will_not_do_is_explained_and_not_added(project, boxes) -> None:
    async def steps(app, pilot) -> None:
        await pilot.press("a")
        await write(pilot, "99,0,0")
        await pilot.press("enter")
        await pilot.pause()
        assert "lies outside 'scan'" in text_of(app)
        await pilot.press("escape")

    run(project, steps)
    assert len(label_boxes.select(project.database)) == 3


def test_a_box_is_added_around_what_the_page_shows(project, boxes) -> None:
    async def steps(app, pilot) -> None:
        await until(pilot, lambda: app.snapshot.server and app.snapshot.server.people)
        await pilot.press("a", "enter")
        await until(pilot, lambda: "box 4 added" in said(app))

    with small_server(project.folder) as server:
        server.people = [{"person": "ann", "box": None, "volume": "scan", "position": [20, 40, 60]}]
        run(project, steps)
    assert label_boxes.get(project.database, 4).box == Box((12, 32, 52), (28, 48, 68))


def test_filter_order_and_rounds_change_the_list(project, boxes) -> None:
    add_box(project, Box((20, 0, 0), (36, 16, 16)), round=0, state=State.DONE, reason="from far")

    async def steps(app, pilot) -> None:
        panel = app.screen.query_one(BoxesPanel)
        listed = lambda: [box.id for box in panel._boxes]  # noqa: E731
        assert listed() == [1, 2, 3]
        await pilot.press("full_stop")
        assert listed() == [1, 2, 3, 4]
        await pilot.press("slash")
        await write(pilot, "far done")
        assert listed() == [4]
        await pilot.press("escape")
        assert listed() == [1, 2, 3, 4]
        await pilot.press("comma", "comma")
        assert panel.view.order == "priority" and listed() == [1, 2, 3, 4]

    run(project, steps)


def test_ten_thousand_boxes_are_paged_searched_and_jumped_in(project, boxes) -> None:
    box = replace(boxes[2], strategy="many")
    label_boxes.add(project.database, [replace(box, priority=k / 1e5) for k in range(10_000)])

    async def steps(app, pilot) -> None:
        table, panel = app.screen.query_one(DataTable), app.screen.query_one(BoxesPanel)
        assert table.row_count == 50
        await pilot.press("greater_than_sign")
        await pilot.pause()
        assert "page 2 of 201" in text_of(app) and panel.chosen not in (None, 1)
        await pilot.press("g", *"9000", "enter")
        await until(pilot, lambda: app.screen.box is not None and app.screen.box.id == 9000)
        began = time.monotonic()
        label_boxes.move(project.database, 9000, State.OPEN, "bob")
        await until(pilot, lambda: app.snapshot.box(9000).state == State.OPEN)
        assert time.monotonic() - began < 30
        await pilot.press("slash")
        await write(pilot, "open")
        await until(pilot, lambda: table.row_count == 1)

    run(project, steps)


def test_the_list_has_the_keys_when_its_first_boxes_come_and_after_another_screen(project) -> None:
    async def steps(app, pilot) -> None:
        table = app.screen.query_one(DataTable)
        ledger.open_round(project.database, None, "typical", 0)
        add_box(project, Box((0, 0, 0), (16, 16, 16)))
        await until(pilot, lambda: "○ proposed" in text_of(app) and app.focused is table)
        await pilot.press("S")
        await until(pilot, lambda: "boxes.per_round" in text_of(app))
        await pilot.press("escape", "s", "escape")
        await until(pilot, lambda: app.focused is table)
        assert app.screen.query_one(BoxesPanel).view.filter == ""

    run(project, steps)


def test_more_boxes_are_proposed(tmp_path: Path) -> None:
    make_labelled(tmp_path / "cells")

    async def steps(app, pilot) -> None:
        were = {box.id for box in app.snapshot.boxes}
        await pilot.press("m")
        await until(pilot, lambda: any(line.endswith("started: propose 4 more boxes") for line in said(app)))
        await until(pilot, lambda: "m more" not in text_of(app))  # while that is computed
        await until(pilot, lambda: len({box.id for box in app.snapshot.boxes} - were) == 4)
        await until(pilot, lambda: "4 boxes proposed" in said(app) and "m more" in text_of(app))
        assert app.snapshot.round.number == 1

    run(tmp_path / "cells", steps, (180, 50))


def test_a_filter_that_finds_nothing_keeps_the_keys_and_is_cleared_by_escape(project, boxes) -> None:
    async def steps(app, pilot) -> None:
        panel = app.screen.query_one(BoxesPanel)
        await pilot.press("slash")
        await write(pilot, "nowhere")
        await pilot.press("enter")
        await until(pilot, lambda: "No box matches" in text_of(app))
        assert panel in app.focused.ancestors_with_self
        await pilot.press("escape")
        await until(pilot, lambda: "○ proposed" in text_of(app) and app.focused is panel.table)
        await pilot.press("down")
        await until(pilot, lambda: panel.chosen == 2)

    run(project, steps)
