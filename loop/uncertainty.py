"""How unsure is it, and what does it see? Entropy of a voxel's probabilities, and what ranking needs of each bin."""

import math
from typing import NamedTuple

import torch
from torch.nn.functional import pad

from ..store.box import ZYX, Box

SLAB = 1 << 18
"""Voxels that a processor summarises together, few enough to stay in its cache; a GPU takes all of a tile at once."""


class Summary(NamedTuple):
    """What is kept of a tile's probabilities."""

    winner: torch.Tensor
    """uint8 (Z, Y, X), the channel with the highest probability; the first of equal ones."""
    unsure: torch.Tensor
    """uint8 (Z, Y, X), the entropy, 255 being no idea."""
    bins: torch.Tensor
    """float32 (S, z, y, x) in the order of `store.maps.statistics`, without the features."""
    probabilities: torch.Tensor | None
    """uint8 (K, Z, Y, X), 255 being 1; where they are asked for."""


def entropy(probabilities: torch.Tensor) -> torch.Tensor:
    """Return the entropy (B, Z, Y, X) of probabilities (B, K, Z, Y, X) as a share of ln K: 0 certain, 1 no idea."""
    total = torch.special.entr(probabilities[:, 0])
    for channel in probabilities.unbind(1)[1:]:
        total += torch.special.entr(channel)
    return total.div_(math.log(probabilities.shape[1])).clamp_(0, 1)


def summarise(logits: torch.Tensor, image: torch.Tensor, bins: ZYX, keep: bool = False) -> Summary:
    """Find probabilities, the winners and the entropy of a tile, and average over its bins.

    Takes logits (K, Z, Y, X) and the first channel's normalised intensities (Z, Y, X). The tile starts on the bin grid;
    bins that it ends in count only what is inside. `keep` asks for the probabilities.
    """
    deep = image.shape[0]
    if image.device.type == "cpu":
        deep = max(SLAB // image[0].numel() // bins[0], 1) * bins[0]
    slabs = [_slab(part.float().softmax(0), i, bins, keep) for part, i in zip(logits.split(deep, 1), image.split(deep))]
    winners, unsure, means, probabilities = zip(*slabs)
    kept = torch.cat(probabilities, 1) if keep else None
    return Summary(torch.cat(winners), torch.cat(unsure), torch.cat(means, 1), kept)


def _slab(probabilities: torch.Tensor, image: torch.Tensor, bins: ZYX, keep: bool) -> Summary:
    """Summarise part of a tile. What the last class adds is what the others leave, since probabilities sum to 1."""
    unsure, winner = entropy(probabilities[None])[0], winners(probabilities)
    mean, whole = block_mean(image, bins), block_mean(unsure, bins)
    spread = image - _spread(mean, bins, image.shape)  # two passes, so that a constant bin deviates by exactly nothing
    weighted = [block_mean(p * unsure, bins) for p in probabilities[1:]]
    fractions = [block_mean((winner == k).float(), bins) for k in range(1, len(probabilities))]
    found = [torch.ones_like(mean), whole, mean, block_mean(spread.square_(), bins).sqrt_()]
    found += [(whole - sum(weighted)).clamp_(min=0), *weighted, 1 - sum(fractions), *fractions]
    return Summary(winner, quantise(unsure), torch.stack(found), quantise(probabilities) if keep else None)


def quantise(shares: torch.Tensor) -> torch.Tensor:
    """Round shares of 1 to the maps' uint8, 255 being 1."""
    return (shares * 255).round_().to(torch.uint8)


def pooled(features: torch.Tensor, stride: ZYX, inner: Box, bins: ZYX) -> torch.Tensor:
    """Average features (F, z, y, x) over the bins of the part of an image that a tile writes, float32 (F, z, y, x).

    Each is of `stride` voxels of the image, and counts for a bin by how much of these the bin holds.
    """
    found = features.float()
    for n, step, start, stop, size in zip(features.shape[1:], stride, inner.start, inner.stop, bins):
        shares = _shares(n, step, start, stop, size).to(found.device)
        found = found.movedim(1, -1) @ shares  # the axis goes to the end, so that the next one is second
    return found


def _shares(count: int, step: int, start: int, stop: int, size: int) -> torch.Tensor:
    """Return which share of each bin (columns) is of each of `count` features along an axis (rows)."""
    cells, low = torch.arange(count)[:, None] * step, torch.arange(start, stop, size)
    high = (low + size).clamp(max=stop)
    common = torch.minimum(cells + step, high) - torch.maximum(cells, low)
    return common.clamp(min=0) / (high - low)


def winners(probabilities: torch.Tensor) -> torch.Tensor:
    """Return what argmax over the first axis returns, which takes many times longer across planes of memory."""
    best, winner = (
        probabilities[0],
        torch.zeros(probabilities.shape[1:], dtype=torch.uint8, device=probabilities.device),
    )
    for k, channel in enumerate(probabilities[1:], 1):
        higher = (channel > best).view(torch.uint8)
        winner = torch.maximum(winner, higher.mul_(k))
        best = torch.maximum(best, channel)
    return winner


def block_mean(values: torch.Tensor, bins: ZYX) -> torch.Tensor:
    """Average (Z, Y, X) over blocks of a grid that starts at its corner; the last ones may be partial."""
    rest = [(-n) % b for n, b in zip(values.shape, bins)]
    z, y, x = (-(-n // b) for n, b in zip(values.shape, bins))
    if any(rest):
        counts = [_counts(n, b, values.device) for n, b in zip(values.shape, bins)]
        size = counts[0][:, None, None] * counts[1][:, None] * counts[2]
        values = pad(values, (0, rest[2], 0, rest[1], 0, rest[0]))
    else:
        size = math.prod(bins)
    return values.reshape(z, bins[0], y, bins[1], x, bins[2]).sum((1, 3, 5)) / size


def _counts(length: int, step: int, device: torch.device) -> torch.Tensor:
    """Count the voxels of each block along an axis."""
    return (length - torch.arange(0, length, step, device=device)).clamp(max=step).float()


def _spread(values: torch.Tensor, bins: ZYX, shape: torch.Size) -> torch.Tensor:
    """Repeat the value of each block for all of its voxels."""
    z, y, x = values.shape
    blocks = values[:, None, :, None, :, None].expand(z, bins[0], y, bins[1], x, bins[2])
    return blocks.reshape(z * bins[0], y * bins[1], x * bins[2])[: shape[0], : shape[1], : shape[2]]
