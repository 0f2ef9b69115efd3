"""What are the things a project keeps rows about? Frozen values, and the moves a box may make."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from .box import ZYX, Box
from .errors import UsageError


class Purpose(StrEnum):
    TRAIN = "train"
    TEST = "test"
    """Protected: never trained on, only scored on."""


class State(StrEnum):
    PROPOSED = "proposed"
    OPEN = "open"
    DONE = "done"
    SKIPPED = "skipped"
    DROPPED = "dropped"


MOVES: dict[State, tuple[State, ...]] = {
    State.PROPOSED: (State.OPEN, State.SKIPPED, State.DROPPED),
    State.OPEN: (State.DONE, State.SKIPPED),
    State.DONE: (State.OPEN,),
    State.SKIPPED: (State.OPEN,),
    State.DROPPED: (),
}
"""The one table of legal moves of a label box."""


class RoundState(StrEnum):
    RANKING = "ranking"
    LABELLING = "labelling"
    TRAINING = "training"
    SCORING = "scoring"
    CLOSED = "closed"


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    """The row says running, but nobody holds the compute lock: the process was killed."""


ENDED = (JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.LOST)


class EditKind(StrEnum):
    PAINT = "paint"
    ERASE = "erase"
    FILL = "fill"
    THRESHOLD = "threshold"
    INTERPOLATE = "interpolate"
    COPY = "copy"
    ACCEPT = "accept"
    EMPTY = "empty"
    IMPORT = "import"
    REVERT = "revert"
    UNDO = "undo"
    REDO = "redo"


@dataclass(frozen=True, slots=True)
class VolumeRecord:
    """A volume as it was added: what is read of which store, and what is known about it."""

    name: str
    url: str
    """Path of the OME-Zarr image; relative to the project folder for imported volumes."""
    imported: bool
    level: int
    """Index of the working level among the image's levels, finest first."""
    time: int | None
    """Time point that is read; None where there is no t axis."""
    channels: tuple[int, ...]
    """Indices of the channels that the network sees, in order; (0,) where there is no c axis."""
    axes: str
    """Axes of the stored array in their order, for example "tczyx"."""
    shape: ZYX
    """Voxels of the working level."""
    chunks: ZYX
    """Chunk shape of the working level; where it is sharded, that of what can be read by itself."""
    dtype: str
    spacing_nm: tuple[float, float, float]
    translation_nm: tuple[float, float, float]
    unit: str
    """Unit that a person sees, for example "micrometer"."""
    intensities: tuple[tuple[float, float], ...]
    """Low and high percentile ([normalise] low, high) of each channel, sampled when the volume was added."""
    truth: str | None = None
    """Dense labels that only an oracle may read."""
    created: float = 0.0

    @property
    def box(self) -> Box:
        return Box.of_shape(self.shape)


@dataclass(frozen=True, slots=True)
class LabelBox:
    """A box that is to be labelled, or was."""

    id: int
    volume: str
    box: Box
    round: int
    """The round that proposed it; 0 for boxes that came with imported labels."""
    purpose: Purpose
    state: State
    priority: float
    reason: str
    """Why it was proposed, in words."""
    strategy: str = ""
    reserve: bool = False
    """One of the extra proposals that let a person paint while the model trains."""
    seconds: float = 0.0
    """Active painting."""
    why: str = ""
    """Why it was skipped."""
    person: str = ""
    created: float = 0.0
    done_at: float | None = None

    def check_move(self, state: State) -> None:
        if state not in MOVES[self.state]:
            can = ", ".join(MOVES[self.state]) or "nothing"
            raise UsageError(f"box {self.id} is {self.state} and cannot become {state}", f"it can become: {can}")


@dataclass(frozen=True, slots=True)
class Round:
    number: int
    state: RoundState
    model: int | None
    """The model whose predictions ranked it; None for round 1."""
    trained: int | None = None
    """The model that was trained in it."""
    strategy: str = ""
    seed: int = 0
    created: float = 0.0
    closed_at: float | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """An immutable version, as listed."""

    number: int
    parent: int | None
    round: int
    champion: bool
    classes: tuple[str, ...]
    steps: int
    seconds: float
    edit: int
    """The last edit of the labels it was trained on."""
    boxes: tuple[int, ...]
    """Ids of the boxes it was trained on."""
    loss: float
    sha256: str
    bytes: int
    verdict: str = ""
    """What the gate said."""
    note: str = ""
    created: float = 0.0


@dataclass(frozen=True, slots=True)
class Score:
    """Quality of a model on test boxes, one class; counts are summed over known voxels."""

    model: int
    label: int
    """Label value of the class."""
    boxes: int
    """How many test boxes were labelled."""
    dice: float | None
    """None is n/a: the class is absent from truth and prediction, or fewer than two test boxes are labelled."""
    low: float | None
    high: float | None
    iou: float | None
    precision: float | None
    recall: float | None


@dataclass(frozen=True, slots=True)
class Edit:
    """A row of the journal, without its voxels."""

    number: int
    kind: EditKind
    volume: str
    box: int | None
    person: str
    region: Box
    voxels: int
    target: int | None
    live: bool
    """Not undone; undo and redo rows themselves are never live."""
    created: float


@dataclass(frozen=True, slots=True)
class Job:
    id: int
    kind: str
    arguments: dict[str, Any]
    state: JobState
    pid: int | None
    host: str
    created: float
    started: float | None = None
    ended: float | None = None
    error: str = ""
    hint: str = ""
    exit_code: int | None = None
    result: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running job is."""

    stage: str
    done: float
    total: float
    unit: str
    text: str
    updated: float
