"""The main screen: what it shows of a project, and what each key does to it."""

import asyncio
import threading
from pathlib import Path

import pytest
from rondel.store import job_rows, label_boxes, ledger, locks
from rondel.store.edits import open_journal
from rondel.store.records import JobState, Progress, RoundState, State
from rondel.tui.app import RondelApp
from rondel.tui.jobs_screen import JobsScreen
from rondel.tui.log_panel import LogPanel, LogScreen
from rondel.tui.main_screen import PANELS, MainScreen, layout_for
from rondel.tui.messages import Act, Said
from rondel.tui.wizard import Wizard
from textual.geometry import Size
from textual.widgets import Input

from .conftest import stroke
from .screens import boxes, run, said, text_of, until, write
from .small_rounds import make_labelled
from .small_server import small_server

__all__ = ["boxes"]

HOSTILE = "a[b]\x1b[31m[/red]\u202e\x07{}" + "x" * 300


def test_one_look_says_round_boxes_and_what_is_due(project, boxes) -> None:
    async def steps(app, pilot) -> None:
        text = text_of(app)
        for words in ("round 1 of 10, labelling", "○ proposed", "0 of 3 boxes done", "for a test", "No page is served"):
            assert words in text, words
        assert "space   label box 1 of 'scan', test (3 boxes wait)" in text

    run(project, steps)


@pytest.mark.parametrize(
    ("size", "layout", "shown"),
    [
        ((80, 24), "narrow", {"boxes", "box"}),
        ((100, 30), "narrow", {"boxes", "box"}),
        ((120, 40), "medium", set(PANELS) - {"log"}),
        ((180, 50), "wide", set(PANELS)),
        ((69, 40), "tiny", set()),
        ((120, 19), "tiny", set()),
    ],
)
def test_each_size_has_a_layout_that_fits(project, boxes, size, layout, shown) -> None:
    async def steps(app, pilot) -> None:
        regions = {name: app.screen.query_one(f"#{name}") for name in PANELS}
        assert {name for name, panel in regions.items() if panel.region.area} == shown
        assert ("needs 70 × 20" in text_of(app)) == (layout == "tiny")
        width, height = size
        assert all(p.region.right <= width and p.region.bottom <= height for p in regions.values())
        assert layout == "tiny" or "space" in text_of(app).splitlines()[-2]
        assert layout == "tiny" or "? help  q quit" in text_of(app).splitlines()[-1]

    assert layout_for(Size(*size)) == layout
    run(project, steps, size)


def test_number_keys_bring_every_panel_to_the_front_of_a_narrow_terminal(project, boxes) -> None:
    async def steps(app, pilot) -> None:
        for number, name in enumerate(PANELS, 1):
            await pilot.press(str(number))
            panel = app.screen.query_one(f"#{name}")
            await until(pilot, lambda panel=panel: panel in app.focused.ancestors_with_self)
            assert panel.region.area, name

    run(project, steps, (80, 24))


def test_the_number_of_the_log_opens_it_where_it_has_no_room_beside_the_others(project, boxes) -> None:
    async def steps(app, pilot) -> None:
        await pilot.press("8")
        await until(pilot, lambda: isinstance(app.screen, LogScreen))
        await pilot.press("escape", "4")
        await until(pilot, lambda: app.focused in app.screen.query_one("#rounds").walk_children())

    run(project, steps)


def test_what_cannot_be_done_is_one_line_with_a_hint_and_stays_in_the_log(project, boxes) -> None:
    ledger.set_round(project.database, 1, RoundState.LABELLING)
    label_boxes.move(project.database, 1, State.SKIPPED, "bob", why="blank")

    async def steps(app, pilot) -> None:
        await pilot.press("a")
        await write(pilot, "0:16,0:16,0:16")
        await pilot.press("enter")
        await until(pilot, lambda: said(app))
        await pilot.press("l")
        await pilot.pause()
        line = " ".join(text_of(app).replace("│", " ").split())
        assert "overlaps box 1; boxes do not overlap; choose another region" in line

    run(project, steps)


