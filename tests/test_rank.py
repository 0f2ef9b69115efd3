import itertools
from dataclasses import replace

import numpy as np
import pytest
from rondel.loop.candidates import BinTable, candidates, grid
from rondel.loop.rank import STRATEGIES, Proposal, Wanted, propose, survey
from rondel.store.box import Box
from rondel.store.errors import UsageError
from rondel.store.maps import FEATURES, Bins, statistics

CLASSES = ((1, "background"), (2, "membrane"), (3, "organelle"))
NAMES = statistics([value for value, _ in CLASSES], FEATURES)
BOX = (32, 32, 32)
WANTED = Wanted(boxes=6, box=BOX, strategy="entropy", blank=0.01, seed=1, classes=CLASSES)


def table(
    shape=(128, 128, 128), *, bins=(16, 16, 16), seed=0, volume="scan", region=None, taken=(), **changed
) -> BinTable:
    """A fully predicted volume with random statistics; `changed` gives (slices, value) by statistic."""
    rng = np.random.default_rng(seed)
    counts = tuple(-(-n // b) for n, b in zip(shape, bins))
    values = rng.random((len(NAMES), *counts)).astype(np.float16)
    values[NAMES.index("valid")] = 1
    values[NAMES.index("deviation")] = 0.2
    for name in ("fraction_2", "fraction_3"):
        values[NAMES.index(name.replace("_", ":"))] = 0
    for name, (place, value) in changed.items():
        values[NAMES.index(name.replace("_", ":"))][place] = value
    return BinTable(volume, shape, bins, NAMES, values, region or Box.of_shape(shape), tuple(taken))


def mean_of(found: Proposal, source: BinTable, name: str) -> float:
    """Average a statistic over a box voxel by voxel."""
    bins = source.values[NAMES.index(name)].astype(np.float64)
    for axis, step in enumerate(source.bin):
        bins = bins.repeat(step, axis)
    return float(bins[found.box.slices].mean())


def assert_apart(found: list[Proposal]) -> None:
    for a, b in itertools.combinations(found, 2):
        assert a.volume != b.volume or not a.box.overlaps(b.box)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_proposals_lie_on_the_bins_inside_the_region_apart_from_each_other_and_from_taken_boxes(strategy):
    region, taken = Box((0, 16, 20), (100, 128, 128)), Box((30, 40, 50), (70, 80, 90))
    found = propose([table(region=region, taken=[taken])], replace(WANTED, strategy=strategy))
    assert len(found) == 6
    assert_apart(found)
    for p in found:
        assert p.box.shape == BOX
        assert not any(v % 16 for v in p.box.start)
        assert region.contains(p.box)
        assert not p.box.overlaps(taken)


def test_grid_reaches_the_last_place_that_fits():
    places = grid((100, 130, 64), Box.of_shape((100, 130, 64)), (32, 64, 64), (16, 16, 16))
    assert [list(s) for s in places.starts] == [[0, 16, 32, 48, 64], [0, 32, 64], [0]]


def test_a_box_that_is_no_whole_number_of_bins_is_refused():
    with pytest.raises(UsageError, match="whole number of bins"):
        propose([table()], replace(WANTED, box=(24, 32, 32)))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_not_wholly_predicted_is_never_proposed(strategy):
    source = table(valid=(np.s_[4:], 0), entropy=(np.s_[4:], 1.0))
    assert all(p.box.stop[0] <= 64 for p in propose([source], replace(WANTED, strategy=strategy, boxes=30)))
    part = table(valid=(np.s_[3, 3, 3], 0.99))
    found = propose([part], replace(WANTED, strategy=strategy, boxes=60))
    assert found
    assert not any(p.box.overlaps(Box((48, 48, 48), (64, 64, 64))) for p in found)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_blank_and_padded_boxes_are_never_proposed(strategy):
    blank = table(deviation=(np.s_[:, 2:], 0.005), entropy=(np.s_[:, 2:], 1.0))
    padded = table(deviation=(np.s_[:, 2:], 0.0), entropy=(np.s_[:, 2:], 1.0), volume="padded")
    found = propose([blank, padded], replace(WANTED, strategy=strategy, boxes=200))
    assert {p.box.stop[1] for p in found if p.volume == "scan"} <= {32, 48}  # at most half of the bins are blank
    assert {p.box.stop[1] for p in found if p.volume == "padded"} == {32}  # half of it padding is too much
    assert not propose([table(deviation=(np.s_[:], 0.0))], replace(WANTED, strategy=strategy, blank=0.0))


def test_entropy_takes_the_highest_means_as_brute_force_does():
    source = table((128, 112, 96), seed=3)
    every = [Box.at([16 * i for i in index], BOX) for index in itertools.product(range(7), range(6), range(5))]
    score = {box: mean_of(Proposal("scan", box, 0, "", ""), source, "entropy") for box in every}
    expected: list[Box] = []
    for box in sorted(every, key=lambda b: -score[b]):
        if len(expected) < 6 and not any(box.overlaps(e) for e in expected):
            expected.append(box)
    found = propose([source], WANTED)
    assert [p.box for p in found] == expected
    assert found[0].reason == f"mean entropy {score[expected[0]]:.2f}, the highest of {len(every)} candidates"
    assert [p.priority for p in found] == sorted((p.priority for p in found), reverse=True)


def test_entropy_compares_boxes_across_volumes_of_other_shapes():
    low = table(entropy=(np.s_[:], 0.1))
    high = table((64, 64, 200), entropy=(np.s_[:], 0.9), volume="other")
    found = propose([low, high], WANTED)
    assert {p.volume for p in found} == {"other"}
    assert_apart(found)


def test_equal_entropies_are_ordered_by_the_seed():
    flat = [table(entropy=(np.s_[:], 0.5))]
    assert propose(flat, WANTED) == propose(flat, WANTED)
    assert propose(flat, WANTED) != propose(flat, replace(WANTED, seed=2))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_same_input_same_proposals(strategy):
    wanted = replace(WANTED, strategy=strategy)
    first, again = (propose([table(fraction_2=(np.s_[2:4], 0.3))], wanted) for _ in range(2))
    assert first == again


@pytest.mark.parametrize(("boxes", "half"), [(8, 4), (7, 4), (1, 1)])
def test_half_of_the_foreground_boxes_hold_a_predicted_class(boxes, half):
    source = table((256, 256, 256), fraction_2=(np.s_[3, 3], 0.2), fraction_3=(np.s_[10, 12, 12], 0.1))
    found = propose([source], replace(WANTED, strategy="foreground", boxes=boxes))
    with_class = [p for p in found if "predicted in" in p.reason]
    assert len(found) == boxes
    assert len(with_class) == half
    assert found[0].reason.startswith("organelle")  # the rarest class first
    for p in with_class:
        name = "fraction:3" if p.reason.startswith("organelle") else "fraction:2"
        assert mean_of(p, source, name) > 0.005
    assert sum(p.reason.startswith("organelle") for p in with_class) == 1  # there is only one place
    for length in range(1, boxes + 1):
        assert 2 * sum("predicted in" in p.reason for p in found[:length]) >= length


def test_foreground_goes_on_at_random_where_nothing_is_predicted():
    found = propose([table()], replace(WANTED, strategy="foreground"))
    assert [p.reason for p in found] == ["drawn at random"] * 6


TISSUE = np.r_[np.zeros(4), np.ones(4)]
"""Features of one kind of tissue; the other's are 0."""


def two_kinds(**changed) -> BinTable:
    """Two kinds of tissue side by side, the first more uncertain; nothing else of it is of note."""
    source = table((32, 32, 256), entropy=(np.s_[:], np.repeat((0.8, 0.5), 8)), **changed)
    noise = np.random.default_rng(0).normal(0, 0.01, (FEATURES, 2, 2, 16))
    values = np.array(source.values[:])
    values[NAMES.index("feature:0") :] = noise + np.multiply.outer(TISSUE, np.arange(16) >= 8)[:, None, None]
    return replace(source, values=values * (values[0] > 0))


def test_diverse_takes_one_of_each_kind_where_entropy_takes_near_copies():
    wanted = replace(WANTED, boxes=2)
    copies, unlike = (propose([two_kinds()], replace(wanted, strategy=s)) for s in ("entropy", "diverse"))
    assert [p.box.stop[2] <= 128 for p in copies] == [True, True]
    assert [p.box.stop[2] <= 128 for p in unlike] == [True, False]
    assert [p.reason for p in unlike] == [
        "mean entropy 0.80, the highest",
        "unlike the boxes so far, mean entropy 0.50",
    ]
    assert_apart(unlike)


def test_diverse_keeps_away_from_what_labelled_boxes_hold():
    labelled = Box((0, 0, 3), (30, 32, 37))  # off the grid
    source = replace(two_kinds(), taken=(labelled,), known=(labelled,))
    first, second = propose([source], replace(WANTED, boxes=2, strategy="diverse"))
    assert first.box.start[2] >= 112  # the tissue that is less uncertain, but new
    assert first.reason.startswith("unlike the boxes so far")
    assert second.reason.startswith("like another box")
    away = replace(source, known=(), taken=(labelled,))  # a box that does not teach counts for nothing
    assert propose([away], replace(WANTED, boxes=1, strategy="diverse"))[0].box.stop[2] <= 128


def test_a_labelled_box_where_nothing_is_predicted_is_as_if_it_were_not_there():
    labelled = Box((0, 0, 224), (32, 32, 256))
    source = two_kinds(valid=(np.s_[..., 14:], 0))
    wanted = replace(WANTED, boxes=2, strategy="diverse")
    assert propose([replace(source, known=(labelled,))], wanted) == propose([source], wanted)


def test_diverse_needs_features_and_the_others_do_not():
    bare = table()
    bare = replace(bare, names=NAMES[:-FEATURES], values=bare.values[:-FEATURES])
    for strategy in set(STRATEGIES) - {"diverse"}:
        assert propose([bare], replace(WANTED, strategy=strategy))
    with pytest.raises(UsageError, match="before bins held features") as refused:
        propose([bare], replace(WANTED, strategy="diverse"))
    assert "maps/scan" in refused.value.hint


def test_fewer_than_asked_for_when_no_more_fit():
    found = propose([table((64, 64, 64))], replace(WANTED, boxes=50))
    assert 1 <= len(found) <= 8
    assert_apart(found)


def test_thin_volumes_and_images_get_boxes_cut_to_them():
    thin = table((20, 128, 128))
    image = table((1, 128, 128), bins=(16, 16, 16), volume="image")
    assert {p.box.shape for p in propose([thin], WANTED)} == {(20, 32, 32)}
    assert {p.box.shape for p in propose([image], WANTED)} == {(1, 32, 32)}
    assert not propose([table((20, 128, 128), region=Box((0, 0, 0), (10, 128, 128)))], WANTED)


def test_means_of_a_thin_volume_weigh_the_partial_bin_by_its_voxels():
    source = table((20, 32, 32), entropy=(np.s_[:], np.reshape((0.25, 1.0), (2, 1, 1))))
    (slab,) = candidates(source, BOX, 0.01)
    assert slab.entropy == pytest.approx([(16 * 0.25 + 4 * 1.0) / 20])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_a_huge_volume_drops_from_the_pool_changes_no_choice(strategy, monkeypatch):
    length = 4096 if strategy == "diverse" else 1024  # it chooses among more, and so keeps more
    source = table((64, 1024, length), fraction_2=(np.s_[0, 5:9, 40:60], 0.5), fraction_3=(np.s_[2, 30], 0.03))
    wanted = replace(WANTED, boxes=3, strategy=strategy)
    few, found = survey([source], wanted), propose([source], wanted)
    monkeypatch.setattr("rondel.loop.rank.NEIGHBOURS", 10**6)
    every = survey([source], wanted)
    assert len(every.pool.noise) == every.count == few.count == 3 * 63 * (length // 16 - 1)
    assert len(few.pool.noise) < every.count / 2
    assert propose([source], wanted) == found


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_wide_volume_that_is_gone_through_in_strips_gives_the_same_choice(strategy, monkeypatch):
    source = table((80, 200, 130), region=Box((10, 30, 0), (80, 200, 120)), taken=[Box((20, 60, 50), (40, 90, 70))])
    wanted = replace(WANTED, strategy=strategy)
    found, whole = propose([source], wanted), list(candidates(source, BOX, 0.01))
    monkeypatch.setattr("rondel.loop.candidates.STRIP", 20)
    strips = list(candidates(source, BOX, 0.01))
    assert len(strips) > 2 * len(whole)
    assert max(len(strip.starts) for strip in strips) <= 20
    assert propose([source], wanted) == found


def test_unknown_strategy_names_the_known_ones():
    with pytest.raises(UsageError, match=r"unknown strategy 'bald'.*random, foreground, entropy, diverse"):
        propose([table()], replace(WANTED, strategy="bald"))


def test_a_ranking_reads_bins_from_a_file_as_from_memory(tmp_path):
    source = table()
    np.save(tmp_path / "bins.npy", source.values[:])
    stored = replace(source, values=Bins.of(tmp_path / "bins.npy"))
    assert propose([stored], WANTED) == propose([source], WANTED)
    assert stored.values[0, :2].flags.owndata  # so that a file larger than memory is never held mapped
