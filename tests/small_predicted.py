"""A small project with two models, and what the serial engine makes of it."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rondel.loop import mapping, network
from rondel.store import ledger, models, settings_file
from rondel.store import project as projects
from rondel.store.box import ZYX
from rondel.store.maps import map_folder
from rondel.store.models import Draft
from rondel.store.project import Project, open_project

from .images import make_volume, texture
from .small_rounds import SETTINGS, Quiet
from .test_predict import random_weights

SHAPE = (32, 192, 256)


@dataclass(frozen=True)
class Predicted:
    """A project with two models, and what the serial engine made of it."""

    folder: Path
    whole: dict[int, dict[str, Any]]

    def copy(self, folder: Path) -> Path:
        shutil.copytree(self.folder, folder)
        return folder


def make_predicted(folder: Path) -> Predicted:
    """Make the project, of 12 tiles, and predict it with both models in a copy."""
    with projects.create(folder / "plain", ["dark", "bright"]) as project:
        tree = project.settings.model_dump(by_alias=True, mode="json")
        for table, values in (SETTINGS | {"predict": {"memory_gb": 0.05, "threads": 1, "device": "cpu"}}).items():
            tree[table] |= values
        settings_file.write(project.folder / "project.toml", settings_file.parse(tree))
        projects.add_volume(project, make_volume(project.folder, texture(SHAPE)).record)
    with open_project(folder / "plain") as project:
        for seed in (1, 2):
            save_model(project, seed)
        shutil.copytree(project.folder, folder / "done")
    with open_project(folder / "done") as project:
        for number in (1, 2):
            mapping.predict_volume(project, "scan", number, Quiet(), probabilities=True)
        return Predicted(folder / "plain", {number: outcome(project, number) for number in (1, 2)})


def save_model(project: Project, seed: int, shape: ZYX = SHAPE) -> None:
    plan = network.plan_network(project.settings.network, (10.0, 10.0, 10.0), shape, 1, 2)
    card = {"network": plan.to_dict(), "labels": [1, 2], "normalisation": {}}
    draft = Draft(None, 1, ("dark", "bright"), 1, 1.0, 0, (), 0.1, card, ())
    number = models.save(project, draft, random_weights(plan, seed)).number
    models.judge(project.database, number, "for a test", True)


def outcome(project: Project, number: int = 1) -> dict[str, Any]:
    folder = map_folder(project.folder, "scan", number)
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".__lock")]
    return {
        "tiles": ledger.done_tiles(project.database, "scan", number, probabilities=True),
        "files": {str(path.relative_to(folder)): path.read_bytes() for path in files},
    }


def assert_equal(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert found["tiles"] == wanted["tiles"]
    assert found["files"].keys() == wanted["files"].keys()
    assert [name for name in wanted["files"] if found["files"][name] != wanted["files"][name]] == []
