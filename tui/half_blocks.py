"""How does a small picture become terminal cells, in how many bytes?

A cell shows two pixels, one above the other: the upper half block takes the upper pixel as its colour and the lower one
as its background. Where there are no colours a cell is one character of a ramp, or the picture's own letters.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from .pictures import Picture
from .views import Depth

FRAME_BYTES = 60 * 1024
"""What all pictures of a frame may take together; with their titles a frame stays under 64 KB."""
RAMP = " .:-=+*#%@"
STEPS = (8, 16, 32)
"""Colours are rounded to these steps, the first that makes a picture small enough."""
CUBE = np.array((0, 95, 135, 175, 215, 255))
"""Intensities of the 6x6x6 colours that terminals of 256 colours have, beside 24 greys."""
GREY_STEP = 255 / 25
"""rich writes the n-th grey for n of these steps, though that shows 10 n - 2; others it may round to a neighbour."""


CELL_BYTES = {Depth.TRUE: 43, Depth.PALETTE: 28}
"""The longest run of equal cells but one: "esc[38;2;255;255;255;48;2;255;255;255m▀esc[0m"."""
FLAT_BYTES = {Depth.TRUE: 25, Depth.PALETTE: 17}
"""The longest run of cells whose halves are equal, which are spaces on a background."""


def draw(pictures: Sequence[Picture], depth: Depth, limit: int = FRAME_BYTES) -> tuple[tuple[Strip, ...], ...]:
    """Draw pictures in lines of cells, two lines of pixels each; together they take at most `limit` bytes.

    An odd last line is drawn twice. Where there are no colours a picture's letters are used, if it has any.
    """
    if depth == Depth.PLAIN:
        return tuple(_plain(picture) for picture in pictures)
    reduced = reduce([_even(picture.pixels) for picture in pictures], depth, limit)
    return tuple(tuple(_strip(*pair) for pair in zip(pixels[::2], pixels[1::2])) for pixels in reduced)


def reduce(pictures: Sequence[np.ndarray], depth: Depth, limit: int) -> list[np.ndarray]:
    """Round colours, then halve the resolution, until pictures of (2n, W, 3) take no more than `limit` bytes."""
    block = 1
    while True:
        coarse = [_blocks(pixels, block) for pixels in pictures]
        for step in STEPS:
            coarse = [_round(pixels, step) for pixels in coarse]
            shown = [to_palette(pixels) for pixels in coarse] if depth == Depth.PALETTE else coarse
            if sum(count_bytes(pixels, depth) for pixels in shown) <= limit:
                return shown
        block *= 2
        if block > max((n for pixels in pictures for n in pixels.shape[:2]), default=1):
            return [np.zeros_like(pixels) for pixels in pictures]


def count_bytes(pixels: np.ndarray, depth: Depth) -> int:
    """Bound the bytes that a picture of (2n, W, 3) takes: the runs of equal cells, by their longest codes."""
    upper, lower = pixels[::2], pixels[1::2]
    change = np.ones(upper.shape[:2], bool)
    change[:, 1:] = (upper[:, 1:] != upper[:, :-1]).any(-1) | (lower[:, 1:] != lower[:, :-1]).any(-1)
    flat = (upper == lower).all(-1)
    flats, runs = int((change & flat).sum()), int(change.sum())
    repeats = flat.sum() - flats + 3 * ((~flat).sum() - (runs - flats))
    return int(flats * FLAT_BYTES[depth] + (runs - flats) * CELL_BYTES[depth] + repeats)


def to_palette(pixels: np.ndarray) -> np.ndarray:
    """Move each colour to the nearest that terminals of 256 colours have: the cube's or, where it is grey, a grey."""
    values = pixels.astype(np.int16)
    nearest = CUBE[np.abs(values[..., None] - CUBE).argmin(-1)]
    grey = values.mean(-1)
    ramp = np.round(np.clip(np.round(grey / GREY_STEP), 1, 24) * GREY_STEP)
    is_grey = (values.max(-1) - values.min(-1) < 12) | (nearest.max(-1) == nearest.min(-1))
    is_grey &= (grey > 3) & (grey < 247)
    return np.where(is_grey[..., None], ramp[..., None], nearest).astype(np.uint8)


def _round(pixels: np.ndarray, step: int) -> np.ndarray:
    """Round to multiples of a step, black and white staying what they are."""
    levels = np.round(pixels.astype(np.float32) / step) * step
    return np.minimum(levels, 255).astype(np.uint8)


def _blocks(pixels: np.ndarray, block: int) -> np.ndarray:
    """Show every square of block x block pixels in the colour of its first one."""
    if block == 1:
        return pixels
    rows, columns = (np.arange(n) // block * block for n in pixels.shape[:2])
    return pixels[rows][:, columns]


def _strip(upper: np.ndarray, lower: np.ndarray) -> Strip:
    width = len(upper)
    change = (upper[1:] != upper[:-1]).any(-1) | (lower[1:] != lower[:-1]).any(-1)
    starts = [0, *(np.flatnonzero(change) + 1).tolist(), width]
    tops, bottoms = upper[starts[:-1]].tolist(), lower[starts[:-1]].tolist()
    segments = []
    for top, bottom, start, stop in zip(tops, bottoms, starts, starts[1:]):
        style = _style(tuple(top), tuple(bottom))
        segments.append(Segment((" " if top == bottom else "▀") * (stop - start), style))
    return Strip(segments, width)


@lru_cache(maxsize=8192)
def _style(top: tuple[int, int, int], bottom: tuple[int, int, int]) -> Style:
    """Make a cell's style once: a style keeps its escape codes."""
    background = Color.from_rgb(*bottom)
    return Style(bgcolor=background) if top == bottom else Style(color=Color.from_rgb(*top), bgcolor=background)


def _even(pixels: np.ndarray) -> np.ndarray:
    return np.concatenate([pixels, pixels[-1:]]) if len(pixels) % 2 else pixels


def _plain(picture: Picture) -> tuple[Strip, ...]:
    if picture.letters is not None:
        lines = ["".join(row) for row in picture.letters[::2].tolist()]
    else:
        pixels = _even(picture.pixels)
        bright = pixels.reshape(len(pixels) // 2, 2, pixels.shape[1], -1).mean((1, 3))
        index = np.minimum(bright / 256 * len(RAMP), len(RAMP) - 1).astype(int)
        lines = ["".join(RAMP[i] for i in row) for row in index.tolist()]
    return tuple(Strip([Segment(line)], len(line)) for line in lines)
