"""Small real volumes that tests read."""

from pathlib import Path

import numpy as np
from rondel.store import ngff
from rondel.store.volume import Volume, describe, open_volume


def make_volume(folder: Path, image: np.ndarray, *, name: str = "scan", spacing_nm=(10.0, 10.0, 10.0)) -> Volume:
    """Write a (Z, Y, X) or (C, Z, Y, X) image as OME-Zarr and open it as a volume."""
    axes = "zyx" if image.ndim == 3 else "czyx"
    path = folder / f"{name}.ome.zarr"
    ngff.create_multiscale(
        path, name=name, axes=axes, shape=image.shape, chunks=[min(32, n) for n in image.shape], dtype=str(image.dtype),
        spacing_nm=spacing_nm, unit="nanometer", levels=1, kind="image",
        channels=[ngff.Channel(str(c), "#ffffff", None) for c in range(image.shape[0])] if image.ndim == 4 else (),
    )  # fmt: skip
    ngff.open_array(path / "s0", write=True)[...].write(image).result()
    return open_volume(describe(name, path.name, imported=True, root=folder), folder)


def texture(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Return smooth random structure of uint8 with no flat place."""
    from scipy import ndimage

    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.0)
    return np.clip(128 + 40 * noise / noise.std(), 0, 255).astype(np.uint8)
