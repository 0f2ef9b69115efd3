"""Which settings are there, and how is each written? Rows made from the settings a project has."""

import json
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from ..store import settings_file
from ..store.settings import Settings


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting that is a single value."""

    key: str
    value: str
    default: str | None
    """None where there is none, as for the name of a class."""
    sentence: str
    choices: tuple[str, ...]
    """The words it may be; none where it is a number or a text."""
    is_text: bool = False

    @property
    def may_be(self) -> str:
        """Say what it may be, where that is words."""
        if not self.choices:
            return ""
        free = ", or numbers with commas" if self.choices == ("auto",) else ""
        return f"{', '.join(self.choices)}{free}"

    @property
    def changed(self) -> bool:
        return self.default is not None and self.value != self.default

    def matches(self, text: str) -> bool:
        return all(word in f"{self.key} {self.sentence} {self.value}".lower() for word in text.lower().split())


def rows(settings: Settings) -> tuple[Setting, ...]:
    """List the settings in the order of project.toml, after the classes."""
    classes = (
        Setting(key, written(value), None if default is None else written(default), sentence, (), "weight" not in key)
        for key, value, default, sentence in settings_file.describe_classes(settings)
    )
    others = (
        Setting(key, written(value), written(default), sentence, _choices(key), _annotation(key) is str)
        for key, value, default, sentence in settings_file.describe(settings)
    )
    return (*classes, *others)


def written(value: Any) -> str:
    """Write a value the way `settings_file.change` reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(written(v) for v in value)
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def to_toml(setting: Setting, typed: str) -> str:
    """Write what a person typed as a value of project.toml: a text stays one even if it looks like a number."""
    return json.dumps(typed.strip(), ensure_ascii=False) if setting.is_text else typed.strip()


def _annotation(key: str) -> Any:
    table, _, name = key.partition(".")
    model = Settings.model_fields[table].annotation
    return model.model_fields[name].annotation if model else None


def _choices(key: str) -> tuple[str, ...]:
    annotation = _annotation(key)
    if annotation is bool:
        return ("true", "false")
    return tuple(written(v) for v in _literals(annotation))


def _literals(annotation: Any) -> list[Any]:
    """Collect the words and numbers that an annotation names, in unions too; numbers alone are no choice."""
    if get_origin(annotation) is None:
        return []
    found: list[Any] = []
    for part in get_args(annotation):
        found += [part] if isinstance(part, (str, int)) else _literals(part)
    return found
