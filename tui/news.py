"""What happened between two looks at a project? One line each, for the log."""

from collections.abc import Iterator

from ..store.records import ENDED, JobState, LabelBox, State
from . import words
from .messages import Said
from .snapshot import Snapshot

FEW = 6
"""Boxes that are named one by one; more of them are counted."""


def news(old: Snapshot, new: Snapshot) -> list[Said]:
    """List what is worth a line in the log, in the order in which a round goes."""
    return [*_boxes(old, new), *_jobs(old, new), *_models(old, new), *_server(old, new)]


def _jobs(old: Snapshot, new: Snapshot) -> Iterator[Said]:
    if old.jobs is new.jobs:
        return
    before = {job.id: job.state for job in old.jobs}
    for job in reversed(new.jobs):
        was = before.get(job.id)
        if job.state == was or job.state not in ENDED:
            continue
        took = f" after {words.duration(job.ended - job.started)}" if job.started and job.ended else ""
        if job.state in (JobState.FAILED, JobState.LOST):
            yield Said(f"{words.work(job.kind)} {job.state}: {job.error}, job {job.id}", job.hint, mistake=True)
        elif job.state == JobState.CANCELLED:
            yield Said(f"{words.work(job.kind)} was cancelled{took}, job {job.id}", "what it had done is kept")
        else:
            notes = "; ".join(str(note) for note in job.result.get("notes", ()))
            yield Said(f"{notes or words.work(job.kind)}: done{took}, job {job.id}")


def _models(old: Snapshot, new: Snapshot) -> Iterator[Said]:
    was, now = old.champion, new.champion
    if now and (was is None or was.number != now.number):
        score = words.dice(new.mean_dice(now.number))
        found = ": it finds nothing yet" if words.blind(new.scores.get(now.number, ())) else ""
        yield Said(f"model {now.number} is the champion, mean test Dice {score}{found}")


def _boxes(old: Snapshot, new: Snapshot) -> Iterator[Said]:
    if old.boxes is new.boxes:
        return
    before = {box.id: box for box in old.boxes}
    added = [box for box in new.boxes if box.id not in before]
    moved = [box for box in new.boxes if box.id in before and box.state != before[box.id].state]
    if added:
        yield Said(f"{words.counted(len(added), 'box', 'boxes')} proposed")
    if len(moved) > FEW:
        yield Said(f"{len(moved)} boxes changed their state")
        return
    for box in moved:
        yield Said(_moved(box))


def _moved(box: LabelBox) -> str:
    why = f": {box.why}" if box.state == State.SKIPPED and box.why else ""
    who = f", by {box.person}" if box.person else ""
    return f"box {box.id} is {box.state}{why}{who}"


def _server(old: Snapshot, new: Snapshot) -> Iterator[Said]:
    if new.server and not old.server:
        yield Said(f"the page is served on port {new.server.port}")
    elif old.server and not new.server:
        yield Said("the page is no longer served", "'o' starts it again")
    if new.server and (lacks := set(new.server.missing) - set(old.server.missing if old.server else ())):
        said = f"the installed Neuroglancer lacks {', '.join(sorted(lacks))}: the page has no brush"
        yield Said(said, "pip install -c constraints.txt neuroglancer", mistake=True)
    if new.server and old.server:
        were = {person.name for person in old.server.people or ()}
        are = {person.name for person in new.server.people or ()}
        yield from (Said(f"{name or 'somebody'} opened the page") for name in sorted(are - were))
        yield from (Said(f"{name or 'somebody'} left the page") for name in sorted(were - are))
