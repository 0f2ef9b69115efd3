"""Whatever is wrong with what a person hands in: one line that says what and what to do, and nothing is written."""

import re
from pathlib import Path

import pytest

from .doors import Rondel, cells, rondel
from .refusals import SPACED, refused, room

__all__ = ["cells", "rondel", "room"]

HALVES = ("--region", ":,0:32,:", "--score-region", ":,32:64,:")
SMALL = ("--rounds", "1", "--boxes", "2", "--seeds", "1", "--out", "curves")
HOSTILE = [
    "../x",
    "a b",
    "[red]x",
    "\x1b[31mx",
    "x" * 300,
    "",
    "\u202ecba",
    ".",
    "..",
    "-x",
    "a/b",
    "a\nb",
    "SCAN",
    "é",
]


LABELS = [
    (("label", 6, "--from", "narrow.npy"), 3, r"shape \(12, 16, 15\).*\(12, 16, 16\)"),
    (("label", 6, "--from", "flat.npy"), 3, r"shape \(1, 16, 16\)"),
    (("label", 6, "--from", "volume.npy"), 3, "axes"),
    (("label", 6, "--from", "float.npy"), 3, "float32.*whole numbers"),
    (("label", 6, "--from", "negative.npy"), 3, "value -1.*classes are 1 to 2.*--map"),
    (("label", 6, "--from", "v300.npy"), 3, "value 300.*classes are 1 to 2.*--map"),
    (("label", 6, "--from", "v3.npy"), 3, "value 3.*classes are 1 to 2.*--map"),
    (("label", 6, "--from", "objects.npy"), 3, "objects.npy cannot be read"),
    (("label", 6, "--from", "cut.tif"), 3, "truncated"),
    (("label", 6, "--from", "photo.jpg"), 3, "no format known"),
    (("label", 6, "--from", "missing.npy"), 2, "no file missing.npy"),
    (("label", 6, "--from", "nothing"), 3, "nothing holds no TIFF"),
    (("label", 6, "--from", "box.npy", "--map", "1=x"), 2, "--map 1=x"),
    (("label", 6, "--from", "box.npy", "--map", "1=9"), 3, "--map leads to 9"),
    (("label", 6, "--from", "box.npy", "--map", "2=1"), 3, "value 1, which --map does not name"),
    (("label", 99, "--from", "box.npy"), 2, "no box 99"),
    (("label", "x", "--from", "box.npy"), 2, "rondel label --help"),
    (("label", 6, "--keep-open"), 2, "--from"),
    (("label", "--from", "box.npy"), 2, "label BOX --from FILE"),
    (("label", 99), 2, "no box 99"),
    (("view", "none"), 2, "no volume 'none'"),
    (("view", "--model", 9), 2, "model 9"),
    (("serve", "--port", 0), 2, "--port"),
    (("serve", "--port", "70000", "--detach"), 2, "--port"),
    (("config", "serve.hosts", "http://here"), 2, "serve.hosts"),
    (("config", "serve.ssh", "me@gpu1;true"), 2, "serve.ssh"),
    (("add", "scan", "--labels", "short.npy", "--as", "truth"), 3, r"shape \(24, 64, 63\)"),
    (("add", "scan", "--labels", "whole.tif", "--as", "train"), 3, "meet the label box"),
    (("add", "scan", "--labels", "whole.tif", "--as", "gold"), 2, "--as gold.*train, test, truth"),
    (("add", "scan", "--as", "truth"), 2, "no file or folder scan|--labels"),
]
IMAGES = [
    (("add", "cut.tif", *SPACED), 3, "cut.tif.*truncated"),
    (("add", "empty.tif", *SPACED), 3, "empty.tif cannot be read"),
    (("add", "text.tif", *SPACED), 3, "text.tif cannot be read"),
    (("add", "plain.zarr", *SPACED), 3, "no multiscales"),
    (("add", "nothing", *SPACED), 3, "no TIFF or PNG"),
    (("add", "photo.jpg", *SPACED), 3, "no format known"),
    (("add", "complex.npy", *SPACED), 3, "complex64"),
    (("add", "missing.tif", *SPACED), 2, "no file or folder missing.tif"),
    (("add", "scan.npy", *SPACED), 2, "a volume 'scan' already.*--name"),
    (("add", "truth.npy", *SPACED, "--labels", "short.npy"), 3, r"shape \(24, 64, 63\), volume 'truth'"),
    (("add", "truth.npy", *SPACED, "--labels", "v300.npy", "--as", "truth"), 3, r"shape \(12, 16, 16\)"),
    (("add", "truth.npy"), 3, "no spacing along z.*--spacing"),
    (("add", "truth.npy", "--unit", "nm"), 3, "no spacing along z.*--spacing"),
    (("add", "truth.npy", "--spacing", "1e9,1,1", "--unit", "um"), 3, "1e\\+09 micrometer along z.*no size of a voxel"),
    (("add", "truth.npy", "--spacing", "1,1,1"), 3, "no unit.*--unit"),
    (("add", "truth.npy", "--spacing", "1,1,1", "--unit", "parsec"), 3, "'parsec' is no unit.*--unit"),
    (("add", "truth.npy", "--spacing", "1,1", "--unit", "nm"), 3, "--spacing takes z,y,x"),
    *((("add", "truth.npy", "--spacing", s, "--unit", "nm"), 2, f"--spacing {re.escape(s)} ?will not do")
      for s in ("0,1,1", "-1,1,1", "nan,1,1", "1e400,1,1", "1", "1,1,1,1", "a,b,c", "")),
    (("add", "truth.npy", *SPACED, "--axes", "zzx"), 3, "axes 'zzx'.*--axes"),
    (("add", "truth.npy", *SPACED, "--axes", "yx"), 3, "2 axes 'yx'.*--axes"),
    (("add", "truth.npy", *SPACED, "--level", "3"), 3, "no level 3.*--level"),
    (("add", "truth.npy", *SPACED, "--time", "3"), 3, "no t axis.*--time"),
    (("add", "truth.npy", *SPACED, "--channel", "DAPI"), 3, "no channel 'DAPI'.*--channel"),
    *((("add", "truth.npy", *SPACED, f"--name={name}"), 2, "volume (name )?'.*; ") for name in HOSTILE),
]  # fmt: skip
SETTINGS = [
    (("config", "train.step", "3"), 2, "'train.step'.*did you mean 'train.steps'"),
    (("config", "trian.steps", "3"), 2, "'trian.steps'.*did you mean 'train.steps'"),
    (("config", "lodd.name"), 2, "'lodd.name'.*did you mean 'loss.name'"),
    (("config", "network.name", "unet"), 2, "network.name.*'dynunet'.*'unet'"),
    (("config", "loss.name", "focal"), 2, "loss.name.*'ce', 'dice' or 'ce_dice'.*'focal'"),
    (("round", "--within", "soon"), 2, "'soon' is no time"),
    (("rank", "--within", "-3s"), 2, "'-3s' is no time"),
    (("config", "train.steps", "many"), 2, "train.steps.*'many'"),
    (("config", "train.steps", "--", "-4"), 2, "train.steps.*-4"),
    (("config", "train.rate", "nan"), 2, "train.rate.*nan"),
    (("config", "boxes.shape", "1,2"), 2, "boxes.shape.*1, 2"),
    (("config", "boxes.shape", "0,2,3"), 2, "boxes.shape.*found 0"),
    (("config", "project.name", "a\nb"), 2, "project.name.*line breaks"),
    (("config", "class", "x"), 2, "unknown key 'class'"),
]
BOXES = [
    (("boxes", "add", "0:99,0:4,0:4"), 2, "outside the volume.*0:24,0:64,0:64"),
    (("boxes", "add", "--", "-1:9,0:4,0:4"), 2, "outside the volume"),
    (("boxes", "add", "4:2,0:4,0:4"), 2, "empty"),
    (("boxes", "add", "0:4,0:4"), 2, "not three ranges"),
    (("boxes", "add", "0:4,0:4,a:4"), 2, "not a whole number"),
    (("boxes", "add", ":,:,:"), 2, "overlaps box"),
    (("boxes", "add", "0:4,0:4,0:4", "--volume", "other"), 2, "no volume 'other'.*scan"),
    (("boxes", "done", 99), 2, "no box 99"),
    (("boxes", "done", 1), 2, "box 1 is done and cannot become done"),
    (("boxes", "test", 3), 2, "box 3 taught model 1"),
    (("boxes", "test", 99), 2, "no box 99"),
    (("boxes", "list", "--round", 99), 2, "no round 99"),
    (("boxes", "list", "--state", "lost"), 2, "'lost'.*rondel boxes list --help"),
    (("boxes", "propose", 0), 2, "rondel boxes propose --help"),
    (("skip", 1, "--why", "blurred"), 2, "box 1 is done and cannot become skipped.*open"),
    (("skip", 6), 2, "'--why'.*rondel skip --help"),
    (("skip", 99, "--why", "blurred"), 2, "no box 99"),
    (("history", "--box", 99), 2, "no box 99"),
    (("undo", "--box", 6), 2, "ann has no edit in box 6"),
    (("undo", "--box", 99), 2, "no box 99"),
    (("redo",), 2, "ann has nothing to redo"),
    (("revert", 6), 2, "box 6 has no edits"),
    (("revert", 1, "--to", 99), 2, "no edit 99"),
    (("revert", 99), 2, "no box 99"),
]
OUTPUTS = [
    (("info", "other"), 2, "no volume 'other'.*scan"),
    (("repair", "other"), 2, "no volume 'other'"),
    (("predict", "other"), 2, "no volume 'other'"),
    (("predict", "scan", "--model", 9), 2, "no model 9"),
    (("score", 9), 2, "no model 9"),
    (("models", "use", 9), 2, "no model 9"),
    (("models", "compare", 1, 9), 2, "no model 9"),
    (("models", "note", 9, "x"), 2, "no model 9"),
    (("jobs", "log", 99), 2, "no job 99"),
    (("jobs", "cancel", 99), 2, "no job 99"),
    (("export", "other", "new.tif"), 2, "no volume 'other'"),
    (("export", "scan", "new.tif", "--model", 9), 2, "no model 9"),
    (("export", "scan", "new.tif", "--what", "shapes"), 2, "--what shapes.*classes, labels"),
    (("export", "scan", "new.tif", "--what", "labels", "--model", 1), 2, "labels are not a model's"),
    (("export", "scan", "new.png"), 2, "new.png.*no format"),
    (("export", "scan", "whole.tif"), 2, "whole.tif is there already"),
    (("export", "scan", "plain.zarr", "--what", "labels"), 2, "plain.zarr is there already"),
    (("simulate", "scan", *SMALL, *HALVES), 2, "no truth.*--truth"),
    (("simulate", "scan", "--truth", "missing.npy", *SMALL, *HALVES), 2, "no file missing.npy"),
    (("simulate", "scan", "--truth", "truth.npy", *SMALL), 2, "--score-region is missing"),
    (("simulate", "scan", "--truth", "truth.npy", *SMALL, *HALVES, "--strategy", "best"), 2, "best.*random, fore"),
    (("simulate", "scan", "--truth", "truth.npy", *HALVES, "--out", "cells/curves"), 2, "--out cells/curves lies in"),
    (("simulate", "scan", "--truth", "truth.npy", *SMALL, "--score-region", ":,32:64,:"), 2, "overlap"),
    (("simulate", "scan", "--truth", "short.npy", *SMALL, *HALVES), 3, r"shape \(24, 64, 63\)"),
    (("simulate", "scan", "--truth", "truth.npy", *SMALL, "--rounds", 0), 2, "rondel simulate --help"),
    (("frobnicate",), 2, "'frobnicate'.*rondel --help"),
    (("--frobnicate",), 2, "--frobnicate.*rondel --help"),
]  # fmt: skip


