"""How is project.toml read, written and changed? Errors name the key, and the nearest known one.

Comments survive a change, and a file that would become invalid is left alone.
"""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import ValidationError
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT
from tomlkit.items import Table as TomlTable

from .atomic import write_text
from .errors import SettingsError
from .settings import COLOURS, LabelClass, Settings, Table, VolumeTable

NEW_CLASS = "Name of a further class; it comes last, and label values are never renumbered."


def load(path: Path) -> Settings:
    """Read project.toml; raises SettingsError naming the key, and the nearest known one, when something is off."""
    return parse(_read(path).unwrap(), path.name)


def _read(path: Path) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(path.read_text("utf-8"))
    except (TOMLKitError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path.name} is not valid TOML: {error}", "mend the line it names") from None


def parse(document: dict[str, Any], source: str = "project.toml") -> Settings:
    """Validate a plain tree of settings; raises SettingsError."""
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        raise SettingsError(*_explain(error, source)) from None


def draft(name: str, classes: list[str], seed: int = 0) -> Settings:
    """Make the settings of a new project with these class names, the first being everything else."""
    listed = [{"value": k + 1, "name": c, "colour": COLOURS[k % len(COLOURS)]} for k, c in enumerate(classes)]
    return parse({"project": {"name": name, "seed": seed}, "class": listed}, "--classes")


def write(path: Path, settings: Settings) -> None:
    """Write a commented project.toml that shows every default."""
    write_text(path, tomlkit.dumps(_document(settings)))


def change(path: Path, key: str, value: str) -> Settings:
    """Set `table.key` in project.toml, keeping comments; the file is left alone when the result would be invalid.

    `class.2.colour` is the colour of the second class; the name of one more class adds it.
    """
    document = _read(path)
    table, _, field = key.partition(".")
    known = dict(_tables())
    if table == "class":
        _change_class(document, key, _toml_value(value))
    elif table in known and field in known[table].model_fields:
        document.setdefault(table, tomlkit.table())[field] = _toml_value(value)
    else:
        raise unknown(key)
    settings = parse(document.unwrap(), path.name)
    write_text(path, tomlkit.dumps(document))
    return settings


def describe(settings: Settings) -> Iterator[tuple[str, Any, Any, str]]:
    """Yield (key, value, default, sentence) of every setting that is a single value."""
    for table, model in _tables():
        current = getattr(settings, table)
        for field, spec in model.model_fields.items():
            yield f"{table}.{field}", getattr(current, field), spec.get_default(), spec.description or ""


def describe_classes(settings: Settings) -> Iterator[tuple[str, Any, Any, str]]:
    """Yield (key, value, default, sentence) of what can be changed of each class, and of adding one.

    A name has no default.
    """
    for number, entry in enumerate(settings.classes, 1):
        defaults = {"name": None, "colour": COLOURS[(number - 1) % len(COLOURS)], "weight": "auto"}
        for field, default in defaults.items():
            sentence = LabelClass.model_fields[field].description or ""
            yield f"class.{number}.{field}", getattr(entry, field), default, sentence
    yield f"class.{len(settings.classes) + 1}.name", "", None, NEW_CLASS


def _change_class(document: tomlkit.TOMLDocument, key: str, value: Any) -> None:
    """Set a field of a class, or append a class; values are label values on disk and stay as they are."""
    _, number, field = [*key.split(".", 2), "", ""][:3]
    listed = document.setdefault("class", tomlkit.aot())
    if field not in ("name", "colour", "weight") or not number.isdecimal() or not 1 <= int(number) <= len(listed) + 1:
        raise SettingsError(*_unknown(key, [k for k, *_ in describe_classes(parse(document.unwrap()))]))
    k = int(number) - 1
    if k < len(listed):
        listed[k][field] = value
    elif field == "name":
        used = {entry.get("colour") for entry in listed}
        colour = next((c for c in COLOURS if c not in used), COLOURS[k % len(COLOURS)])
        entry = tomlkit.table() if isinstance(listed, AoT) else tomlkit.inline_table()
        entry.update({"value": k + 1, "name": value, "colour": colour})
        if isinstance(entry, TomlTable):
            entry.add(tomlkit.nl())
        listed.append(entry)
    else:
        raise SettingsError(f"there is no class {number} yet", f"class.{number}.name adds it")


def unknown(key: str) -> SettingsError:
    """Return the error that there is no such setting; it names the nearest one."""
    return SettingsError(*_unknown(key, [f"{t}.{f}" for t, m in _tables() for f in m.model_fields]))


