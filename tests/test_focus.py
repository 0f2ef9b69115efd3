"""What of a patch is decoded in training: loss and gradients are those of the whole patch."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from rondel.loop import device, focus, network
from rondel.loop.losses import known_loss
from rondel.loop.network import plan_network
from rondel.store.box import Box
from rondel.store.settings import NetworkTable
from torch.utils._python_dispatch import TorchDispatchMode

SHAPE = (24, 24, 32)
PLACES = [Box((3, 5, 7), (9, 9, 20)), Box((0, 14, 20), (7, 24, 32))]
WEIGHTS = torch.ones(2)


def labelled(*places: Box) -> torch.Tensor:
    """Return labels of as many patches, each with two classes in one box."""
    labels = torch.zeros((len(places), *SHAPE), dtype=torch.uint8)
    for label, box in zip(labels, places):
        label[box.slices] = 1
        label[box.slices][..., :2] = 2
    return labels


def patches() -> torch.Tensor:
    return torch.rand(2, 1, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def gradients(made: torch.nn.Module, loss: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, list(made.parameters())))


@pytest.mark.parametrize("dims, spacing", [(3, (1, 1, 1)), (3, (3, 1, 1)), (2, (1, 1, 1))])
def test_loss_and_gradients_are_those_of_the_whole_patch(dims, spacing):
    plan = plan_network(NetworkTable(dims=dims, filters=(4, 8, 8)), spacing, SHAPE, 1, 2)
    made = network.build(plan, 0).double()
    image, labels = patches(), labelled(*PLACES)
    made(image)  # statistics of batch norms
    made.eval()
    expected = known_loss("ce_dice", made(image), labels, WEIGHTS)
    logits, kept = focus.logits(made, image, labels, plan)
    assert (kept.shape == labels.shape) == (dims == 2) and (kept > 0).sum() == (labels > 0).sum()
    found = known_loss("ce_dice", logits, kept, WEIGHTS)
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)
    for one, other in zip(gradients(made, found), gradients(made, expected)):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dims", [3, 2])
def test_patches_that_are_known_everywhere_are_trained_as_the_network_trains_them(dims):
    """Then batch norms see the same voxels, too."""
    plan = plan_network(NetworkTable(dims=dims, filters=(4, 8, 8)), (1, 1, 1), SHAPE, 1, 2)
    labels = labelled(Box.of_shape(SHAPE), Box.of_shape(SHAPE))
    one, other = (network.build(plan, 0).double().train() for _ in range(2))
    found = known_loss("ce_dice", *focus.logits(one, patches(), labels, plan), WEIGHTS)
    expected = known_loss("ce_dice", other(patches()), labels, WEIGHTS)
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)
    for slope, right in zip(gradients(one, found), gradients(other, expected)):
        torch.testing.assert_close(slope, right, rtol=1e-6, atol=1e-9)
    kept = network.state(other)
    for name, array in network.state(one).items():
        assert array == pytest.approx(kept[name], rel=1e-6), name


@pytest.mark.parametrize("dims", [3, 2])
def test_patches_without_a_label_have_no_loss_and_no_gradient(dims):
    plan = plan_network(NetworkTable(dims=dims, filters=(4, 8, 8)), (1, 1, 1), SHAPE, 1, 2)
    made = network.build(plan, 0).double().train()
    labels = torch.zeros((2, *SHAPE), dtype=torch.uint8)
    loss = known_loss("ce_dice", *focus.logits(made, patches(), labels, plan), WEIGHTS)
    assert loss.item() == 0 and not any(slope.any() for slope in gradients(made, loss))


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


class Layouts(TorchDispatchMode):
    """Note what is convolved or normalised, forth or back, and has not channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.seen, self.wrong = 0, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func)
        if "convolution" in name or "batch_norm" in name:
            for values in args[: 1 + ("backward" in name)]:
                self.seen += 1
                if values.ndim == 5 and values.shape[1] > 2 and values.stride(1) != 1:  # not the two classes
                    self.wrong.append((name, tuple(values.shape), values.stride()))
        return func(*args, **(kwargs or {}))


@pytest.fixture
def two_threads() -> Iterator[None]:
    """With one, torch convolves some float32 by itself instead of by oneDNN, and answers channels first."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("filters", [(16, 16, 16), (16, 32, 64, 128)])
def test_all_that_is_convolved_has_channels_last(filters):
    """What has not costs a turn."""
    plan = plan_network(NetworkTable(dims=3, filters=filters), (1, 1, 1), SHAPE, 1, 2)
    made = device.place(network.build(plan, 0), device.Device("cpu", False, 1, "CPU")).train()
    images, labels = device.arrange(patches().float(), made), labelled(*PLACES)
    with Layouts() as layouts:
        known_loss("ce_dice", *focus.logits(made, images, labels, plan), WEIGHTS).backward()
    assert layouts.seen > 20 and not layouts.wrong
