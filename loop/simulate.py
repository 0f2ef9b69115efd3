"""What would rounds bring on my data? An oracle answers from a dense truth, in projects of its own."""

import itertools
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..store import importers, label_boxes, labels, ledger, models, settings_file
from ..store import project as projects
from ..store.atomic import write_text
from ..store.box import Box
from ..store.errors import LabelError, UsageError
from ..store.maps import Maps
from ..store.project import Project
from ..store.records import LabelBox, Purpose, RoundState, State, VolumeRecord
from . import curves, judge, learn, mapping, oracle, propose, rounds
from .curves import CurvePoint
from .metrics import count, summarise
from .report import Report

DENSE = "dense"
"""The reference arm: all labels of the region at once, trained for as many steps as the rounds take together."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be simulated."""

    volume: str
    truth: importers.LabelSource
    strategies: tuple[str, ...]
    rounds: int
    boxes: int
    seeds: int
    region: Box
    score_region: Box


def work_simulate(project: Project, arguments: dict[str, Any], report: Report) -> dict[str, Any]:
    """Run every strategy with every seed; leaves curve.csv, curve.png and result.json beside the working project.

    `project` is the simulation's own: it holds the volume and the settings, and the runs are made inside its folder.
    """
    request = _request(project, arguments)
    out = Path(arguments["out"])
    points: list[CurvePoint] = []
    notes: list[str] = []
    runs = list(itertools.product(range(request.seeds), sorted(request.strategies, key=lambda s: s == DENSE)))
    for number, (seed, strategy) in enumerate(runs):
        name = f"{strategy}, seed {seed} ({number + 1} of {len(runs)})"
        points += Run(project, request, strategy, seed, _Prefixed(report, name), notes).points()
        curves.write_csv(out / "curve.csv", points)
    background = project.classes[0].name
    curves.draw(out / "curve.png", points, background=background)
    notes = list(dict.fromkeys(notes))
    write_text(out / "result.json", json.dumps({"schema": 1, **_summary(request, points), "notes": notes}, indent=1))
    return {"out": str(out), "table": curves.table(points, background), "notes": notes}