def _tables() -> Iterator[tuple[str, type[Table]]]:
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Table):
            yield name, field.annotation


def _document(settings: Settings) -> tomlkit.TOMLDocument:
    document = tomlkit.document()
    document.add(tomlkit.comment("Lines that begin with # show defaults; remove the # to change one."))
    document["project"] = _entry(settings.project)
    for name, entries in (("class", settings.classes), ("volume", settings.volumes)):
        if entries:
            listed = tomlkit.aot()
            for entry in entries:
                listed.append(_entry(entry))
            document[name] = listed
    for table, model in _tables():
        if table == "project":
            continue
        section = tomlkit.table()
        for field, spec in model.model_fields.items():
            section.add(tomlkit.comment(spec.description or ""))
            value = getattr(getattr(settings, table), field)
            if value == spec.get_default():
                section.add(tomlkit.comment(f"{field} = {_toml_text(value)}"))
            else:
                section[field] = list(value) if isinstance(value, tuple) else value
        document[table] = section
    return document


def _entry(values: Table) -> TomlTable:
    """Write a table whose fields have no defaults worth showing; what is at its default is left out."""
    entry = tomlkit.table()
    for field, spec in type(values).model_fields.items():
        if getattr(values, field) != spec.default or field in ("name", "seed"):
            entry[field] = getattr(values, field)
    return entry


def _toml_value(text: str) -> Any:
    try:
        return tomlkit.parse(f"v = {text}").unwrap()["v"]
    except TOMLKitError:
        pass
    try:
        return [int(v) for v in text.split(",")] if "," in text else text
    except ValueError:
        return text


def _toml_text(value: Any) -> str:
    return tomlkit.item(list(value) if isinstance(value, tuple) else value).as_string()


def _explain(error: ValidationError, source: str) -> tuple[str, str]:
    first = min(error.errors(), key=_telling)
    place = ".".join(str(p) for p in first["loc"] if not str(p).startswith(_PYDANTIC))
    if first["type"] == "extra_forbidden":
        return _unknown(place, _known(first["loc"][:-1]), source)
    found = f", found {first['input']!r}" if not isinstance(first["input"], dict) else ""
    said = _SAID.get(first["type"]) or first["msg"].removeprefix("Value error, ").replace(
        "Input should be ", "must be ", 1
    )
    if first["type"] == "literal_error":  # a word, where a number would do as well
        same = (_SAID.get(e["type"]) for e in error.errors() if e["loc"][:2] == first["loc"][:2])
        said += "".join(f", or {what.removesuffix(' is wanted')}" for what in same if what)
    return (
        f"{source}: {place or 'settings'}: {said}{found}",
        "'rondel config' lists every setting with its default",
    )


_PYDANTIC = ("literal[", "tuple[", "float", "constrained-")
"""How its names of the kinds of a value begin, which stand in a place beside keys."""
_SAID = {
    "int_parsing": "a whole number is wanted",
    "int_type": "a whole number is wanted",
    "int_from_float": "a whole number is wanted",
    "float_parsing": "a number is wanted",
    "float_type": "a number is wanted",
    "bool_parsing": "true or false is wanted",
    "bool_type": "true or false is wanted",
    "string_type": "a text is wanted",
}
"""What is said of a value instead of pydantic's words."""


def _telling(error) -> int:
    """Order errors: an unknown key first, then what is wrong with a list that might have been a word, then the rest."""
    if error["type"] == "extra_forbidden":
        return 0
    return 2 if error["type"] == "literal_error" and not isinstance(error["input"], str) else 1


def _known(place: tuple[str | int, ...]) -> list[str]:
    """List the keys that may stand where an unknown one was found."""
    lists = {"class": LabelClass, "volume": VolumeTable}
    if not place:
        return [f.alias or n for n, f in Settings.model_fields.items()]
    table = str(place[0])
    model = lists.get(table) or dict(_tables())[table]
    return [".".join([*(str(p) for p in place), n]) for n in model.model_fields]


def _unknown(key: str, known: list[str], source: str = "settings") -> tuple[str, str]:
    fields = {k.rpartition(".")[2]: k for k in reversed(known)}
    near = difflib.get_close_matches(key, known, 1, 0.6) or [
        fields[field] for field in difflib.get_close_matches(key.rpartition(".")[2], list(fields), 1, 0.6)
    ]
    hint = f"did you mean '{near[0]}'?" if near else "'rondel config' lists every setting"
    return f"{source}: unknown key '{key}'", hint
