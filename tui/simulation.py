"""How does `rondel simulate` keep the named project untouched? It works in a project of its own under --out."""

import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from ..store import project as projects
from ..store import settings_file
from ..store.errors import UsageError
from ..store.project import Project
from ..store.settings import RankTable
from . import door, parse

OWN = "project"
STRATEGIES = (*get_args(RankTable.model_fields["strategy"].annotation), "dense")
LEFT = ("curve.csv", "curve.png", "result.json")


def run(
    named: Project,
    volume: str | None,
    truth: Path | None,
    mapping: str | None,
    out: Path,
    keep: bool,
    request: dict[str, Any],
) -> None:
    """Copy settings and volume into --out, simulate there, print the learning curve, and clear up."""
    record = named.only_volume(volume)
    if truth is not None and not truth.exists():
        raise UsageError(f"there is no file {truth}", "check the path of --truth")
    path = truth or (named.folder / record.truth if record.truth else None)
    if path is None or not path.exists():
        raise UsageError(
            "there is no truth to simulate with", "give one: --truth FILE, or 'rondel add … --labels FILE --as truth'"
        )
    if named.folder.resolve() in [out.resolve(), *out.resolve().parents]:
        raise UsageError(f"--out {out} lies in the project", "choose a folder outside of it")
    unknown = [name for name in request["strategies"] if name not in STRATEGIES]
    if unknown:
        raise UsageError(f"--strategy {unknown[0]} is not known", f"use one of {', '.join(STRATEGIES)}")
    there = [name for name in (*LEFT, OWN) if (out / name).exists()]
    if there:
        raise UsageError(f"{out} holds {there[0]} already", "choose another --out, or remove it")
    url = record.url if "://" in record.url else str((named.folder / record.url).resolve())
    new = not out.exists()
    with projects.create(out / OWN, [c.name for c in named.classes]) as own:
        settings_file.write(out / OWN / "project.toml", named.settings)
        projects.add_volume(own, replace(record, url=url, imported=False, truth=None))
    try:
        with projects.open_project(out / OWN) as own:
            result = door.run(
                own,
                "simulate",
                {
                    **request,
                    "volume": record.name,
                    "truth": str(path.resolve()),
                    "mapping": parse.mapping(mapping),
                    "out": str(out.resolve()),
                },
            )
    finally:
        if not keep:
            shutil.rmtree(out / OWN)
        if new and not any(out.iterdir()):
            out.rmdir()
    door.say(*result["notes"], result["table"], f"written to {out}: {', '.join(LEFT)}")
    compare = shlex.join(("cp", str(out / "curve.csv"), str(named.folder / "exports")))
    door.note(f"to see it on the screens, beside the project's own curve: {compare}")
