"""How large are the voxels of an image, and where does it begin? From metadata and from what a person said."""

import math
from collections.abc import Sequence

from . import ngff
from .errors import VolumeError
from .units import UNITS_NM, from_nm, parse_unit, to_nm


def resolve_spacing(
    metadata: ngff.ImageMetadata, level: int, spacing: Sequence[float] | None, unit: str | None
) -> tuple[tuple[float, float, float], str]:
    """Return the voxel size (z, y, x) in nm and the unit to show; raises VolumeError naming --spacing or --unit."""
    place, order = metadata.url, metadata.order
    units = {a: parse_unit(unit, place) if unit else _file_unit(metadata, a) for a in "zyx" if a in order}
    values = dict(zip(order, metadata.levels[level].scale)) if spacing is None else given_spacing(spacing, order, place)
    for axis in units:
        if not (values[axis] > 0 and math.isfinite(values[axis])):
            said = "no spacing" if math.isnan(values[axis]) else f"spacing {values[axis]:g}"
            raise VolumeError(f"{place} has {said} along {axis}", "give --spacing z,y,x (and --unit)")
    y, x = (to_nm(values[a], units[a]) for a in "yx")
    z = to_nm(values["z"], units["z"]) if "z" in units else x
    return (z, y, x), units["x"]


def _file_unit(metadata: ngff.ImageMetadata, axis: str) -> str:
    said = metadata.unit(axis)
    if not said:
        raise VolumeError(f"{metadata.url} has no unit along {axis}", f"give --unit, one of {', '.join(UNITS_NM)}")
    return parse_unit(said, metadata.url)


def given_spacing(spacing: Sequence[float], order: str, place: str) -> dict[str, float]:
    """Return the given voxel size by axis; raises VolumeError when it is none."""
    values = [float(v) for v in spacing]
    if "z" not in order and len(values) == 2:
        values = [values[1], *values]
    if len(values) != 3 or any(not (v > 0 and math.isfinite(v)) for v in values):
        raise VolumeError(
            f"{place}: spacing {','.join(f'{v:g}' for v in values)} is no voxel size", "--spacing takes z,y,x above 0"
        )
    return dict(zip("zyx", values))


def translation_nm(
    metadata: ngff.ImageMetadata, level: ngff.Level, spacing_nm: Sequence[float], unit: str
) -> tuple[float, float, float]:
    """Return the position of the first voxel's centre; where --spacing replaced the file's, it scales along."""
    moved = []
    for axis, nm in zip("zyx", spacing_nm):
        k = metadata.order.find(axis)
        scale = level.scale[k] if k >= 0 else math.nan
        moved.append(level.translation[k] / scale * nm if scale > 0 and math.isfinite(level.translation[k]) else 0.0)
    z, y, x = (to_nm(from_nm(v, unit), unit) for v in moved)
    return z, y, x
