"""How does a round make its next model version? From the done train boxes as the journal has them, and the champion."""

import importlib.metadata
import platform
from pathlib import Path

import numpy as np

from ..store import edits, label_boxes, models
from ..store.errors import LabelError
from ..store.project import Project
from ..store.records import LabelBox, Model, Purpose, State
from . import curves, device, network
from .normalise import Normalisation
from .report import Report
from .samples import Samples, TrainBox, hold_out
from .train import Trained, TrainPlan, plan_training, train

PACKAGES = ("rondel", "torch", "monai", "numpy", "zarr")


def train_model(
    project: Project, round_number: int, report: Report, *, scratch: bool = False, finish_round: bool = False
) -> Model:
    """Train, save and list the next version.

    Labels are read once, from the journal up to its last committed edit. A killed training goes on at its last
    checkpoint when nothing that decides the weights has changed. Raises LabelError when the labels cannot teach.
    """
    report("read labels", 0, 1, "boxes")
    edit = edits.last_number(project.database)
    boxes = label_boxes.select(project.database, state=[State.DONE], purpose=Purpose.TRAIN)
    champion = None if scratch else models.champion(project.database)
    sources = _train_boxes(project, boxes, edit, champion)
    plan = network.plan_network(
        project.settings.network, *_typical(sources), len(sources[0].volume.record.channels), len(project.classes)
    )
    initial, parent = _initial(project, champion, plan)
    taught, held = hold_out(sources, project.settings.train.hold_out, project.settings.project.seed)
    seed = project.settings.project.seed * 1_000_003 + models.next_number(project.database)
    samples = Samples(taught, project.settings.train, plan, seed)
    watched = Samples(held, project.settings.train, plan, seed) if held else None
    recipe = plan_training(project.settings, plan, samples, edit=edit, parent=parent.sha256 if parent else None)
    trained = _train(project, recipe, samples, initial, report, watched)
    draft = models.Draft(
        parent=parent.number if parent else None,
        round=round_number,
        classes=tuple(c.name for c in project.classes),
        steps=trained.steps,
        seconds=trained.seconds,
        edit=edit,
        boxes=tuple(sorted(s.id for s in sources)),
        loss=_last_loss(trained),
        card=_card(project, recipe, sources),
        curve=trained.curve,
    )
    model = models.save(
        project, draft, trained.arrays, finish_round=finish_round, add=lambda folder: _write_curve(folder, trained)
    )
    for left in (project.folder / "cache").glob("*training-*"):  # only now: saving may fail or be killed
        left.unlink()
    return model


def _train(project: Project, recipe: TrainPlan, samples: Samples, initial, report: Report, watched) -> Trained:
    """Train with checkpoints in cache/."""
    chosen = device.choose(project.settings.predict, project.settings.train.precision)
    checkpoint = project.folder / "cache" / f"training-{recipe.digest()[:16]}.safetensors"
    stage = f"train model {models.next_number(project.database)}"

    def tell(step: int, steps: int, loss: float, rate: float) -> None:
        if not report.cancelled:  # a step is finished before the checkpoint, from which training goes on
            report(stage, step, steps, "steps", f"loss {loss:.3f}")

    checkpoint.parent.mkdir(exist_ok=True)
    report(stage, 0, recipe.steps, "steps")
    return train(recipe, samples, initial, checkpoint, tell, lambda: report.cancelled, chosen, watched)


def _train_boxes(project: Project, boxes: list[LabelBox], edit: int, champion: Model | None) -> list[TrainBox]:
    """Gather the labelled boxes, marking those that the parent has not seen as they are now."""
    if not boxes:
        raise LabelError("no train box is done", "label one first: 'rondel boxes' lists them")
    volumes = {name: project.open_volume(name) for name in {b.volume for b in boxes}}
    sources = []
    for box in boxes:
        labels = edits.replay(project.database, box.volume, box.box, edit)
        if not labels.any():
            continue
        volume = volumes[box.volume]
        new = (
            champion is None
            or box.id not in champion.boxes
            or edits.last_number(project.database, box.id) > champion.edit
        )
        sources.append(TrainBox(box.id, volume, Normalisation.of(volume.record), box.box, labels, new))
    _check_classes(project, sources)
    return sources


def _check_classes(project: Project, sources: list[TrainBox]) -> None:
    """Refuse labels of fewer than two classes: they would teach a constant."""
    met = sorted({int(v) for s in sources for v in np.unique(s.labels)} - {0})
    if len(met) < 2:
        names = {c.value: c.name for c in project.classes}
        only = f"only '{names[met[0]]}' is labelled" if met else "the done train boxes hold no labels"
        raise LabelError(
            f"{only}; a model needs two classes or more", f"label {' and '.join(names.values())} in a train box"
        )
    channels = {len(s.volume.record.channels) for s in sources}
    if len(channels) > 1:
        raise LabelError(f"the volumes have {sorted(channels)} channels", "one network takes one number of channels")


def _typical(sources: list[TrainBox]) -> tuple[tuple[float, float, float], tuple[int, int, int]]:
    """Return the voxel size and shape that the network is planned for: of the thinnest volume that teaches."""
    record = min((s.volume.record for s in sources), key=lambda r: (r.shape[0], r.name))
    return record.spacing_nm, record.shape


def _initial(project: Project, champion: Model | None, plan: network.NetworkPlan):
    """Return the champion's weights, widened for classes added since; none when the network is another one now."""
    if champion is None:
        return None, None
    arrays, card = models.load(project, champion.number)
    old = network.NetworkPlan.from_dict(card["network"])
    if old == plan:
        return arrays, champion
    if old.to_dict() | {"classes": plan.classes} == plan.to_dict() and plan.classes > old.classes:
        return network.widen(arrays, old, plan, project.settings.project.seed), champion
    return None, None


def _card(project: Project, recipe: TrainPlan, sources: list[TrainBox]) -> dict:
    """Gather what model.json keeps, so that the version can be used and understood without the project."""
    return {
        "network": recipe.network.to_dict(),
        "labels": list(project.label_values),
        "normalisation": {s.volume.record.name: s.normalisation.to_dict() for s in sources},
        "recipe": recipe.to_dict(),
        "settings": project.settings.model_dump(by_alias=True, mode="json"),
        "versions": {"python": platform.python_version(), **{p: importlib.metadata.version(p) for p in PACKAGES}},
    }


def _last_loss(trained: Trained) -> float:
    """Average the loss of the last tenth of the steps."""
    return float(np.mean([point[1] for point in trained.curve[-max(1, trained.steps // 10) :]]))


def _write_curve(folder: Path, trained: Trained) -> None:
    """Leave the training curve beside the weights, as CSV and PNG."""
    curves.write_training_csv(folder / "curve.csv", trained.curve)
    curves.draw_training(folder / "curve.png", trained.curve)
