"""How are intensities scaled? Two percentiles of each channel of a volume become 0 and 1.

The one code path of training, prediction and ranking; the numbers are stored in the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch

from ..store.errors import ModelError
from ..store.records import VolumeRecord

CLIP = (-0.5, 1.5)
"""Hot pixels far past the percentiles would dominate a convolution."""


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Intensities of each channel that become 0 and 1."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.low) != len(self.high) or not np.isfinite([*self.low, *self.high]).all():
            raise ModelError(f"intensities {self.low} to {self.high} are no range a channel", "add the volume again")

    @classmethod
    def of(cls, record: VolumeRecord) -> Self:
        return cls(tuple(low for low, _ in record.intensities), tuple(high for _, high in record.intensities))

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Scale a (C, Z, Y, X) image of any dtype to float32 in -0.5..1.5; what is not a number becomes 0."""
        scaled = image.astype(np.float32)
        self.apply_(torch.from_numpy(scaled))
        return scaled

    def apply_(self, image: torch.Tensor) -> torch.Tensor:
        """Scale a float32 (…, C, Z, Y, X) tensor in place, on whatever device it is."""
        low = torch.tensor(self.low, dtype=torch.float32, device=image.device)[:, None, None, None]
        scale = torch.tensor(self._scale, dtype=torch.float32, device=image.device)[:, None, None, None]
        return image.sub_(low).mul_(scale).nan_to_num_(0.0, CLIP[1], CLIP[0]).clamp_(*CLIP)

    @property
    def _scale(self) -> list[float]:
        # A constant channel has no range; 1 keeps it at 0 and lets rare signal above it through.
        return [1 / (high - low) if high > low else 1.0 for low, high in zip(self.low, self.high)]

    def to_dict(self) -> dict[str, Any]:
        return {"low": list(self.low), "high": list(self.high)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        return cls(tuple(float(v) for v in fields["low"]), tuple(float(v) for v in fields["high"]))
