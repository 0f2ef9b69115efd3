"""Edits are durable, idempotent, undone and redone without touching what others painted."""

import numpy as np
import pytest
from rondel.store import edits, labels
from rondel.store.box import Box
from rondel.store.errors import LabelError, LockedError, UsageError
from rondel.store.records import EditKind

from .conftest import stroke

LEFT, RIGHT, ALL = Box((4, 8, 8), (8, 16, 16)), Box((4, 8, 12), (8, 16, 20)), Box((0, 0, 0), (40, 70, 80))


def now(project, region=ALL):
    return labels.read(project, "scan", region)


def test_an_edit_is_in_the_array_and_in_the_journal(project, box):
    edit = edits.submit(project, stroke(LEFT, 2, 1, box=box.id))
    assert (now(project, LEFT) == 2).all() and now(project).sum() == 2 * LEFT.voxels
    assert (edit.number, edit.voxels, edit.region, edit.kind) == (1, LEFT.voxels, LEFT, EditKind.PAINT)
    assert edits.history(project.database, box.id) == [edit]


def test_a_retry_is_not_a_second_edit(project, box):
    first = edits.submit(project, stroke(LEFT, 2, 1, box=box.id))
    assert edits.submit(project, stroke(LEFT, 3, 1, box=box.id)) == first
    assert (now(project, LEFT) == 2).all() and len(edits.history(project.database)) == 1


def test_only_voxels_of_the_mask_change(project, box):
    mask = np.zeros(LEFT.shape, bool)
    mask[1, 2, 3] = True
    edit = edits.submit(project, stroke(LEFT, 2, 1, box=box.id, mask=mask))
    assert edit.region == Box((5, 10, 11), (6, 11, 12)) and now(project).sum() == 2


def test_undo_leaves_a_later_stroke_of_somebody_else(project, box):
    edits.submit(project, stroke(LEFT, 2, 1, person="ann", box=box.id))
    edits.submit(project, stroke(RIGHT, 3, 1, person="bob", box=box.id))
    with edits.open_journal(project) as journal:
        journal.undo(box.id, "ann", ("u", 1))
    assert (now(project, RIGHT) == 3).all() and now(project).sum() == 3 * RIGHT.voxels


def test_undo_brings_back_what_was_under_it_and_redo_covers_it_again(project, box):
    edits.submit(project, stroke(LEFT, 2, 1, person="ann", box=box.id))
    edits.submit(project, stroke(RIGHT, 3, 1, person="bob", box=box.id))
    with edits.open_journal(project) as journal:
        undone = journal.undo(box.id, "bob", ("u", 1))
        assert (now(project, LEFT) == 2).all() and now(project).sum() == 2 * LEFT.voxels
        again = journal.redo(box.id, "bob", ("u", 2))
    assert (undone.kind, undone.target, again.kind, again.target) == (EditKind.UNDO, 2, EditKind.REDO, 2)
    assert (now(project, RIGHT) == 3).all()


def test_undo_walks_back_and_redo_walks_forward(project, box):
    for number, value in enumerate((1, 2, 3), 1):
        edits.submit(project, stroke(LEFT, value, number, box=box.id))
    with edits.open_journal(project) as journal:
        seen = []
        for number, turn in enumerate((journal.undo, journal.undo, journal.undo, journal.redo, journal.redo), 1):
            turn(box.id, "ann", ("turns", number))
            seen.append(int(now(project, LEFT)[0, 0, 0]))
        assert seen == [2, 1, 0, 1, 2]
        edits_before = edits.last_number(project.database)
        journal.write(stroke(LEFT, 1, 9, box=box.id))
        with pytest.raises(UsageError, match="nothing to redo"):
            journal.redo(box.id, "ann", ("turns", 9))
    assert edits.last_number(project.database) == edits_before + 1


def test_undo_takes_only_the_persons_own_edits(project, box):
    edits.submit(project, stroke(LEFT, 2, 1, person="ann", box=box.id))
    with edits.open_journal(project) as journal, pytest.raises(UsageError, match="bob has no edit"):
        journal.undo(box.id, "bob", ("u", 1))


def test_revert_puts_a_box_back_and_can_be_undone(project, box):
    edits.submit(project, stroke(LEFT, 1, 1))
    edits.submit(project, stroke(RIGHT, 2, 2, box=box.id))
    edits.submit(project, stroke(RIGHT, 3, 3, box=box.id))
    with edits.open_journal(project) as journal:
        journal.revert(box.id, "scan", box.box, "ann", ("r", 1), to=2)
        assert (now(project, RIGHT) == 2).all()
        journal.revert(box.id, "scan", box.box, "ann", ("r", 2))
        assert now(project).sum() == LEFT.voxels
        journal.undo(box.id, "ann", ("r", 3))
    assert (now(project, RIGHT) == 2).all()


