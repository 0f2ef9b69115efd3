"""What is known of a model version, and how does it compare with another? Lines of text, made from a snapshot."""

import time

from textual.content import Content

from ..store.records import Model, Score
from . import words
from .snapshot import Curve, Snapshot

QUIET = "$text-muted"
NAME_WIDTH = 18


def detail(snapshot: Snapshot, model: Model, width: int) -> Content:
    """Describe a version: where it comes from, its scores class by class, and how its training went."""
    lines = [
        _head(model),
        Content.assemble((words.plain(model.verdict or "the gate has said nothing of it yet"), QUIET)),
        *([Content.assemble(("note  ", QUIET), words.plain(model.note))] if model.note else []),
        Content(""),
        *_scores(snapshot, model),
        Content(""),
        *_training(model, snapshot.curves.get(model.number, ()), width),
    ]
    return Content("\n").join(lines)


def comparison(snapshot: Snapshot, first: Model, second: Model) -> Content:
    """Set two versions against each other, class by class, on the test boxes."""
    head = f"{'Dice':<{NAME_WIDTH}}{f'model {first.number}':>12}{f'model {second.number}':>12}{'difference':>12}"
    lines = [
        Content.assemble((f"Model {first.number} against model {second.number}", "bold")),
        Content(""),
        Content(head).stylize(QUIET),
    ]
    ones, others = (_by_label(snapshot, model) for model in (first, second))
    for c in snapshot.classes:
        a, b = (found[c.value].dice if c.value in found else None for found in (ones, others))
        lines.append(_difference(words.plain(c.name, NAME_WIDTH - 1), a, b))
    lines.append(_difference("mean of classes", *(snapshot.mean_dice(m.number) for m in (first, second))))
    facts = (("boxes", len(first.boxes), len(second.boxes)), ("steps", first.steps, second.steps))
    lines += [Content(f"{name:<{NAME_WIDTH}}{a:>12}{b:>12}{b - a:>+12}").stylize(QUIET) for name, a, b in facts]
    lines += [Content(""), Content("Mean of classes: class 1, everything else, is left out.").stylize(QUIET)]
    return Content("\n").join(lines)


def _head(model: Model) -> Content:
    mark = ("  ★ champion: the next round starts from it", "$success") if model.champion else ""
    parent = f", from model {model.parent}" if model.parent else ", from scratch"
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(model.created))
    facts = f"   round {model.round}{parent}, {words.counted(len(model.boxes), 'box', 'boxes')} up to edit {model.edit}"
    return Content.assemble((f"Model {model.number}", "bold"), mark, f"\n{facts.strip()}, {made}")


def _scores(snapshot: Snapshot, model: Model) -> list[Content]:
    found = _by_label(snapshot, model)
    if not found:
        return [Content("No score yet: two or more test boxes must be labelled.").stylize(QUIET)]
    boxes = words.counted(next(iter(found.values())).boxes, "test box", "test boxes")
    head = f"{boxes:<{NAME_WIDTH}}  Dice  interval            IoU  precision   recall"
    lines = [Content(head).stylize(QUIET)]
    for c in snapshot.classes:
        if (s := found.get(c.value)) is not None:
            name = (f"{words.plain(c.name, NAME_WIDTH - 1):<{NAME_WIDTH}}", c.colour)
            between = f"[{words.dice(s.low)}, {words.dice(s.high)}]"
            rest = f"{words.dice(s.iou):>8}{words.dice(s.precision):>11}{words.dice(s.recall):>9}"
            lines.append(Content.assemble(name, f"{words.dice(s.dice):>6}  {between:<15}{rest}"))
    return lines


def _training(model: Model, curve: Curve, width: int) -> list[Content]:
    took = f"{words.counted(model.steps, 'step')} in {words.duration(model.seconds)}, {model.bytes / 1e6:.1f} MB"
    lines = [Content.assemble(("training  ", QUIET), took)]
    rows = (("loss", [p[1] for p in curve]), ("held out", [p[3] for p in curve if p[3] is not None]))
    for name, values in rows:
        if values:
            line = words.sparkline(values, max(8, min(60, width - 36)))
            ends = f"  {values[0]:.3f} → {values[-1]:.3f}"
            lines.append(Content.assemble((f"{name:<10}", QUIET), (line, "$primary"), ends))
    return lines


def _difference(name: str, a: float | None, b: float | None) -> Content:
    change = None if a is None or b is None else b - a
    style = "" if change is None or abs(change) < 5e-4 else "$success" if change > 0 else "$error"
    said = words.NA if change is None else f"{change:+.3f}"
    return Content.assemble(f"{name:<{NAME_WIDTH}}{words.dice(a):>12}{words.dice(b):>12}", (f"{said:>12}", style))


def _by_label(snapshot: Snapshot, model: Model) -> dict[int, Score]:
    return {score.label: score for score in snapshot.scores.get(model.number, ())}
