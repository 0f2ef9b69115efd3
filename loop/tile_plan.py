"""What must another process know to compute tiles? Plain values: no arrays, and never the database."""

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ..store import models
from ..store.errors import UsageError
from ..store.maps import MapPlan, Maps, map_folder
from ..store.project import Project
from ..store.records import VolumeRecord
from ..store.settings import PredictTable
from ..store.volume import open_volume
from . import device
from .loaded import Loaded
from .network import NetworkPlan
from .normalise import Normalisation
from .predict import Opened, Predictor


@dataclass(frozen=True, slots=True)
class TilePlan:
    """All that tells one prediction from another; what a worker has opened serves every tile of an equal plan."""

    root: Path
    """The project folder, under the same path wherever tiles are computed."""
    volume: VolumeRecord
    map: MapPlan
    model_folder: Path
    sha256: str
    """Of the weights, so that no worker goes on with others."""
    normalisation: Normalisation
    settings: PredictTable
    """With the backend that computes in the driving job, so that workers on CPUs give the same bytes or an error."""
    probabilities: bool

    @classmethod
    def of(cls, project: Project, volume: VolumeRecord, loaded: Loaded, opened: Maps, keep: bool, threads: int) -> Self:
        """Plan the tiles of an open map; `threads` are those of one worker's computation."""
        return cls(
            project.folder.resolve(),
            volume,
            opened.plan,
            models.model_folder(project, loaded.number).resolve(),
            models.get(project.database, loaded.number).sha256,
            loaded.normalisation(volume),
            project.settings.predict.model_copy(update={"threads": threads, "backend": loaded.predictor.backend.name}),
            keep,
        )

    def open(self) -> Opened:
        """Open image, map and network; raises UsageError where the project's folder is not to be seen."""
        folder = map_folder(self.root, self.map.volume, self.map.model)
        if not folder.is_dir():
            raise UsageError(
                f"a worker on {socket.gethostname()} does not see {folder}",
                "workers need the project under the same path as here",
            )
        arrays, card = models.read(self.model_folder, self.map.model, self.sha256)
        chosen = device.choose(self.settings)
        backend = self.settings.backend if chosen.type == "cpu" else "torch"
        network = NetworkPlan.from_dict(card["network"])
        predictor = Predictor.load(network, arrays, chosen, backend, self.root / "cache")
        volume = open_volume(self.volume, self.root)
        return Opened(volume, Maps(folder, self.map), predictor, self.normalisation, self.probabilities)
