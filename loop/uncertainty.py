"""How unsure is it? Entropy of a voxel's probabilities, and the means that ranking needs of each bin."""

import math

import numpy as np
import torch
from torch.nn.functional import pad

from ..store.box import ZYX


def entropy(probabilities: torch.Tensor) -> torch.Tensor:
    """Return the entropy (B, Z, Y, X) of probabilities (B, K, Z, Y, X) as a share of ln K: 0 certain, 1 no idea."""
    return torch.special.entr(probabilities).sum(1).div_(math.log(probabilities.shape[1])).clamp_(0, 1)


def summarise(probabilities: torch.Tensor, unsure: torch.Tensor, image: torch.Tensor, bins: ZYX) -> np.ndarray:
    """Average a tile over its bins: float32 (S, z, y, x) in the order of `store.maps.statistics`.

    Takes probabilities (K, Z, Y, X), their entropy (Z, Y, X) and the first channel's normalised intensities (Z, Y, X).
    The tile starts on the bin grid; bins that it ends in count only what is inside.
    """
    one = torch.ones_like(unsure)
    mean = block_mean(image, bins)
    spread = image - _spread(mean, bins, image.shape)  # two passes, so that a constant bin deviates by exactly nothing
    winner = probabilities.argmax(0)
    found = [block_mean(one, bins), block_mean(unsure, bins), mean, block_mean(spread.square_(), bins).sqrt_()]
    found += [block_mean(p * unsure, bins) for p in probabilities]
    found += [block_mean((winner == k).float(), bins) for k in range(len(probabilities))]
    return torch.stack(found).cpu().numpy()


def block_mean(values: torch.Tensor, bins: ZYX) -> torch.Tensor:
    """Average (Z, Y, X) over blocks of a grid that starts at its corner; the last ones may be partial."""
    rest = [(-n) % b for n, b in zip(values.shape, bins)]
    z, y, x = (-(-n // b) for n, b in zip(values.shape, bins))
    blocks = pad(values, (0, rest[2], 0, rest[1], 0, rest[0])).reshape(z, bins[0], y, bins[1], x, bins[2])
    counts = [_counts(n, b, values.device) for n, b in zip(values.shape, bins)]
    return blocks.sum((1, 3, 5)) / (counts[0][:, None, None] * counts[1][:, None] * counts[2])


def _counts(length: int, step: int, device: torch.device) -> torch.Tensor:
    """Count the voxels of each block along an axis."""
    return (length - torch.arange(0, length, step, device=device)).clamp(max=step).float()


def _spread(values: torch.Tensor, bins: ZYX, shape: torch.Size) -> torch.Tensor:
    for axis, step in enumerate(bins):
        values = values.repeat_interleave(step, axis)
    return values[: shape[0], : shape[1], : shape[2]]
