"""A small project that is ready for its first training, and what a round left in one."""

from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
from rondel.loop import jobs, oracle, rounds
from rondel.store import edits, importers, label_boxes, labels, ledger, models, settings_file
from rondel.store import project as projects
from rondel.store.maps import map_folder
from rondel.store.project import Project
from rondel.store.records import Job, JobState, Progress, State

from .images import make_volume, texture

SHAPE = (32, 192, 256)
SETTINGS: dict[str, dict[str, Any]] = {
    "boxes": {"shape": [16, 16, 16], "per_round": 3, "reserve": 0},
    "test": {"boxes": 2},
    "network": {"filters": [4, 8, 8]},
    "train": {"steps": 40, "checkpoint": 2, "patch": [16, 24, 24]},
    "predict": {"memory_gb": 0.05, "threads": 1},
}


def make_labelled(folder: Path) -> None:
    """Make a project whose boxes of round 1 but one are labelled by an oracle, so that training is due."""
    image = texture(SHAPE)
    with projects.create(folder, ["dark", "bright"]) as project:
        tree = project.settings.model_dump(by_alias=True, mode="json")
        for table, values in SETTINGS.items():
            tree[table] |= values
        settings_file.write(folder / "project.toml", settings_file.parse(tree))
        projects.add_volume(project, make_volume(folder, image).record)
        np.save(folder / "truth.npy", (1 + (image > 128)).astype(np.uint8))
    with projects.open_project(folder) as project:
        run_round(project)
        truth = importers.open_labels(folder / "truth.npy", None, 2)
        for box in rounds.waiting_boxes(project)[:-1]:
            oracle.answer(project, box, truth, None)


def run_round(project: Project, show=lambda progress: None) -> Job:
    job = jobs.follow(project, jobs.start(project, "round", {}), show)
    assert job.state == JobState.DONE, (job, jobs.log_path(project, job.id).read_text())
    return job


def check_whole(project: Project) -> None:
    """Fail unless every listed model loads, and the saved labels are those that were acknowledged."""
    for model in models.models(project.database):
        models.load(project, model.number)  # compares sha256
    truth = np.load(project.folder / "truth.npy")
    done = label_boxes.select(project.database, state=[State.DONE])
    assert len(done) == len(edits.history(project.database)) == 4
    for box in done:
        np.testing.assert_array_equal(labels.read(project, "scan", box.box), truth[box.box.slices])


def outcome(project: Project) -> dict[str, Any]:
    """Gather all that a round decides; two runs that went alike give equal outcomes."""
    database = project.database
    listed = models.models(database)
    folder = map_folder(project.folder, "scan", 1)
    return {
        "models": [(m.number, m.parent, m.champion, m.boxes, m.edit, m.steps, m.loss, m.verdict) for m in listed],
        "weights": [models.load(project, m.number)[0] for m in listed],
        "curves": [models.curve(database, m.number) for m in listed],
        "scores": [astuple(s) for s in ledger.scores(database, 1)],
        "boxes": [
            (b.id, b.box, b.round, b.purpose, b.state, b.priority, b.reason) for b in label_boxes.select(database)
        ],
        "rounds": [(r.number, r.state, r.model, r.trained, r.strategy, r.seed) for r in ledger.rounds(database)],
        "tiles": ledger.done_tiles(database, "scan", 1),
        "tiles recorded": database.changes()["tile"],
        "maps": {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and not path.name.endswith(".__lock")
        },
    }


def assert_equal(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name in wanted.keys() - {"weights", "maps"}:
        assert found[name] == wanted[name], name
    for arrays, others in zip(found["weights"], wanted["weights"], strict=True):
        assert arrays.keys() == others.keys()
        assert max(float(np.abs(arrays[n] - others[n]).max()) for n in others) == 0
    assert found["maps"].keys() == wanted["maps"].keys()
    assert [name for name in wanted["maps"] if found["maps"][name] != wanted["maps"][name]] == []


class Stages:
    """Remembers when each stage of a job was first seen, to say how long stages take."""

    def __init__(self) -> None:
        self.seen: dict[str, float] = {}
        self.last = 0.0

    def __call__(self, progress: Progress) -> None:
        self.seen.setdefault(progress.stage, progress.updated)

    def seconds(self, first: str, then: str | None = None) -> float:
        """Return the time from a stage's begin to another's, or to the end of the job."""
        times = [time for stage, time in self.seen.items() if stage.startswith(first)]
        ends = [time for stage, time in self.seen.items() if then and stage.startswith(then)]
        return (ends[0] if ends else self.last) - times[0]


class Quiet:
    """A report that nobody hears."""

    cancelled = False

    def __call__(self, stage: str, done: float, total: float, unit: str, text: str = "") -> None:
        pass
