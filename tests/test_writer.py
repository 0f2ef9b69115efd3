"""Labels are changed the same way whether a server runs, ends in the middle, or none is there."""

import json
import struct
import zlib
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rondel.store import edits, label_boxes, labels, serving, writer
from rondel.store.box import Box
from rondel.store.errors import InvalidDataError, LabelError, LockedError, RondelError, SpaceError, UsageError
from rondel.store.finish import finish
from rondel.store.records import EditKind, State
from rondel.store.repair import repair

from .conftest import RECORD, add_box, stroke
from .small_server import small_server

LEFT, RIGHT = Box((4, 8, 8), (8, 20, 20)), Box((6, 10, 10), (10, 40, 40))


def now(project) -> np.ndarray:
    return labels.read(project, "scan", RECORD.box)


def test_an_edit_goes_to_the_server_that_runs(project, box):
    mask = np.random.default_rng(0).random(LEFT.shape) > 0.5
    with small_server(project.folder) as server:
        edit = edits.submit(project, stroke(LEFT, 3, 1, box=box.id, mask=mask))
        assert server.asked == ["write"]
    assert edit == edits.find(project.database, 1)
    assert (edit.person, edit.box, edit.voxels) == ("ann", box.id, mask.sum())
    assert ((now(project)[LEFT.slices] == 3) == mask).all() and (now(project) > 0).sum() == mask.sum()


def test_all_operations_do_the_same_through_the_server_as_here(project, box):
    def work(box):
        with writer.open_writer(project) as one:
            offset = box.box.start[0] - 4
            place = LEFT.shift((offset, 0, 0))
            one.write(stroke(place, 2, box.id, box=box.id))
            seen = [one.undo(box.id, "ann", ("verb-a", box.id)), one.redo(box.id, "ann", ("verb-b", box.id))]
            one.write(stroke(place, 3, 100 + box.id, box=box.id))
            seen.append(one.revert(box.id, "scan", box.box, "ann", ("verb-c", box.id), to=None))
            one.catch_up()
            done = one.finish(box.id, "ann")
        return seen, replace(done, id=0, created=0, done_at=0), now(project)[box.box.slices]

    other = add_box(project, box.box.shift((18, 0, 0)))
    here = work(box)
    with small_server(project.folder) as server:
        there = work(other)
        assert server.asked == ["write", "undo", "redo", "write", "revert", "finish"]
    assert [(e.kind, e.voxels, e.live) for e in here[0]] == [(e.kind, e.voxels, e.live) for e in there[0]]
    assert replace(there[1], box=box.box) == here[1] and here[1].state == State.DONE
    assert (here[2] == there[2]).all()


def test_labels_are_repaired_by_the_server_that_runs(project, box):
    edits.submit(project, stroke(LEFT, 2, 1))
    chunk = project.labels_path("scan") / "s0" / "c" / "0" / "0" / "0"
    chunk.unlink()
    with small_server(project.folder) as server:
        assert repair(project, "scan") == [Box((0, 0, 0), (40, 64, 64))]
        assert repair(project, "scan") == [] and server.asked == ["repair", "repair"]
    assert (now(project)[LEFT.slices] == 2).all()


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (lambda p, b: edits.submit(p, replace(stroke(LEFT, 2, 1), volume="none")), UsageError),
        (lambda p, b: edits.submit(p, stroke(RECORD.box, 2, 1, box=b.id)), LabelError),
        (lambda p, b: finish(p, 99, "ann"), UsageError),
    ],
)
def test_what_the_server_refuses_is_raised_as_it_would_be_here(project, box, act, kind):
    with pytest.raises(kind) as here:
        act(project, box)
    with small_server(project.folder), pytest.raises(kind) as there:
        act(project, box)
    assert (there.value.message, there.value.hint) == (here.value.message, here.value.hint)
    assert there.value.exit_code == here.value.exit_code


@pytest.mark.parametrize("values", [np.full(LEFT.shape, 300), np.full(LEFT.shape, 9), np.full(LEFT.shape, 2.5)])
def test_values_are_refused_before_they_become_bytes(project, box, values):
    with small_server(project.folder) as server, pytest.raises(LabelError):
        edits.submit(project, replace(stroke(LEFT, 2, 1), values=values))
    assert server.asked == []


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_lost_answer_is_asked_for_again_and_nothing_is_done_twice(project, box, cut):
    with small_server(project.folder) as server:
        server.cuts = [cut, cut]
        assert edits.submit(project, stroke(LEFT, 2, 1, box=box.id)).number == 1
        server.cuts = [cut]
        with writer.open_writer(project) as one:
            assert one.undo(box.id, "ann", ("verb", 1)).target == 1
        server.cuts = [cut]
        assert finish(project, box.id, "ann").state == State.DONE
    assert edits.last_number(project.database) == 2


def test_a_server_that_ends_after_the_work_is_no_second_edit(project, box):
    with small_server(project.folder) as server:
        server.cuts = ["end"]
        assert edits.submit(project, stroke(LEFT, 2, 1, box=box.id)).number == 1
    assert edits.last_number(project.database) == 1 and serving.running(project.folder) is None


def test_a_writer_that_was_opened_before_the_server_ended_writes_here(project, box):
    with small_server(project.folder) as server, writer.open_writer(project) as one:
        server.end()
        assert one.write(stroke(LEFT, 2, 1, box=box.id)).number == 1
        one.catch_up()
        assert one.finish(box.id, "ann").state == State.DONE


def test_a_server_that_never_answers_is_named(project, box):
    with small_server(project.folder) as server:
        serving.save(project.folder, replace(server.serving, port=_closed_port()))
        with pytest.raises(LockedError, match="does not answer") as caught:
            writer.Sender(project, 0.2).write(stroke(LEFT, 2, 1))
    assert caught.value.exit_code == 4 and "rondel stop" in caught.value.hint


