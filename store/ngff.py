"""What does OME-Zarr metadata say, and how is ours written?

Read: OME-Zarr 0.4 (zarr v2) and 0.5 (zarr v3, sharded or not), axes in any order, https://ngff.openmicroscopy.org/0.5.
Written: 0.5. Voxel centres lie at integer coordinates, so a level that is f times coarser is moved by (f-1)/2 fine
voxels; nobody else needs to know that.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from . import arrays
from .arrays import open_array
from .atomic import write_text
from .axes import check_axes
from .beside import appear
from .box import ZYX
from .errors import ForbiddenError, VolumeError
from .shards import Written, shard_shape
from .units import UNITS_NM, from_nm, to_nm

__all__ = [
    "UNITS_NM",
    "Axis",
    "Channel",
    "ImageMetadata",
    "LabelMetadata",
    "Level",
    "create_multiscale",
    "from_nm",
    "layouts",
    "level_factors",
    "numbered_channel",
    "open_array",
    "read_metadata",
    "to_nm",
]

TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
SMALL = 64
"""A pyramid ends when no axis is longer than this."""
CHANNEL_COLOURS = ("ffffff", "ff00ff", "00ffff", "ffff00", "00ff00", "ff0000", "0000ff")


@dataclass(frozen=True, slots=True)
class Axis:
    name: str
    type: str
    unit: str | None


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution; every tuple has an entry per stored axis."""

    path: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    """What one writer owns: the shard shape when sharded."""
    inner_chunks: tuple[int, ...]
    scale: tuple[float, ...]
    """Size of a voxel in the axis's unit; NaN where the metadata does not say."""
    translation: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Channel:
    name: str
    colour: str
    """#rrggbb"""
    window: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class LabelMetadata:
    classes: tuple[tuple[int, str, str], ...]
    """(value, name, #rrggbb) of each class."""
    source: str
    """Where the image lies that is labelled; may be empty."""


@dataclass(frozen=True, slots=True)
class ImageMetadata:
    url: str
    version: Literal["0.4", "0.5"]
    zarr_format: Literal[2, 3]
    axes: tuple[Axis, ...]
    levels: tuple[Level, ...]
    channels: tuple[Channel, ...]
    dtype: str
    name: str
    reduction: str
    """How the coarser levels were made, as the metadata says it ("mode", "mean" …); may be empty."""
    notes: tuple[str, ...]
    """What the import of this image wants to be known."""

    @property
    def order(self) -> str:
        """Return the axes as a word in stored order, for example "tczyx"."""
        return "".join(a.name for a in self.axes)

    def unit(self, axis: str) -> str | None:
        return next((a.unit for a in self.axes if a.name == axis), None)


def read_metadata(url: str | Path) -> ImageMetadata:
    """Read what an OME-Zarr image says about itself; raises VolumeError when that is missing or contradicts itself.

    Scales and units may be missing here: whether a flag supplies them is the caller's to know.
    """
    place = str(url)
    zarr_format, attributes = _attributes(place)
    ome = attributes.get("ome", {}) if zarr_format == 3 else attributes
    multiscales = ome.get("multiscales") if isinstance(ome, dict) else None
    if not isinstance(multiscales, list) or not multiscales:
        raise VolumeError(f"{place} has no multiscales metadata: it is no OME-Zarr image", _inside(place, attributes))
    try:
        return _parse(place, zarr_format, ome, multiscales[0], attributes.get("rondel", {}).get("notes", []))
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise VolumeError(
            f"{place} has multiscales metadata that cannot be understood: {type(error).__name__} {error}",
            "'ome-zarr-models validate' tells what is wrong with it",
        ) from None


