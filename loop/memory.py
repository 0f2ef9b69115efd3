"""How much memory may this process use? The machine's, or what its control group leaves of it."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

GROUPS, MOUNT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def machine() -> int:
    """Return bytes; containers and jobs of a cluster have less than all that there is."""
    return min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *_limits()])


def _limits() -> Iterator[int]:
    """Yield the limits of the control group that this process is in, and of those around it."""
    with suppress(OSError):  # no such groups on this system
        for line in GROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers in ("", "memory"):  # version 2, version 1
                place = MOUNT / controllers
                name = "memory.limit_in_bytes" if controllers else "memory.max"
                inner = place / path.lstrip("/")
                for folder in (inner, *inner.parents):
                    if folder.is_relative_to(place):
                        with suppress(OSError, ValueError):  # not seen from in here, or "max"
                            yield int((folder / name).read_text())
