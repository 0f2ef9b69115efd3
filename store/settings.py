"""What may a person set? project.toml as one tree of frozen, validated models with defaults in code.

The string under a field is its sentence: `rondel config` prints it, and it stands above the setting in a new
project.toml.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

COLOURS = ("#56b4e9", "#d55e00", "#f0e442", "#009e73", "#cc79a7", "#0072b2", "#e69f00", "#882255", "#117733", "#332288")
"""Colours of classes in their order: Okabe and Ito's, which stand out from grey images and from each other, also to
colour-blind people (Wong, Points of view: Color blindness, 2011); then three of Tol's."""

ShapeZYX = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
Share = Annotated[float, Field(ge=0, le=1)]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("names hold no line breaks or control characters")
    return text


Name = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_printable)]


HostName = Annotated[str, Field(pattern=r"^[0-9A-Za-z_][0-9A-Za-z_.-]*$")]


def _split(names: Any) -> Any:
    """Let a list of names be written as one text, separated by commas."""
    return [name.strip() for name in names.split(",") if name.strip()] if isinstance(names, str) else names


def _seconds(value: Any) -> Any:
    """Let a time be written with its unit: 90, "90s", "1.5m", "2h"."""
    if not isinstance(value, str):
        return value
    number, unit = value.strip()[:-1], value.strip()[-1:]
    try:
        return float(number) * UNITS[unit] if unit in UNITS else float(value)
    except ValueError:
        raise ValueError("a time is wanted, as 90, 60s, 5m or 1h") from None


UNITS = {"s": 1, "m": 60, "h": 3600}
Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0, allow_inf_nan=False)]


class Table(BaseModel):
    """One table of project.toml: frozen, and strict about its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ProjectTable(Table):
    name: Annotated[str, AfterValidator(_printable)] = "project"
    """Name of the project, shown on pages and screens."""
    seed: int = Field(default=0, ge=0)
    """Seed of every random choice: proposals, training patches, initial weights."""


class LabelClass(Table):
    value: int = Field(ge=1, le=254)
    """Label value on disk; 0 is unlabelled, 1 is everything else; never reused or renumbered."""
    name: Name
    """Name of the class."""
    colour: str = Field(pattern=r"^#[0-9a-fA-F]{6}$")
    """Colour of the class as #rrggbb."""
    weight: float | Literal["auto"] = "auto"
    """Weight of the class in the cross entropy; "auto" follows [loss] class_weights."""

    @field_validator("weight")
    @classmethod
    def _positive(cls, weight: float | str) -> float | str:
        if isinstance(weight, float) and not 0 < weight <= 1000:
            raise ValueError("a class weight lies above 0 and at most at 1000")
        return weight


class VolumeTable(Table):
    name: str
    """Name of the volume this table is about."""
    region: str = ":,:,:"
    """Part of the volume in which boxes are proposed, as z0:z1,y0:y1,x0:x1 in voxels of the working level."""
    propose: bool = True
    """Whether boxes are proposed in this volume at all."""


class BoxesTable(Table):
    shape: Literal["auto"] | ShapeZYX = "auto"
    """Shape of a label box in voxels z, y, x; "auto": 32,32,32, or one section of 128x128 where sections are thick."""
    per_round: int = Field(default=8, ge=1, le=1000)
    """How many boxes a round proposes for training."""
    reserve: int = Field(default=2, ge=0, le=1000)
    """How many further boxes are proposed, so that labelling can go on while the model trains."""


class RoundsTable(Table):
    planned: int = Field(default=10, ge=1, le=1000)
    """How many rounds the project is planned for, the goal that status counts towards."""
    keep_backups: int = Field(default=5, ge=1, le=100)
    """How many backups of project.db are kept; one is made after each round."""


class TestTable(Table):
    boxes: int = Field(default=4, ge=0, le=1000)
    """How many test boxes are proposed with round 1; they are never trained on."""
    bootstrap: int = Field(default=1000, ge=100, le=100000)
    """How many bootstrap samples over test boxes give the interval of a score."""
    interval: float = Field(default=0.95, gt=0.5, lt=1)
    """Coverage of the interval of a score."""


