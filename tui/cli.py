"""The headless door: `rondel VERB`. Verbs parse, call the loop or the store, and print."""

import os
import sqlite3
import sys
from pathlib import Path
from typing import Annotated

import typer

from .. import __version__
from ..store.errors import RondelError, UsageError
from . import door, screens, verbs_doctor, verbs_label, verbs_models, verbs_round, verbs_serve, verbs_setup, words

Mistyped: type[Exception] = typer.BadParameter.__bases__[0]
"""The usage error of the click that typer brings along, wherever that is."""

app = typer.Typer(
    no_args_is_help=False,
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"rondel {__version__}")
        raise typer.Exit


@app.callback()
def before_verb(
    context: typer.Context,
    project: Annotated[
        Path | None,
        typer.Option("-p", "--project", envvar="RONDEL_PROJECT", help="Project folder; the present one by default."),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Annotation rounds for volumes too large to look through; without a verb, the screens.

    Where there is no terminal, the project's state and what is due are printed instead.

    Example: rondel demo --auto
    """
    context.obj = door.Door(project or Path(), debug, project is not None)
    if context.invoked_subcommand is not None:
        return
    if screens.can_show() and (project is None or (project / "project.toml").exists()):
        raise typer.Exit(screens.show(context.obj.folder))
    if not (context.obj.folder / "project.toml").exists() and project is None:
        door.say("no project here: 'rondel demo' makes one to try, 'rondel quick IMAGE --classes …' one of your image")
        return
    verbs_round.status(context)


for name, verb in {
    "quick": verbs_setup.quick,
    "init": verbs_setup.init,
    "add": verbs_setup.add,
    "info": verbs_setup.info,
    "status": verbs_round.status,
    "serve": verbs_serve.serve,
    "stop": verbs_serve.stop,
    "view": verbs_serve.view,
    "next": verbs_round.next_,
    "round": verbs_round.round_,
    "label": verbs_label.label,
    "skip": verbs_label.skip,
    "predict": verbs_round.predict,
    "train": verbs_round.train,
    "score": verbs_round.score,
    "rank": verbs_round.rank,
    "rounds": verbs_round.rounds,
    "history": verbs_label.history,
    "undo": verbs_label.undo,
    "redo": verbs_label.redo,
    "revert": verbs_label.revert,
    "repair": verbs_label.repair,
    "simulate": verbs_round.simulate,
    "export": verbs_models.export,
    "config": verbs_setup.config,
    "doctor": verbs_doctor.doctor,
    "demo": verbs_setup.demo,
}.items():
    app.command(name)(verb)
app.add_typer(verbs_label.boxes, name="boxes")
app.add_typer(verbs_models.models, name="models")
app.add_typer(verbs_round.jobs, name="jobs")


def main() -> None:
    """Run the command line; errors become one line, with a hint and the exit code that fits."""
    try:
        code = app(standalone_mode=False, prog_name="rondel")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (RondelError, OSError, sqlite3.DatabaseError, Mistyped) as error:
        if "--debug" in sys.argv:
            raise
        known = _named(error)
        door.note(f"rondel: {known}")
        sys.exit(known.exit_code)
    sys.exit(code or 0)


def _named(error: Exception) -> RondelError:
    """Return an error as one that has a hint and an exit code."""
    if isinstance(error, (RondelError, OSError, sqlite3.DatabaseError)):
        return words.known(error)
    verb = getattr(getattr(error, "ctx", None), "command_path", "rondel")
    return UsageError(getattr(error, "format_message", error.__str__)().rstrip("."), f"see '{verb} --help'")


if __name__ == "__main__":
    main()
