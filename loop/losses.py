"""Which loss? Cross entropy, soft Dice or the mean of both, over known voxels only.

Unlabelled voxels are left out after the activation and before any sum: what is predicted, painted or seen there changes
neither the loss nor a gradient, and its own gradient is exactly 0.
"""

import math
from collections.abc import Sequence

import torch

from ..store.settings import LabelClass, LossTable


def known_loss(name: str, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Compute the loss of logits (B, K, …) at labels (B, …), where 0 is unlabelled and k + 1 is channel k.

    `weights` are the K class weights of the cross entropy. Without a known voxel the loss is 0, and so is its gradient.
    """
    known, shape = (labels > 0).unsqueeze(1), (1, -1, *[1] * (labels.ndim - 1))
    classes = torch.arange(1, logits.shape[1] + 1, dtype=labels.dtype, device=labels.device)
    dtype = torch.promote_types(logits.dtype, torch.float32)
    truth = (labels.unsqueeze(1) == classes.view(shape)).to(dtype)
    # Masks, as to take the known voxels out and put their gradients back takes twice as long.
    log_probabilities = logits.masked_fill(~known, 0).to(dtype).log_softmax(1)
    if not known.any():
        return (log_probabilities * truth).sum()
    if name == "ce":
        return _cross_entropy(log_probabilities, truth, weights.view(shape))
    dice = _dice(log_probabilities.exp() * known, truth)
    return dice if name == "dice" else (_cross_entropy(log_probabilities, truth, weights.view(shape)) + dice) / 2


def class_weights(counts: Sequence[int], classes: Sequence[LabelClass], settings: LossTable) -> tuple[float, ...]:
    """Weigh the classes by hand where a weight is given, else by the square root of inverse frequency.

    `counts` are known voxels of each class. Automatic weights start at three classes; the most frequent class has 1.
    """
    automatic = settings.class_weights == "auto" and len(classes) >= 3
    most = max(counts, default=0)
    weights = []
    for count, label_class in zip(counts, classes):
        weight = min(math.sqrt(most / count), settings.weight_limit) if automatic and count else 1.0
        weights.append(weight if label_class.weight == "auto" else float(label_class.weight))
    return tuple(weights)


def _cross_entropy(log_probabilities: torch.Tensor, truth: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    weighted = truth * weights
    return -(weighted * log_probabilities).sum() / weighted.sum()


def _dice(probabilities: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Return 1 - soft Dice of the whole batch, the mean over classes that are present in it."""
    voxels = [0, *range(2, truth.ndim)]
    size = truth.sum(voxels)
    dice = 2 * (probabilities * truth).sum(voxels) / (probabilities.sum(voxels) + size)
    return 1 - dice[size > 0].mean()
