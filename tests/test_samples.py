"""Patches: around known voxels, in the stated shares, with real context and no label from elsewhere."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from rondel.loop.network import plan_network
from rondel.loop.normalise import Normalisation
from rondel.loop.samples import Samples, TrainBox, hold_out, patch_shape
from rondel.store.box import Box
from rondel.store.errors import LabelError, SettingsError
from rondel.store.settings import NetworkTable

from .trainer import make_settings, make_volume

PLAN = plan_network(NetworkTable(filters=(4, 4, 4)), (10, 10, 10), (32, 32, 32), 1, 3)
IMAGE = np.random.default_rng(0).integers(0, 65535, (40, 40, 40), "uint16")
UNIT = Normalisation((0.0,), (65535.0,))


@pytest.fixture
def volume(tmp_path):
    return make_volume(tmp_path / "scan.ome.zarr", IMAGE)


def box_of(volume, start, values, id=1, new=False) -> TrainBox:
    labels = np.asarray(values, np.uint8)
    return TrainBox(id, volume, UNIT, Box.at(start, labels.shape), labels, new)


def sparse(shape, values) -> np.ndarray:
    """Label a few voxels: value → how many, spread from the box's first corner on."""
    labels = np.zeros(shape, np.uint8).ravel()
    places = iter(np.random.default_rng(1).permutation(labels.size))
    for value, number in values.items():
        labels[[next(places) for _ in range(number)]] = value
    return labels.reshape(shape)


def samples(boxes, plan=PLAN, seed=0, **train) -> Samples:
    return Samples(boxes, make_settings(**train).train, plan, seed)


def drawn(found: Samples, steps=400) -> list:
    return [p for step in range(steps) for p in found.draw(step)]


def test_every_patch_holds_the_labelled_voxel_it_was_drawn_for(volume):
    labels = sparse((12, 12, 12), {1: 9, 2: 4})
    found = samples([box_of(volume, (0, 14, 28), labels)])
    for step in range(30):
        batch = found.batch(step)
        for patch, image, known in zip(found.draw(step), batch.images, batch.labels):
            inside = tuple(v - a for v, a in zip(patch.voxel, patch.box.start))
            assert known[inside] == patch.label == labels[tuple(np.subtract(patch.voxel, (0, 14, 28)))]
            assert image[(0, *inside)] == pytest.approx(IMAGE[patch.voxel] / 65535)
            assert volume.record.box.contains(patch.box)


def test_images_are_the_volume_around_the_box_and_labels_only_those_of_train_boxes(volume):
    first = box_of(volume, (10, 10, 10), sparse((8, 8, 8), {1: 100}), 1)
    second = box_of(volume, (10, 10, 18), sparse((8, 8, 8), {2: 100}), 2)
    everywhere = np.zeros(IMAGE.shape, np.uint8)
    for box in (first, second):
        everywhere[box.box.slices] = box.labels
    found, both = samples([second, first]), 0
    for step in range(20):
        batch = found.batch(step)
        for patch, image, labels in zip(found.draw(step), batch.images, batch.labels):
            np.testing.assert_allclose(image[0], IMAGE[patch.box.slices] / 65535, atol=1e-6)
            np.testing.assert_array_equal(labels, everywhere[patch.box.slices])
            both += {1, 2} <= set(labels.ravel())
    assert both > 0


def test_a_box_of_another_volume_at_the_same_place_lends_no_label(tmp_path, volume):
    other = make_volume(tmp_path / "other.ome.zarr", IMAGE)
    found = samples(
        [box_of(volume, (0, 0, 0), np.full((8, 8, 8), 1)), box_of(other, (0, 0, 8), np.full((8, 8, 8), 2), 2)]
    )
    seen = {
        (p.volume.record.name, *np.unique(b)) for s in range(20) for p, b in zip(found.draw(s), found.batch(s).labels)
    }
    assert seen == {("scan.ome", 0, 1), ("other.ome", 0, 2)}


def test_rare_classes_get_their_share(volume):
    labels = sparse((16, 16, 16), {1: 3000, 2: 290, 3: 10})
    for share in (0.0, 0.5, 1.0):
        found = drawn(samples([box_of(volume, (8, 8, 8), labels)], rare_share=share), 1500)
        expected = share / 3 + (1 - share) * np.array([3000, 290, 10]) / 3300
        counted = np.bincount([p.label for p in found], minlength=4)[1:] / len(found)
        np.testing.assert_allclose(counted, expected, atol=4 * np.sqrt(0.25 / len(found)))


