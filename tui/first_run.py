"""What becomes a project at the first run? Looking at an image, advice from its voxel size, and making the project."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..loop import jobs
from ..store import job_rows, settings_file
from ..store import project as projects
from ..store.box import ZYX
from ..store.errors import UsageError
from ..store.project import open_project
from ..store.records import Job, JobState, Progress
from ..store.settings import COLOURS
from ..store.units import is_voxel, to_nm
from . import parse

THICK = 4.0
"""Sections this many times thicker than a pixel are predicted one by one, as "auto" of [network] dims does it."""
ENDINGS = (".ome.zarr", ".zarr", ".tif", ".tiff", ".btf", ".npy")
MOST_OFFERED = 50
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
Spacing = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of an image."""

    shape: ZYX
    spacing: Spacing | None
    """z, y, x in the image's unit; None where the image does not say."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an image says about itself."""

    image: str
    name: str
    axes: str
    dtype: str
    channels: tuple[str, ...]
    times: int
    levels: tuple[Level, ...]
    unit: str | None
    referenced: bool
    """Whether it is read where it is, instead of imported into the project."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What a voxel size suggests."""

    dims: Literal[2, 3]
    words: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a person chose."""

    folder: Path
    image: str
    volume: str
    classes: tuple[tuple[str, str], ...]
    """Name and #rrggbb of each."""
    level: int = 0
    time: int | None = None
    channels: tuple[int, ...] = ()
    spacing: Spacing | None = None
    unit: str | None = None
    axes: str | None = None
    dims: Literal["auto", 2, 3] = "auto"


@dataclass(frozen=True, slots=True)
class Started:
    """A project whose image is being added, and what was there before it."""

    folder: Path
    job: int
    before: projects.Before


@dataclass(frozen=True, slots=True)
class Offered:
    """What lies where the screens were opened, by name."""

    projects: list[str]
    images: list[str]


def offer(folder: Path) -> Offered:
    """List the projects and images that lie in a folder or, in an empty one, the images beside it."""
    try:
        if folder.is_dir() and _is_empty(folder):
            return Offered([], [f"../{name}" for name in _images(folder.resolve().parent)])
        made = sorted(path.parent.name for path in folder.glob("*/project.toml"))
        return Offered(made[:MOST_OFFERED], _images(folder))
    except OSError:
        return Offered([], [])


def look(image: str, axes: str | None = None) -> Found:
    """Read what an image says about itself; raises VolumeError when it is none, or its axes must be named."""
    from ..loop.transfer import is_ome_zarr, volume_name
    from ..store import importers, ngff

    image = image.strip()
    if not image:
        raise UsageError("no image is named", "type a path, or choose one of the list")
    if "://" not in image:
        image = str(Path(image).expanduser().resolve())
    name = name_from(volume_name(image))
    if is_ome_zarr(image):
        return _found_zarr(ngff.read_metadata(image), name)
    with importers.open_source(image, axes or None) as source:
        spacing = source.spacing if source.spacing and all(v > 0 for v in source.spacing) else None
        return Found(
            image,
            name,
            source.axes,
            str(source.dtype),
            source.channel_names,
            _length(source.axes, source.stored_shape, "t"),
            (Level(source.shape, spacing),),
            source.unit,
            referenced=False,
        )


def name_from(text: str) -> str:
    """Make a volume's name of any text: what may not stand in one becomes an underscore."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text).strip("_.-")[:100] or "volume"


def recommend(shape: Sequence[int], spacing: Sequence[float]) -> Advice:
    """Recommend 2-D or 3-D networks from the shape and the voxel size (z, y, x)."""
    z, y, x = spacing
    if shape[0] == 1:
        return Advice(2, "The image is one section; boxes are 128 × 128 pixels of it")
    ratio = z / max(y, x)
    if ratio >= THICK:
        return Advice(2, f"Sections are {ratio:.3g} times thicker than a pixel: boxes are 128 × 128 pixels of one")
    return Advice(3, f"Sections are {ratio:.3g} times as thick as a pixel: boxes are 32 × 32 × 32 voxels")


def check_classes(classes: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return the classes up to the last that has a name; raises UsageError or SettingsError saying what is wrong."""
    written = [(name.strip(), colour.strip()) for name, colour in classes]
    while written and not written[-1][0]:
        written.pop()
    if len(written) < 2:
        raise UsageError(
            "two classes at least are needed", "the first is everything else, the second what you look for"
        )
    names = [name for name, _ in written]
    for value, (name, colour) in enumerate(written, 1):
        if not name:
            raise UsageError(f"class {value} has no name", "name it, or move those after it up: values have no gaps")
        if names.index(name) != value - 1:
            raise UsageError(f"classes {names.index(name) + 1} and {value} have the same name", "give each its own")
        if not COLOUR.fullmatch(colour):
            raise UsageError(f"the colour of class {value} is no #rrggbb", "write it like #d55e00")
    listed = [{"value": k + 1, "name": name, "colour": colour} for k, (name, colour) in enumerate(written)]
    settings_file.parse({"class": listed}, "classes")
    return tuple(written)


