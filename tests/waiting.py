"""How does a test wait for another process? By looking again, as nobody tells it, and not for ever."""

import time
from collections.abc import Callable


def wait_until(holds: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait until something holds; fails the test when that takes longer."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(0.02)  # between two looks
