"""A real terminal, by tmux: what tests of whole programs press in it, and read from it."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TMUX = shutil.which("tmux")
RONDEL = (sys.executable, "-m", "rondel.tui.cli")
PATIENCE = 180.0
"""Seconds to wait for what must happen, on a machine where other work goes on."""
CONFIGURATION = """\
set -g status off
set -g default-terminal tmux-256color
set -g escape-time 0
"""


RUN = """
sh -c 'echo $$ > "$0/pid"; exec "$@"' "$0" "$@"
echo $? > "$0/code"
cat
"""
"""Notes the program's process and how it ended, and keeps the terminal: tmux itself may miss that a program ended."""


class Terminal:
    """One terminal, in which one program runs."""

    def __init__(self, place: Path, environment: dict[str, str]) -> None:
        assert TMUX
        self.place = place
        self._tmux = [TMUX, "-u", "-S", str(place / "tmux"), "-f", str(place / "conf")]
        self._environment = environment

    def start(self, *words: str, folder: Path, size: tuple[int, int]) -> None:
        width, height = size
        begun = ["new-session", "-d", "-x", str(width), "-y", str(height), "-c", str(folder)]
        self._ask(*begun, "sh", "-c", RUN, str(self.place), *words)

    def text(self) -> str:
        """Return what stands on the screen, line by line."""
        return self._ask("capture-pane", "-p")

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names of them: Enter, Tab, Escape, Space, C-n, a …

        Letters overtake other keys in Textual, which hands those up to the app before they count: look at what a key
        did before writing.
        """
        self._ask("send-keys", *keys)

    def write(self, text: str) -> None:
        self._ask("send-keys", "-l", text)

    def go(self, word: str, *keys: str) -> None:
        """Press keys that bring the cursor to a field that shows a word, and wait until it is there.

        A key that comes before its field can be reached is lost, so that it is pressed again after a while.
        """
        self.shows(word)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self.press(*keys)
            again = time.monotonic() + 5.0
            while time.monotonic() < again:
                row = self._cursor()
                if word in self.text().split("\n")[row]:
                    return
        raise AssertionError(f"the cursor never came to {word!r}:\n{self.text()}")

    def shows(self, *words: str) -> str:
        """Wait until all these words are on the screen; returns the screen's text."""
        return self.until(lambda text: all(word in text for word in words), f"never showed {words}")

    def until(self, holds: Callable[[str], object], complaint: str = "it never came to that") -> str:
        """Wait until something holds for the text of the screen; returns that text."""
        deadline = time.monotonic() + PATIENCE
        while not holds(text := self.text()):
            assert time.monotonic() < deadline and not self._code(), f"{complaint}:\n{text}"
            time.sleep(0.05)  # tmux tells nobody
        return text

    @property
    def pid(self) -> int:
        """The program's process."""
        return int((self.place / "pid").read_text())

    def ended(self) -> int:
        """Wait until the program has ended; returns its exit code, that of a killed one being 128 and the signal."""
        deadline = time.monotonic() + PATIENCE
        while not self._code():
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.05)  # tmux tells nobody
        return int(self._code())

    def hang_up(self) -> None:
        """Take the terminal away, as a lost connection does: the program gets SIGHUP."""
        self._ask("kill-server")

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, check=False)

    def _cursor(self) -> int:
        """Return the row of the cursor once it stands still: while a screen is drawn it is all over it."""
        looks: list[str] = []
        while len(looks) < 3 or len(set(looks[-3:])) > 1:
            looks.append(self._ask("display-message", "-p", "#{cursor_x} #{cursor_y}"))
            time.sleep(0.05)  # tmux tells nobody
        return int(looks[-1].split()[1])

    def _code(self) -> str:
        code = self.place / "code"
        return code.read_text() if code.exists() else ""

    def _ask(self, *words: str) -> str:
        done = subprocess.run([*self._tmux, *words], capture_output=True, text=True, check=False, env=self._environment)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout


@contextmanager
def terminal(*words: str, folder: Path, size: tuple[int, int] = (120, 40), **environment: str) -> Iterator[Terminal]:
    """Run a program in a terminal of its own; skips the test where there is no tmux."""
    if TMUX is None:
        pytest.skip("no tmux here")
    place = Path(tempfile.mkdtemp(prefix="rondel-"))  # a socket's path must be short
    (place / "conf").write_text(CONFIGURATION)
    strange = ("TMUX", "SSH_", "RONDEL_", "COLUMNS", "LINES")  # the last two where another process runs the tests
    kept = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
    known = {"LANG": "C.UTF-8", "RONDEL_PERSON": "ann", "COLORTERM": "truecolor"}
    made = Terminal(place, kept | known | environment)
    try:
        made.start(*words, folder=folder, size=size)
        yield made
    finally:
        made.close()
        shutil.rmtree(place)
