"""The planned networks: kernels and strides, reach, folding, and heads that grow."""

import json

import numpy as np
import pytest
import torch
from rondel.loop import network
from rondel.loop.network import NetworkPlan, plan_network
from rondel.store.errors import ModelError, SettingsError
from rondel.store.maps import FEATURES
from rondel.store.settings import NetworkTable

SMALL = NetworkTable(filters=(4, 8, 8))


def plan(spacing=(10, 10, 10), shape=(64, 64, 64), channels=1, classes=2, **settings) -> NetworkPlan:
    return plan_network(NetworkTable(**settings), spacing, shape, channels, classes)


def stirred(network_plan: NetworkPlan) -> torch.nn.Module:
    """Make a network whose batch norms do something, as after training."""
    made = network.build(network_plan, 0)
    generator = torch.Generator().manual_seed(1)
    for name, tensor in network.tensors(made).items():
        if "norm" in name and ("bias" in name or "mean" in name):
            tensor.normal_(generator=generator)
        elif "norm" in name:
            tensor.uniform_(0.5, 2, generator=generator)
    return made.eval()


def test_isotropic_volumes_get_three_poolings_in_3d():
    found = plan()
    assert (found.dims, found.stride, found.filters) == (3, (8, 8, 8), (16, 32, 64, 128))
    assert set(found.kernels) == {(3, 3, 3)}


@pytest.mark.parametrize("spacing, shape", [((10, 10, 10), (1, 64, 64)), ((40, 10, 10), (30, 64, 64))])
def test_images_and_thick_sections_get_a_2d_network(spacing, shape):
    found = plan(spacing, shape)
    assert (found.dims, found.stride, found.halo[0], found.filters[0]) == (2, (1, 8, 8), 0, 32)
    assert plan((39, 10, 10)).dims == 3
    assert plan(spacing, (30, 64, 64), dims=3).dims == 3


def test_a_coarse_axis_is_convolved_and_pooled_only_once_the_others_are_as_coarse():
    found = plan((30, 10, 10))
    assert found.kernels == ((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3))
    assert found.strides == ((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2))
    assert plan((20, 10, 10)).kernels[0] == (3, 3, 3)


