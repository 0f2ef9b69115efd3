"""What may a person set? project.toml as one tree of frozen, validated models with defaults in code.

An unknown key is an error that names the nearest known one. The string under a field is its sentence: `rondel config`
prints it, and `document` writes it above the setting in a new project.toml.
"""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import tomlkit
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .atomic import write_text
from .errors import SettingsError

COLOURS = ("#808080", "#e63c3c", "#3c8ce6", "#46b450", "#e6b43c", "#a05ad2", "#3cc8c8", "#f08cc8", "#966432", "#b4d23c")

ShapeZYX = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
Share = Annotated[float, Field(ge=0, le=1)]


class Table(BaseModel):
    """One table of project.toml: frozen, and strict about its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ProjectTable(Table):
    name: str = "project"
    """Name of the project, shown on pages and screens."""
    seed: int = 0
    """Seed of every random choice: proposals, training patches, initial weights."""


class LabelClass(Table):
    value: int = Field(ge=1, le=254)
    """Label value on disk; 0 is unlabelled, 1 is everything else; never reused or renumbered."""
    name: str = Field(min_length=1, max_length=64)
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
    per_round: int = Field(8, ge=1, le=1000)
    """How many boxes a round proposes for training."""
    reserve: int = Field(2, ge=0, le=1000)
    """How many further boxes are proposed, so that labelling can go on while the model trains."""


class RoundsTable(Table):
    planned: int = Field(10, ge=1, le=1000)
    """How many rounds the project is planned for, the goal that status counts towards."""
    keep_backups: int = Field(5, ge=1, le=100)
    """How many backups of project.db are kept; one is made after each round."""


class TestTable(Table):
    boxes: int = Field(4, ge=0, le=1000)
    """How many test boxes are proposed with round 1; they are never trained on."""
    bootstrap: int = Field(1000, ge=100, le=100000)
    """How many bootstrap samples over test boxes give the interval of a score."""
    interval: float = Field(0.95, gt=0.5, lt=1)
    """Coverage of the interval of a score."""


class RankTable(Table):
    strategy: Literal["random", "foreground", "entropy"] = "foreground"
    """How boxes are chosen once there is a model: random, foreground (half of them where a class is predicted), entropy."""
    blank: float = Field(0.01, ge=0, le=1)
    """A bin whose normalised intensities deviate less than this is blank; boxes that are mostly blank are not proposed."""
    clusters: int = Field(0, ge=0, le=1000)
    """Clusters of cheap features among which the first boxes are spread; 0: as many as boxes are asked for."""


class NetworkTable(Table):
    name: Literal["dynunet"] = "dynunet"
    """Network architecture: MONAI's DynUNet with residual units and batch normalisation."""
    dims: Literal["auto", 2, 3] = "auto"
    """2 predicts section by section, 3 in the volume; "auto": 2 for images and where sections are four times thicker than a pixel."""
    filters: tuple[Annotated[int, Field(ge=4, le=512)], ...] | Literal["auto"] = "auto"
    """Channels of each level; one level more than there are poolings; "auto": 16,32,64,128, twice that in 2-D."""

    @field_validator("filters")
    @classmethod
    def _levels(cls, filters: tuple[int, ...] | str) -> tuple[int, ...] | str:
        if not isinstance(filters, str) and not 3 <= len(filters) <= 6:
            raise ValueError("filters lists 3 to 6 levels")
        return filters


class NormaliseTable(Table):
    low: float = Field(0.5, ge=0, lt=50)
    """Percentile of a volume's intensities that becomes 0."""
    high: float = Field(99.5, gt=50, le=100)
    """Percentile of a volume's intensities that becomes 1."""


class AugmentTable(Table):
    flip: bool = True
    """Mirror patches along random axes."""
    rot90: bool = True
    """Turn patches by quarter turns in planes whose voxels are square."""
    rotate: float = Field(15.0, ge=0, le=180)
    """Largest random rotation in degrees."""
    scale: float = Field(0.15, ge=0, le=0.9)
    """Largest relative change of size."""
    shear: float = Field(0.05, ge=0, le=0.9)
    """Largest shear, as the tangent of its angle."""
    affine: Share = 0.3
    """Share of patches that are rotated, scaled and sheared."""
    brightness: float = Field(0.1, ge=0, le=1)
    """Largest shift of the normalised intensities."""
    contrast: float = Field(0.2, ge=0, lt=1)
    """Largest relative change of contrast."""
    gamma: float = Field(0.25, ge=0, lt=1)
    """Largest relative change of the exponent of intensities."""
    noise: float = Field(0.03, ge=0, le=1)
    """Largest standard deviation of added Gaussian noise."""


