"""How is a listed model version made ready to predict?"""

from dataclasses import dataclass

from ..store import models
from ..store.box import ZYX, Box
from ..store.errors import ModelError
from ..store.project import Project
from ..store.records import VolumeRecord
from . import device
from .network import NetworkPlan
from .normalise import Normalisation
from .predict import Predictor


@dataclass(frozen=True, slots=True)
class Loaded:
    """A version with its weights on the device, and the tables that it was trained with."""

    number: int
    predictor: Predictor
    labels: tuple[int, ...]
    """Label value of each network channel."""
    names: tuple[str, ...]
    normalisations: dict[str, Normalisation]

    def normalisation(self, record: VolumeRecord) -> Normalisation:
        """Return the scaling of a volume that the model was trained with; a new volume's own otherwise."""
        takes, has = self.predictor.plan.channels, len(record.channels)
        if has != takes:
            raise ModelError(
                f"model {self.number} takes {takes} channels, '{record.name}' has {has}",
                "add the volume again with as many --channel",
            )
        return self.normalisations.get(record.name) or Normalisation.of(record)


def load(project: Project, number: int) -> Loaded:
    """Load a version; raises ModelError when its files are not those that were saved."""
    arrays, card = models.load(project, number)
    settings = project.settings.predict
    chosen = device.choose(settings)
    device.prepare(chosen)
    plan = NetworkPlan.from_dict(card["network"])
    scalings = {name: Normalisation.from_dict(fields) for name, fields in card["normalisation"].items()}
    predictor = Predictor.load(plan, arrays, chosen, settings.backend, project.folder / "cache")
    return Loaded(number, predictor, tuple(card["labels"]), tuple(card["classes"]), scalings)


def tile_shape(
    project: Project,
    record: VolumeRecord,
    loaded: Loaded,
    chunks: ZYX,
    region: Box,
    halo: ZYX | None = None,
    process: float | None = None,
) -> ZYX:
    """Choose what a tile writes, within [predict] memory_gb, when it reads this context; by default all it takes.

    `process` are the bytes of memory of the process that computes, by default this machine's.
    """
    predictor = loaded.predictor
    memory = device.tile_memory(project.settings.predict, predictor.device, process)
    return device.choose_tile(predictor.plan, record.shape, chunks, memory, predictor.device, region, halo)
