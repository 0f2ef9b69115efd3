"""The panel of the page: what is saved, what is on its way, and what an installed Neuroglancer lacks."""

from rondel.store.box import Box
from rondel.store.edits import open_journal
from rondel.store.project import Project
from rondel.tui.link_panel import LinkPanel
from textual.widgets import Static

from .conftest import add_box, stroke
from .screens import run, said, text_of, until
from .small_server import small_server

CORNER = Box((0, 0, 0), (16, 16, 16))


def test_strokes_are_counted_as_saved_and_as_pending(project: Project) -> None:
    box = add_box(project, CORNER)
    with open_journal(project) as journal:
        journal.write(stroke(CORNER, 2, 1, box=box.id))

    async def steps(app, pilot) -> None:
        await until(pilot, lambda: "✔ 1 stroke saved, 0 pending" in text_of(app))
        server.status = {"saved": 1, "pending": 2}
        await until(pilot, lambda: "◌ 1 stroke saved, 2 pending" in text_of(app))
        assert "◌ 2 strokes being saved" in text_of(app).splitlines()[0]
        server.status = {}
        await until(pilot, lambda: "✔ 1 stroke saved, 0 pending" in text_of(app))

    with small_server(project.folder) as server:
        run(project, steps)


def test_names_that_neuroglancer_lacks_are_a_warning_in_the_panel_and_in_the_log(project: Project) -> None:
    async def steps(app, pilot) -> None:
        assert "lacks" not in text_of(app)
        server.status = {"missing": ["viewer.navigationState", "[b]\x1b[31m"]}
        await until(pilot, lambda: "lacks viewer.navigationState, [b]\\x1b[31m: no brush" in panel_text(app))
        await until(pilot, lambda: any("lacks [b]" in line for line in said(app)))

    with small_server(project.folder) as server:
        run(project, steps, (180, 50))


def test_lines_that_have_no_room_are_scrolled_to(project: Project) -> None:
    async def steps(app, pilot) -> None:
        await until(pilot, lambda: app.snapshot.server and app.snapshot.server.people)
        assert "strokes" not in text_of(app)
        await pilot.press("7", "end")
        await until(pilot, lambda: "no strokes yet" in text_of(app))

    with small_server(project.folder) as server:
        server.people = [{"person": f"person {k}" * 3, "box": None, "volume": "scan"} for k in range(20)]
        run(project, steps)


def test_a_click_on_the_link_copies_it(project: Project) -> None:
    async def steps(app, pilot) -> None:
        await pilot.click(LinkPanel, offset=(5, 1))
        await until(pilot, lambda: app.clipboard == f"http://127.0.0.1:{server.port}/open/a-secret")

    with small_server(project.folder) as server:
        run(project, steps)


def panel_text(app) -> str:
    return str(app.screen.query_one(LinkPanel).query_one(Static).render())
