"""Verbs that compute or say what is due: status, next, round, predict, train, score, rank, rounds, jobs, simulate."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from ..loop import jobs as job_control
from ..store import job_rows, label_boxes, ledger, models
from ..store.errors import MissingExtraError, UsageError
from . import door

jobs = typer.Typer(invoke_without_command=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Detach = Annotated[bool, typer.Option("--detach", help="Start the job and do not follow it.")]
Within = Annotated[str | None, typer.Option("--within", help="Predict candidates for this long at most, as 60s or 5m.")]
ENGINES = ("serial", "dask")
Volume = Annotated[str | None, typer.Argument(help="Name of the volume; may be left out when there is one.")]


def status(context: typer.Context, json: Json = False) -> None:
    """Show the round, the champion and its score, the boxes that wait, what runs, and what is due next.

    Example: rondel -p cells status
    """
    with door.opened(context) as project:
        if json:
            door.emit("projects", [door.status_facts(project)])
        else:
            door.say(*door.status_lines(project))


def next_(context: typer.Context, json: Json = False) -> None:
    """Say what is due now, and the verb that does it.

    Example: rondel -p cells next
    """
    from ..loop import rounds as round_order

    with door.opened(context) as project:
        due = round_order.due(project)
    door.emit("steps", [due]) if json else door.say(f"{due.words}: {door.here(project, due.verb)}")


def round_(context: typer.Context, within: Within = None, detach: Detach = False, json: Json = False) -> None:
    """Do all that is due up to the next human step: train, score, predict, rank, propose; or say what waits for you.

    Example: rondel -p cells round --within 60s
    """
    from ..loop import rounds as round_order

    limit = _limit(within)
    with door.opened(context) as project:
        due = round_order.due(project)
        if due.computes:
            door.note(due.words)
        result = door.run(project, "round", limit, detach=detach) if due.computes else {}
        if json:
            door.emit("rounds", [{**result, "next": round_order.due(project)}])
        elif not detach or not due.computes:
            door.say(*result.get("notes", ()), *door.status_lines(project))


def _limit(within: str | None) -> dict[str, float]:
    """Read a time that was given; raises UsageError when it is none."""
    if within is None:
        return {}
    from ..store.settings import RankTable

    try:
        return {"within": RankTable.model_validate({"within": within}).within}
    except ValueError:
        raise UsageError(f"'{within}' is no time", "write it as 60s, 5m or 1h") from None


def predict(
    context: typer.Context,
    volume: Volume = None,
    model: Annotated[int | None, typer.Option("--model", help="Model version; the champion by default.")] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Keep the probabilities of all classes too.")
    ] = False,
    engine: Annotated[str, typer.Option("--engine", help="serial, or dask: many processes or machines.")] = "serial",
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, max=1024, help="dask: so many processes on this machine.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", help="dask: the workers of a cluster, tcp://HOST:PORT or tls://….")
    ] = None,
    detach: Detach = False,
) -> None:
    """Predict a whole volume; what was predicted already is not done again.

    Example: rondel -p cells predict scan --model 2
    """
    dask = _dask(engine, workers, scheduler)
    with door.opened(context) as project:
        name = project.only_volume(volume).name
        number = models.one(project.database, model).number
        request = {"volume": name, "model": number, "probabilities": probabilities, "dask": dask}
        result = door.run(project, "predict", request, detach=detach)
        if result:
            blank = f" ({result['blank']} blank)" if result["blank"] else ""
            there = "" if result["computed"] == result["tiles"] else f"{result['computed']} of "
            what = f"{there}{result['tiles']} tiles{blank}, {result['seconds']:.1f} s, {result['backend']}"
            door.say(f"{name} predicted by model {result['model']}: {what}")
            if "lost" in result:
                door.say(f"context of {' x '.join(map(str, result['halo']))}, by [predict] halo: {result['lost']}")


def _dask(engine: str, workers: int | None, scheduler: str | None) -> dict[str, Any] | None:
    """Return what a job is told about its workers, None for the serial engine; raises UsageError."""
    if engine not in ENGINES:
        raise UsageError(f"--engine {engine} is not known", f"use one of {', '.join(ENGINES)}")
    named = [name for name, value in (("--workers", workers), ("--scheduler", scheduler)) if value is not None]
    if engine == "serial":
        if named:
            raise UsageError(f"{named[0]} means nothing to the serial engine", "add --engine dask, or leave it out")
        return None
    if len(named) != 1:
        found = " and ".join(named) or "neither"
        raise UsageError(f"--engine dask takes --workers or --scheduler, got {found}", "say --workers 2, for instance")
    if find_spec("distributed") is None:
        raise MissingExtraError("--engine dask needs a package that is not installed", "pip install 'rondel[dask]'")
    return {"workers": workers, "scheduler": scheduler}


def train(
    context: typer.Context,
    scratch: Annotated[
        bool, typer.Option("--scratch", help="Start from new weights instead of the champion's.")
    ] = False,
    detach: Detach = False,
) -> None:
    """Train a new version on all done train boxes, score it and apply the gate; the round stays as it is.

    Example: rondel -p cells train --scratch
    """
    with door.opened(context) as project:
        result = door.run(project, "train", {"scratch": scratch}, detach=detach)
        door.say(*result.get("notes", ()))


def score(
    context: typer.Context,
    model: Annotated[int | None, typer.Argument(help="Model version; the champion by default.")] = None,
    json: Json = False,
    detach: Detach = False,
) -> None:
    """Score a version on the test boxes as they are labelled now.

    Example: rondel -p cells score 2
    """
    with door.opened(context) as project:
        number = models.one(project.database, model).number
        result = door.run(project, "score", {"model": number}, detach=detach)
        if not result:
            return
        found = ledger.scores(project.database, result["model"])
        door.emit("scores", found) if json else door.say(*result["notes"], *door.score_lines(project, result["model"]))


def rank(
    context: typer.Context,
    count: Annotated[int, typer.Option("--boxes", min=1, max=1000, help="How many more boxes.")] = 4,
    within: Within = None,
    detach: Detach = False,
) -> None:
    """Rank the champion's predictions and propose more boxes in the present round.

    Example: rondel -p cells rank --boxes 4
    """
    from ..loop import rounds as round_order

    limit = _limit(within)
    with door.opened(context) as project:
        result = door.run(project, "rank", {"count": count, **limit}, detach=detach)
        if result:
            door.say(f"{round_order.counted(result['proposed'], 'box', 'boxes')} proposed")


def rounds(context: typer.Context, json: Json = False) -> None:
    """List the rounds with their model, boxes and test score.

    Example: rondel -p cells rounds
    """
    with door.opened(context) as project:
        found = ledger.rounds(project.database)
        if json:
            door.emit("rounds", found)
            return
        boxes, rows = label_boxes.select(project.database), []
        for entry in found:
            done, total = label_boxes.progress(boxes, entry.number)
            dice = ledger.mean_dice(ledger.scores(project.database, entry.trained)) if entry.trained else None
            rows.append(
                (
                    entry.number,
                    entry.state,
                    f"{done} of {total}",
                    entry.trained,
                    door.number(dice),
                    entry.strategy,
                    door.when(entry.created),
                )
            )
        door.table(("round", "state", "boxes done", "model", "mean Dice", "strategy", "began"), rows)


@jobs.callback()
def jobs_default(context: typer.Context) -> None:
    """List jobs, read their logs, cancel one.

    Example: rondel -p cells jobs
    """
    if context.invoked_subcommand is None:
        jobs_list(context)


@jobs.command("list")
def jobs_list(context: typer.Context, json: Json = False) -> None:
    """List the jobs, newest first, with how far the running one is.

    Example: rondel -p cells jobs list --json
    """
    with door.opened(context) as project:
        found = job_control.jobs(project)
        if json:
            door.emit("jobs", found)
            return
        rows = [
            (j.id, j.kind, j.state, door.when(j.created), door.seconds(j), door.progress_text(project, j))
            for j in found
        ]
        door.table(("job", "kind", "state", "began", "seconds", ""), rows)


@jobs.command("log")
def jobs_log(context: typer.Context, id: Annotated[int, typer.Argument(help="Number of the job.")]) -> None:
    """Print what a job wrote.

    Example: rondel -p cells jobs log 3
    """
    with door.opened(context) as project:
        job_rows.get(project.database, id)
        log = job_control.log_path(project, id)
        if not log.exists():
            raise UsageError(f"the log of job {id} is gone", "'rondel jobs' shows how the job ended")
        door.say(log.read_text(errors="replace").rstrip())


@jobs.command("cancel")
def jobs_cancel(context: typer.Context, id: Annotated[int, typer.Argument(help="Number of the job.")]) -> None:
    """Ask a job to stop between tiles or steps; what it has done is kept.

    Example: rondel -p cells jobs cancel 3
    """
    with door.opened(context) as project:
        job = job_control.cancel(project, id)
        door.say(f"job {id} is {job.state}" if job.ended else f"job {id} was asked to stop")


def simulate(
    context: typer.Context,
    volume: Volume = None,
    truth: Annotated[
        Path | None, typer.Option("--truth", help="Dense labels; those added --as truth by default.")
    ] = None,
    mapping: Annotated[
        str | None, typer.Option("--map", help="Values of the truth file to label values: 0=1,1=2.")
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Rounds of each run.")] = 5,
    boxes: Annotated[int, typer.Option("--boxes", min=1, help="Boxes that the oracle labels in a round.")] = 8,
    strategy: Annotated[
        list[str],
        typer.Option(
            "--strategy", help="random, foreground, entropy, diverse, or dense (all labels at once); repeat it."
        ),
    ] = ["foreground"],  # noqa: B006
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Runs of each strategy, with seeds 0, 1, 2 …")] = 3,
    region: Annotated[str, typer.Option("--region", help="Where boxes may lie, z0:z1,y0:y1,x0:x1.")] = ":,:,:",
    score_region: Annotated[
        str | None, typer.Option("--score-region", help="Where the score is taken, apart from --region.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for curve.csv, curve.png and result.json.")] = Path(
        "curves"
    ),
    keep: Annotated[bool, typer.Option("--keep", help="Keep the projects of the runs.")] = False,
) -> None:
    """Find out what rounds would bring: an oracle answers from a dense truth, in projects of its own under --out.

    The named project is read and never written. Actions are the connected patches of wrong voxels that the oracle had
    to correct; seconds are those of computing.

    Example: rondel -p cells simulate scan --truth truth.ome.tif --region 0:120,:,: --score-region 130:250,:,:
    """
    from .simulation import run

    if score_region is None:
        raise UsageError("--score-region is missing", "name a region apart from --region: --score-region 130:250,:,:")
    with door.opened(context) as project:
        run(
            project,
            volume,
            truth,
            mapping,
            out,
            keep,
            {
                "rounds": rounds,
                "boxes": boxes,
                "strategies": list(dict.fromkeys(strategy)),
                "seeds": seeds,
                "region": region,
                "score_region": score_region,
            },
        )