def test_changes_of_others_appear(project, boxes) -> None:
    async def steps(app, pilot) -> None:
        label_boxes.move(project.database, 2, State.OPEN, "bob")
        with open_journal(project) as journal:
            journal.write(stroke(boxes[1].box, 2, 1, person="bob", box=2))
        await until(pilot, lambda: "✔ 1 stroke saved" in text_of(app))
        await until(pilot, lambda: "box 2 is open, by bob" in said(app))
        await pilot.press("g", "2", "enter")
        await until(pilot, lambda: "1 edit, the last" in text_of(app))
        assert "by bob" in text_of(app)

    run(project, steps)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (180, 50)])
def test_hostile_names_are_text_and_crash_nothing(project, boxes, size, monkeypatch) -> None:
    monkeypatch.setenv("RONDEL_PERSON", HOSTILE)
    database = project.database
    with database.transaction() as rows:
        rows.execute("UPDATE box SET reason = ?1, person = ?1, why = ?1", (HOSTILE,))
    label_boxes.move(database, 2, State.SKIPPED, HOSTILE, why=HOSTILE)
    job = job_rows.queue(database, "import", {"name": HOSTILE})
    job_rows.end(database, job.id, JobState.FAILED, error=HOSTILE, hint=HOSTILE)

    async def steps(app, pilot) -> None:
        await until(pilot, lambda: app.snapshot.server and app.snapshot.server.people)
        await pilot.press("full_stop", "T", "n", "question_mark", "escape", "ctrl+p", "escape")
        label_boxes.move(database, 3, State.SKIPPED, HOSTILE, why=HOSTILE)
        await until(pilot, lambda: any("box 3 is skipped" in line for line in said(app)))
        for key in "12345678lJM":
            await pilot.press(key)
            await pilot.pause()
            text = text_of(app)
            assert not [c for c in text if not c.isprintable() and c != "\n"]
        assert app.return_code in (None, 0)

    with small_server(project.folder) as server:
        server.people = [{"person": HOSTILE, "box": 1}]
        run(project, steps, size)


def test_a_running_job_shows_how_far_it_is(project, boxes) -> None:
    job = job_rows.queue(project.database, "round", {})
    with locks.hold(project.folder / "jobs" / f"{job.id:04d}.lock", "a job", 1):
        job_rows.begin(project.database, job.id)
        job_rows.set_progress(project.database, job.id, Progress("train model 1", 10, 40, "steps", "loss 0.9", 100.0))

        async def steps(app, pilot) -> None:
            assert "train model 1" in text_of(app) and " 25 %" in text_of(app)
            assert "label box 1 meanwhile (train model 1 25 %" in text_of(app)
            later = Progress("train model 1", 30, 40, "steps", "loss 0.5", 110.0)
            job_rows.set_progress(project.database, job.id, later)
            await until(pilot, lambda: " 75 %" in text_of(app))
            assert "0:05 left" in text_of(app) and "2.0/s" in text_of(app) and "0.900 → 0.500" in text_of(app)
            job_rows.end(project.database, job.id, JobState.FAILED, error="it broke", hint="mend it")
            await until(pilot, lambda: "making the next round failed: it broke, job 1" in said(app))

        run(project, steps)


def test_a_job_whose_process_is_gone_is_shown_as_lost(project, boxes) -> None:
    job = job_rows.queue(project.database, "round", {})
    job_rows.begin(project.database, job.id)

    async def steps(app, pilot) -> None:
        assert app.snapshot.jobs[0].state == JobState.LOST
        assert "its process was killed" in text_of(app)

    run(project, steps)


def test_the_link_is_shown_copied_and_says_who_is_there(project, boxes) -> None:
    async def steps(app, pilot) -> None:
        assert f"http://127.0.0.1:{server.port}/open/a-secret" in text_of(app)
        assert "1 page open: bob (box 2)" in text_of(app)
        await pilot.press("c")
        await until(pilot, lambda: app.clipboard == f"http://127.0.0.1:{server.port}/open/a-secret")
        await pilot.press("C")
        await until(pilot, lambda: app.clipboard.startswith(f"ssh -N -L {server.port}:127.0.0.1:{server.port} "))

    with small_server(project.folder) as server:
        server.people = [{"person": "bob", "box": 2}]
        run(project, steps)


