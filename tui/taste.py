"""Which colours does a person like? The theme they chose, in a small file of their own that no project holds."""

import errno
import json
import os
import tomllib
from pathlib import Path

from ..store.atomic import write_text


def place() -> Path:
    """Return the file, in the folder of settings that the XDG base directory specification names.

    Raises FileNotFoundError where there is no home.
    """
    named = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    try:
        folder = named if named.is_absolute() else Path.home() / ".config"
    except RuntimeError as error:
        raise FileNotFoundError(errno.ENOENT, str(error), "~") from None
    return folder / "rondel" / "screens.toml"


def theme() -> str:
    """Return the name of the theme that was chosen last; empty where none was, or where the file cannot be read."""
    try:
        found = tomllib.loads(place().read_text("utf-8")).get("theme")
    except (OSError, ValueError):
        return ""
    return found if isinstance(found, str) else ""


def keep_theme(name: str) -> None:
    """Remember a theme for the next time; raises OSError where that cannot be written."""
    file = place()
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, f"theme = {json.dumps(name)}\n")