class LossTable(Table):
    name: Literal["ce", "dice", "ce_dice"] = "ce_dice"
    """Loss over known voxels: cross entropy, soft Dice, or the mean of both."""
    class_weights: Literal["auto", "none"] = "auto"
    """Weights of the classes in the cross entropy; "auto": with three or more classes the square root of inverse frequency."""
    weight_limit: float = Field(10.0, ge=1)
    """Largest automatic class weight."""


class TrainTable(Table):
    steps: int = Field(80, ge=1, le=1_000_000)
    """Optimiser steps of a round."""
    more_steps: int = Field(40, ge=0, le=1_000_000)
    """Steps added per million labelled voxels, at most four times `steps` in all."""
    batch: int = Field(0, ge=0, le=4096)
    """Patches in a step; 0: 2 in 3-D, 8 in 2-D."""
    patch: Literal["auto"] | ShapeZYX = "auto"
    """Shape of a training patch z, y, x; "auto": 48 voxels a side in 3-D, 128 in 2-D."""
    rate: float = Field(2e-3, gt=0, le=1)
    """Peak learning rate of a round; it falls along a cosine to `final_rate` of it."""
    warm_rate: float = Field(0.5, gt=0, le=1)
    """Share of the learning rate that is used when training goes on from a parent model."""
    final_rate: Share = 0.05
    """Share of the learning rate that is left at the end of a round."""
    weight_decay: float = Field(1e-2, ge=0, le=1)
    """Weight decay of AdamW."""
    ema: float = Field(0.9, ge=0, lt=1)
    """Decay of the moving average of weights and batch-norm buffers that becomes the model; 0 turns it off."""
    new_share: Share = 0.5
    """Share of patches from boxes labelled since the parent model; the others replay older boxes."""
    rare_share: Share = 0.5
    """Share of patches centred on a class drawn evenly from those present; the others are centred on any known voxel."""
    hold_out: int = Field(0, ge=0, le=1000)
    """Train boxes kept out of training to watch its loss; test boxes are never used for that."""
    checkpoint: int = Field(20, ge=1)
    """Steps between checkpoints, from which an interrupted training goes on."""
    cache_gb: float = Field(4.0, gt=0)
    """Memory for the images of labelled boxes, in gigabytes."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of training; "auto": bfloat16 where the processor is faster in it."""


class PredictTable(Table):
    memory_gb: float = Field(2.0, gt=0)
    """Memory a prediction tile may take, in gigabytes; larger tiles waste less on context."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where training and prediction run; "auto": CUDA when there is one."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of prediction; "auto": bfloat16 where the processor is faster in it."""
    threads: int = Field(0, ge=0, le=1024)
    """Threads of the computation; 0: all cores."""
    probabilities: bool = False
    """Keep probabilities of everything predicted; boxes on show always have them."""


class GateTable(Table):
    drop: float = Field(0.02, ge=0, le=1)
    """A new model becomes champion if its mean test Dice is not lower than the champion's by more than this."""


class ServeTable(Table):
    port: int = Field(0, ge=0, le=65535)
    """Port of the page; 0: a free one, remembered."""
    hosts: tuple[str, ...] = ()
    """Further host names by which the page may be asked for."""


class Settings(Table):
    """The whole of project.toml."""

    project: ProjectTable = ProjectTable()
    classes: tuple[LabelClass, ...] = Field((), alias="class")
    volumes: tuple[VolumeTable, ...] = Field((), alias="volume")
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


def load(path: Path) -> Settings:
    """Read project.toml; raises SettingsError naming the key, and the nearest known one, when something is off."""
    try:
        document = tomlkit.parse(path.read_text("utf-8")).unwrap()
    except (tomlkit.exceptions.TOMLKitError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path.name} is not valid TOML: {error}", "mend the line it names") from None
    return parse(document, path.name)


def parse(document: dict[str, Any], source: str = "project.toml") -> Settings:
    """Validate a plain tree of settings; raises SettingsError."""
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        raise SettingsError(*_explain(error, source)) from None


def draft(name: str, classes: list[str], seed: int = 0) -> Settings:
    """Make the settings of a new project with these class names, the first being everything else."""
    listed = [{"value": k + 1, "name": c, "colour": COLOURS[k % len(COLOURS)]} for k, c in enumerate(classes)]
    return parse({"project": {"name": name, "seed": seed}, "class": listed}, "--classes")


