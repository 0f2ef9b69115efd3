import numpy as np
import pytest
import torch
from rondel.loop.uncertainty import block_mean, entropy, summarise
from rondel.store.maps import statistics


def test_entropy_is_zero_where_certain_and_one_where_nothing_is_known():
    certain, even = torch.tensor([1.0, 0, 0]), torch.full((3,), 1 / 3)
    found = entropy(torch.stack([certain, even], 1)[None, :, :, None, None])
    assert found.flatten().tolist() == pytest.approx([0, 1])


def test_entropy_agrees_with_its_formula():
    p = np.random.default_rng(0).dirichlet(np.ones(4), 50).T.reshape(1, 4, 2, 5, 5)
    expected = -(p * np.log(p)).sum(1) / np.log(4)
    np.testing.assert_allclose(entropy(torch.from_numpy(p)).numpy(), expected, rtol=1e-10)


def test_block_means_count_only_what_is_inside():
    values = np.random.default_rng(0).random((5, 9, 7))
    found = block_mean(torch.from_numpy(values), (2, 4, 16)).numpy()
    assert found.shape == (3, 3, 1)
    for z, y in np.ndindex(3, 3):
        assert found[z, y, 0] == pytest.approx(values[2 * z : 2 * z + 2, 4 * y : 4 * y + 4].mean())


def test_a_constant_bin_does_not_deviate_and_an_uneven_one_does():
    probabilities = torch.full((2, 8, 8, 16), 0.5)
    image = torch.full((8, 8, 16), 0.3)
    image[:, :, 8:] += torch.linspace(0, 1, 8)
    found = summarise(probabilities, torch.ones(8, 8, 16), image, (8, 8, 8))
    deviation = found[statistics([1, 2]).index("deviation"), 0, 0]
    assert deviation[0] < 1e-6
    assert deviation[1] == pytest.approx(np.linspace(0, 1, 8).std(), rel=1e-5)
