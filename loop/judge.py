"""How good is a version, and does it become champion? Scores on test boxes, and the gate."""

import numpy as np

from ..store import edits, label_boxes, labels, ledger, models
from ..store.project import Project
from ..store.records import LabelBox, Purpose, Score, State
from .loaded import load, tile_shape
from .metrics import Counts, count, summarise
from .predict import predict_box
from .report import Report

ENOUGH = 2
"""With fewer labelled test boxes every score is n/a."""


def score_and_gate(project: Project, number: int, report: Report) -> str:
    """Score a version and the champion on the same test boxes, and promote or hold the version back; says why."""
    champion = models.champion(project.database)
    boxes = score_model(project, number, report)
    if champion is None:
        verdict, promote = "first model", True
    elif champion.number == number:  # a killed job had come as far as this
        return f"model {number} is the champion: {champion.verdict}"
    elif boxes < ENOUGH:
        verdict, promote = f"newest model; {boxes} labelled test boxes are too few to compare", True
    else:
        score_model(project, champion.number, report)
        verdict, promote = _compare(project, champion.number, number)
    models.judge(project.database, number, verdict, promote)
    return f"model {number} {'is the champion' if promote else 'stays a challenger'}: {verdict}"


def score_model(project: Project, number: int, report: Report) -> int:
    """Count a version's hits and misses on the done test boxes and store its scores; returns how many boxes there are.

    A box that is unchanged since it was counted for this version is not predicted again.
    """
    tests = label_boxes.select(project.database, state=[State.DONE], purpose=Purpose.TEST)
    counted = _counted(project, number)
    due = [box for box in tests if counted.get(box.id) != edits.last_number(project.database, box.id)]
    loaded = load(project, number) if due else None
    for n, box in enumerate(due):
        report(f"score model {number}", n, len(due), "boxes")
        _count_box(project, loaded, box)
    table = project.settings.test
    values = tuple(project.label_values)
    scores = summarise(_counts(project, number, tests, values), values, table.bootstrap, table.interval, number)
    ledger.set_scores(
        project.database,
        number,
        [Score(number, s.label, len(tests), s.dice, s.low, s.high, s.iou, s.precision, s.recall) for s in scores],
    )
    return len(tests)


def _compare(project: Project, champion: int, number: int) -> tuple[str, bool]:
    old, new = (ledger.mean_dice(ledger.scores(project.database, n)) for n in (champion, number))
    if old is None or new is None:
        return "the test boxes hold no class to compare by", True
    drop = project.settings.gate.drop
    words = f"mean test Dice {new:.3f} against {old:.3f} of model {champion}"
    return (words, True) if new >= old - drop else (f"{words}, lower by more than {drop:g}", False)


def _count_box(project: Project, loaded, box: LabelBox) -> None:
    """Predict one test box exactly, and record what agrees with its labels."""
    volume = project.open_volume(box.volume)
    chunks = labels.label_chunks(volume.record.shape)
    write = tile_shape(project, volume.record, loaded, chunks, box.box)
    edit = edits.last_number(project.database, box.id)
    truth = edits.replay(project.database, box.volume, box.box)
    found = predict_box(volume, box.box, loaded.predictor, loaded.normalisation(volume.record), write)
    predicted = np.array(loaded.labels, np.uint8)[found.argmax(0)]
    values = project.label_values
    counts = count(truth, predicted, values)
    with project.database.transaction() as rows:
        rows.executemany(
            "INSERT OR REPLACE INTO box_count VALUES (?,?,?,?,?,?,?,?)",
            [
                (loaded.number, box.id, v, counts.tp[k], counts.fp[k], counts.fn[k], counts.known, edit)
                for k, v in enumerate(values)
            ],
        )


def _counted(project: Project, number: int) -> dict[int, int]:
    rows = project.database.rows("SELECT DISTINCT box, edit FROM box_count WHERE model = ?", number)
    return {row["box"]: row["edit"] for row in rows}


def _counts(project: Project, number: int, tests: list[LabelBox], values: tuple[int, ...]) -> list[Counts]:
    found = []
    for box in tests:
        rows = {
            r["label"]: r
            for r in project.database.rows("SELECT * FROM box_count WHERE model = ? AND box = ?", number, box.id)
        }
        columns = [
            [rows[v][name] if v in rows else 0 for v in values]
            for name in ("true_positive", "false_positive", "false_negative")
        ]
        found.append(
            Counts(
                tuple(columns[0]),
                tuple(columns[1]),
                tuple(columns[2]),
                max((r["known"] for r in rows.values()), default=0),
            )
        )
    return found
