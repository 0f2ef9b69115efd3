"""The panel of previews: what its keys ask for, and what it does with the answers."""

from dataclasses import replace

import pytest
from rich.segment import Segment
from rondel.store.box import Box
from rondel.store.project import Project
from rondel.tui import snapshot
from rondel.tui.preview_panel import NO_BOX, PreviewPanel
from rondel.tui.views import STRONGEST, Depth, Preview, Request, Tile
from textual.strip import Strip

from .conftest import add_box
from .screen_host import drive, text_of

PICTURE = (Strip([Segment("####")], 4),) * 3


def answer(request: Request | None, title: str = "image", note: str = "") -> Preview:
    assert request is not None
    tile = Tile(title, note, () if note else PICTURE)
    return Preview(request, ((tile, tile), (tile, tile)), 20, 3, 4, 16, "z 40 nm")


@pytest.fixture
def state(project: Project) -> snapshot.Snapshot:
    for k in range(2):
        add_box(project, Box((0, 20 * k, 0), (16, 20 * k + 20, 30)))
    return snapshot.read(project, None)


def test_without_a_box_it_says_what_to_do(state) -> None:
    panel = PreviewPanel()

    async def steps(host, pilot) -> None:
        panel.choose(state, None)
        await pilot.press("]", "x", "+")
        assert NO_BOX[:30] in text_of(host) and not host.wanted

    drive(panel, steps)


def test_keys_ask_for_other_slices_axes_and_contrasts(state) -> None:
    panel = PreviewPanel()

    async def steps(host, pilot) -> None:
        panel.focus()
        panel.choose(state, state.box(1))
        await pilot.pause()
        first = host.wanted[-1]
        assert (first.box, first.axis, first.index, first.width) == (1, 0, None, panel.size.width)
        await pilot.press("]", "]", "[", "pageup")
        assert [r.index for r in host.wanted[1:]] == [9, 10, 9, 1]
        await pilot.press("[", "[", "[")
        assert host.wanted[-1].index == 0 and len(host.wanted) == 6  # the first slice is not asked for twice
        await pilot.press("x")
        assert (host.wanted[-1].axis, host.wanted[-1].index) == (1, None)
        await pilot.press(*["plus"] * 20)
        assert host.wanted[-1].contrast == STRONGEST
        await pilot.press("minus", "equals_sign", "0")
        assert (host.wanted[-1].contrast, host.wanted[-1].axis) == (0, 1)

    drive(panel, steps)


def test_the_axis_stays_when_another_box_is_chosen(state) -> None:
    panel = PreviewPanel()

    async def steps(host, pilot) -> None:
        panel.focus()
        panel.choose(state, state.box(1))
        await pilot.press("x", "]")
        panel.choose(state, state.box(2))
        await pilot.pause()
        assert (host.wanted[-1].box, host.wanted[-1].axis, host.wanted[-1].index) == (2, 1, None)

    drive(panel, steps)


def test_only_the_answer_to_what_is_asked_for_now_is_shown(state) -> None:
    panel = PreviewPanel()

    async def steps(host, pilot) -> None:
        panel.focus()
        panel.choose(state, state.box(1))
        await pilot.press("]")
        late, now = answer(host.wanted[0], "late"), answer(panel.request, "now")
        panel.show_preview(late)
        await pilot.pause()
        assert "reading" in text_of(host)
        panel.show_preview(now)
        panel.show_problem(host.wanted[0], "too late")
        await pilot.pause()
        assert text_of(host).count("now") == 4 and text_of(host).count("####") == 12
        assert panel.border_subtitle == "z 5 of 16 · z 40 nm"

    drive(panel, steps)


def test_notes_and_problems_are_said_in_place_of_pictures(state) -> None:
    panel = PreviewPanel()

    async def steps(host, pilot) -> None:
        panel.choose(state, state.box(1))
        panel.show_preview(answer(panel.request, note="nothing [painted] yet"))
        await pilot.pause()
        assert text_of(host).count("nothing [painted]") == 4
        assert panel.request
        panel.show_problem(panel.request, "the image [of] 'scan' is gone")
        await pilot.pause()
        assert "the image [of] 'scan' is gone" in text_of(host)

    drive(panel, steps)


def test_changed_labels_are_asked_for_and_an_unchanged_state_is_not(state) -> None:
    panel = PreviewPanel()

    async def steps(host, pilot) -> None:
        panel.choose(state, state.box(1))
        panel.show(state)
        await pilot.pause()
        assert len(host.wanted) == 1
        panel.show(replace(state, pending=3))
        await pilot.pause()
        assert len(host.wanted) == 2 and host.wanted[0] == host.wanted[1]

    drive(panel, steps)


def test_another_size_is_asked_for_when_the_terminal_changes(state) -> None:
    panel = PreviewPanel()

    async def steps(host, pilot) -> None:
        panel.choose(state, state.box(1))
        await pilot.pause()
        await pilot.resize_terminal(60, 20)
        await pilot.pause()
        assert host.wanted[-1].width == panel.size.width < host.wanted[0].width

    drive(panel, steps)


def test_no_color_asks_for_characters(state, monkeypatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    panel = PreviewPanel()

    async def steps(host, pilot) -> None:
        panel.choose(state, state.box(1))
        await pilot.pause()
        assert host.wanted[-1].depth == Depth.PLAIN

    drive(panel, steps)
