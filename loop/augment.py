"""Which augmentations? Mirrored, turned, bent and dimmed patches, image and label always together.

Every choice comes from one random state per step, drawn before anything is computed, so the same step gives the same
patches again. Images are interpolated linearly, labels to the nearest voxel; what comes from outside is unlabelled.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from ..store.settings import AugmentTable

FLAT = 2.0
"""Axes coarser than the finest by more than this are not bent: neighbours there are too far apart to interpolate."""
ELASTIC = 16
"""Voxels of the finest axis between the control points of an elastic shift."""
SQUARE = 1.01
"""Sides of a voxel that differ by less are equal enough for quarter turns."""


def augment(
    images: torch.Tensor, labels: torch.Tensor, spacing_nm: np.ndarray, settings: AugmentTable, seed: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Augment images (B, C, Z, Y, X) and labels (B, Z, Y, X) on their device, by `seed`; spacing is (B, 3) in nm."""
    rng = np.random.default_rng(seed)
    images, labels = bend(images, labels, spacing_nm, settings, rng)
    images, labels = turn(images, labels, spacing_nm, settings, rng)
    return dim(images, settings, rng), labels


def bend(
    images: torch.Tensor, labels: torch.Tensor, spacing_nm: np.ndarray, settings: AugmentTable, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotate, scale, shear and shift a share of the patches, in nm, in one interpolation."""
    shape = images.shape[2:]
    chosen = rng.random(len(images)) < settings.affine
    matrices = [_matrix(shape, spacing, settings, rng) for spacing in spacing_nm]
    shifts = [_shift(shape, spacing, settings.elastic, rng) for spacing in spacing_nm] if settings.elastic else []
    if not chosen.any():
        return images, labels
    where = torch.from_numpy(np.flatnonzero(chosen)).to(images.device)
    theta = np.stack([_normalised(m, shape, s) for m, s, c in zip(matrices, spacing_nm, chosen) if c])
    size = [len(where), 1, *shape]
    grid = F.affine_grid(torch.from_numpy(theta).float().to(images.device), size, align_corners=False)
    if shifts:
        grid += torch.from_numpy(np.stack([s for s, c in zip(shifts, chosen) if c])).to(grid)
    bent = F.grid_sample(images[where], grid, "bilinear", "reflection", align_corners=False)
    moved = F.grid_sample(labels[where].float()[:, None], grid, "nearest", "zeros", align_corners=False)
    return images.index_copy(0, where, bent), labels.index_copy(0, where, moved[:, 0].to(labels.dtype))


def turn(
    images: torch.Tensor, labels: torch.Tensor, spacing_nm: np.ndarray, settings: AugmentTable, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mirror each patch along random axes and turn it by quarters in planes of square voxels and equal sides."""
    turned, moved = [], []
    for image, label, spacing in zip(images, labels, spacing_nm):
        mirrored = np.flatnonzero(rng.random(3) < 0.5).tolist()
        quarters = [(plane, int(rng.integers(4))) for plane in itertools.combinations(range(3), 2)]
        if settings.flip and mirrored:
            image, label = image.flip([a + 1 for a in mirrored]), label.flip(mirrored)
        for (a, b), times in quarters:
            if settings.rot90 and times and label.shape[a] == label.shape[b] and _square(spacing[a], spacing[b]):
                image, label = image.rot90(times, (a + 1, b + 1)), label.rot90(times, (a, b))
        turned.append(image)
        moved.append(label)
    return torch.stack(turned), torch.stack(moved)


def dim(images: torch.Tensor, settings: AugmentTable, rng: np.random.Generator) -> torch.Tensor:
    """Change gamma, contrast, brightness and noise of each patch and channel; intensities are 0 to 1, roughly."""
    shape = (*images.shape[:2], 1, 1, 1)

    def draw(low: float, high: float) -> torch.Tensor:
        return torch.from_numpy(rng.uniform(low, high, shape)).to(images)

    gamma = draw(-1, 1).mul_(math.log1p(settings.gamma)).exp_()
    contrast = 1 + draw(-settings.contrast, settings.contrast)
    brightness = draw(-settings.brightness, settings.brightness)
    deviation = draw(0, settings.noise)
    generator = torch.Generator(images.device).manual_seed(int(rng.integers(2**63)))
    if settings.gamma:
        images = torch.where(images > 0, images.clamp_min(1e-6).pow(gamma), images)
    if settings.contrast:
        mean = images.mean((2, 3, 4), keepdim=True)
        images = (images - mean) * contrast + mean
    if settings.noise:
        noise = torch.randn(images.shape, generator=generator, device=images.device, dtype=images.dtype)
        images = images + deviation * noise
    return images + brightness


def _matrix(shape: Sequence[int], spacing: np.ndarray, settings: AugmentTable, rng: np.random.Generator) -> np.ndarray:
    """Draw the 3 x 3 matrix, in nm and z, y, x, that takes a place in the result to its place in the patch."""
    angles = np.radians(rng.uniform(-settings.rotate, settings.rotate, 3))
    scales = rng.uniform(1 - settings.scale, 1 + settings.scale, 3)
    shears = rng.uniform(-settings.shear, settings.shear, 3)
    free = _free(shape, spacing)
    rotation, shear = np.eye(3), np.eye(3)
    for (a, b), angle, slope in zip(itertools.combinations(range(3), 2), angles, shears):
        if free[a] and free[b]:
            plane = np.eye(3)
            plane[[a, a, b, b], [a, b, a, b]] = math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)
            rotation = rotation @ plane
            shear[a, b] = slope
    return np.linalg.inv(rotation @ shear @ np.diag(np.where(free, scales, 1.0)))


def _shift(shape: Sequence[int], spacing: np.ndarray, elastic: float, rng: np.random.Generator) -> np.ndarray:
    """Draw how far each voxel is shifted, for affine_grid: (Z, Y, X, 3), as a cubic spline of control points."""
    between = ELASTIC * min(spacing)
    z, y, x = (_spline(n, between / step) for n, step in zip(shape, spacing))
    points = rng.uniform(-1, 1, (3, z.shape[1], y.shape[1], x.shape[1])) * elastic * between  # in nm
    points *= (_free(shape, spacing) / (np.array(shape) * spacing / 2))[:, None, None, None]
    return np.einsum("azyx,iz,jy,kx->ijka", points, z, y, x, optimize=True)[..., ::-1].astype(np.float32)


def _spline(length: int, between: float) -> np.ndarray:
    """Return the weights (length, points) of a uniform cubic B-spline's points; those of a voxel add up to 1."""
    places = (np.arange(length) + 0.5) / between
    distance = np.abs(places[:, None] + 1 - np.arange(int(length / between) + 4))
    return np.where(distance < 1, 2 / 3 - distance**2 + distance**3 / 2, np.clip(2 - distance, 0, None) ** 3 / 6)


def _free(shape: Sequence[int], spacing: np.ndarray) -> np.ndarray:
    """Tell which axes are bent: fine ones of more than one voxel."""
    return (spacing <= FLAT * min(spacing)) & (np.array(shape) > 1)


def _normalised(matrix: np.ndarray, shape: Sequence[int], spacing: np.ndarray) -> np.ndarray:
    """Express a matrix in nm for affine_grid: axes x, y, z, each -1 to 1 from edge to edge of the patch."""
    half = np.array(shape) * spacing / 2
    scaled = matrix * half[None, :] / half[:, None]
    return np.concatenate([scaled[::-1, ::-1], np.zeros((3, 1))], axis=1)


def _square(a: float, b: float) -> bool:
    return max(a, b) <= SQUARE * min(a, b)
