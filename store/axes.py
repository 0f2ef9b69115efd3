"""Which stored axis is which, and how does a region of a stored array become (C, Z, Y, X)?

Axes are written as a word of the letters t, c, z, y, x in stored order, for example "tczyx" or "yxc".
"""

from collections.abc import Sequence

import numpy as np

from .box import ZYX, Box
from .errors import VolumeError

LETTERS = "tczyx"


def check_axes(axes: str, shape: Sequence[int], place: str) -> str:
    """Return the axes word in lower case; raises VolumeError when it cannot belong to an array of this shape."""
    word = axes.lower().replace(",", "").replace(" ", "")
    wrong = [a for a in word if a not in LETTERS]
    if wrong or len(set(word)) != len(word) or not {"y", "x"} <= set(word):
        raise VolumeError(
            f"{place}: axes '{axes}' are not letters of t, c, z, y, x, once each", "give --axes, like zyx"
        )
    if len(word) != len(shape):
        raise VolumeError(
            f"{place}: {len(word)} axes '{word}' for shape {tuple(shape)}", "give --axes, a letter an axis"
        )
    return word


def size(axes: str, shape: Sequence[int], axis: str) -> int:
    """Return the length of an axis, 1 where the array has none."""
    return int(shape[axes.index(axis)]) if axis in axes else 1


def zyx(axes: str, shape: Sequence[int]) -> ZYX:
    return size(axes, shape, "z"), size(axes, shape, "y"), size(axes, shape, "x")


def region(axes: str, box: Box, time: int | None, channels: slice) -> tuple[slice, ...]:
    """Return the index of a box in a stored array."""
    parts = dict(zip("zyx", box.slices)) | {"t": slice(time or 0, (time or 0) + 1), "c": channels}
    return tuple(parts[a] for a in axes)


def runs(channels: Sequence[int]) -> list[slice]:
    """Group channel indices into ascending runs, so that neighbours are read at once."""
    found: list[slice] = []
    for c in channels:
        if found and found[-1].stop == c:
            found[-1] = slice(found[-1].start, c + 1)
        else:
            found.append(slice(c, c + 1))
    return found


def to_czyx(stored: np.ndarray, axes: str) -> np.ndarray:
    """Turn an array that was read with `region` into (C, Z, Y, X), bool into uint8."""
    if "t" in axes:
        stored = stored.take(0, axes.index("t"))
    word = axes.replace("t", "")
    array = stored.transpose([word.index(a) for a in "czyx" if a in word])
    for position, axis in enumerate("cz"):
        if axis not in word:
            array = np.expand_dims(array, position)
    return array.astype(np.uint8) if array.dtype == bool else array


def choose_time(axes: str, shape: Sequence[int], time: int | None, place: str) -> int | None:
    """Return the time point to read, None without a t axis; raises VolumeError naming --time."""
    points = size(axes, shape, "t")
    if "t" not in axes:
        if time is not None:
            raise VolumeError(f"{place} has no t axis, but time point {time} was asked for", "leave out --time")
        return None
    if time is None and points > 1:
        raise VolumeError(f"{place} has {points} time points", f"choose one with --time 0 to {points - 1}")
    if not 0 <= (time or 0) < points:
        raise VolumeError(f"{place} has no time point {time}", f"--time is 0 to {points - 1}")
    return time or 0


def choose_channels(
    axes: str, shape: Sequence[int], names: Sequence[str], wanted: Sequence[str | int] | None, place: str
) -> tuple[int, ...]:
    """Return the indices of the channels wanted by name or index; raises VolumeError naming --channel."""
    count = size(axes, shape, "c")
    if not wanted:
        if count > 1:
            sections = ", or --axes zyx if these are sections" if axes == "cyx" else ""
            raise VolumeError(f"{place} has {count} channels", f"choose with --channel: {_listed(names)}{sections}")
        return (0,)
    chosen = tuple(_channel(w, names, count, place) for w in wanted)
    if len(set(chosen)) != len(chosen):
        raise VolumeError(f"{place}: a channel was chosen twice", "name each --channel once")
    return chosen


def _channel(wanted: str | int, names: Sequence[str], count: int, place: str) -> int:
    same = [k for k, name in enumerate(names) if name == wanted]
    if len(same) > 1:
        raise VolumeError(f"{place} has {len(same)} channels named '{wanted}'", "give --channel the index, from 0")
    if same:
        return same[0]
    try:
        index = int(wanted)
    except ValueError:
        index = -1
    if not 0 <= index < count:
        raise VolumeError(f"{place} has no channel '{wanted}'", f"--channel is one of {_listed(names)}")
    return index


def _listed(names: Sequence[str]) -> str:
    shown = [f"{k} ({name})" if name != str(k) else name for k, name in enumerate(names[:20])]
    return ", ".join(shown) + (", …" if len(names) > 20 else "")
