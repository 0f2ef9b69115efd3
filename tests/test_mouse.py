"""What a click does on the main screen."""

import pytest
from rondel.store import ledger
from rondel.store.box import Box
from rondel.store.project import Project
from rondel.store.records import LabelBox, RoundState
from rondel.tui.boxes_panel import BoxesPanel
from rondel.tui.due_line import DueLine
from rondel.tui.preview_panel import PreviewPanel
from rondel.tui.rounds_panel import RoundsPanel
from rondel.tui.tab_line import TabLine
from textual.events import MouseScrollDown
from textual.widgets import DataTable

from .conftest import add_box
from .screens import run, said, text_of, until
from .small_server import small_server


@pytest.fixture
def boxes(project: Project, monkeypatch: pytest.MonkeyPatch) -> list[LabelBox]:
    """A box of round 1, and two of round 2, which is the present one."""
    monkeypatch.setenv("RONDEL_PERSON", "ann")
    for number in (1, 2):
        ledger.open_round(project.database, None, "typical", 0)
        ledger.set_round(project.database, number, RoundState.LABELLING)
    return [
        add_box(project, Box((0, 0, 20 * k), (16, 16, 20 * k + 16)), priority=1 - k / 10, round=1 if k == 0 else 2)
        for k in range(3)
    ]


def test_a_click_on_a_row_chooses_its_box_and_one_more_opens_it(project, boxes) -> None:
    async def steps(app, pilot) -> None:
        panel = app.screen.query_one(BoxesPanel)
        assert panel.chosen == 1
        await pilot.click(panel.table, offset=(5, 2))
        await until(pilot, lambda: panel.chosen == 2 and app.screen.box.id == 2)
        await pilot.pause(0.2)
        assert server.shown == []
        await pilot.click(panel.table, offset=(5, 2))
        await until(pilot, lambda: said(app))
        assert server.shown == [{"person": "ann", "box": 2}]

    with small_server(project.folder) as server:
        run(project, steps)


def test_two_clicks_on_a_round_list_its_boxes(project, boxes) -> None:
    async def steps(app, pilot) -> None:
        panel = app.screen.query_one(BoxesPanel)
        await pilot.click(app.screen.query_one(RoundsPanel).query_one(DataTable), offset=(3, 1), times=2)
        await until(pilot, lambda: [box.id for box in panel._boxes] == [1])

    run(project, steps)


def test_clicks_change_tabs_where_it_is_narrow(project, boxes) -> None:
    async def steps(app, pilot) -> None:
        for title, panel in (
            ("3 Preview", "#preview"),
            ("4 Rounds", "#curve"),
            ("6 Jobs", "#link"),
            ("1 Boxes", "#boxes"),
        ):
            await pilot.click(TabLine, offset=(text_of(app).splitlines()[1].index(title) + 2, 0))
            await until(pilot, lambda panel=panel: app.screen.query_one(panel).region.area)

    run(project, steps, (80, 24))


def test_a_click_on_the_line_of_what_is_due_does_it(project, boxes) -> None:
    async def steps(app, pilot) -> None:
        await pilot.click(DueLine)
        await until(pilot, lambda: said(app))
        assert server.shown == [{"person": "ann", "box": 1}]

    with small_server(project.folder) as server:
        run(project, steps)


def test_a_click_focuses_a_panel_and_the_wheel_turns_slices(project, boxes) -> None:
    async def steps(app, pilot) -> None:
        panel = app.screen.query_one(PreviewPanel)
        await until(pilot, lambda: panel.request is not None)
        await pilot.click(PreviewPanel, offset=(3, 3))
        await until(pilot, lambda: app.focused is panel)
        await pilot._post_mouse_events([MouseScrollDown], PreviewPanel, offset=(3, 3))
        await until(pilot, lambda: panel.request.index == 9)

    run(project, steps)
