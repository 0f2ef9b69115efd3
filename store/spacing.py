"""How large are the voxels of an image, and where does it begin? From metadata and from what a person said."""

import math
from collections.abc import Mapping, Sequence

from . import ngff
from .errors import VolumeError
from .units import UNITS_NM, from_nm, is_voxel, parse_unit, to_nm

Nanometres = tuple[float, float, float]


def settle(
    sizes: Mapping[str, float],
    units: Mapping[str, str | None],
    place: str,
    spacing: Sequence[float] | None = None,
    unit: str | None = None,
) -> tuple[Nanometres, str]:
    """Return the voxel size (z, y, x) in nm and the unit to show, from the size and unit of each axis there is.

    The given `spacing` (z, y, x; or y, x of a 2-D image) and `unit` win. A 2-D image gets the size along x as its
    thickness. Raises VolumeError naming --spacing or --unit when nothing says it, or what says it is no length.
    """
    if spacing is not None:
        given = _given(spacing, "z" in sizes, place)
        sizes = {axis: given[axis] for axis in sizes}
    for axis, size in sizes.items():
        if not (size > 0 and math.isfinite(size)):
            said = "no spacing" if math.isnan(size) else f"spacing {size:g}"
            raise VolumeError(f"{place} has {said} along {axis}", "give --spacing z,y,x (and --unit)")
    names = {axis: _unit(unit or units.get(axis), axis, place) for axis in sizes}
    nm = {axis: to_nm(size, names[axis]) for axis, size in sizes.items()}
    for axis, size in nm.items():
        if not is_voxel(size):
            raise VolumeError(
                f"{place} has voxels of {sizes[axis]:g} {names[axis]} along {axis}",
                "that is no size of a voxel: give --spacing z,y,x and --unit",
            )
    return (nm.get("z", nm["x"]), nm["y"], nm["x"]), names["x"]


def of_level(
    metadata: ngff.ImageMetadata, level: int, spacing: Sequence[float] | None = None, unit: str | None = None
) -> tuple[Nanometres, str]:
    """Settle the voxel size (z, y, x) in nm, and the unit to show, of one level of an OME-Zarr image."""
    scale = dict(zip(metadata.order, metadata.levels[level].scale))
    sizes = {axis: scale[axis] for axis in "zyx" if axis in scale}
    return settle(sizes, {axis: metadata.unit(axis) for axis in sizes}, metadata.url, spacing, unit)


def difference(used: Nanometres, said: Nanometres, unit: str) -> list[str]:
    """Say that the spacing in use is not the file's; an empty list when it is."""
    if all(math.isclose(a, b, rel_tol=1e-6) for a, b in zip(used, said)):
        return []
    given, stored = (",".join(f"{from_nm(v, unit):g}" for v in nm) for nm in (used, said))
    return [f"spacing {given} {unit} was given and is used; the file says {stored}"]


def translation_nm(metadata: ngff.ImageMetadata, level: int, spacing_nm: Sequence[float]) -> Nanometres:
    """Return the position of the first voxel's centre; where --spacing replaced the file's, it scales along."""
    found = {"z": 0.0, "y": 0.0, "x": 0.0}
    chosen = metadata.levels[level]
    for axis, nm in zip("zyx", spacing_nm):
        k = metadata.order.find(axis)
        if k >= 0 and chosen.scale[k] > 0 and math.isfinite(chosen.translation[k] / chosen.scale[k]):
            found[axis] = to_nm(chosen.translation[k] / chosen.scale[k] * nm, "nanometer")
    return found["z"], found["y"], found["x"]


def _given(spacing: Sequence[float], deep: bool, place: str) -> dict[str, float]:
    values = [float(v) for v in spacing]
    if not deep and len(values) == 2:
        values = [values[1], *values]
    if len(values) != 3 or any(not (v > 0 and math.isfinite(v)) for v in values):
        said = ",".join(f"{v:g}" for v in values)
        raise VolumeError(f"{place}: spacing {said} is no voxel size", "--spacing takes z,y,x, all above 0")
    return dict(zip("zyx", values))


def _unit(said: str | None, axis: str, place: str) -> str:
    if not said:
        raise VolumeError(f"{place} has no unit along {axis}", f"give --unit, one of {', '.join(UNITS_NM)}")
    return parse_unit(said, place)
