"""Intensities: percentiles become 0 and 1, the same everywhere, and nothing breaks on odd volumes."""

import json

import numpy as np
import pytest
import torch
from rondel.loop.normalise import CLIP, Normalisation
from rondel.store.errors import ModelError


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32", "float64", ">u2"])
def test_percentiles_become_0_and_1_for_any_dtype(dtype):
    image = np.array([10, 60, 110], dtype).reshape(1, 1, 1, 3)
    scaled = Normalisation((10.0,), (110.0,)).apply(image)
    assert scaled.dtype == np.float32
    assert np.allclose(scaled.ravel(), [0, 0.5, 1])
    assert image.ravel().tolist() == [10, 60, 110]


def test_each_channel_has_its_own_range_and_outliers_are_clipped():
    image = np.array([[0, 100, 10_000], [0, 100, 10_000]], "uint16").reshape(2, 1, 1, 3)
    scaled = Normalisation((0.0, 100.0), (100.0, 200.0)).apply(image)
    assert np.allclose(scaled[:, 0, 0], [[0, 1, CLIP[1]], [CLIP[0], 0, CLIP[1]]])


def test_a_constant_channel_becomes_0_and_lets_rare_signal_through():
    scaled = Normalisation((7.0,), (7.0,)).apply(np.array([7, 7, 900], "uint16").reshape(1, 1, 1, 3))
    assert scaled.ravel().tolist() == [0, 0, CLIP[1]]


def test_what_is_not_a_number_becomes_a_number():
    image = np.array([np.nan, np.inf, -np.inf, 0.5], "float32").reshape(1, 1, 1, 4)
    assert Normalisation((0.0,), (1.0,)).apply(image).ravel().tolist() == [0, CLIP[1], CLIP[0], 0.5]


def test_tensors_are_scaled_alike_in_batches():
    image = np.random.default_rng(0).integers(0, 255, (2, 3, 4, 5), "uint8")
    normalisation = Normalisation((3.0, 9.0), (250.0, 130.0))
    batch = torch.from_numpy(np.stack([image, image])).float()
    assert np.array_equal(normalisation.apply_(batch)[1].numpy(), normalisation.apply(image))


def test_it_survives_json_and_refuses_what_is_no_range():
    normalisation = Normalisation((0.5, 1.5), (2.5, 3.5))
    assert Normalisation.from_dict(json.loads(json.dumps(normalisation.to_dict()))) == normalisation
    with pytest.raises(ModelError):
        Normalisation((0.0,), (float("nan"),))
