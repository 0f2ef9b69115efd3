"""Augmentations: image and label always move together, nothing known comes from outside, each does what it says."""

import numpy as np
import pytest
import torch
from rondel.loop.augment import augment, bend, dim, turn
from rondel.store.settings import AugmentTable
from scipy import ndimage

OFF: dict = {
    "flip": False, "rot90": False, "rotate": 0, "scale": 0, "shear": 0, "elastic": 0, "affine": 0,
    "brightness": 0, "contrast": 0, "gamma": 0, "noise": 0,
}  # fmt: skip
FULL = AugmentTable.model_validate({})
CUBE = np.array([[10.0, 10, 10]])


def table(**fields) -> AugmentTable:
    return AugmentTable.model_validate(OFF | fields)


def coordinates(shape, batch=1) -> tuple[torch.Tensor, torch.Tensor]:
    """Make an image whose three channels are each voxel's z, y, x, and a label for each eighth, in blocks of four."""
    zyx = np.stack(np.indices(shape)).astype(np.float32)
    label = (np.indices(shape) // 4 % 2 * np.array([4, 2, 1])[:, None, None, None]).sum(0) + 1
    images, labels = torch.from_numpy(zyx)[None], torch.from_numpy(label.astype(np.uint8))[None]
    return images.repeat(batch, 1, 1, 1, 1), labels.repeat(batch, 1, 1, 1)


def label_at(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Read from a moved coordinate image which label each voxel came from, and where it is clear of a block's face."""
    place = images + 0.5
    block = (place / 4).floor()
    inside = ((place / 4 - block) * 4 - 2).abs().amax(1) < 1.95
    bits = (block % 2).to(torch.uint8)
    return bits[:, 0] * 4 + bits[:, 1] * 2 + bits[:, 2] + 1, inside


SPACINGS = [(10, 10, 10), (15, 10, 10), (40, 10, 10)]
MOVES = [
    {"flip": True}, {"rot90": True},
    {"affine": 1, "rotate": 40}, {"affine": 1, "scale": 0.4}, {"affine": 1, "shear": 0.4},
    {"affine": 1, "elastic": 0.3},
    {"flip": True, "rot90": True, "affine": 1, "rotate": 30, "scale": 0.2, "shear": 0.2, "elastic": 0.2},
]  # fmt: skip


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("shape", [(16, 16, 16), (8, 16, 24), (1, 16, 16)])
def test_image_and_label_move_together(move, spacing, shape):
    images, labels = coordinates(shape, 6)
    moved, labelled = augment(images, labels, np.tile(spacing, (6, 1)), table(**move), (3, 4))
    expected, certain = label_at(moved)
    known = labelled > 0
    assert torch.equal(labelled[known & certain], expected[known & certain])
    assert (known & certain).float().mean() > 0.3
    possible = any(n > 1 for n in shape) and not torch.equal(moved, images)
    assert possible or (move == {"rot90": True} and shape == (8, 16, 24))


def test_intensities_change_no_label():
    images, labels = coordinates((8, 8, 8), 2)
    changed, same = augment(
        images / 8, labels, np.tile(CUBE, (2, 1)), table(brightness=0.3, contrast=0.3, gamma=0.3, noise=0.1), (0, 0)
    )
    assert torch.equal(same, labels) and not torch.allclose(changed, images / 8, atol=0.02)


def test_everything_off_changes_nothing():
    images, labels = coordinates((8, 8, 8), 2)
    same, labelled = augment(images, labels, np.tile(CUBE, (2, 1)), table(), (0, 0))
    assert torch.equal(same, images) and torch.equal(labelled, labels)


def test_the_same_seed_augments_the_same_and_another_differently():
    images, labels = coordinates((8, 8, 8), 4)
    spacing = np.tile(CUBE, (4, 1))
    one, same, other = (augment(images, labels, spacing, FULL, (7, step)) for step in (1, 1, 2))
    assert torch.equal(one[0], same[0]) and torch.equal(one[1], same[1])
    assert not torch.equal(one[0], other[0])


def line(shape=(1, 33, 33)) -> torch.Tensor:
    """Make an upright line through the middle of a section."""
    image = torch.zeros(1, 1, *shape)
    image[..., shape[2] // 2] = 1
    return image


def angle(section: np.ndarray) -> float:
    """Measure by how many voxels of x a line moves for each voxel of y, near the middle."""
    rows = np.arange(8, 25)
    centres = (section[rows] * np.arange(section.shape[1])).sum(1) / section[rows].sum(1)
    return float(np.polyfit(rows, centres, 1)[0])


def test_shear_shears():
    image, labels = line(), torch.ones(1, 1, 33, 33, dtype=torch.uint8)
    upright, level, slopes = image, image.transpose(-1, -2).contiguous(), []
    for seed in range(20):
        rng = [np.random.default_rng(seed) for _ in range(2)]
        first = bend(upright, labels, CUBE, table(affine=1, shear=0.3), rng[0])[0][0, 0, 0].numpy()
        second = bend(level, labels, CUBE, table(affine=1, shear=0.3), rng[1])[0][0, 0, 0].numpy()
        slopes.append((angle(first), angle(second.T)))
    tilts = np.abs(slopes)
    assert (tilts.min(1) < 1e-3).all(), "a rotation would tilt both lines"
    assert 0.15 < tilts.max() <= 0.31


def test_rotation_keeps_angles_and_lengths():
    image, labels = line(), torch.ones(1, 1, 33, 33, dtype=torch.uint8)
    for seed in range(5):
        rng = [np.random.default_rng(seed) for _ in range(2)]
        upright = bend(image, labels, CUBE, table(affine=1, rotate=20), rng[0])[0][0, 0, 0].numpy()
        level = bend(image.transpose(-1, -2), labels, CUBE, table(affine=1, rotate=20), rng[1])[0][0, 0, 0].numpy()
        assert angle(upright) == pytest.approx(-angle(level.T), abs=0.01)
        assert 0.005 < abs(angle(upright)) < np.tan(np.radians(20.5))


def test_scaling_changes_the_size_in_the_stated_range():
    zyx = np.indices((17, 17, 17)) - 8
    ball = torch.from_numpy(((zyx**2).sum(0) <= 25).astype(np.float32))[None, None]
    labels = torch.ones(1, 17, 17, 17, dtype=torch.uint8)
    sizes = [
        float(bend(ball, labels, CUBE, table(affine=1, scale=0.3), np.random.default_rng(s))[0].sum() / ball.sum())
        for s in range(30)
    ]
    assert min(sizes) < 0.8 and max(sizes) > 1.2 and min(sizes) > 0.7**3 * 0.9 and max(sizes) < 1.3**3 * 1.1


def test_bending_is_in_nm_so_that_anisotropic_voxels_keep_round_things_round():
    spacing = np.array([[20.0, 10, 10]])
    place = np.indices((16, 32, 32)) - np.array([7.5, 15.5, 15.5])[:, None, None, None]
    radius = np.sqrt(((place * spacing[0][:, None, None, None]) ** 2).sum(0))
    ball = torch.from_numpy((radius <= 100).astype(np.float32))[None, None]
    labels = torch.ones(1, 16, 32, 32, dtype=torch.uint8)
    for seed in range(4):
        turned = bend(ball, labels, spacing, table(affine=1, rotate=45), np.random.default_rng(seed))[0]
        assert not torch.equal(turned, ball)
        assert (turned.round() != ball)[0, 0, radius < 150].sum() < 0.12 * ball.sum()


def test_thick_sections_are_bent_only_in_their_plane():
    zyx = torch.from_numpy(np.indices((8, 16, 16)).astype(np.float32))[None]
    labels = torch.ones(1, 8, 16, 16, dtype=torch.uint8)
    move = table(affine=1, rotate=40, scale=0.3, shear=0.3)
    thick = bend(zyx, labels, np.array([[30.0, 10, 10]]), move, np.random.default_rng(0))[0]
    cube = bend(zyx, labels, CUBE, move, np.random.default_rng(0))[0]
    assert torch.allclose(thick[:, 0], zyx[:, 0], atol=1e-4) and not torch.allclose(cube[:, 0], zyx[:, 0], atol=0.1)
    assert not torch.allclose(thick[:, 1:], zyx[:, 1:], atol=0.1)


def test_elastic_shifts_are_smooth_differ_and_keep_to_their_range():
    zyx, labels = coordinates((24, 32, 40), 4)
    move = table(affine=1, elastic=0.25)
    bent = bend(zyx, labels, np.tile(CUBE, (4, 1)), move, np.random.default_rng(0))[0]
    inner = (..., slice(5, -5), slice(5, -5), slice(5, -5))  # clear of what is reflected
    shift = (bent - zyx)[inner]
    assert 1 < shift.abs().max() <= 0.25 * 16 and not torch.allclose(shift[0], shift[1], atol=0.5)
    for axis in range(3):
        along = bent[inner][:, axis].diff(dim=1 + axis)
        assert along.min() > 0, "nothing is folded over"
        assert shift[:, axis].diff(n=2, dim=1 + axis).abs().max() < 0.15
    thick = bend(zyx, labels, np.tile((30.0, 10, 10), (4, 1)), move, np.random.default_rng(0))[0]
    assert torch.allclose(thick[:, 0], zyx[:, 0], atol=1e-4)
    assert 1 < (thick - zyx)[inner][:, 1:].abs().max() <= 4


def test_what_comes_from_outside_is_unlabelled():
    images, labels = torch.ones(8, 1, 16, 16, 16), torch.full((8, 16, 16, 16), 2, dtype=torch.uint8)
    bent, moved = bend(images, labels, np.tile(CUBE, (8, 1)), table(affine=1, rotate=45), np.random.default_rng(0))
    assert set(moved.unique().tolist()) == {0, 2} and torch.allclose(bent, images, atol=1e-5)
    assert (moved[:, 6:10, 6:10, 6:10] == 2).all()


def test_the_share_of_bent_patches_is_the_stated_one():
    images, labels = coordinates((1, 8, 8), 400)
    bent, _ = bend(images, labels, np.tile(CUBE, (400, 1)), table(affine=0.3, rotate=30), np.random.default_rng(0))
    changed = (bent != images).flatten(1).any(1).float().mean()
    assert abs(float(changed) - 0.3) < 0.07


def test_quarter_turns_only_in_planes_of_square_voxels():
    images, labels = coordinates((8, 8, 8), 40)
    turned, _ = turn(images, labels, np.tile((20.0, 10, 10), (40, 1)), table(rot90=True), np.random.default_rng(0))
    assert torch.equal(turned[:, 0], images[:, 0])
    assert len({tuple(t[1, 0, 0, :2].tolist()) for t in turned}) == 4
    cubes, _ = turn(images, labels, np.tile(CUBE, (40, 1)), table(rot90=True), np.random.default_rng(0))
    assert any(not torch.equal(c[0], images[0, 0]) for c in cubes)


def test_flips_mirror_each_axis_about_half_the_time():
    images, labels = coordinates((4, 4, 4), 300)
    flipped, _ = turn(images, labels, np.tile((20.0, 10, 10), (300, 1)), table(flip=True), np.random.default_rng(0))
    shares = (flipped[:, :, 0, 0, 0] != 0).float().mean(0)
    assert ((shares - 0.5).abs() < 0.1).all()


@pytest.mark.parametrize("name, measure", [
    ("brightness", lambda a, b: float((b - a).mean())),
    ("contrast", lambda a, b: float(b.std() / a.std() - 1)),
    ("gamma", lambda a, b: float(np.log(np.median(b)) / np.log(np.median(a)) - 1)),
    ("noise", lambda a, b: float((b - a).std())),
])  # fmt: skip
def test_each_intensity_change_keeps_to_its_range(name, measure):
    image = torch.rand(1, 1, 12, 12, 12, generator=torch.Generator().manual_seed(0))
    found = [
        measure(image[0, 0].numpy(), dim(image, table(**{name: 0.2}), np.random.default_rng(s))[0, 0].numpy())
        for s in range(30)
    ]
    assert max(np.abs(found)) < 0.215 and np.ptp(found) > 0.1
    assert min(found) < -0.05 or name == "noise"


def test_gamma_leaves_negative_intensities_alone():
    image = torch.linspace(-0.5, 1.5, 64).reshape(1, 1, 4, 4, 4)
    changed = dim(image, table(gamma=0.9), np.random.default_rng(1))
    assert torch.isfinite(changed).all() and torch.equal(changed[image <= 0], image[image <= 0])
    assert (changed.flatten().diff() >= 0).all()


def test_bending_agrees_with_an_independent_resampling():
    section = torch.from_numpy(ndimage.gaussian_filter(np.random.default_rng(0).random((33, 33)), 2).astype(np.float32))
    labels = torch.ones(1, 1, 33, 33, dtype=torch.uint8)
    bent = bend(section[None, None, None], labels, CUBE, table(affine=1, rotate=30), np.random.default_rng(3))[0]
    degrees = np.degrees(np.arctan(angle(bend(line(), labels, CUBE, table(affine=1, rotate=30),
                                              np.random.default_rng(3))[0][0, 0, 0].numpy())))  # fmt: skip
    expected = ndimage.rotate(section.numpy(), degrees, reshape=False, order=1)
    assert np.abs(bent[0, 0, 0].numpy() - expected)[8:25, 8:25].max() < 0.02


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_the_gpu_moves_patches_as_the_cpu_does():
    images, labels = coordinates((16, 16, 16), 4)
    spacing = np.tile(CUBE, (4, 1))
    move = table(flip=True, rot90=True, affine=1, rotate=30, scale=0.2, shear=0.2, gamma=0.2)
    cpu, cuda = (augment(images.to(d), labels.to(d), spacing, move, (1, 2)) for d in ("cpu", "cuda"))
    assert torch.allclose(cpu[0], cuda[0].cpu(), atol=1e-2)
    assert (cpu[1] != cuda[1].cpu()).float().mean() < 0.01