def write(path: Path, settings: Settings) -> None:
    """Write a commented project.toml that shows every default."""
    write_text(path, tomlkit.dumps(_document(settings)))


def change(path: Path, key: str, value: str) -> Settings:
    """Set `table.key` in project.toml, keeping comments; the file is left alone when the result would be invalid."""
    document = tomlkit.parse(path.read_text("utf-8"))
    table, _, field = key.partition(".")
    known = dict(_tables())
    if table not in known or field not in known[table].model_fields:
        raise SettingsError(*_unknown(key, [f"{t}.{f}" for t, m in known.items() for f in m.model_fields]))
    document.setdefault(table, tomlkit.table())[field] = _toml_value(value)
    settings = parse(document.unwrap(), key)
    write_text(path, tomlkit.dumps(document))
    return settings


def describe(settings: Settings) -> Iterator[tuple[str, Any, Any, str]]:
    """Yield (key, value, default, sentence) of every setting that is a single value."""
    for table, model in _tables():
        current = getattr(settings, table)
        for field, spec in model.model_fields.items():
            yield f"{table}.{field}", getattr(current, field), spec.get_default(), spec.description or ""


def _tables() -> Iterator[tuple[str, type[Table]]]:
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Table):
            yield name, field.annotation


def _document(settings: Settings) -> tomlkit.TOMLDocument:
    document = tomlkit.document()
    document.add(tomlkit.comment("Lines that begin with # show defaults; remove the # to change one."))
    document["project"] = _entry(settings.project)
    for name, entries in (("class", settings.classes), ("volume", settings.volumes)):
        if entries:
            listed = tomlkit.aot()
            for entry in entries:
                listed.append(_entry(entry))
            document[name] = listed
    for table, model in _tables():
        if table == "project":
            continue
        section = tomlkit.table()
        for field, spec in model.model_fields.items():
            section.add(tomlkit.comment(spec.description or ""))
            value = getattr(getattr(settings, table), field)
            if value == spec.get_default():
                section.add(tomlkit.comment(f"{field} = {_toml_text(value)}"))
            else:
                section[field] = list(value) if isinstance(value, tuple) else value
        document[table] = section
    return document


def _entry(values: Table) -> tomlkit.items.Table:
    """Write a table whose fields have no defaults worth showing; what is at its default is left out."""
    entry = tomlkit.table()
    for field, spec in type(values).model_fields.items():
        if getattr(values, field) != spec.default or field in ("name", "seed"):
            entry[field] = getattr(values, field)
    return entry


def _toml_value(text: str) -> Any:
    try:
        return tomlkit.parse(f"v = {text}").unwrap()["v"]
    except tomlkit.exceptions.TOMLKitError:
        pass
    try:
        return [int(v) for v in text.split(",")] if "," in text else text
    except ValueError:
        return text


def _toml_text(value: Any) -> str:
    return tomlkit.item(list(value) if isinstance(value, tuple) else value).as_string()


def _explain(error: ValidationError, source: str) -> tuple[str, str]:
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    place = ".".join(str(p) for p in first["loc"] if not str(p).startswith(("literal[", "tuple[", "float")))
    if first["type"] == "extra_forbidden":
        return _unknown(place, _known(first["loc"][:-1]), source)
    found = f", found {first['input']!r}" if not isinstance(first["input"], dict) else ""
    return (
        f"{source}: {place or 'settings'}: {first['msg']}{found}",
        "'rondel config' lists every setting with its default",
    )


def _known(place: tuple[str | int, ...]) -> list[str]:
    """List the keys that may stand where an unknown one was found."""
    lists = {"class": LabelClass, "volume": VolumeTable}
    if not place:
        return [f.alias or n for n, f in Settings.model_fields.items()]
    table = str(place[0])
    model = lists.get(table) or dict(_tables())[table]
    return [".".join([*(str(p) for p in place), n]) for n in model.model_fields]


def _unknown(key: str, known: list[str], source: str = "settings") -> tuple[str, str]:
    near = difflib.get_close_matches(key, known, 1, 0.5) or difflib.get_close_matches(
        key.rpartition(".")[2], [k.rpartition(".")[2] for k in known], 1, 0.5
    )
    hint = f"did you mean '{near[0]}'?" if near else "'rondel config' lists every setting"
    return f"{source}: unknown key '{key}'", hint