def _attributes(place: str) -> tuple[Literal[2, 3], dict[str, Any]]:
    if not arrays.is_url(place) and not Path(place).exists():
        raise VolumeError(f"{place} does not exist", "check the path")
    group, refusal = None, None
    try:
        group = arrays.read_json(place, "zarr.json")
    except ForbiddenError as error:  # buckets that may not be listed answer so for what does not exist
        refusal = error
    if group is not None:
        if group.get("node_type") == "array":
            raise VolumeError(f"{place} is a bare zarr array without axes or spacing", "name the image that holds it")
        return 3, group.get("attributes") or {}
    attributes = arrays.read_json(place, ".zattrs")
    if attributes is None:
        arrays.check_bucket(place)
        if refusal:
            raise refusal
        raise VolumeError(f"{place} has no multiscales metadata: no zarr.json or .zattrs", "check the path")
    return 2, attributes


def _inside(place: str, attributes: dict[str, Any]) -> str:
    """Hint at the images that a group without multiscales holds."""
    ome = attributes.get("ome", attributes)
    if "bioformats2raw.layout" in ome:
        return f"the images lie inside; try {arrays.join(place, '0')}"
    if ome.get("labels"):
        return f"it lists labels; try {arrays.join(place, str(ome['labels'][0]))}"
    if not arrays.is_url(place):
        inner = [
            p for p in sorted(Path(place).iterdir())[:100] if (p / "zarr.json").is_file() or (p / ".zattrs").is_file()
        ]
        if inner:
            return f"try one of the groups inside, such as {inner[0]}"
    return "name an OME-Zarr image of version 0.4 or 0.5, or import a TIFF or npy"


def _parse(place: str, zarr_format: Literal[2, 3], ome: dict, multiscale: dict, notes: list[str]) -> ImageMetadata:
    version = _version(place, str(ome.get("version") if zarr_format == 3 else multiscale.get("version", "0.4")))
    axes = _axes(place, multiscale["axes"])
    opened = [open_array(arrays.join(place, d["path"])) for d in multiscale["datasets"]]
    levels = []
    for dataset, array in zip(multiscale["datasets"], opened):
        check_axes("".join(a.name for a in axes), array.shape, arrays.join(place, dataset["path"]))
        inner = _transform(dataset.get("coordinateTransformations"), len(axes), place)
        outer = _transform(multiscale.get("coordinateTransformations"), len(axes), place)
        levels.append(_level(dataset["path"], array, inner, outer))
    if not levels:
        raise VolumeError(f"{place} lists no levels", "the multiscales metadata needs datasets")
    if any(b > a for fine, coarse in zip(levels, levels[1:]) for a, b in zip(fine.shape, coarse.shape)):
        raise VolumeError(
            f"{place} lists its levels in another order than finest first", "mend the order of its datasets"
        )
    if any(array.dtype != opened[0].dtype for array in opened):
        raise VolumeError(f"{place} has levels of different data types", "mend the store")
    count = next((n for a, n in zip(axes, levels[0].shape) if a.name == "c"), 1)
    return ImageMetadata(
        url=place,
        version=version,
        zarr_format=zarr_format,
        axes=axes,
        levels=tuple(levels),
        channels=_channels(ome.get("omero", {}), count),
        dtype=opened[0].dtype.name,
        name=str(multiscale.get("name") or Path(place.rstrip("/")).name.split(".")[0]),
        reduction=str(multiscale.get("type") or ""),
        notes=tuple(str(n) for n in notes),
    )


def _version(place: str, version: str) -> Literal["0.4", "0.5"]:
    if version.startswith("0.5"):
        return "0.5"
    if version.startswith("0.4"):
        return "0.4"
    raise VolumeError(
        f"{place} is OME-Zarr {version}", "versions 0.4 and 0.5 are read; convert it with ome2024-ngff-challenge"
    )


def _axes(place: str, listed: list[dict[str, str]]) -> tuple[Axis, ...]:
    axes = tuple(Axis(str(a["name"]), str(a.get("type") or TYPES.get(a["name"])), a.get("unit")) for a in listed)
    names = [a.name for a in axes]
    good = set(names) <= set(TYPES) and len(set(names)) == len(names) and {"y", "x"} <= set(names)
    if not good or any(a.type != TYPES[a.name] for a in axes):
        said = ", ".join(f"{a.name} ({a.type})" for a in axes)
        raise VolumeError(
            f"{place} declares axes {said}",
            "needed are y and x, and of t, c, z what there is, once each, with types time, channel, space; "
            "mend its metadata, or import a TIFF or npy with --axes",
        )
    return axes