def test_rare_patches_are_drawn_evenly_over_the_voxels_of_their_class(tmp_path, volume):
    few, many = sparse((8, 8, 8), {1: 10, 2: 5}), sparse((8, 8, 8), {1: 10, 2: 15})
    found = drawn(
        samples([box_of(volume, (0, 0, 0), few, 1), box_of(volume, (20, 20, 20), many, 2)], rare_share=1.0), 1000
    )
    rare = [p for p in found if p.label == 2]
    share = np.mean([p.voxel[0] >= 20 for p in rare])
    assert abs(share - 0.75) < 4 * np.sqrt(0.1875 / len(rare))
    assert len({p.voxel for p in rare}) == 20


def test_new_boxes_get_their_share_and_either_pool_may_be_empty(volume):
    old, new = (
        box_of(volume, (0, 0, 0), np.full((16, 16, 16), 1)),
        box_of(volume, (20, 20, 20), np.full((4, 4, 4), 2), 2, True),
    )
    for share in (0.0, 0.25, 1.0):
        found = drawn(samples([old, new], new_share=share))
        assert abs(np.mean([p.new for p in found]) - share) < 4 * np.sqrt(0.25 / len(found))
    assert not any(p.new for p in drawn(samples([old]), 20))
    assert all(p.new for p in drawn(samples([new], new_share=0.0), 20))


def test_a_step_is_the_same_whenever_it_is_asked_for(volume):
    boxes = [box_of(volume, (4, 4, 4), sparse((16, 16, 16), {1: 500, 2: 50}), k, k > 2) for k in (1, 2, 3)]
    one, other = samples(boxes), samples(boxes[::-1])
    late = [other.batch(step) for step in (7, 3)]
    for step, batch in zip((7, 3), late):
        again = one.batch(step)
        assert all(np.array_equal(a, b) for a, b in zip(again, batch))
    assert samples(boxes, seed=1).draw(3) != one.draw(3) != one.draw(4)


@pytest.fixture
def made(monkeypatch) -> list:
    """Note the step and the thread of every batch that is made."""
    notes, make = [], Samples.batch

    def batch(self, step):
        notes.append((step, threading.current_thread()))
        return make(self, step)

    monkeypatch.setattr(Samples, "batch", batch)
    return notes


def test_batches_made_ahead_are_those_asked_for_and_none_is_made_twice(volume, made):
    found = samples([box_of(volume, (0, 14, 28), sparse((12, 12, 12), {1: 9, 2: 4}))])
    ahead = list(found.ahead(range(3, 8)))
    assert [step for step, _ in made] == [3, 4, 5, 6, 7] and len({thread for _, thread in made}) == 1
    for step, batch in zip(range(3, 8), ahead):
        assert all(np.array_equal(a, b) for a, b in zip(batch, found.batch(step)))
    assert list(found.ahead(range(5, 5))) == []


def test_one_batch_is_made_ahead_and_the_thread_ends_when_no_more_are_wanted(volume, made):
    batches = samples([box_of(volume, (0, 14, 28), sparse((12, 12, 12), {1: 9}))]).ahead(range(10))
    next(batches)
    next(batches)
    batches.close()
    assert [step for step, _ in made] == [0, 1, 2]
    assert made[0][1] is not threading.current_thread() and not made[0][1].is_alive()


def test_batches_are_made_by_one_thread_and_those_that_compute_stay_as_many(volume, monkeypatch):
    counts, make = [], Samples.batch
    monkeypatch.setattr(Samples, "batch", lambda *given: (counts.append(torch.get_num_threads()), make(*given))[1])
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    list(samples([box_of(volume, (0, 14, 28), sparse((12, 12, 12), {1: 9}))]).ahead(range(2)))
    here = torch.get_num_threads()
    torch.set_num_threads(before)
    assert (counts, here) == ([1, 1], 2)


def test_what_a_batch_made_ahead_fails_of_is_raised_where_it_is_wanted(volume, made):
    found = samples([box_of(volume, (0, 14, 28), sparse((12, 12, 12), {1: 9}))])
    batches = found.ahead(range(10))
    next(batches)
    next(batches)
    found._pieces.clear()
    with pytest.raises(IndexError):
        list(batches)
    assert not made[0][1].is_alive()


def test_jitter_moves_the_voxel_about_in_the_patch(volume):
    found = drawn(samples([box_of(volume, (20, 20, 20), np.ones((1, 1, 1)))]), 200)
    places = np.array([np.subtract(p.voxel, p.box.start) for p in found])
    assert (places.min(0) == 4).all() and (places.max(0) == 12).all()


