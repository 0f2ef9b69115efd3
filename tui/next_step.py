"""What is due now, in words and as an action? What `space` does, as every layout shows it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ..store import label_boxes
from ..store.project import Project
from ..store.records import State
from . import words
from .snapshot import WAITING, Running, Snapshot


@dataclass(frozen=True, slots=True)
class Step:
    """What `space` does; without an action it is only said what is waited for."""

    words: str
    action: Callable[[Project], str] | None = None
    opens: bool = False
    """Whether it brings the page to a box."""
    question: str = ""
    """What is asked before."""


def next_step(snapshot: Snapshot) -> Step:
    """Say what to do now: what the project's round asks for or, while that computes, the boxes that can be labelled."""
    from . import actions

    busy = next((r for r in snapshot.running if r.job.kind not in ("import", "export")), None)
    if busy:
        box, doing = snapshot.next_box, _doing(busy)
        if box is None:
            return Step(f"{doing}; no box waits for you")
        return Step(f"label box {box.id} meanwhile ({doing})", partial(actions.open_box, id=box.id), opens=True)
    if snapshot.due.step == "add":
        adding = next((r for r in snapshot.running if r.job.kind == "import"), None)
        return Step(_doing(adding) if adding else f"add a volume at the command line: {snapshot.due.verb}")
    if snapshot.due.step == "label":
        first = snapshot.next_box
        begun = first is not None and first.state == State.OPEN
        said = f"go on with {snapshot.due.words.removeprefix('label ')}" if begun else snapshot.due.words
        return Step(said, actions.do_due, opens=True)
    return Step(snapshot.due.words, actions.do_due, question=_question(snapshot))


def _question(snapshot: Snapshot) -> str:
    """Ask before a model is trained while boxes wait: a key that led from box to box must not end the round."""
    waiting = [box for box in snapshot.boxes if box.state in WAITING and label_boxes.asked_for(box)]
    if snapshot.due.step != "train" or not waiting:
        return ""
    wait = words.counted(len(waiting), "box waits", "boxes wait")
    return f"{wait} to be labelled ('o' opens the selected one). Train now all the same?"


def _doing(running: Running) -> str:
    if running.progress is None:
        return words.work(running.job.kind)
    left = f", {words.duration(running.seconds_left)} left" if running.seconds_left is not None else ""
    return f"{words.plain(running.progress.stage)} {100 * running.share:.0f} %{left}"