@pytest.mark.parametrize(("keys", "box"), [(["o"], 1), (["down", "enter"], 2), (["space"], 1)])
def test_a_box_is_opened_in_the_page(project, boxes, keys, box) -> None:
    async def steps(app, pilot) -> None:
        await pilot.press(*keys)
        await until(pilot, lambda: said(app))

    with small_server(project.folder) as server:
        app = run(project, steps)
        assert server.shown == [{"person": "ann", "box": box}]
    assert said(app) == [f"box {box} is shown in the page that you have open"]


@pytest.mark.parametrize("key", ["o", "space"])
def test_the_link_comes_to_the_front_of_a_narrow_terminal_while_nobody_has_the_page_open(project, boxes, key) -> None:
    async def steps(app, pilot) -> None:
        await pilot.press("1", key)
        await until(pilot, lambda: said(app))
        assert (f":{server.port}/open/" in text_of(app)) == (not server.people)

    with small_server(project.folder) as server:
        server.people = []
        run(project, steps, (100, 30))
        server.people = [{"person": "ann", "box": 2}]
        run(project, steps, (100, 30))


def test_lines_of_the_log_are_as_wide_as_the_panel_however_they_came(project, boxes) -> None:
    line = "a line of the log that is longer than twenty cells"

    async def steps(app, pilot) -> None:
        app.post_message(Said(line))
        await until(pilot, lambda: said(app))
        for size in ((80, 24), (180, 50)):
            await pilot.resize_terminal(*size)
            await pilot.press("8")
            await until(pilot, lambda: line in text_of(app))
            assert not app.screen.query_one(LogPanel).show_horizontal_scrollbar

    run(project, steps, (100, 30))


def test_what_is_done_from_another_screen_is_said_there(project, boxes) -> None:
    async def steps(app, pilot) -> None:
        await pilot.press("M")
        await until(pilot, lambda: "0 models" in text_of(app))
        app.post_message(Act(lambda project: "something was done"))
        await until(pilot, lambda: [n.message for n in app._notifications] == ["something was done"])

    run(project, steps)


def test_an_empty_project_says_what_is_next(tmp_path: Path) -> None:
    from rondel.store import project as projects

    projects.create(tmp_path / "empty", ["background", "cell"]).close()

    async def steps(app, pilot) -> None:
        assert "No volume yet." in text_of(app) and "rondel add IMAGE" in text_of(app)
        await pilot.press("space", "d", "s", "e", "T", "p", "c", "a")
        await pilot.pause()

    assert run(tmp_path / "empty", steps).return_code in (None, 0)


def test_settings_that_are_broken_by_hand_are_said_once_until_they_are_mended(project, boxes) -> None:
    file = project.folder / "project.toml"
    text = file.read_text()
    job = job_rows.queue(project.database, "round", {})

    async def steps(app, pilot) -> None:
        await pilot.press("J")
        file.write_text("[project\n")
        await until(pilot, lambda: any("not valid TOML" in line for line in said(app)))
        for _ in range(3):
            app.screen._follow()
            await until(pilot, lambda: not [worker for worker in app.workers if worker.is_running])
        assert sum("not valid TOML" in line for line in said(app)) == 1
        file.write_text(text.replace("# planned = 10", "planned = 66"))
        await pilot.press("escape")
        await until(pilot, lambda: "round 1 of 66" in text_of(app))

    with locks.hold(project.folder / "jobs" / f"{job.id:04d}.lock", "a job", 1):
        job_rows.begin(project.database, job.id)
        run(project, steps)


def test_a_changed_setting_is_seen(project, boxes) -> None:
    from rondel.store import settings_file

    async def steps(app, pilot) -> None:
        settings_file.change(project.folder / "project.toml", "rounds.planned", "77")
        await until(pilot, lambda: "round 1 of 77" in text_of(app))

    run(project, steps)