def check_spacing(text: str, unit: str | None) -> Spacing:
    """Read z, y, x (or y, x of one section); raises UsageError when that is no voxel size."""
    example = "give it as z,y,x, each above 0, for example 50,4,4"
    if not text.strip():
        raise UsageError("the voxel size is missing", example)
    try:
        values = parse.spacing(text.replace(" ", ",").replace(",,", ","))
    except UsageError:
        values = None
    if values is None:
        raise UsageError(f"'{text.strip()}' is no voxel size", example)
    if not unit:
        raise UsageError("the unit of the voxel size is missing", "choose one")
    if not all(is_voxel(to_nm(v, unit)) for v in values):
        raise UsageError(f"'{text.strip()}' {unit} is no size of a voxel", "look at the numbers and the unit")
    return (values[-2] if len(values) == 2 else values[0], values[-2], values[-1])


def default_folder(here: Path, volume: str) -> Path:
    """Propose where the project goes: here if nothing is here yet, else a folder named after the volume."""
    place = here.resolve()
    return place if _is_empty(place) else place / volume


def others_in(folder: Path) -> int:
    """Count what lies in a folder already, and would stand between the project's own files."""
    try:
        return sum(path.name[0] != "." for path in folder.expanduser().iterdir())
    except OSError:
        return 0


def create(plan: Plan) -> Started:
    """Make the project, its settings commented, and start adding the image."""
    folder = plan.folder.expanduser().resolve()
    before = projects.Before.of(folder)
    with projects.create(folder, [name for name, _ in plan.classes]) as project:
        try:
            tree = project.settings.model_dump(by_alias=True, mode="json")
            for entry, (_, colour) in zip(tree["class"], plan.classes):
                entry["colour"] = colour
            tree["network"]["dims"] = plan.dims
            settings_file.write(folder / "project.toml", settings_file.parse(tree, "classes"))
            job = jobs.start(project, "import", _request(plan))
        except BaseException:
            before.restore()
            raise
    return Started(folder, job.id, before)


def follow(started: Started) -> tuple[Job, Progress | None]:
    """Tell how far adding the image is; when it is done, start proposing the first boxes."""
    with open_project(started.folder) as project:
        job = jobs.refresh(project, started.job)
        if job.state == JobState.DONE:
            jobs.start(project, "round", {})
        return job, job_rows.progress(project.database, job.id)


def new_colour(index: int) -> str:
    """Return the colour that the class of this index has by default."""
    return COLOURS[index % len(COLOURS)]


def _images(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.lower().endswith(ENDINGS))[:MOST_OFFERED]


def _is_empty(folder: Path) -> bool:
    return not folder.exists() or not any(path.name[0] != "." for path in folder.iterdir())


def _found_zarr(metadata, name: str) -> Found:
    from ..store import axes

    levels = []
    for level in metadata.levels:
        scale = dict(zip(metadata.order, level.scale))
        x = scale["x"]
        spacing = (scale.get("z", x), scale["y"], x)
        known = all(v > 0 and math.isfinite(v) for v in spacing)
        levels.append(Level(axes.zyx(metadata.order, level.shape), spacing if known else None))
    return Found(
        metadata.url,
        name,
        metadata.order,
        metadata.dtype,
        tuple(channel.name for channel in metadata.channels),
        _length(metadata.order, metadata.levels[0].shape, "t"),
        tuple(levels),
        metadata.unit("x"),
        referenced=True,
    )


def _length(axes: str, shape: Sequence[int], axis: str) -> int:
    return shape[axes.index(axis)] if axis in axes else 1


def _request(plan: Plan) -> dict[str, Any]:
    return {
        "name": plan.volume,
        "image": plan.image,
        "spacing": list(plan.spacing) if plan.spacing else None,
        "unit": plan.unit,
        "axes": plan.axes,
        "level": plan.level,
        "time": plan.time,
        "channels": list(plan.channels) or None,
        "labels": None,
        "purpose": "train",
        "mapping": {},
        "relink": False,
    }
