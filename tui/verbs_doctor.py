"""The verb that looks at the machine: doctor."""

from typing import Annotated

import typer

from . import door
from .verbs_round import Json, Volume


def doctor(
    context: typer.Context,
    volume: Volume = None,
    model: Annotated[int | None, typer.Option("--model", help="Model version; the champion by default.")] = None,
    json: Json = False,
) -> None:
    """Say what predictions run on and why, what a volume would cost, and whether all is there that they need.

    Example: rondel -p cells doctor scan
    """
    from ..loop.doctor import examine

    with door.opened(context) as project:
        found = examine(project, project.only_volume(volume).name, model)
    if json:
        door.emit("findings", found)
    else:
        door.table(("what", "", "why"), [(("" if f.good else "! ") + f.about, f.value, f.why) for f in found])
    if not all(f.good for f in found):
        raise typer.Exit(1)