def test_leaving_asks_only_while_something_is_being_done(project, boxes) -> None:
    import threading

    from rondel.tui.messages import Act

    free = threading.Event()

    async def steps(app, pilot) -> None:
        app.post_message(Act(lambda project: str(free.wait(60))))
        await until(pilot, lambda: app.pending)
        await pilot.press("q")
        await until(pilot, lambda: "1 thing you asked for is still being done" in text_of(app))
        await pilot.press("n")
        free.set()
        await until(pilot, lambda: not app.pending)
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)

    run(project, steps)


def test_two_keys_at_once_close_a_dialog_and_no_more(project, boxes) -> None:
    async def steps(app, pilot) -> None:
        await pilot.press("g", "2")
        dialog = app.screen
        dialog.query_one(Input).post_message(Input.Submitted(dialog.query_one(Input), "2"))
        dialog.action_leave()
        await until(pilot, lambda: not dialog.is_running)
        assert isinstance(app.screen, MainScreen) and "Boxes of round 1" in text_of(app)

    run(project, steps)


def test_an_answer_for_a_screen_that_was_closed_meanwhile_is_left_aside(project, boxes) -> None:
    closed = threading.Event()

    def read(project) -> str:
        closed.wait()
        return "a line of the log"

    async def steps(app, pilot) -> None:
        await pilot.press("J")
        await until(pilot, lambda: isinstance(app.screen, JobsScreen))
        screen = app.screen
        answered = []

        def show(text: str) -> None:
            answered.append(text)
            screen._show_log(1, text)

        screen.post_message(Act(read, show))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, MainScreen) and not screen.is_running)
        closed.set()
        await until(pilot, lambda: answered)

    assert run(project, steps).return_code in (None, 0)


def test_the_palette_does_what_has_no_key(project, boxes) -> None:
    label_boxes.move(project.database, 1, State.OPEN, "ann")
    with open_journal(project) as journal:
        journal.write(stroke(boxes[0].box, 2, 1, box=1))

    async def steps(app, pilot) -> None:
        await pilot.press("ctrl+p")
        await write(pilot, "undo in box")
        await until(pilot, lambda: "Undo your own last edit" in text_of(app))
        await pilot.press("enter")
        await until(pilot, lambda: any("undoes edit 1" in line for line in said(app)))

    run(project, steps)


def test_space_trains_the_next_model_and_proposes_the_next_boxes(tmp_path: Path) -> None:
    make_labelled(tmp_path / "cells")

    async def steps(app, pilot) -> None:
        assert "train model 1 on 2 new boxes; 1 box still waits" in text_of(app)
        await pilot.press("space")
        await until(pilot, lambda: "1 box waits to be labelled" in text_of(app))
        assert not app.snapshot.running
        await pilot.press("y")
        await until(pilot, lambda: app.snapshot.running)
        assert "meanwhile (" in text_of(app)
        await until(pilot, lambda: app.snapshot.champion)
        await until(pilot, lambda: not app.snapshot.running and app.snapshot.round.number == 2)
        assert "model 1: Dice" in text_of(app) and "Boxes of round 2" in text_of(app)

    assert any(line.startswith("model 1 is the champion") for line in said(run(tmp_path / "cells", steps)))


def test_a_folder_without_a_project_begins_with_the_first_run_and_goes_on_with_its_project(project, boxes) -> None:
    app = RondelApp(project.folder.parent, None, serve=False)

    async def go() -> None:
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: isinstance(app.screen, Wizard))
            app.screen.dismiss(project.folder)
            await until(pilot, lambda: isinstance(app.screen, MainScreen))
            await until(pilot, lambda: "label box 1 of 'scan'" in text_of(app))

    asyncio.run(go())


def test_a_first_run_that_is_given_up_ends_the_screens(tmp_path: Path) -> None:
    app = RondelApp(tmp_path, None, serve=False)

    async def go() -> None:
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: isinstance(app.screen, Wizard))
            app.screen.dismiss(None)
            await until(pilot, lambda: not app.is_running)

    asyncio.run(go())
    assert app.return_code in (None, 0) and not list(tmp_path.iterdir())
