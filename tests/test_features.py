import itertools
from dataclasses import replace

import numpy as np
import pytest
from rondel.loop.features import clusters, describe, is_dull
from rondel.loop.first import Draw, Source, propose_test, propose_typical
from rondel.loop.normalise import Normalisation
from rondel.store.box import Box

from .images import make_volume, texture

DRAW = Draw(boxes=4, box=(16, 16, 16), blank=0.01, seed=5)
NORMAL = Normalisation((0.0,), (255.0,))


def source(folder, image, *, name="scan", region=None, taken=()) -> Source:
    volume = make_volume(folder, image, name=name)
    return Source(volume, NORMAL, region or volume.record.box, tuple(taken))


@pytest.fixture
def halves(tmp_path) -> Source:
    """Rough structure for y below 32, faint structure above."""
    image = texture((48, 64, 64))
    image[:, 32:] = 100 + image[:, 32:] // 8
    return source(tmp_path, image)


def assert_good(found, sources):
    for a, b in itertools.combinations(found, 2):
        assert a.volume != b.volume or not a.box.overlaps(b.box)
    for p in found:
        (origin,) = [s for s in sources if s.volume.record.name == p.volume]
        assert origin.region.contains(p.box)
        assert not any(v % 16 for v in p.box.start)
        assert not any(p.box.overlaps(taken) for taken in origin.taken)


def test_the_first_boxes_come_from_both_kinds_of_structure(halves):
    found = propose_typical([halves], replace(DRAW, clusters=2))
    assert_good(found, [halves])
    assert len(found) == 4
    assert {p.box.start[1] < 32 for p in found[:2]} == {True, False}
    assert {p.reason.partition(" (")[0] for p in found[:2]} == {
        "typical of cluster 1 of 2",
        "typical of cluster 2 of 2",
    }
    assert "% of what was looked at" in found[0].reason


def test_each_cluster_gives_a_box_before_any_gives_a_second(tmp_path):
    found = propose_typical([source(tmp_path, texture((64, 64, 64)))], replace(DRAW, boxes=6, clusters=6))
    assert [p.reason.partition(" (")[0] for p in found] == [f"typical of cluster {n} of 6" for n in range(1, 7)]


def test_first_boxes_keep_off_taken_ones_and_inside_the_region(tmp_path):
    one = source(
        tmp_path, texture((32, 64, 64)), region=Box((0, 0, 8), (32, 64, 60)), taken=[Box((0, 0, 0), (32, 20, 64))]
    )
    found = propose_typical([one], replace(DRAW, boxes=6))
    assert len(found) == 6
    assert_good(found, [one])


@pytest.mark.parametrize("ask", [propose_typical, propose_test])
def test_blank_and_padded_places_are_never_proposed(tmp_path, ask):
    image = texture((32, 64, 64))
    image[:, :, 32:48] = 7
    image[:, 48:] = 100 + (image[:, 48:] > 128)  # deviates by less than half a percent
    found = ask([source(tmp_path, image)], replace(DRAW, boxes=50))
    assert found
    for p in found:
        assert not p.box.overlaps(Box((0, 0, 32), (32, 64, 48)))
        assert p.box.stop[1] <= 48
    assert ask([source(tmp_path, np.full((32, 32, 32), 9, np.uint8), name="empty")], DRAW) == []


@pytest.mark.parametrize("ask", [propose_typical, propose_test])
def test_same_seed_same_boxes_and_another_seed_others(halves, ask):
    draw = replace(DRAW, boxes=3)
    assert ask([halves], draw) == ask([halves], draw)
    assert ask([halves], draw) != ask([halves], replace(draw, seed=6))


@pytest.mark.parametrize("ask", [propose_typical, propose_test])
def test_fewer_than_asked_for_when_no_more_fit(tmp_path, ask):
    one = source(tmp_path, texture((16, 32, 40)))
    found = ask([one], replace(DRAW, boxes=30))
    assert 2 <= len(found) <= 4
    assert_good(found, [one])


@pytest.mark.parametrize("ask", [propose_typical, propose_test])
def test_images_and_thin_volumes_get_boxes_cut_to_them(tmp_path, ask):
    image, thin = source(tmp_path, texture((1, 64, 64)), name="image"), source(tmp_path, texture((6, 64, 64)))
    found = ask([image, thin], DRAW)
    assert {p.box.shape for p in found} == {(1, 16, 16), (6, 16, 16)}


def test_positions_of_a_large_volume_are_drawn_and_not_enumerated(tmp_path, monkeypatch):
    one = source(tmp_path, texture((64, 64, 64)))
    monkeypatch.setattr("rondel.loop.first.SAMPLES", 10)
    seen = []
    found = propose_typical([one], DRAW, lambda done, total, unit: seen.append((done, total, unit)))
    assert found
    assert len(seen) <= 40
    assert seen[0][2] == "boxes looked at"


def test_test_boxes_are_spread_over_volumes_and_space(tmp_path):
    large, small = (
        source(tmp_path, texture((16, 64, 128)), name="large"),
        source(tmp_path, texture((16, 32, 64), 1), name="small"),
    )
    for seed in range(8):
        found = propose_test([large, small], replace(DRAW, boxes=5, seed=seed))
        assert_good(found, [large, small])
        counts = [sum(p.volume == name for p in found) for name in ("large", "small")]
        assert counts in ([4, 1], [5, 0])  # 32 positions in 39 of 5 boxes, remainders apart
        quarters = {(p.box.centre[1] > 32, p.box.centre[2] > 64) for p in found if p.volume == "large"}
        assert len(quarters) >= 3


def test_every_place_can_become_a_test_box(tmp_path):
    one = source(tmp_path, texture((16, 48, 48)))
    drawn = {propose_test([one], replace(DRAW, boxes=1, seed=seed))[0].box.start for seed in range(80)}
    assert len(drawn) == 9


def test_features_tell_fine_texture_from_coarse_and_ignore_thin_axes():
    fine, coarse = np.random.default_rng(0).random((8, 32, 32)).astype(np.float32), np.zeros((8, 32, 32), np.float32)
    coarse[:] = np.linspace(0, 1, 32, dtype=np.float32)
    spacing = (10.0, 10.0, 10.0)
    assert describe(fine, spacing)[-2] > 3 * describe(coarse, spacing)[-2]
    assert np.isfinite(describe(fine[:1], spacing)).all()


def test_dull_is_what_is_mostly_blank_or_padding():
    image = np.random.default_rng(0).random((16, 32, 32)).astype(np.float32)
    assert not is_dull(image, (16, 16, 16), 0.01)
    padded = image.copy()
    padded[:, :, 16:] = 0
    assert is_dull(padded, (16, 16, 16), 0.0)
    faint = image.copy()
    faint[:, :16] *= 0.01
    assert not is_dull(faint, (16, 16, 16), 0.01)  # half of it
    faint[:, 16:, 16:] *= 0.01
    assert is_dull(faint, (16, 16, 16), 0.01)


def test_clusters_are_the_largest_first_and_begin_with_what_is_typical():
    features = np.array([[0.0], [0.1], [0.2], [0.3], [9.0], [9.4], [9.5]])
    large, small = clusters(features, 2, np.random.default_rng(0))
    assert set(large.rows[:2]) == {1, 2}
    assert small.rows == (5, 6, 4)
    assert (large.share, small.share) == (4 / 7, 3 / 7)


def test_clusters_of_equal_rows_are_one():
    (only,) = clusters(np.ones((5, 3)), 4, np.random.default_rng(0))
    assert (only.rows, only.share) == ((0, 1, 2, 3, 4), 1.0)
