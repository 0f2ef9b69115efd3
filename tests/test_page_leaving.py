"""Leaving a box: nothing is called done by mistake, every skip has a reason, and a dropped box holds nobody back."""

import time

import pytest
from rondel.store import serving
from rondel.store.project import open_project
from rondel.store.records import State

from .browser import PATIENCE, Screen, Server

ON = "(id) => rondel.sync.head.id !== id && rondel.sync.mirror?.ready"


def test_a_box_is_held_while_its_page_is_open_and_given_up_with_the_tab(screen: Screen):
    here, folder = screen.shown, screen.server.folder
    assert here in serving.boxes_on_pages(folder)
    beside = screen.page.context.new_page()
    screen.page.close()
    deadline = time.monotonic() + PATIENCE / 1000
    while here in serving.boxes_on_pages(folder):
        assert time.monotonic() < deadline
        beside.wait_for_timeout(50)


def drop(screen: Screen) -> None:
    """Drop the box on show, as ranking the next round does, and wait until the page says so."""
    with open_project(screen.server.folder) as project, project.database.transaction() as connection:
        connection.execute("UPDATE box SET state = 'dropped' WHERE id = ?", (screen.shown,))
    screen.said("was dropped when the next round was ranked", ".rondel-reason")


@pytest.mark.parametrize("how", [("Enter",), ("p", "Enter"), ("p", "n")])
def test_dropped_box_leads_on_and_stays_dropped(screen: Screen, how: tuple[str, ...]):
    here = screen.shown
    drop(screen)
    screen.said("dropped", "#rondel-strip h1")
    screen.said("Next box", ".rondel-pairs [data-act=done]")
    screen.press(*how)
    screen.wait(ON, here)
    assert screen.server.row(here).state == State.DROPPED
    screen.said("Done, next", ".rondel-pairs [data-act=done]")


def test_nothing_is_painted_in_a_dropped_box_not_even_for_a_moment(screen: Screen):
    screen.press("p", "2")
    drop(screen)
    screen.down(0, (20, 24, 20))
    screen.move(0, (20, 24, 40))
    assert not screen.view().any()
    screen.up()
    screen.press("u", "f")
    screen.click(0, (20, 24, 32))
    screen.said("this box was dropped")
    assert screen.ask("rondel.sync.next") == 1 and not screen.settle().any()


@pytest.mark.parametrize("tool", [(), ("p",)])
def test_box_with_nothing_labelled_is_done_only_when_asked_twice(screen: Screen, tool: tuple[str, ...]):
    here = screen.shown
    screen.press(*tool, "Enter")
    screen.said("nothing is labelled here: Enter again if that is right")
    assert screen.ask("[rondel.sync.next, rondel.sync.head.id]") == [1, here]
    assert screen.server.row(here).state == State.PROPOSED
    screen.press("Enter")
    screen.wait(ON, here)
    assert screen.server.row(here).state == State.DONE
    there = screen.shown
    screen.press("Enter")
    screen.said("nothing is labelled here")
    assert screen.shown == there


def test_enter_on_a_button_that_has_the_focus_presses_it(screen: Screen):
    screen.page.locator("#rondel-strip").get_by_text("Help").focus()
    screen.press("Enter")
    assert screen.page.locator("#rondel-help").is_visible()
    screen.drawn()
    assert "nothing is labelled" not in screen.page.locator(".rondel-said").inner_text()


def test_skipping_needs_a_reason(screen: Screen):
    here = screen.shown
    screen.press("p", "n", "Enter")
    screen.said("skipping needs a reason")
    assert screen.server.row(here).state == State.PROPOSED and screen.ask("rondel.sync.next") == 1
    screen.page.keyboard.type("blurred")
    screen.press("Enter")
    screen.wait(ON, here)
    assert screen.server.row(here).why == "blurred"


def test_what_waits_elsewhere_is_said(chromium, server: Server, screen: Screen):
    first, second, *others = server.painted.ids
    with open_project(server.folder) as project, project.database.transaction() as connection:
        connection.execute("UPDATE box SET state = 'dropped' WHERE id NOT IN (?, ?)", (first, second))
    Screen(chromium, server, person="bob", box=second).ready()
    screen.press("p", "2")
    screen.drag(0, (20, 24, 32), (20, 24, 40))
    screen.press("Enter")
    screen.said(f"box {second} waits, but is open in another page")


def test_strip_says_how_much_is_labelled(screen: Screen):
    screen.said("0 % labelled", ".rondel-people")
    screen.server.write(screen.shown, 1)
    screen.said("100 % labelled", ".rondel-people")
    screen.press("p", "e")
    screen.click(0, (20, 24, 32))
    screen.said("99 % labelled", ".rondel-people")


def test_tab_is_named_after_project_and_box(screen: Screen):
    here = screen.shown
    screen.wait("(id) => document.title === `cells - box ${id} - rondel`", here)
    screen.press("Enter", "Enter")
    screen.wait(ON, here)
    screen.wait("(id) => document.title === `cells - box ${id} - rondel`", screen.shown)
    screen.page.get_by_text("Volume").click()
    screen.wait("document.title === 'cells - scan - rondel'")
