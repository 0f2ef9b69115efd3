"""Who imports whom? The rooms meet in the store, and the heavy packages stay in the jobs."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from rondel.store.settings import Settings

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "store": {"store"},
    "loop": {"loop", "store"},
    "viewer": {"viewer", "store"},
    "tui": {"tui", "loop", "viewer", "store"},
}
HEAVY = {"torch", "monai"}
FILES = {f"{room}.{path.stem}": path for room in ALLOWED for path in sorted((ROOT / room).glob("*.py"))}
LONGEST = 400


def imports(module: str, tree: ast.AST) -> Iterator[str]:
    """Yield what a module of ours imports, "store.box" for our own, wherever in it and in whatever form."""
    package = ["rondel", module.split(".")[0]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) + 1 - node.level] if node.level else []
            found = [".".join([*start, *filter(None, [node.module]), alias.name]) for alias in node.names]
        else:
            continue
        yield from (name.removeprefix("rondel.") for name in found)


def parsed(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text("utf-8"))


def ours(name: str) -> str | None:
    """Return which of our modules an imported name is, or lies in."""
    parts = name.split(".")
    if parts[0] not in ALLOWED:
        return None
    return next((m for m in (".".join(parts[:2]), f"{parts[0]}.__init__") if m in FILES), f"{parts[0]}.__init__")


def at_module_level(tree: ast.Module) -> ast.AST:
    """Leave of a module what runs when it is imported."""

    class Strip(ast.NodeTransformer):
        def visit(self, node: ast.AST):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                return None
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
                return None
            return self.generic_visit(node)

    Strip().visit(tree)
    return tree


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("import rondel.loop.jobs", {"loop.jobs"}),
        ("import rondel.loop.jobs as j, torch.nn", {"loop.jobs", "torch.nn"}),
        ("from rondel.loop import jobs", {"loop.jobs"}),
        ("from rondel import loop", {"loop"}),
        ("from .. import loop", {"loop"}),
        ("from ..loop import jobs, work", {"loop.jobs", "loop.work"}),
        ("from ..loop.jobs import start", {"loop.jobs.start"}),
        ("from . import box", {"store.box"}),
        ("from .box import Box", {"store.box.Box"}),
        ("def f():\n    from ..loop import jobs", {"loop.jobs"}),
        ("if TYPE_CHECKING:\n    from ..loop import jobs", {"loop.jobs"}),
        ("try:\n    import torch\nexcept ImportError:\n    pass", {"torch"}),
    ],
)
def test_every_form_of_import_is_seen(line, found):
    assert set(imports("store.edits", ast.parse(line))) == found


@pytest.mark.parametrize("module", FILES)
def test_a_room_imports_only_downstairs(module):
    room = module.split(".")[0]
    met = {name for name in imports(module, parsed(module)) if name.split(".")[0] in ALLOWED}
    assert {name for name in met if name.split(".")[0] not in ALLOWED[room]} == set()


@pytest.mark.parametrize("module", [m for m in FILES if not m.startswith("loop.")])
def test_only_the_loop_imports_torch_and_monai(module):
    assert {name for name in imports(module, parsed(module)) if name.split(".")[0] in HEAVY} == set()


@pytest.mark.parametrize("module", FILES)
def test_nothing_is_imported_by_a_computed_name(module):
    assert names_in(module) & {"import_module", "__import__", "import_string"} == set()


def test_no_module_imports_itself_in_a_circle():
    needs = {m: {ours(n) for n in imports(m, at_module_level(parsed(m)))} - {None, m} for m in FILES}
    while needs:
        free = {m for m, others in needs.items() if not others & needs.keys()}
        assert free, f"these import each other: {sorted(needs)}"
        needs = {m: others for m, others in needs.items() if m not in free}


@pytest.mark.parametrize("module", FILES)
def test_a_file_is_short_enough_to_be_read(module):
    assert len(FILES[module].read_text("utf-8").splitlines()) <= LONGEST


SETTINGS = {
    f"{name}.{key}": table
    for name, field in Settings.model_fields.items()
    for table in [(get_args(field.annotation) or (field.annotation,))[0]]
    if table
    for key in table.model_fields
}


@pytest.mark.parametrize("key", SETTINGS)
def test_every_setting_is_read_by_a_module_that_knows_its_table(key):
    table, field = key.split(".")
    assert [
        module
        for module in FILES
        if module not in ("store.settings", "store.settings_file")
        and field in (names := names_in(module))
        and names & {table, SETTINGS[key].__name__}
    ]


@cache
def names_in(module: str) -> set[str]:
    """Return the attributes that a module reads and the names that it uses."""
    tree = parsed(module)
    attributes = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load)}
    return attributes | {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
