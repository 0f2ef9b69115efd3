"""Which screens are there, and who does what they ask for? The app mounts screens, routes messages, and ends cleanly.

All that takes time or touches a file happens in threads; jobs and the page's server are processes of their own, which
go on when this one ends.
"""

import asyncio
import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from textual import work
from textual.app import App, SystemCommand
from textual.await_complete import AwaitComplete
from textual.binding import Binding
from textual.css.query import NoMatches
from textual.screen import Screen
from textual.theme import Theme

from ..store.errors import RondelError
from ..store.project import open_project
from . import actions, taste, watcher, words
from .dialogs import Confirm
from .log_panel import MOST, Line, LogScreen
from .main_screen import MainScreen
from .messages import Act, Ask, CopyText, PreviewReady, PreviewWanted, Said, ShowScreen, StateChanged
from .news import news
from .palette import commands
from .preview_panel import PreviewPanel
from .preview_reader import PreviewReader
from .snapshot import Snapshot
from .theme import THEME
from .views import Request
from .watcher import Watcher

FAILURES = (RondelError, OSError, sqlite3.DatabaseError)
ECHO_SECONDS = 3.0
"""For so long, what a person did is not reported again as news."""


class RondelApp(App[None]):
    """The screens of one project."""

    TITLE = "rondel"
    BINDINGS = [
        Binding("M", "show('models')", "models"),
        Binding("J", "show('jobs')", "jobs"),
        Binding("S", "show('settings')", "settings"),
        Binding("l", "show('log')", "log"),
        Binding("question_mark", "help", "help", key_display="?"),
        Binding("q", "leave", "quit"),
    ]

    def __init__(self, folder: Path, first: Snapshot | None, serve: bool = True) -> None:
        """`first` is the project, None where there is none yet; with `serve` a server is started if need be."""
        super().__init__()
        self.folder, self.first, self.serve = folder, first, serve
        self.snapshot = first
        self.liked = taste.theme()
        """The theme that the person chose, as it is kept."""
        self.loop: asyncio.AbstractEventLoop | None = None
        self.lines: deque[Line] = deque(maxlen=MOST)
        """The log."""
        self.pending = 0
        """Actions that are still being done."""
        self._watcher: Watcher | None = None
        self._reader: PreviewReader | None = None
        self._failure = ""

    def on_mount(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.register_theme(THEME)
        if "TEXTUAL_THEME" not in os.environ:
            self.theme = self.liked if self.liked in self.available_themes else THEME.name
        self.liked = self.theme
        self.theme_changed_signal.subscribe(self, self._keep_theme)
        if self.first is not None:
            self._open(self.first)
            return
        from .wizard import Wizard

        self.push_screen(Wizard(self.folder), self._made)

    def on_unmount(self) -> None:
        for thread in (self._watcher, self._reader):
            if thread is not None:
                thread.close()

    def _keep_theme(self, theme: Theme) -> None:
        """Remember a theme that was chosen, for whatever project is opened next."""
        if theme.name != self.liked:
            self.liked = theme.name
            self.post_message(Ask(partial(taste.keep_theme, theme.name), lambda _: None))

    def _made(self, folder: Path | None) -> None:
        """The first run made a project, or was given up."""
        if folder is None:
            self.exit()
            return
        self.folder = folder
        self.post_message(Ask(partial(watcher.first_look, folder), self._open))

    def _open(self, first: Snapshot) -> None:
        """Show a project and begin to watch it."""
        self.snapshot, self.folder = first, Path(first.folder)
        self._watcher = Watcher(first, self._tell, self._unreadable)
        self._reader = PreviewReader(self.folder, self._previewed, self._not_previewed)
        main = MainScreen(first, list(self.lines))
        self.push_screen(main)
        self._watcher.start()
        if self.serve and first.server is None:
            self.call_after_refresh(self._start_server, main)

    @work
    async def _start_server(self, main: MainScreen) -> None:
        main.starting_server(True)
        await self._perform(Act(actions.start_server))
        if self.is_running:
            main.starting_server(False)

    # What threads say.

    def _tell(self, snapshot: Snapshot) -> None:
        self.post_message(StateChanged(snapshot))

    def _unreadable(self, error: RondelError) -> None:
        if str(error) != self._failure:
            self._failure = str(error)
            self.post_message(Said(error.message, error.hint, mistake=True))

    def _previewed(self, preview: Any) -> None:
        self.post_message(PreviewReady(preview))

    def _not_previewed(self, request: Request, text: str) -> None:
        self.call_later(self._show_problem, request, text)

    # What screens and panels say.

    def on_state_changed(self, message: StateChanged) -> None:
        old, self.snapshot, self._failure = self.snapshot, message.snapshot, ""
        if old is not None:
            recent = [said.text for moment, said in self.lines if time.time() - moment < ECHO_SECONDS]
            for said in news(old, message.snapshot):
                if not any(said.text.startswith(text) for text in recent):
                    self._say(said)
        self._each("show", message.snapshot)

    def on_said(self, message: Said) -> None:
        self._say(message)

    @work
    async def on_act(self, message: Act) -> None:
        await self._perform(message)

    @work
    async def on_ask(self, message: Ask) -> None:
        try:
            found = await asyncio.to_thread(message.question)
        except FAILURES as error:
            known = words.known(error)
            if message.failed:
                _answer(message.failed, known.message, known.hint)
            else:
                self._say(Said(known.message, known.hint, mistake=True))
        else:
            _answer(message.then, found)

    def on_copy_text(self, message: CopyText) -> None:
        self.copy_to_clipboard(message.text)
        hint = "in tmux this needs: set -g set-clipboard on" if os.environ.get("TMUX") else ""
        self._say(Said(f"{message.what} is copied", hint))

    def on_preview_wanted(self, message: PreviewWanted) -> None:
        if self._reader:
            self._reader.ask(message.request)

    def on_preview_ready(self, message: PreviewReady) -> None:
        for panel in self._previews():
            panel.show_preview(message.preview)

    def on_show_screen(self, message: ShowScreen) -> None:
        self.action_show(message.name)

    # What keys do.

    def action_show(self, name: str) -> None:
        """Open a screen over the main one, in place of another one that is open."""
        if self.snapshot is None:
            return
        screen = self._screen(name, self.snapshot)
        if isinstance(self.screen, MainScreen):
            self.push_screen(screen)
        else:
            self.switch_screen(screen)

    def action_help(self) -> None:
        """Say what the focused panel is, and list the keys."""
        from .help import Help  # Markdown takes a tenth of a second to import

        chain = [*(self.focused.ancestors_with_self if self.focused else ()), self.screen]
        texts = [node.HELP for node in chain if isinstance(getattr(node, "HELP", None), str)]
        self.push_screen(Help(texts[0] if texts else "", keys=isinstance(self.screen, MainScreen)))

    def action_leave(self) -> None:
        """Go back to the main screen; from there, leave. What is still being done is asked about."""
        if len(self.screen_stack) > 2:
            self.pop_screen()
        elif self.pending:
            question = f"{words.counted(self.pending, 'thing')} you asked for is still being done."
            self.push_screen(Confirm(question, "leave anyway"), lambda sure: self.exit() if sure else None)
        else:
            self.exit()

    def pop_screen(self) -> AwaitComplete:
        """Close the screen on top, but for the main one: of two keys at once each may close the same dialog."""
        return AwaitComplete.nothing() if isinstance(self.screen, MainScreen) else super().pop_screen()

    def get_system_commands(self, screen: Screen) -> Iterable[SystemCommand]:
        yield from super().get_system_commands(screen)
        if self.snapshot is not None:
            for title, help, message in commands(self.snapshot, getattr(screen, "box", None)):
                yield SystemCommand(title, help, partial(self.post_message, message))

    def stop(self, code: int) -> None:
        """End with this exit code; may be called from a signal handler."""
        if self.loop is None:
            raise SystemExit(code)
        self.loop.call_soon_threadsafe(partial(self.exit, return_code=code))

    async def _perform(self, message: Act) -> None:
        """Do one action in a thread and say what became of it."""
        asked = int(message.then is None)  # what only answers a question may be left behind
        self.pending += asked
        try:
            found = await asyncio.to_thread(_with_project, self.folder, message.action)
        except FAILURES as error:
            known = words.known(error)
            if message.then:
                self._unreadable(known)  # what is asked again and again is answered so once
            else:
                self._say(Said(known.message, known.hint, mistake=True))
            return
        finally:
            self.pending -= asked
        if message.then:
            _answer(message.then, found)
        elif isinstance(found, str):
            self._say(Said(found))
            if not isinstance(self.screen, MainScreen):  # which alone shows the log's last line
                self.notify(words.plain(found, 300), markup=False)

    def _say(self, said: Said) -> None:
        """Put a line into the log; a mistake is shown as a notice too."""
        line = time.time(), said
        self.lines.append(line)
        self._each("say", [line])
        if said.mistake:
            hint = f"\n{words.plain(said.hint, 300)}" if said.hint else ""
            self.notify(f"{words.plain(said.text, 300)}{hint}", severity="error", timeout=8, markup=False)

    def _each(self, method: str, value: Any) -> None:
        """Call a method of every screen that has it; while the app ends, screens lose their parts one by one."""
        if not self.is_running:
            return
        for screen in self.screen_stack:
            told = getattr(screen, method, None)
            if callable(told) and screen.is_mounted:
                told(value)

    def _screen(self, name: str, snapshot: Snapshot) -> Screen:
        if name == "log":
            return LogScreen(self.lines)
        if name == "models":
            from .models_screen import ModelsScreen

            return ModelsScreen(snapshot)
        if name == "jobs":
            from .jobs_screen import JobsScreen

            return JobsScreen(snapshot)
        from .settings_screen import SettingsScreen

        return SettingsScreen(snapshot)

    def _previews(self) -> list[PreviewPanel]:
        return [panel for screen in self.screen_stack for panel in screen.query(PreviewPanel) if self.is_running]

    def _show_problem(self, request: Request, text: str) -> None:
        for panel in self._previews():
            panel.show_problem(request, text)


def _answer(then: Callable, *found: Any) -> None:
    """Hand an answer to who asked; a screen that was closed meanwhile has lost its parts, and wants none."""
    with suppress(NoMatches):
        then(*found)


def _with_project(folder: Path, action: Callable) -> Any:
    with open_project(folder) as project:
        return action(project)