def _transform(listed: list[dict] | None, count: int, place: str) -> tuple[list[float], list[float]]:
    """Return scale (NaN where it is missing) and translation of a list of coordinate transformations."""
    scale, translation = [math.nan] * count, [0.0] * count
    for step in listed or ():
        if step["type"] == "identity":
            continue
        values = step.get(step["type"])
        if step["type"] not in ("scale", "translation") or not isinstance(values, list) or len(values) != count:
            raise VolumeError(
                f"{place} has a coordinate transformation '{step['type']}' that does not fit {count} axes",
                "mend its metadata: a scale and then a translation, a number an axis",
            )
        if step["type"] == "scale":
            scale = [float(v) for v in values]
        else:
            translation = [float(v) for v in values]
    return scale, translation


def _level(path: str, array: Any, inner: tuple[list, list], outer: tuple[list, list]) -> Level:
    over = [1.0 if math.isnan(v) else v for v in outer[0]]
    return Level(
        path=path,
        shape=tuple(int(n) for n in array.shape),
        chunks=tuple(array.chunk_layout.write_chunk.shape),
        inner_chunks=tuple(array.chunk_layout.read_chunk.shape),
        scale=tuple(a * b for a, b in zip(inner[0], over)),
        translation=tuple(a * b + c for a, b, c in zip(inner[1], over, outer[1])),
    )


def _channels(omero: dict[str, Any], count: int) -> tuple[Channel, ...]:
    """Return a channel each; names count only when there are as many as channels."""
    listed = omero.get("channels", []) if isinstance(omero, dict) else []
    if len(listed) != count:
        listed = [{}] * count
    found = []
    for k, entry in enumerate(listed):
        window = entry.get("window") or {}
        start, end = window.get("start"), window.get("end")
        colour = f"#{entry['color']}".lower() if entry.get("color") else numbered_channel("", k).colour
        known = None if start is None or end is None else (float(start), float(end))
        found.append(Channel(str(entry.get("label") or k), colour, known))
    return tuple(found)


def numbered_channel(name: str, index: int) -> Channel:
    """Make a channel with the colour of its place."""
    return Channel(name, f"#{CHANNEL_COLOURS[index % len(CHANNEL_COLOURS)]}", None)


