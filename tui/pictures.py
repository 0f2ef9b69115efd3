"""How do the voxels of a slice become pixels? Sampling, grey values, class colours, heat; pure functions of arrays."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

CONTRAST = 0.8
"""Each step of contrast narrows the shown intensities to this share of their range."""
MIX = 0.5
"""Share of a class's colour where it lies on the image."""
DARK = 0.35
"""Brightness of the image where there is neither label nor prediction."""
HEAT = np.array(((0, 0, 4), (86, 15, 109), (187, 55, 84), (249, 142, 9), (252, 255, 164)))
"""Colours of uncertainty from 0 to 255: five stops of matplotlib's inferno."""
COUNT = 4
GAP = 1
"""Cells between pictures that stand side by side."""
NARROW = 14
"""Cells that a picture's title needs."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """What is drawn under one title, or the words in its place."""

    title: str
    pixels: np.ndarray  # (H, W, 3) uint8
    letters: np.ndarray | None = None  # (H, W) one character each
    note: str = ""


def arrange(width: int, height: int, extent: tuple[float, float]) -> tuple[int, int, int]:
    """Return in how many columns four pictures of this extent are largest, and the cells each of them may take.

    Each row of pictures has a line of titles above it.
    """
    options = []
    for columns in (4, 2, 1):
        rows = COUNT // columns
        wide, high = (width - GAP * (columns - 1)) // columns, height // rows - 1
        if wide >= min(NARROW, width) and high >= 1:
            options.append((_scale(extent, wide, high), columns, wide, high))
    if not options:
        return COUNT, max(1, width // COUNT - GAP), max(1, height - 1)
    return max(options)[1:]


def fit(extent: tuple[float, float], width: int, height: int) -> tuple[int, int]:
    """Return the lines and columns of pixels that show this extent within so many cells, undistorted."""
    scale = _scale(extent, width, height)
    lines, columns = (max(1, round(length * scale)) for length in extent)
    return min(2 * height, lines + lines % 2), min(width, columns)


def _scale(extent: tuple[float, float], width: int, height: int) -> float:
    """Half a cell is taken for a square."""
    return min(2 * height / extent[0], width / extent[1])


def nearest(plane: np.ndarray, lines: int, columns: int) -> np.ndarray:
    """Sample values (H, W) that cannot be averaged, such as classes."""
    rows, places = (((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip((lines, columns), plane.shape))
    return plane[rows][:, places]


def averaged(plane: np.ndarray, lines: int, columns: int) -> np.ndarray:
    """Sample values (..., H, W) by the mean over what each pixel covers; float32."""
    sampled = _averaged(plane.astype(np.float32), lines)
    return _averaged(sampled.swapaxes(-1, -2), columns).swapaxes(-1, -2)


def _averaged(plane: np.ndarray, count: int) -> np.ndarray:
    length = plane.shape[-2]
    if count >= length:
        return plane[..., ((np.arange(count) + 0.5) * length / count).astype(int), :]
    edges = np.arange(count) * length // count
    sizes = np.diff([*edges, length])
    return np.add.reduceat(plane, edges, axis=-2) / sizes[:, None]


def shade(
    image: np.ndarray, intensities: tuple[tuple[float, float], ...], contrast: int, lines: int, columns: int
) -> np.ndarray:
    """Show channels (C, H, W) as uint8 RGB: one in grey, two or three as red, green and blue."""
    colours = np.zeros((lines, columns, 3), np.float32)
    shown = image[:3]
    for k, (channel, (low, high)) in enumerate(zip(shown, intensities)):
        middle, half = (low + high) / 2, max(high - low, 1e-6) / 2 * CONTRAST**contrast
        values = (averaged(np.nan_to_num(channel), lines, columns) - (middle - half)) / (2 * half)
        bright = np.clip(values, 0, 1) * 255
        if len(shown) == 1:
            colours[:] = bright[..., None]
        else:
            colours[..., k] = bright
    return np.round(colours).astype(np.uint8)


def tint(title: str, values: np.ndarray, base: np.ndarray, colours: Mapping[int, str]) -> Picture:
    """Lay class colours on an image; where there is no class (0) the image is dark."""
    values = nearest(values, *base.shape[:2])
    table = np.zeros((256, 3), np.float32)
    for value, colour in colours.items():
        table[value] = tuple(bytes.fromhex(colour[1:]))
    mixed = base * (1 - MIX) + table[values] * MIX
    pixels = np.where(values[..., None] > 0, mixed, base * DARK)
    letters = np.where(values == 0, " ", np.where(values == 1, ".", (values % 10).astype(str)))
    return Picture(title, np.round(pixels).astype(np.uint8), letters)


def heat(title: str, values: np.ndarray, known: np.ndarray, base: np.ndarray) -> Picture:
    """Show uint8 uncertainty in colours; where nothing was predicted the image is dark."""
    lines, columns = base.shape[:2]
    values, known = averaged(values, lines, columns), nearest(known, lines, columns)
    stops = np.linspace(0, 255, len(HEAT))
    colours = np.stack([np.interp(values, stops, HEAT[:, k]) for k in range(3)], -1)
    return Picture(title, np.round(np.where(known[..., None], colours, base * DARK)).astype(np.uint8))
