import numpy as np
import pytest
import torch
from rondel.loop.uncertainty import block_mean, entropy, pooled, summarise
from rondel.store.box import Box
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


@pytest.mark.parametrize("bins", [(1, 16, 16), (4, 3, 5), (16, 16, 64)])
@pytest.mark.parametrize("stride", [(1, 8, 8), (4, 4, 2)])
def test_features_count_for_a_bin_by_what_it_holds_of_their_voxels(stride, bins):
    inner = Box((0, 5, 8), (7, 40, 41))
    features = np.random.default_rng(0).random((3, *(-(-n // s) for n, s in zip((8, 48, 48), stride))), np.float32)
    voxels = features
    for axis, step in enumerate(stride, 1):
        voxels = voxels.repeat(step, axis)
    expected = [block_mean(torch.from_numpy(part), bins).numpy() for part in voxels[(slice(None), *inner.slices)]]
    found = pooled(torch.from_numpy(features), stride, inner, bins)
    np.testing.assert_allclose(found.numpy(), np.stack(expected), rtol=1e-5)


def test_a_constant_bin_does_not_deviate_and_an_uneven_one_does():
    probabilities = torch.full((2, 8, 8, 16), 0.5)
    image = torch.full((8, 8, 16), 0.3)
    image[:, :, 8:] += torch.linspace(0, 1, 8)
    found = summarise(probabilities.log(), image, (8, 8, 8)).bins
    deviation = found[statistics([1, 2]).index("deviation"), 0, 0]
    assert deviation[0] < 1e-6
    assert deviation[1] == pytest.approx(np.linspace(0, 1, 8).std(), rel=1e-5)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("last", [False, True])
def test_a_tile_is_summarised_in_slabs_as_numpy_does_it_at_once(classes, last, monkeypatch):
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(classes), (9, 10, 20)).astype(np.float32).transpose(3, 0, 1, 2)
    p[:2, :3] = p[:2, :3].max(0)  # of equal ones the first wins
    p /= p.sum(0)
    image = rng.random((9, 10, 20), np.float32)
    tensor = torch.from_numpy(p)
    if last:
        tensor = tensor.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)
    monkeypatch.setattr("rondel.loop.uncertainty.SLAB", 4 * 10 * 20)
    found = summarise(tensor.log(), torch.from_numpy(image), (4, 5, 8), keep=True)
    winner, unsure = p.argmax(0), -(p * np.log(p)).sum(0) / np.log(classes)
    np.testing.assert_array_equal(found.winner, winner)
    np.testing.assert_array_equal(found.unsure, np.rint(unsure.astype(np.float32) * 255))
    assert found.probabilities is not None
    np.testing.assert_allclose(found.probabilities / 255, p, atol=0.5001 / 255)
    names = statistics(range(1, classes + 1))
    for index in np.ndindex(3, 2, 3):
        cell = tuple(slice(i * b, (i + 1) * b) for i, b in zip(index, (4, 5, 8)))
        expected = {
            "valid": 1,
            "entropy": unsure[cell].mean(),
            "mean": image[cell].mean(),
            "deviation": image[cell].std(),
        }
        expected |= {f"entropy:{k + 1}": (p[k] * unsure)[cell].mean() for k in range(classes)}
        expected |= {f"fraction:{k + 1}": (winner == k)[cell].mean() for k in range(classes)}
        assert dict(zip(names, found.bins[(slice(None), *index)].tolist())) == pytest.approx(expected, abs=1e-5)
