"""What of a patch is decoded in training? At full resolution only what lies around voxels whose labels are known.

No other voxel adds to the loss or to a gradient, though a third of a step is spent there. Batch-norm statistics of the
last up block are thus those of labelled surroundings, when a model is trained and when they are measured at the end.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..store.box import Box
from .network import CONVOLUTION, TRANSPOSED, NetworkPlan, Sections, encode, merge


def logits(
    network: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, plan: NetworkPlan
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a network of `network.build` on images (B, C, Z, Y, X) with labels (B, Z, Y, X), where 0 is unknown.

    Returns logits (B, K, z, y, x) and labels (B, z, y, x) of a box of each patch that holds all known voxels. In 2-D
    that is the whole patch: there are so many in a batch that the largest box is about as large. So it is on a GPU,
    which would have to plan its convolutions for every new shape.
    """
    if images.is_cuda:
        return network(images), labels
    if isinstance(network, Sections):
        return network.stack(_decode(network.network, network.split(images)), images), labels
    boxes = known(labels, plan)
    return _decode(network, images, boxes, [box.coarsen(plan.strides[1]) for box in boxes]), cut(labels, boxes)


def known(labels: torch.Tensor, plan: NetworkPlan) -> list[Box]:
    """Return a box of each patch of labels (B, Z, Y, X), all of one shape, that holds all that its known voxels need.

    That is the reach of the last up block around them. Boxes lie on the grid of its stride.
    """
    shape, grid = Box.of_shape(labels.shape[1:]), plan.strides[1]
    margin = [2 * (kernel // 2) for kernel in plan.kernels[1]]
    masks = labels.cpu().numpy() > 0
    found = [_bounds(mask).grow(margin).intersect(shape).snap_outwards(grid) for mask in masks]
    z, y, x = (max(box.shape[axis] for box in found) for axis in range(3))
    starts = [[min(a, n - s) for a, n, s in zip(box.start, shape.stop, (z, y, x))] for box in found]
    return [Box.at(start, (z, y, x)) for start in starts]


def cut(values: torch.Tensor, boxes: Sequence[Box]) -> torch.Tensor:
    """Cut a box of each of values (B, ..., Z, Y, X); the boxes have one shape."""
    if boxes[0].shape == values.shape[-3:]:
        return values
    size = values.shape[-3:]
    # By negative padding, as the gradient of a slice is laid out channels first, which what takes it has to turn round.
    margins = [[v for a, b, n in list(zip(box.start, box.stop, size))[::-1] for v in (-a, b - n)] for box in boxes]
    return torch.cat([torch.nn.functional.pad(value, margin) for value, margin in zip(values.split(1), margins)])


def _decode(network: Any, images: torch.Tensor, boxes: Sequence[Box] = (), coarse: Sequence[Box] = ()) -> torch.Tensor:
    """Run a DynUNet; if boxes are given, in full and in coarser voxels, the last up block sees no more of each image.

    The first two convolutions of that block are merged, as they are for prediction. It does not pay for other blocks.
    """
    *levels, below = encode(network, images)
    *upper, last = network.upsamples
    for block in upper:
        below = block(below, levels.pop())
    across = levels.pop()
    if boxes:
        below, across = cut(below, coarse), cut(across, boxes)
    with torch.autocast(images.device.type, enabled=False):
        up, on = merge(last)
    convolve, rise = CONVOLUTION[images.ndim], TRANSPOSED[images.ndim]
    block, stride, half = last.conv_block, last.transp_conv.conv.stride, last.conv_block.conv1.conv.padding
    made = rise(below, up, stride=stride, padding=half).add_(convolve(across, on, padding=half))
    made = block.conv2(block.lrelu(block.norm1(made)))
    return network.output_block(block.lrelu(block.norm2(made)))


def _bounds(mask: np.ndarray) -> Box:
    """Return the smallest box around what is true (Z, Y, X); one voxel where nothing is."""
    if not mask.any():
        return Box.of_shape((1, 1, 1))
    places = [np.flatnonzero(mask.any(others)) for others in ((1, 2), (0, 2), (0, 1))]
    return Box.at([p[0] for p in places], [p[-1] + 1 - p[0] for p in places])
