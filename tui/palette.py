"""What can be done from the palette besides what has a key? Titles, sentences and messages."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from textual.message import Message

from ..store.records import LabelBox
from . import actions
from .messages import Act, ShowScreen
from .snapshot import Snapshot

Command = tuple[str, str, Message]


def commands(snapshot: Snapshot, box: LabelBox | None) -> Iterator[Command]:
    """List title, sentence and message of what can be done now."""
    yield "Models", "Versions with their scores: compare, use, note, export", ShowScreen("models")
    yield "Jobs", "What ran and runs, with its log; cancel", ShowScreen("jobs")
    yield "Settings", "See and change every setting", ShowScreen("settings")
    yield "Log", "What happened since these screens were opened", ShowScreen("log")
    if box is not None:
        yield f"Undo in box {box.id}", "Undo your own last edit in it", Act(partial(actions.undo, box=box.id))
        yield f"Redo in box {box.id}", "Bring back what you undid last", Act(partial(actions.redo, box=box.id))
    if not snapshot.computing:
        yield from _computing(snapshot)
    for record in snapshot.volumes:
        yield f"View {record.name}", "Show the whole volume in the page", Act(partial(actions.view, volume=record.name))
        yield from _exports(snapshot, record.name)
    if snapshot.server:
        yield (
            "Stop the page's server",
            "What was painted is saved; pages go on when it starts again",
            Act(actions.stop_server),
        )
    else:
        yield "Start the page's server", "In a process of its own", Act(actions.start_server)


def _computing(snapshot: Snapshot) -> Iterator[Command]:
    if snapshot.rounds:
        yield "Propose more boxes", "In the present round, by its strategy", Act(actions.propose)
    if any(box.done_at for box in snapshot.boxes):
        yield "Train now", "A further version on all done train boxes; the round stays as it is", Act(actions.train)
        again = Act(partial(actions.train, scratch=True))
        yield "Train from new weights", "Instead of going on from the champion", again
    if snapshot.champion:
        yield "Score the champion", "On the test boxes as they are labelled now", Act(actions.score)
        for record in snapshot.volumes:
            predict = Act(partial(actions.predict, volume=record.name))
            yield f"Predict {record.name}", "The whole volume, by the champion", predict


def _exports(snapshot: Snapshot, volume: str) -> Iterator[Command]:
    folder = Path(snapshot.folder) / "exports"
    labels = Act(partial(actions.export, volume=volume, target=folder / f"{volume}-labels.ome.zarr", what="labels"))
    yield f"Export labels of {volume}", "To exports/ of the project, as OME-Zarr", labels
    if snapshot.champion:
        number = snapshot.champion.number
        target = folder / f"{volume}-classes-{number}.ome.zarr"
        classes = Act(partial(actions.export, volume=volume, target=target, model=number))
        yield f"Export prediction of {volume}", f"By model {number}, to exports/ of the project, as OME-Zarr", classes
