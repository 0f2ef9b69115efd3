"""Losses: only known voxels count, in value and in gradient."""

import math

import pytest
import torch
from rondel.loop.losses import class_weights, known_loss
from rondel.store.settings import LabelClass, LossTable

NAMES = ("ce", "dice", "ce_dice")
ONES = torch.ones(3)


def example() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, 6, generator=generator)
    return logits, torch.randint(0, 4, (2, 4, 5, 6), generator=generator).to(torch.uint8)


def loss_and_gradient(name, logits, labels, weights=ONES) -> tuple[float, torch.Tensor]:
    logits = logits.clone().requires_grad_()
    loss = known_loss(name, logits, labels, weights)
    loss.backward()
    assert logits.grad is not None
    return float(loss.detach()), logits.grad


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", [5.0, 1e30, math.inf, math.nan])
def test_predictions_at_unlabelled_voxels_change_neither_loss_nor_gradient(name, change):
    logits, labels = example()
    unknown = (labels == 0)[:, None].expand_as(logits)
    before, gradient = loss_and_gradient(name, logits, labels)
    after, changed = loss_and_gradient(name, torch.where(unknown, change * (1 + logits), logits), labels)
    assert after == before
    assert torch.equal(changed, gradient)
    assert (gradient[unknown] == 0).all() and (gradient[~unknown] != 0).any()


@pytest.mark.parametrize("name", NAMES)
def test_taking_labels_away_is_the_same_as_never_having_had_the_voxels(name):
    logits, labels = example()
    labels[1] = 0
    alone, _ = loss_and_gradient(name, logits[:1], labels[:1])
    assert loss_and_gradient(name, logits, labels)[0] == pytest.approx(alone, rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_labels_costs_nothing_and_moves_nothing(name):
    logits, labels = example()
    loss, gradient = loss_and_gradient(name, logits, torch.zeros_like(labels))
    assert loss == 0 and (gradient == 0).all()


def test_cross_entropy_is_torchs_own_with_the_unknown_ignored():
    logits, labels = example()
    weights = torch.tensor([1.0, 3.0, 0.5])
    target = labels.long() - 1
    expected = torch.nn.functional.cross_entropy(logits, target, weights, ignore_index=-1)
    assert float(known_loss("ce", logits, labels, weights)) == pytest.approx(float(expected), rel=1e-5)


def test_dice_of_certain_predictions_is_that_of_their_counts():
    labels = torch.tensor([1, 1, 2, 2, 0], dtype=torch.uint8).reshape(1, 1, 1, 5)
    predicted = torch.tensor([0, 1, 1, 1, 2])
    logits = 100.0 * torch.nn.functional.one_hot(predicted, 3).float().T.reshape(1, 3, 1, 1, 5)
    expected = 1 - (2 * 1 / (1 + 2) + 2 * 2 / (3 + 2)) / 2
    assert known_loss("dice", logits, labels, ONES) == pytest.approx(expected, abs=1e-6)


def test_dice_is_of_the_whole_batch_over_classes_that_are_present():
    labels = torch.tensor([[1, 1], [2, 2]], dtype=torch.uint8).reshape(2, 1, 1, 2)
    logits = 100.0 * torch.nn.functional.one_hot(labels.long() - 1, 3).float().movedim(-1, 1)
    assert known_loss("dice", logits, labels, ONES) == pytest.approx(0, abs=1e-6)


def test_ce_dice_is_the_mean_of_both():
    logits, labels = example()
    ce, dice, both = (float(known_loss(name, logits, labels, ONES)) for name in NAMES)
    assert both == pytest.approx((ce + dice) / 2, rel=1e-6)


def classes(*weights) -> list[LabelClass]:
    return [LabelClass(value=k + 1, name=str(k), colour="#808080", weight=w) for k, w in enumerate(weights)]


def loss_table(**fields) -> LossTable:
    return LossTable.model_validate(fields)


def test_automatic_weights_are_the_root_of_inverse_frequency_up_to_the_limit():
    weights = class_weights((10_000, 2500, 1, 0), classes(*["auto"] * 4), loss_table())
    assert weights == (1.0, 2.0, 10.0, 1.0)
    assert class_weights((10_000, 1, 1), classes(*["auto"] * 3), loss_table(weight_limit=3))[1] == 3.0


def test_two_classes_or_none_asked_for_weigh_the_same():
    assert class_weights((10_000, 1), classes("auto", "auto"), loss_table()) == (1.0, 1.0)
    assert class_weights((9, 1, 1), classes(*["auto"] * 3), loss_table(class_weights="none")) == (1.0, 1.0, 1.0)


def test_a_weight_given_by_hand_wins():
    assert class_weights((100, 1), classes("auto", 7.0), loss_table()) == (1.0, 7.0)
    assert class_weights((100, 25, 1), classes("auto", "auto", 0.5), loss_table()) == (1.0, 2.0, 0.5)