def test_patches_larger_than_a_volume_start_at_its_start_and_are_reflected(tmp_path):
    thin = make_volume(tmp_path / "thin.ome.zarr", IMAGE[:5, :20])
    plan = plan_network(NetworkTable(filters=(4, 4, 4), dims=3), (10, 10, 10), thin.record.shape, 1, 2)
    found = samples([box_of(thin, (0, 0, 0), np.ones((5, 20, 8)))], plan, patch=(16, 32, 16))
    assert found.patch == (5, 20, 16)
    tall = make_volume(tmp_path / "tall.ome.zarr", IMAGE)
    both = samples([box_of(thin, (0, 0, 0), np.ones((5, 20, 8))), box_of(tall, (0, 0, 0), np.ones((2, 2, 2)), 2)], plan)
    assert both.patch == (16, 16, 16)
    image = next(i for s in range(20) for p, i in zip(both.draw(s), both.batch(s).images) if p.volume is thin)
    np.testing.assert_array_equal(image[0, 5:9], image[0, 3::-1])


def test_two_channels_and_spacings_come_along(tmp_path):
    volume = make_volume(tmp_path / "two.ome.zarr", np.stack([IMAGE, IMAGE // 2]), spacing=(30, 10, 10))
    scale = Normalisation((0.0, 0.0), (65535.0, 65535.0))
    box = TrainBox(1, volume, scale, Box((8, 8, 8), (16, 16, 16)), np.ones((8, 8, 8), np.uint8), True)
    batch = samples([box], batch=3).batch(0)
    assert batch.images.shape == (3, 2, 16, 16, 16) and batch.images.dtype == np.float32
    assert batch.labels.shape == (3, 16, 16, 16) and batch.spacing_nm.tolist() == [[30, 10, 10]] * 3
    np.testing.assert_allclose(batch.images[:, 1], batch.images[:, 0] / 2, atol=2e-5)


def test_a_full_cache_changes_no_patch(volume):
    boxes = [box_of(volume, (0, 0, 0), np.ones((40, 40, 40)))]
    roomy, tight = samples(boxes), samples(boxes, cache_gb=2e-5)
    for step in range(10):
        np.testing.assert_array_equal(roomy.batch(step).images, tight.batch(step).images)
    assert tight._images._held <= 20_000 < roomy._images._held
    assert tight._images._held == sum(b.nbytes for b in tight._images._bricks.values())


def test_large_boxes_are_drawn_from_all_over(tmp_path):
    volume = make_volume(tmp_path / "wide.ome.zarr", np.zeros((4, 150, 150), "uint8"))
    plan = plan_network(NetworkTable(filters=(4, 4, 4)), (50, 10, 10), volume.record.shape, 1, 2)
    found = samples([box_of(volume, (0, 0, 0), np.ones((4, 150, 150)))], plan, patch="auto")
    assert (found.size, found.patch) == (8, (1, 128, 128)) and found.counts == (90_000, 0)
    voxels = np.array([p.voxel for p in drawn(found, 60)])
    assert (voxels.min(0) <= (0, 4, 4)).all() and (voxels.max(0) >= (3, 145, 145)).all()
    assert set(voxels[:, 0]) == {0, 1, 2, 3}


def test_patches_fit_the_strides_and_volumes():
    train = make_settings(patch="auto").train
    plan = plan_network(NetworkTable(), (1, 1, 1), (64, 64, 64), 1, 2)
    assert patch_shape(train, plan, [(64, 64, 64), (20, 100, 30)]) == (48, 48, 48)
    assert patch_shape(train, plan, [(20, 100, 30)]) == (24, 48, 32)
    with pytest.raises(SettingsError, match="one voxel at the bottom"):
        patch_shape(make_settings(patch=(8, 8, 8)).train, plan, [(64, 64, 64)])


def test_labels_that_cannot_be_trained_on_are_refused(volume):
    with pytest.raises(LabelError, match="no train box holds a labelled voxel"):
        samples([box_of(volume, (0, 0, 0), np.zeros((4, 4, 4)))])
    with pytest.raises(LabelError, match="above 3"):
        samples([box_of(volume, (0, 0, 0), np.full((4, 4, 4), 4))])
    with pytest.raises(LabelError, match="box 1 is"):
        replace(box_of(volume, (0, 0, 0), np.ones((4, 4, 4))), labels=np.ones((4, 4, 5), np.uint8))
    with pytest.raises(LabelError, match="uint8"):
        replace(box_of(volume, (0, 0, 0), np.ones((4, 4, 4))), labels=np.ones((4, 4, 4)))


def test_boxes_held_out_were_never_trained_on_before(volume):
    boxes = [box_of(volume, (0, 0, 0), np.ones((1, 1, 1)), k) for k in range(1, 30)]
    trained: set[int] = set()
    for known in range(4, 30):
        kept, held = hold_out(boxes[:known], 3, 0)
        assert len(held) == 3 and not trained & {b.id for b in held}
        assert {b.id for b in kept + held} == set(range(1, known + 1))
        trained |= {b.id for b in kept}
    with pytest.raises(SettingsError, match="hold_out"):
        hold_out(boxes[:3], 3, 0)