class Run:
    """One strategy with one seed, in a project of its own."""

    def __init__(
        self, parent: Project, request: Request, strategy: str, seed: int, report: Report, notes: list[str]
    ) -> None:
        self.request, self.strategy, self.seed, self.report, self.notes = request, strategy, seed, report, notes
        self.record = parent.volume_record(request.volume)
        self.project = _own_project(parent, self.record, request, strategy, seed)
        self.voxels = self.actions = self.boxes = 0
        self.seconds = 0.0

    def points(self) -> list[CurvePoint]:
        """Run it and return its learning curve."""
        with self.project:
            if self.strategy == DENSE:
                return self._dense()
            points = []
            for _ in range(self.request.rounds):
                points += self._round()
            return points

    def _round(self) -> list[CurvePoint]:
        notes: list[str] = []
        began = time.monotonic()
        rounds.rank_step(self.project, self.report, notes)
        self.seconds += time.monotonic() - began
        self._answer()
        self._ensure_two_classes()
        began = time.monotonic()
        rounds.train_step(self.project, self.report, notes)
        rounds.score_step(self.project, self.report, notes)
        self.seconds += time.monotonic() - began
        return self._score(models.models(self.project.database)[-1].number)

    def _dense(self) -> list[CurvePoint]:
        block = labels.label_chunks(self.record.shape)
        cells = [
            Box.at(start, block).intersect(self.request.region)
            for start in itertools.product(*(range(0, n, b) for n, b in zip(self.record.shape, block)))
        ]
        wanted = [
            LabelBox(0, self.record.name, cell, 0, Purpose.TRAIN, State.OPEN, 0.0, "all labels", DENSE)
            for cell in cells
            if not cell.empty
        ]
        for id in label_boxes.add(self.project.database, wanted):
            found = oracle.answer(self.project, label_boxes.get(self.project.database, id), self.request.truth, None)
            self.voxels, self.actions, self.boxes = (
                self.voxels + found.voxels,
                self.actions + found.actions,
                self.boxes + 1,
            )
        began = time.monotonic()
        model = learn.train_model(self.project, 0, self.report)
        judge.score_and_gate(self.project, model.number, self.report)
        self.seconds += time.monotonic() - began
        return self._score(model.number)

    def _answer(self) -> None:
        waiting = rounds.waiting_boxes(self.project)
        if len(waiting) < self.request.boxes:
            number = len(ledger.rounds(self.project.database))
            self.notes.append(
                f"round {number}: {len(waiting)} of {self.request.boxes} boxes; no more fit into {self.request.region}"
            )
        champion = models.champion(self.project.database)
        maps = Maps.open(self.project.folder, self.record.name, champion.number) if champion else None
        for box in waiting:
            predicted = maps.read_classes(box.box) if maps else None
            found = oracle.answer(self.project, box, self.request.truth, predicted)
            self.voxels, self.actions, self.boxes = (
                self.voxels + found.voxels,
                self.actions + found.actions,
                self.boxes + 1,
            )

    def _ensure_two_classes(self) -> None:
        """Go on labelling until a second class was met, as a person would before training."""
        while not self._two_classes():
            current = ledger.last_round(self.project.database)
            if current is None or not propose.propose_boxes(self.project, current, 1, 0, self.report):
                raise LabelError(
                    "the region's boxes hold one class only", "simulate where the truth has several classes"
                )
            self._answer()
            self.notes.append(f"{self.strategy}, seed {self.seed}: boxes were added until a second class was met")

    def _two_classes(self) -> bool:
        met: set[int] = set()
        for box in label_boxes.select(self.project.database, state=[State.DONE]):
            met |= set(labels.read(self.project, box.volume, box.box).ravel().tolist()) - {0}
        return len(met) > 1

    def _score(self, number: int) -> list[CurvePoint]:
        """Score a version on all of the score region, with an interval over its blocks."""
        mapping.predict_volume(self.project, self.record.name, number, self.report, region=self.request.score_region)
        maps = Maps.open(self.project.folder, self.record.name, number)
        values, counts = self.project.label_values, []
        for block in score_blocks(self.request.score_region, mapping.box_shape(self.project, self.record)):
            counts.append(count(self.request.truth.read(block), maps.read_classes(block), values))
        table = self.project.settings.test
        scores = summarise(counts, values, table.bootstrap, table.interval, self.seed)
        shutil.rmtree(maps.folder)  # scores are kept, maps of every version of every run would fill the disk
        ledger.forget_tiles(self.project.database, self.record.name, number)
        names = {c.value: c.name for c in self.project.classes}
        round_number = (
            len([r for r in ledger.rounds(self.project.database) if r.state == RoundState.CLOSED])
            or self.request.rounds
        )
        return [
            CurvePoint(
                self.strategy,
                self.seed,
                round_number,
                self.boxes,
                self.voxels,
                self.actions,
                round(self.seconds, 2),
                names[s.label],
                s.dice,
                s.low,
                s.high,
            )
            for s in scores
        ]


class _Prefixed:
    """A reporter that says which run a stage belongs to."""

    def __init__(self, report: Report, name: str) -> None:
        self.report, self.name = report, name

    def __call__(self, stage: str, done: float, total: float, unit: str, text: str = "") -> None:
        self.report(stage, done, total, unit, f"{self.name} {text}".strip())

    @property
    def cancelled(self) -> bool:
        return self.report.cancelled


def score_blocks(region: Box, shape: Sequence[int]) -> list[Box]:
    """Cut a region into blocks of a label box's shape, over which the bootstrap draws."""
    starts = [range(a, b, n) for a, b, n in zip(region.start, region.stop, shape)]
    return [Box.at(start, shape).intersect(region) for start in itertools.product(*starts)]