def test_a_lock_that_is_no_servers_is_waited_for(project, box):
    with edits.open_journal(project), pytest.raises(LockedError, match="pid"), writer.open_writer(project, 0.1):
        pass
    with writer.open_writer(project, 0.1) as one:
        assert one.write(stroke(LEFT, 2, 1)).number == 1


def test_a_box_is_done_only_once_its_coarse_levels_are(project, box):
    path = project.labels_path("scan")
    (path / "s1").rename(path / "away")
    with pytest.raises((OSError, ValueError)):
        finish(project, box.id, "ann")
    assert label_boxes.get(project.database, box.id).state == State.PROPOSED  # it is never seen open in between
    (path / "away").rename(path / "s1")
    assert finish(project, box.id, "ann").state == State.DONE


@given(
    mask=st.lists(st.booleans(), min_size=24, max_size=24).filter(any),
    kind=st.sampled_from(EditKind),
    box=st.none() | st.integers(1, 1 << 40),
    person=st.text(st.characters(exclude_categories=["C", "Z"]), max_size=200),
)
def test_a_stroke_comes_out_as_it_went_in(mask, kind, box, person):
    sent = stroke(Box((1, 2, 3), (3, 5, 7)), 2, 7, mask=np.array(mask).reshape(2, 3, 4))
    sent = replace(sent, kind=kind, box=box, person=person)
    operation, arguments = writer.decode(writer.encode("write", stroke=sent))
    got = arguments["stroke"]
    assert operation == "write" and (got.mask == sent.mask).all() and got.values.dtype == np.uint8
    assert (got.values[got.mask] == sent.values[sent.mask]).all() and not got.values[~got.mask].any()
    for name in writer.OPERATIONS["write"]:
        assert getattr(got, name) == getattr(sent, name)


HEAD = {
    "operation": "write",
    "kind": "paint",
    "volume": "scan",
    "region": [0, 0, 0, 1, 2, 4],
    "person": "ann",
    "client": "c",
    "client_number": 1,
    "box": None,
}


def body(blob: bytes = zlib.compress(b"\xff" + bytes(8)), **changes) -> bytes:
    head = json.dumps({k: v for k, v in (HEAD | changes).items() if v != "gone"}).encode()
    return struct.pack("<I", len(head)) + head + blob


def test_the_body_that_is_changed_below_would_do():
    assert writer.decode(body())[0] == "write"


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"\x01",
        b"\xff\xff\xff\xff{}",
        struct.pack("<I", 2) + b"[]",
        struct.pack("<I", 4) + b'{"a"',
        struct.pack("<I", 100_000) + b"[" * 100_000,
        body(operation="catch_up"),
        body(operation="__init__"),
        body(operation=["write"]),
        body(operation="gone"),
        body(kind="gone"),
        body(more=1),
        body(kind="dance"),
        body(volume=None),
        body(volume="a\nb"),
        body(volume="\ud800"),
        body(person="a" * 201),
        body(client_number=True),
        body(client_number=1 << 63),
        body(client_number=1.0),
        body(box="1"),
        body(region=[0, 0, 0, 1, 2]),
        body(region=[0, 0, 0, 1, 2, 4.0]),
        body(region=[0, 0, 0, 1, 2, -4]),
        body(region=[0, 0, 0, 0, 2, 4]),
        body(region=[0, 0, 0, 1 << 20, 1 << 20, 1 << 20]),
        body(region=None),
        body(b""),
        body(b"no zlib"),
        body(zlib.compress(b"\xff" + bytes(7))),
        body(zlib.compress(b"\xff" + bytes(9))),
        body(zlib.compress(b"\x00" + bytes(8))),
        body(zlib.compress(b"\xff" + bytes(8))[:-1]),
        body(zlib.compress(b"\xff" + bytes(8)) + b"more"),
        body(zlib.compress(bytes(50 << 20))),
    ],
)
def test_a_body_that_is_no_operation_is_refused(wrong):
    with pytest.raises(InvalidDataError):
        writer.decode(wrong)


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda blob: body(blob)))
def test_any_bytes_are_read_or_refused(wrong):
    with suppress(InvalidDataError):
        writer.decode(wrong)


def test_nothing_beyond_the_limit_is_unpacked():
    with pytest.raises(InvalidDataError, match="8 voxels"):
        writer.decode(body(), limit=7)


def test_what_is_too_large_for_the_server_says_what_to_do(monkeypatch):
    monkeypatch.setattr(writer, "BODY_BYTES", 100)
    with pytest.raises(LabelError, match="too large") as caught:
        writer.encode("write", stroke=stroke(LEFT, 2, 1))
    assert "rondel stop" in caught.value.hint


def test_an_error_comes_back_as_itself():
    for error in (SpaceError("full", "make room"), LabelError("no", ""), UsageError("why", "so")):
        with pytest.raises(type(error)) as caught:
            writer.read_answer(507, writer.refusal(error))
        assert str(caught.value) == str(error)


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff", b"[]", b"{}", b"1", b'{"edit": {}}', b'{"box": 1}', b'{"error": "UsageError"}', b'{"boxes": [1]}']
    + [b'{"error": "BaseException", "message": "m", "hint": "h"}', b'{"error": {}, "message": "m", "hint": "h"}'],
)
def test_an_answer_that_says_nothing_is_an_error_of_one_line(text):
    with pytest.raises(RondelError) as caught:
        writer.read_answer(500, text)
    assert type(caught.value) is RondelError


def _closed_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
