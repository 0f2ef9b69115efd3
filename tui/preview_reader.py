"""Who reads previews? One thread for which only the newest wish counts, so that keys held down do not pile up work."""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from ..store.errors import RondelError
from ..store.project import open_project
from . import words
from .views import Preview, Request


class PreviewReader:
    """Reads what is wished for; `answer` and `failed` are called from its thread."""

    def __init__(self, folder: Path, answer: Callable[[Preview], None], failed: Callable[[Request, str], None]) -> None:
        self.folder, self.answer, self.failed = folder, answer, failed
        self._changed = threading.Condition()
        self._wish: Request | None = None
        self._closed = False
        threading.Thread(target=self._run, name="rondel-previews", daemon=True).start()

    def ask(self, request: Request) -> None:
        """Wish for a preview; one that was wished for before and not begun yet is forgotten."""
        with self._changed:
            self._wish = request
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        from .preview import Previews  # numpy and the image readers come with it: after the first screen is drawn

        previews = Previews()
        while (request := self._next()) is not None:
            try:
                with open_project(self.folder) as project:
                    self.answer(previews.get(project, request))
            except (RondelError, OSError, sqlite3.DatabaseError) as error:
                self.failed(request, str(words.known(error)))

    def _next(self) -> Request | None:
        """Wait for a wish; None when the reader was closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._wish is not None or self._closed)
            request, self._wish = self._wish, None
            return None if self._closed else request