@pytest.mark.parametrize(
    "shape, stride", [((10, 64, 64), (2, 8, 8)), ((1, 64, 64), (1, 8, 8)), ((7, 7, 64), (1, 1, 8))]
)
def test_thin_axes_are_pooled_less(shape, stride):
    found = plan_network(NetworkTable(dims=3, filters=(4, 4, 4, 4)), (1, 1, 1), shape, 1, 2)
    assert found.stride == stride
    read = [-(-n // s) * s for n, s in zip(shape, stride)]
    assert network.build(found, 0).eval()(torch.zeros(1, 1, *read)).shape == (1, 2, *read)


def test_reach_is_the_true_receptive_field_and_halo_that_of_the_stride_grid():
    small = plan_network(NetworkTable(filters=(4, 4, 4, 4)), (1, 1, 1), (8, 8, 64), 1, 2)
    assert (plan().reach, plan().halo) == ((44, 44, 44), (40, 40, 40))
    made = stirred(small).double()
    reaches = []
    for position in range(64, 72):
        image = torch.randn(1, 1, 8, 8, 136, dtype=torch.float64, requires_grad=True)
        made(image)[..., position].sum().backward()
        touched = torch.nonzero(image.grad.abs().sum((0, 1, 2, 3))).flatten()  # type: ignore[union-attr]
        reaches.append((position - int(touched.min()), int(touched.max()) - position))
    assert max(map(max, reaches)) == small.reach[2]
    assert max(low - i for i, (low, _) in enumerate(reaches)) <= small.halo[2]
    assert max(high - 7 + i for i, (_, high) in enumerate(reaches)) <= small.halo[2]


@pytest.mark.parametrize("dims, spacing", [(2, (1, 1, 1)), (3, (1, 1, 1)), (3, (3, 1, 1))])
def test_folding_keeps_the_answer_and_leaves_no_batch_norm(dims, spacing):
    made = stirred(plan_network(SMALL.model_copy(update={"dims": dims}), spacing, (16, 16, 16), 2, 3))
    image = torch.randn(2, 2, 8, 16, 16)
    folded = network.fold(made)
    assert torch.allclose(network.seeing(folded)(image)[0], made(image), atol=1e-4)
    assert not any(isinstance(m, torch.nn.BatchNorm2d | torch.nn.BatchNorm3d) for m in folded.modules())
    assert torch.allclose(folded(image), made(image), atol=1e-4)
    assert any(isinstance(m, torch.nn.BatchNorm2d | torch.nn.BatchNorm3d) for m in made.modules())


def test_a_2d_network_sees_each_section_by_itself():
    made = stirred(plan_network(SMALL, (1, 1, 1), (1, 16, 16), 1, 2))
    image = torch.randn(2, 1, 3, 16, 16)
    whole = made(image)
    assert whole.shape == (2, 2, 3, 16, 16)
    assert torch.allclose(whole[:, :, 1:2], made(image[:, :, 1:2]), atol=1e-5)


def test_the_seed_decides_the_weights_and_nothing_else_is_drawn():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, same, other = (network.state(network.build(plan(filters=(4, 4, 4)), s)) for s in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(np.array_equal(one[k], same[k]) for k in one)
    assert not all(np.array_equal(one[k], other[k]) for k in one)


def test_weights_survive_a_round_trip_and_names_are_listed_once():
    made = stirred(plan(filters=(4, 8, 8)))
    arrays = network.state(made)
    fresh = network.build(plan(filters=(4, 8, 8)), 9).eval()
    network.load_state(fresh, arrays)
    image = torch.randn(1, 1, 16, 16, 16)
    assert torch.equal(fresh(image), made(image))
    assert all(a.flags.c_contiguous and a.dtype == np.float32 for a in arrays.values())
    assert sum(a.size for k, a in arrays.items() if "running" not in k) == sum(p.numel() for p in made.parameters())


def test_weights_of_another_network_are_refused():
    arrays = network.state(network.build(plan(filters=(4, 8, 8)), 0))
    with pytest.raises(ModelError, match="do not fit"):
        network.load_state(network.build(plan(filters=(4, 8, 16)), 0), arrays)
    with pytest.raises(ModelError, match="do not fit"):
        network.load_state(network.build(plan(filters=(4, 8, 8)), 0), arrays | {"more": np.zeros(1)})


def test_widening_keeps_old_logits_and_no_new_class_wins_before_training():
    old, new = plan(filters=(4, 8, 8), classes=2), plan(filters=(4, 8, 8), classes=4)
    made, wide = stirred(old), network.build(new, 3).eval()
    arrays = network.widen(network.state(made), old, new, 3)
    network.load_state(wide, arrays)
    image = torch.randn(1, 1, 16, 16, 16)
    logits = wide(image)
    assert torch.allclose(logits[:, :2], made(image), atol=1e-5)
    assert torch.equal(logits.argmax(1), made(image).argmax(1))
    assert not torch.allclose(logits[:, 2], logits[:, 3])


def test_a_head_neither_shrinks_nor_moves_to_another_network():
    arrays = network.state(network.build(plan(filters=(4, 8, 8), classes=3), 0))
    for other in (plan(filters=(4, 8, 8), classes=2), plan(filters=(4, 8, 16), classes=4)):
        with pytest.raises(ModelError, match="classes"):
            network.widen(arrays, plan(filters=(4, 8, 8), classes=3), other, 0)


def test_a_plan_survives_json_and_an_unknown_one_is_refused():
    found = plan((30, 10, 10), channels=2, classes=3)
    assert NetworkPlan.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    with pytest.raises(ModelError, match="unknown"):
        NetworkPlan.from_dict(found.to_dict() | {"name": "unet_lstm"})
    with pytest.raises(ModelError, match="cannot be read"):
        NetworkPlan.from_dict({"name": "dynunet"})


def test_one_class_is_too_few():
    with pytest.raises(SettingsError, match="two classes"):
        plan(classes=1)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_seeing_network_gives_the_same_logits_and_what_is_at_its_bottom(dims):
    made = stirred(plan((10, 10, 10) if dims == 3 else (60, 10, 10), filters=(4, 8, 8), classes=2))
    found = network.seeing(made)
    bottom: list[torch.Tensor] = []
    inner = made.network if isinstance(made, network.Sections) else made
    inner.bottleneck.register_forward_hook(lambda module, given, answer: bottom.append(answer))  # pyright: ignore
    images = torch.randn(1, 1, 8, 16, 24)
    logits, features = found(images)
    assert torch.equal(logits, made(images))
    below = bottom[0] if dims == 3 else bottom[0].transpose(0, 1)[None]
    assert features.shape == (1, FEATURES, *below.shape[2:])
    again = network.seeing(made)  # the matrix is the same wherever a model is opened
    matrix = next(values for name, values in again.named_buffers() if name.endswith("projection"))
    assert torch.allclose(features, torch.einsum("fc,bczyx->bfzyx", matrix, below), atol=1e-5)
