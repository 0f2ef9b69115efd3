"""An app around one screen or widget: it does what they ask for with a real project, and keeps what they said."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from rondel.store.errors import RondelError
from rondel.store.project import open_project
from rondel.tui import snapshot
from rondel.tui.messages import Act, Ask, PreviewWanted, Said
from rondel.tui.snapshot import Snapshot
from rondel.tui.views import Request
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widget import Widget

HOSTILE = "a[b]\x1b[31m[/red]\u202e{}" + "x" * 200


class Host(App[None]):
    """Acts at once, on the loop, so that a test sees the outcome without waiting."""

    CSS = "Host > Screen { layout: vertical; }"

    def __init__(self, shown: Widget | Screen, folder: Path | None = None) -> None:
        super().__init__()
        self.shown, self.folder = shown, folder
        self.said: list[str] = []
        self.wanted: list[Request] = []
        self.answer: Any = None
        """What the screen was closed with."""

    def compose(self) -> ComposeResult:
        if not isinstance(self.shown, Screen):
            yield self.shown

    def on_mount(self) -> None:
        if isinstance(self.shown, Screen):
            self.push_screen(self.shown, self._keep_answer)

    def _keep_answer(self, answer: Any) -> None:
        self.answer = answer

    def on_act(self, message: Act) -> None:
        assert self.folder is not None
        with open_project(self.folder) as project:
            try:
                found = message.action(project)
            except RondelError as error:
                self.said.append(str(error))
                return
        if message.then:
            message.then(found)
        elif isinstance(found, str):
            self.said.append(found)

    def on_ask(self, message: Ask) -> None:
        try:
            found = message.question()
        except RondelError as error:
            assert message.failed is not None
            message.failed(error.message, error.hint)
            return
        message.then(found)

    def on_said(self, message: Said) -> None:
        self.said.append(message.text)

    def on_preview_wanted(self, message: PreviewWanted) -> None:
        self.wanted.append(message.request)


Steps = Callable[[Host, Pilot], Awaitable[None]]


def drive(shown: Widget | Screen, steps: Steps, folder: Path | None = None, size: tuple[int, int] = (120, 40)) -> Host:
    """Run an app around a screen or widget through the steps of a test."""
    host = Host(shown, folder)

    async def run() -> None:
        async with host.run_test(size=size) as pilot:
            await pilot.pause()
            await steps(host, pilot)

    asyncio.run(run())
    return host


async def settle(pilot: Pilot) -> None:
    """Wait until what was asked for is done and drawn."""
    for _ in range(3):
        await pilot.pause()


def look(folder: Path) -> Snapshot:
    with open_project(folder) as project:
        return snapshot.read(project, None)


def text_of(host: Host) -> str:
    """Return what stands on the screen, line by line."""
    lines = host.screen._compositor.render_strips(host.size)
    return "\n".join("".join(segment.text for segment in strip) for strip in lines)
