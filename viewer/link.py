"""Which link and which tunnel line does a person need?"""

import getpass
import os
import socket
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from ..store.serving import Serving

if TYPE_CHECKING:
    from ..store.settings import Settings


def link(serving: Serving, box: int | None = None, volume: str | None = None, model: int | None = None) -> str:
    """Return the link that opens the project in a browser: at a box, at a volume, or where the server thinks best."""
    wanted = {"box": box, "volume": volume, "model": model}
    query = urlencode({name: value for name, value in wanted.items() if value is not None})
    return f"http://{_in_url(serving.address)}:{serving.port}/open/{serving.secret}{'?' + query if query else ''}"


def tunnel(serving: Serving, settings: "Settings") -> str:
    """Return the command that makes the link work on the machine a person sits at."""
    there = settings.serve.ssh or f"{_login()}@{socket.gethostname()}"
    return f"ssh -N -L {serving.port}:{_in_url(serving.address)}:{serving.port} {there}"


def over_ssh(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether this terminal came over ssh: a browser started here would show on nobody's screen."""
    return bool(environment.get("SSH_CONNECTION") or environment.get("SSH_TTY"))


def has_screen(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a browser that is started here would be seen."""
    shown = sys.platform == "darwin" or environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")
    return bool(shown) and not over_ssh(environment)


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "user"