class RankTable(Table):
    strategy: Literal["random", "foreground", "entropy", "diverse"] = "foreground"
    """How a model chooses boxes: random, foreground (half hold a predicted class), entropy, diverse (no copies)."""
    blank: float = Field(default=0.01, ge=0, le=1)
    """A bin whose normalised intensities deviate less than this is blank; mostly blank boxes are not proposed."""
    clusters: int = Field(default=0, ge=0, le=1000)
    """Clusters of cheap features among which the first boxes are spread; 0: as many as boxes are asked for."""
    candidates: int = Field(default=1000, ge=0)
    """Boxes side by side that a round predicts and ranks, spread over the volumes; 0: all of every volume."""
    within: Seconds = 0
    """Time after which a round predicts no further candidates, as "60s" or "5m"; 0: no limit."""


class NetworkTable(Table):
    name: Literal["dynunet"] = "dynunet"
    """Network architecture: MONAI's DynUNet with residual units and batch normalisation."""
    dims: Literal["auto", 2, 3] = "auto"
    """2 predicts sections one by one, 3 the volume; "auto": 2 for images and sections 4 times thicker than a pixel."""
    filters: tuple[Annotated[int, Field(ge=4, le=512)], ...] | Literal["auto"] = "auto"
    """Channels of each level; one level more than there are poolings; "auto": 16,32,64,128, twice that in 2-D."""

    @field_validator("filters")
    @classmethod
    def _levels(cls, filters: tuple[int, ...] | str) -> tuple[int, ...] | str:
        if not isinstance(filters, str) and not 3 <= len(filters) <= 6:
            raise ValueError("filters lists 3 to 6 levels")
        return filters


class NormaliseTable(Table):
    low: float = Field(default=0.5, ge=0, lt=50)
    """Percentile of a volume's intensities that becomes 0; taken when the volume is added."""
    high: float = Field(default=99.5, gt=50, le=100)
    """Percentile of a volume's intensities that becomes 1; taken when the volume is added."""


class AugmentTable(Table):
    flip: bool = True
    """Mirror patches along random axes."""
    rot90: bool = True
    """Turn patches by quarter turns in planes whose voxels are square."""
    rotate: float = Field(default=15.0, ge=0, le=180)
    """Largest random rotation in degrees."""
    scale: float = Field(default=0.15, ge=0, le=0.9)
    """Largest relative change of size."""
    shear: float = Field(default=0.05, ge=0, le=0.9)
    """Largest shear, as the tangent of its angle."""
    elastic: float = Field(default=0.0, ge=0, le=0.4)
    """Largest elastic shift, as a share of the 16 voxels between the points that are shifted; 0: none."""
    affine: Share = 0.3
    """Share of patches that are rotated, scaled, sheared and shifted elastically."""
    brightness: float = Field(default=0.1, ge=0, le=1)
    """Largest shift of the normalised intensities."""
    contrast: float = Field(default=0.2, ge=0, lt=1)
    """Largest relative change of contrast."""
    gamma: float = Field(default=0.25, ge=0, lt=1)
    """Largest relative change of the exponent of intensities."""
    noise: float = Field(default=0.03, ge=0, le=1)
    """Largest standard deviation of added Gaussian noise."""


class LossTable(Table):
    name: Literal["ce", "dice", "ce_dice"] = "ce_dice"
    """Loss over known voxels: cross entropy, soft Dice, or the mean of both."""
    class_weights: Literal["auto", "none"] = "auto"
    """Class weights in the cross entropy; "auto": with three or more classes the square root of inverse frequency."""
    weight_limit: float = Field(default=10.0, ge=1, allow_inf_nan=False)
    """Largest automatic class weight."""


class TrainTable(Table):
    steps: int = Field(default=80, ge=1, le=1_000_000)
    """Optimiser steps of a round."""
    more_steps: int = Field(default=40, ge=0, le=1_000_000)
    """Steps added per million labelled voxels, at most four times `steps` in all."""
    within: Seconds = 0
    """Time after which a round's training ends with the steps made until then, as "60s" or "5m"; 0: no limit."""
    batch: int = Field(default=0, ge=0, le=4096)
    """Patches in a step; 0: 2 in 3-D, 8 in 2-D."""
    patch: Literal["auto"] | ShapeZYX = "auto"
    """Shape of a training patch z, y, x; "auto": 48 voxels a side in 3-D, 128 in 2-D."""
    rate: float = Field(default=2e-3, gt=0, le=1)
    """Peak learning rate of a round; it falls along a cosine to `final_rate` of it."""
    warm_rate: float = Field(default=0.5, gt=0, le=1)
    """Share of the learning rate that is used when training goes on from a parent model."""
    final_rate: Share = 0.05
    """Share of the learning rate that is left at the end of a round."""
    weight_decay: float = Field(default=1e-2, ge=0, le=1)
    """Weight decay of AdamW."""
    ema: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the moving average of weights that becomes the model; 0 turns it off."""
    new_share: Share = 0.5
    """Share of patches from boxes labelled since the parent model; the others replay older boxes."""
    rare_share: Share = 0.5
    """Share of patches centred on a class drawn evenly from those present; others on any known voxel."""
    hold_out: int = Field(default=0, ge=0, le=1000)
    """Train boxes kept out of training to watch its loss; test boxes are never used for that."""
    checkpoint: int = Field(default=20, ge=1)
    """Steps between checkpoints, from which an interrupted training goes on."""
    cache_gb: float = Field(default=4.0, gt=0, allow_inf_nan=False)
    """Memory for the images of labelled boxes, in gigabytes."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of training; "auto": bfloat16 where the processor is faster in it."""