def name_case(case: object) -> str | None:
    return " ".join(map(str, case))[:60].encode("unicode_escape").decode() if isinstance(case, tuple) else ""


@pytest.mark.parametrize("words, code, says", [*LABELS, *IMAGES, *SETTINGS, *BOXES, *OUTPUTS], ids=name_case)
def test_bad_input_is_one_line_and_writes_nothing(rondel: Rondel, room: Path, words, code: int, says: str) -> None:
    refused(rondel, room, ("-p", "cells", *words), code, says)


def test_a_failed_quick_keeps_what_was_in_the_folder(rondel: Rondel, cells: Path) -> None:
    (cells.parent / "models").mkdir()
    (cells.parent / "models" / "mine.txt").write_text("mine")
    (cells.parent / "cut.tif").write_bytes(b"II")
    refused(rondel, cells.parent, ("-p", ".", "quick", "cut.tif", "--classes", "a,b", *SPACED), 3, "cut.tif")


@pytest.mark.parametrize(
    "words, code, says",
    [
        (("quick", "sections", "--classes", "a,b", *SPACED), 2, "a folder sections already.*-p"),
        (("quick", "cut.tif", "--classes", "a,b", *SPACED), 3, "truncated"),
        (("quick", "truth.npy", "--classes", "a,b"), 3, "--spacing"),
        (("quick", "truth.npy", "--classes", "a", *SPACED), 2, "--classes names 1 class"),
        (("quick", "a b.tif", "--classes", "a,b", *SPACED), 2, "'a b'"),
        (("quick", "missing.tif", "--classes", "a,b", *SPACED), 2, "missing.tif"),
        (("-p", "new/deep", "quick", "cut.tif", "--classes", "a,b", *SPACED), 3, "truncated"),
        (("-p", "nothing", "quick", "cut.tif", "--classes", "a,b", *SPACED), 3, "truncated"),
        (("init", "cells", "--classes", "a,b"), 3, "already holds a project"),
        (("init", "new", "--classes", "a"), 2, "names 1 class"),
        (("init", "new", "--classes", " , "), 2, "names 0 class"),
        (("init", "new", "--classes", "a,a"), 2, "class names differ"),
        (("init", "new", "--classes", "a,\x1b[31mb"), 2, "control characters"),
        (("init", "new", "--classes", "a," + "b" * 300), 2, "64 characters"),
        (("init", "photo.jpg", "--classes", "a,b"), 2, "photo.jpg"),
        (("demo", "cells"), 2, "not empty"),
        (("-p", "new", "status"), 3, "no rondel project"),
        (("-p", "photo.jpg", "status"), 3, "no rondel project"),
        (("-p", "new", "config", "train.steps", "3"), 3, "no rondel project"),
        (("config", "train.steps", "3"), 3, "no rondel project"),
        (("status",), 3, "no rondel project"),
    ],
    ids=name_case,
)
def test_bad_beginnings_leave_no_folder(rondel: Rondel, room: Path, words, code: int, says: str) -> None:
    refused(rondel, room, words, code, says)
