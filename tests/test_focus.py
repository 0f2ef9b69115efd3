"""What of a patch is decoded in training: loss and gradients are those of the whole patch."""

from typing import Any

import pytest
import torch
from rondel.loop import focus, network
from rondel.loop.losses import known_loss
from rondel.loop.network import plan_network
from rondel.store.box import Box
from rondel.store.settings import NetworkTable

SHAPE = (24, 24, 32)


def labelled(*places: Box) -> torch.Tensor:
    """Return labels of as many patches, each with two classes in one box."""
    labels = torch.zeros((len(places), *SHAPE), dtype=torch.uint8)
    for label, box in zip(labels, places):
        label[box.slices] = 1
        label[box.slices][..., :2] = 2
    return labels


def gradients(made: torch.nn.Module, loss: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, list(made.parameters())))


@pytest.mark.parametrize("dims, spacing", [(3, (1, 1, 1)), (3, (3, 1, 1)), (2, (1, 1, 1))])
def test_loss_and_gradients_are_those_of_the_whole_patch(dims, spacing):
    plan = plan_network(NetworkTable(dims=dims, filters=(4, 8, 8)), spacing, SHAPE, 1, 2)
    made = network.build(plan, 0).double()
    image = torch.rand(2, 1, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    made(image)  # statistics of batch norms
    made.eval()
    labels = labelled(Box((3, 5, 7), (9, 9, 20)), Box((0, 14, 20), (7, 24, 32)))
    weights = torch.ones(2)
    boxes = focus.known(labels, plan)
    assert (boxes[0].shape == SHAPE) == (dims == 2)
    expected = known_loss("ce_dice", made(image), labels, weights)
    found = known_loss("ce_dice", focus.logits(made, image, boxes, plan), focus.cut(labels, boxes), weights)
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)
    for one, other in zip(gradients(made, found), gradients(made, expected)):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)


def test_boxes_have_one_shape_and_hold_what_the_last_block_sees():
    plan = plan_network(NetworkTable(dims=3, filters=(4, 8, 8)), (1, 1, 1), SHAPE, 1, 2)
    places = [Box((9, 9, 9), (10, 12, 14)), Box((0, 0, 0), (3, 3, 3)), Box((21, 23, 5), (24, 24, 31))]
    boxes = focus.known(labelled(*places), plan)
    assert len({box.shape for box in boxes}) == 1 and boxes[0].shape != SHAPE
    for box, place in zip(boxes, places):
        assert box.contains(place.grow((2, 2, 2)).intersect(Box.of_shape(SHAPE)))
        assert Box.of_shape(SHAPE).contains(box) and box == box.snap_outwards((2, 2, 2))
    nothing = focus.known(torch.zeros((1, *SHAPE), dtype=torch.uint8), plan)
    assert Box.of_shape(SHAPE).contains(nothing[0]) and not nothing[0].empty


def test_what_is_cut_and_its_gradient_stay_channels_last():
    last = torch.channels_last_3d
    values: Any = torch.rand(2, 3, *SHAPE).contiguous(memory_format=last).requires_grad_()
    boxes = [Box((0, 4, 6), (10, 20, 30)), Box((14, 8, 8), (24, 24, 32))]
    found = focus.cut(values, boxes)
    for part, value, box in zip(found, values, boxes):
        assert torch.equal(part, value[(slice(None), *box.slices)])
    (gradient,) = torch.autograd.grad(found.square().sum(), values)
    for tensor in (found, gradient):
        assert tensor.is_contiguous(memory_format=last)
    assert gradient.sum().item() == pytest.approx(2 * found.sum().item(), rel=1e-4)