def _request(project: Project, arguments: dict[str, Any]) -> Request:
    record = project.only_volume(arguments["volume"])
    mapping = {int(k): v for k, v in arguments["mapping"].items()} or None
    truth = importers.open_labels(Path(arguments["truth"]), mapping, len(project.classes))
    if tuple(truth.shape) != record.shape:
        raise LabelError(
            f"the truth has shape {tuple(truth.shape)}, volume '{record.name}' has {record.shape}",
            "the truth must cover the whole volume at its working level",
        )
    region = Box.parse(arguments["region"], record.shape)
    score_region = Box.parse(arguments["score_region"], record.shape)
    if region.overlaps(score_region):
        raise UsageError(
            f"--region {region} and --score-region {score_region} overlap",
            "never score voxels that could have been labelled",
        )
    return Request(
        record.name,
        truth,
        tuple(arguments["strategies"]),
        arguments["rounds"],
        arguments["boxes"],
        arguments["seeds"],
        region,
        score_region,
    )


def _own_project(parent: Project, record: VolumeRecord, request: Request, strategy: str, seed: int) -> Project:
    """Make the project of one run: the parent's settings, this strategy and seed, boxes only in the region."""
    folder = parent.folder / "runs" / f"{strategy}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    tree = parent.settings.model_dump(by_alias=True, mode="json")
    tree["project"] |= {"name": f"{strategy}-{seed}", "seed": seed}
    tree["boxes"] |= {"per_round": request.boxes, "reserve": 0}
    tree["test"] |= {"boxes": 0}
    tree["volume"] = [{"name": record.name, "region": str(request.region)}]
    if strategy == DENSE:
        tree["train"] |= {"steps": _steps_of_runs(parent, request, seed), "more_steps": 0}
    else:
        tree["rank"] |= {"strategy": strategy}
    project = projects.create(folder, [c.name for c in parent.classes], seed=seed)
    project.close()
    settings_file.write(folder / "project.toml", settings_file.parse(tree, "--strategy"))
    project = projects.open_project(folder)
    url = record.url if "://" in record.url else str((parent.folder / record.url).resolve())
    projects.add_volume(project, replace(record, url=url, imported=False, truth=None))
    return project


def _steps_of_runs(parent: Project, request: Request, seed: int) -> int:
    """Count the steps that another strategy's rounds took with this seed, or would take."""
    for strategy in request.strategies:
        folder = parent.folder / "runs" / f"{strategy}-{seed}"
        if strategy != DENSE and (folder / "project.db").exists():
            with projects.open_project(folder) as run:
                return sum(model.steps for model in models.models(run.database))
    return parent.settings.train.steps * request.rounds


def _summary(request: Request, points: list[CurvePoint]) -> dict[str, Any]:
    ends: dict[str, list[float]] = {}
    firsts: dict[str, list[float]] = {}
    for strategy, seed in sorted({(p.strategy, p.seed) for p in points}):
        own = [p for p in points if (p.strategy, p.seed) == (strategy, seed)]
        first, last = (mean_dice(own, edge(p.round for p in own)) for edge in (min, max))
        firsts.setdefault(strategy, []).append(first)
        ends.setdefault(strategy, []).append(last)
    return {
        "volume": request.volume,
        "region": str(request.region),
        "score_region": str(request.score_region),
        "rounds": request.rounds,
        "boxes": request.boxes,
        "seeds": request.seeds,
        "first_dice": firsts,
        "last_dice": ends,
    }


def mean_dice(points: Sequence[CurvePoint], round: int) -> float:
    """Average a round's Dice over the classes but the first; one that is n/a counts as 0, so that none is hidden."""
    own = [p for p in points if p.round == round]
    first = own[0].label
    return sum(p.dice or 0.0 for p in own if p.label != first) / max(1, len(own) - 1)