def level_factors(shape: Sequence[int], spacing_nm: Sequence[float], levels: int | None = None) -> list[ZYX]:
    """Return the factor (z, y, x) of each level to the finest; axes are halved so that voxels become isotropic.

    Without `levels`, as many as it takes until no axis is longer than 64.
    """
    factors: list[ZYX] = [(1, 1, 1)]
    while levels is None or len(factors) < levels:
        last = factors[-1]
        lengths = [-(-n // f) for n, f in zip(shape, last)]
        sizes = [s * f for s, f in zip(spacing_nm, last)]
        if max(lengths) <= (SMALL if levels is None else 1):
            break
        finest = min(s for s, n in zip(sizes, lengths) if n > 1)
        halved = [n > 1 and s < finest * math.sqrt(2) for s, n in zip(sizes, lengths)]
        z, y, x = (f * 2 if h else f for f, h in zip(last, halved))
        factors.append((z, y, x))
    return factors


def create_multiscale(
    path: Path,
    *,
    name: str,
    axes: Literal["zyx", "czyx"] = "zyx",
    shape: Sequence[int],
    chunks: Sequence[int],
    dtype: str,
    spacing_nm: Sequence[float],
    translation_nm: Sequence[float] = (0.0, 0.0, 0.0),
    unit: str,
    levels: int,
    kind: Literal["image", "mode", "mean"],
    label: LabelMetadata | None = None,
    channels: Sequence[Channel] = (),
    notes: Sequence[str] = (),
    fill: float = 0,
    written: Written = "anywhere",
) -> None:
    """Make an empty OME-Zarr 0.5 image or label image with a pyramid; it appears whole or not at all.

    Coarser levels ("s1" …) are made by `pyramid` from "s0": labels by mode, images and maps by mean. Levels that
    would be very many files have fewer of them, unless they are `written` anywhere (shards.py).
    """
    lead = len(axes) - 3
    factors = level_factors(shape[lead:], spacing_nm, levels)
    with appear(path) as beside:
        for k, layout in enumerate(layouts(shape, chunks, factors, written)):
            arrays.create_array(beside / f"s{k}", layout, dtype=dtype, names=axes, fill=fill)
        multiscale = {
            "name": name,
            "type": "mode" if kind == "mode" else "mean",
            "axes": [_axis(a, unit) for a in axes],
            "datasets": [_dataset(k, f, lead, spacing_nm, translation_nm, unit) for k, f in enumerate(factors)],
        }
        ome: dict[str, Any] = {"version": "0.5", "multiscales": [multiscale]}
        if label is not None:
            ome["image-label"] = _image_label(label)
        if channels:
            ome["omero"] = {"channels": [_omero(c, dtype) for c in channels]}
        attributes = {"ome": ome} | ({"rondel": {"notes": list(notes)}} if notes else {})
        group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        write_text(beside / "zarr.json", json.dumps(group, indent=1))


def layouts(
    shape: Sequence[int], chunks: Sequence[int], factors: Sequence[ZYX], written: Written
) -> Iterator[arrays.Layout]:
    """Yield how each level of such a multiscale is stored."""
    for factor in factors:
        lengths = [*shape[:-3], *(-(-n // f) for n, f in zip(shape[-3:], factor))]
        fitted = [min(c, n) for c, n in zip(chunks, lengths)]
        yield arrays.Layout(tuple(lengths), tuple(fitted), shard_shape(lengths, fitted, written))


def _axis(name: str, unit: str) -> dict[str, str]:
    return {"name": name, "type": TYPES[name]} | ({"unit": unit} if TYPES[name] == "space" else {})


def _dataset(level: int, factor: ZYX, lead: int, spacing: Sequence[float], origin: Sequence[float], unit: str) -> dict:
    scale = [from_nm(s * f, unit) for s, f in zip(spacing, factor)]
    shift = [from_nm(t + s * (f - 1) / 2, unit) for t, s, f in zip(origin, spacing, factor)]
    return {
        "path": f"s{level}",
        "coordinateTransformations": [
            {"type": "scale", "scale": [1.0] * lead + scale},
            {"type": "translation", "translation": [0.0] * lead + shift},
        ],
    }


def set_label(path: Path, label: LabelMetadata) -> None:
    """Bring the classes of a label image up to date; the file is left alone when they are."""
    group = json.loads((path / "zarr.json").read_text("utf-8"))
    block = _image_label(label)
    if group["attributes"]["ome"].get("image-label") != block:
        group["attributes"]["ome"]["image-label"] = block
        write_text(path / "zarr.json", json.dumps(group, indent=1))


def _image_label(label: LabelMetadata) -> dict[str, Any]:
    """Write classes so that readers agree: colours and properties list the same values."""
    colours = [
        {"label-value": v, "rgba": [*(int(colour[i : i + 2], 16) for i in (1, 3, 5)), 255]}
        for v, _, colour in label.classes
    ]
    properties = [{"label-value": v, "name": name} for v, name, _ in label.classes]
    block: dict[str, Any] = {"version": "0.5", "colors": colours, "properties": properties}
    return block | ({"source": {"image": label.source}} if label.source else {})


def _omero(channel: Channel, dtype: str) -> dict[str, Any]:
    top = {"uint8": 255.0, "uint16": 65535.0, "int16": 32767.0, "uint32": 4294967295.0}.get(dtype, 1.0)
    start, end = channel.window or (0.0, top)
    window = {"min": min(0.0, start), "max": max(top, end), "start": start, "end": end}
    return {"label": channel.name, "color": channel.colour.lstrip("#").upper(), "window": window, "active": True}
