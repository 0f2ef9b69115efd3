"""What is due now, in words and as an action? What `space` does, as every layout shows it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ..store.project import Project
from ..store.records import State
from . import words
from .snapshot import Running, Snapshot


@dataclass(frozen=True, slots=True)
class Step:
    """What `space` does; without an action it is only said what is waited for."""

    words: str
    action: Callable[[Project], str] | None = None


def next_step(snapshot: Snapshot) -> Step:
    """Say what to do now: what the project's round asks for or, while that computes, the boxes that can be labelled."""
    from . import actions

    busy = next((r for r in snapshot.running if r.job.kind not in ("import", "export")), None)
    if busy:
        box, doing = snapshot.next_box, _doing(busy)
        if box is None:
            return Step(f"{doing}: nothing waits for you")
        return Step(f"label box {box.id} while {doing}", partial(actions.open_box, id=box.id))
    if snapshot.due.step == "add":
        adding = next((r for r in snapshot.running if r.job.kind == "import"), None)
        return Step(_doing(adding) if adding else f"add a volume at the command line: {snapshot.due.verb}")
    if snapshot.due.step == "label":
        first = snapshot.next_box
        if first and first.state == State.OPEN:
            return Step(f"go on with {snapshot.due.words.removeprefix('label ')}", actions.do_due)
    return Step(snapshot.due.words, actions.do_due)


def _doing(running: Running) -> str:
    if running.progress is None:
        return f"job {running.job.id} ({running.job.kind}) starts"
    left = f", {words.duration(running.seconds_left)} left" if running.seconds_left is not None else ""
    return f"job {running.job.id} runs: {words.plain(running.progress.stage)} {100 * running.share:.0f} %{left}"