def test_an_edit_committed_but_not_applied_is_applied_by_the_next_holder(project, box, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(edits.Journal, "_apply", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            edits.submit(project, stroke(LEFT, 2, 1, box=box.id))
    assert now(project).sum() == 0 and edits.last_number(project.database) == 1
    with edits.open_journal(project):
        assert (now(project, LEFT) == 2).all()


def test_replay_equals_the_array_at_every_edit(project, box):
    rng = np.random.default_rng(0)
    states = []
    with edits.open_journal(project) as journal:
        for number in range(1, 30):
            start = rng.integers((4, 8, 8), (16, 32, 32)).tolist()
            region = Box.at(start, (4, 8, 8)).intersect(box.box)
            mask = rng.random(region.shape) < 0.5
            mask.flat[0] = True
            person, value = ("ann", "bob")[int(rng.integers(2))], int(rng.integers(4))
            sender = ("turns", number)
            try:
                match int(rng.integers(4)):
                    case 0:
                        journal.undo(box.id, person, sender)
                    case 1:
                        journal.redo(box.id, person, sender)
                    case _:
                        journal.write(stroke(region, value, number, person=person, box=box.id, mask=mask))
            except UsageError:
                continue
            states.append((edits.last_number(project.database), now(project).copy()))
    assert len(states) > 10
    for number, state in states:
        np.testing.assert_array_equal(edits.replay(project.database, "scan", ALL, number), state)


def test_provenance_tells_painted_from_accepted(project, box):
    from dataclasses import replace

    edits.submit(project, stroke(LEFT, 2, 1, box=box.id))
    edits.submit(project, replace(stroke(RIGHT, 3, 2, box=box.id), kind=EditKind.ACCEPT))
    assert labels.sources(project, "scan", box.box) == {"paint": LEFT.voxels // 2, "accept": RIGHT.voxels}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"values": np.full(LEFT.shape, 4, np.uint8)}, "value 4 is not declared"),
        ({"values": np.full(LEFT.shape, 300, np.int32)}, "value 300"),
        ({"values": np.full(LEFT.shape, -1, np.int16)}, "value -1"),
        ({"values": np.full(LEFT.shape, 1.5)}, "not whole numbers"),
        ({"mask": np.zeros(LEFT.shape, bool)}, "changes no voxel"),
        ({"mask": np.ones((1, 1, 1), bool)}, "shape"),
        ({"region": LEFT.shift((-4, 0, 0))}, "outside"),
    ],
)
def test_what_may_not_be_written_is_refused_and_nothing_is_written(project, box, change, words):
    from dataclasses import replace

    with pytest.raises(LabelError, match=words):
        edits.submit(project, replace(stroke(LEFT, 2, 1, box=box.id), **change))
    assert edits.last_number(project.database) == 0 and now(project).sum() == 0


def test_a_held_lock_names_its_holder(project, box):
    held, refused = edits.open_journal(project), pytest.raises(LockedError, match=r"pid \d+ on ")
    with held, refused as caught, edits.open_journal(project, timeout=0.1):
        pass
    assert caught.value.exit_code == 4


def test_a_finished_box_shows_in_the_coarse_levels_with_the_classes_of_today(project, box):
    import json

    from rondel.store import settings_file
    from rondel.store.finish import finish
    from rondel.store.ngff import open_array
    from rondel.store.project import open_project

    text = (project.folder / "project.toml").read_text()
    added = '\n[[class]]\nvalue = 4\nname = "vesicle"\ncolour = "#112233"\n\n[boxes]'
    (project.folder / "project.toml").write_text(text.replace("\n[boxes]", added))
    assert len(settings_file.load(project.folder / "project.toml").classes) == 4
    edits.submit(project, stroke(box.box, 2, 1, box=box.id))
    with open_project(project.folder) as again:
        finish(again, box.id, "ann")
    path = project.labels_path("scan")
    coarse = np.asarray(open_array(path / "s1").read().result())
    assert (coarse[3:9, 5:19, 5:19] == 2).all() and coarse.sum() == 2 * (8 * 16 * 16)
    shown = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]["image-label"]
    assert {"label-value": 4, "name": "vesicle"} in shown["properties"]
