"""What of a patch is decoded in training? At full resolution only what lies around voxels whose labels are known.

No other voxel adds to the loss or to a gradient, though a third of a step is spent there. Batch-norm statistics of the
last up block are thus those of labelled surroundings, when a model is trained and when they are measured at the end.
"""

from typing import cast

import numpy as np
import torch
from monai.networks.nets.dynunet import DynUNet

from ..store.box import Box
from .network import NetworkPlan, encode


def known(labels: torch.Tensor, plan: NetworkPlan) -> list[Box]:
    """Return a box of each patch of labels (B, Z, Y, X), all of one shape, that holds all that its known voxels need.

    That is the reach of the last up block around them. Boxes lie on the grid of its stride. In 2-D they are the whole
    patches: there are so many in a batch that the largest box is about as large.
    """
    if plan.dims == 2:
        return [Box.of_shape(label.shape) for label in labels]
    shape, grid = Box.of_shape(labels.shape[1:]), plan.strides[1]
    margin = [2 * (kernel // 2) for kernel in plan.kernels[1]]
    masks = labels.cpu().numpy() > 0
    found = [_bounds(mask).grow(margin).intersect(shape).snap_outwards(grid) for mask in masks]
    z, y, x = (max(box.shape[axis] for box in found) for axis in range(3))
    starts = [[min(a, n - s) for a, n, s in zip(box.start, shape.stop, (z, y, x))] for box in found]
    return [Box.at(start, (z, y, x)) for start in starts]


def logits(network: torch.nn.Module, images: torch.Tensor, boxes: list[Box], plan: NetworkPlan) -> torch.Tensor:
    """Run a network of `network.build` on images (B, C, Z, Y, X); return logits (B, K, z, y, x) of a box of each."""
    if not isinstance(network, DynUNet):
        return cut(network(images), boxes)
    *levels, made = encode(network, images)
    *upper, last = cast(torch.nn.ModuleList, network.upsamples)
    for block in upper:
        made = block(made, levels.pop())
    below = [box.coarsen(plan.strides[1]) for box in boxes]
    return network.output_block(last(cut(made, below), cut(levels.pop(), boxes)))


def cut(values: torch.Tensor, boxes: list[Box]) -> torch.Tensor:
    """Cut a box of each of values (B, ..., Z, Y, X); the boxes have one shape."""
    if boxes[0].shape == values.shape[-3:]:
        return values
    size = values.shape[-3:]
    # By negative padding, as the gradient of a slice is laid out channels first, which what takes it has to turn round.
    margins = [[v for a, b, n in list(zip(box.start, box.stop, size))[::-1] for v in (-a, b - n)] for box in boxes]
    return torch.cat([torch.nn.functional.pad(value, margin) for value, margin in zip(values.split(1), margins)])


def _bounds(mask: np.ndarray) -> Box:
    """Return the smallest box around what is true (Z, Y, X); one voxel where nothing is."""
    if not mask.any():
        return Box.of_shape((1, 1, 1))
    places = [np.flatnonzero(mask.any(others)) for others in ((1, 2), (0, 2), (0, 1))]
    return Box.at([p[0] for p in places], [p[-1] + 1 - p[0] for p in places])