class PredictTable(Table):
    memory_gb: Literal["auto"] | Annotated[float, Field(gt=0, allow_inf_nan=False)] = "auto"
    """Gigabytes a prediction tile may take; larger tiles waste less on context. "auto": a quarter of the machine's."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where training and prediction run; "auto": CUDA when there is one."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of prediction; "auto": bfloat16 where the processor is faster in it."""
    backend: Literal["auto", "torch", "openvino"] = "auto"
    """What predicts on a CPU; "auto": OpenVINO where it is installed and agrees with torch on a sample, else torch."""
    memory_format: Literal["auto", "channels_last", "channels_first"] = "auto"
    """How torch lays out images and weights; "auto": channels last where that is safe. OpenVINO has its own."""
    threads: int = Field(default=0, ge=0, le=1024)
    """Threads of the computation; 0: all cores."""
    halo: Literal["exact"] | Annotated[int, Field(ge=0)] = "exact"
    """Voxels of context around a map's tiles; "exact": all the network sees; of fewer rondel doctor tells the error."""
    probabilities: bool = False
    """Keep probabilities of everything predicted; boxes on show always have them."""


class GateTable(Table):
    drop: float = Field(default=0.02, ge=0, le=1)
    """A new model becomes champion if its mean test Dice is not lower than the champion's by more than this."""


class ServeTable(Table):
    port: int = Field(default=0, ge=0, le=65535)
    """Port of the page; 0: chosen once, and remembered."""
    bind: str = Field(default="127.0.0.1", pattern=r"^[0-9A-Za-z.:-]+$")
    """Address that the page is served at; anything but 127.0.0.1 can be reached by others, without encryption."""
    hosts: Annotated[tuple[HostName, ...], BeforeValidator(_split)] = ()
    """Further host names, without port, by which a browser may ask for the page."""
    open: bool = False
    """Open a browser when a link is printed; never over ssh."""
    ssh: str = Field(default="", pattern=r"^([0-9A-Za-z_][0-9A-Za-z_.@:-]*)?$")
    """user@host of the tunnel line; "": the login name and the host's name."""


class RemoteTable(Table):
    cache_gb: float = Field(default=4.0, ge=0, allow_inf_nan=False)
    """Disk that chunks of remote volumes may take in the user's cache folder, in gigabytes; 0: none are kept."""


class Settings(Table):
    """The whole of project.toml."""

    project: ProjectTable = ProjectTable()
    classes: tuple[LabelClass, ...] = Field(default=(), alias="class")
    volumes: tuple[VolumeTable, ...] = Field(default=(), alias="volume")
    boxes: BoxesTable = BoxesTable()
    rounds: RoundsTable = RoundsTable()
    test: TestTable = TestTable()
    rank: RankTable = RankTable()
    network: NetworkTable = NetworkTable()
    normalise: NormaliseTable = NormaliseTable()
    augment: AugmentTable = AugmentTable()
    loss: LossTable = LossTable()
    train: TrainTable = TrainTable()
    predict: PredictTable = PredictTable()
    gate: GateTable = GateTable()
    serve: ServeTable = ServeTable()
    remote: RemoteTable = RemoteTable()

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, populate_by_name=True)

    @model_validator(mode="after")
    def _classes_agree(self) -> "Settings":
        values = [c.value for c in self.classes]
        names = [c.name for c in self.classes]
        if values != list(range(1, len(values) + 1)):
            raise ValueError(f"class values are 1, 2, 3 … in their order, found {values}")
        if len(set(names)) != len(names):
            raise ValueError(f"class names differ from each other, found {names}")
        return self

    def volume(self, name: str) -> VolumeTable:
        return next((v for v in self.volumes if v.name == name), VolumeTable(name=name))
