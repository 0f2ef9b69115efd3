"""Whole rounds at the command line, as a person goes through them."""

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import typer
import zarr
from rondel.store import labels, ngff, project, serving
from rondel.store.maps import Maps
from rondel.tui import learning
from rondel.tui.cli import app

from .doors import (
    HEARING,
    SHAPE,
    SPACED,
    Rondel,
    answer,
    blobs,
    cells,
    configure,
    contents,
    cut,
    empty,
    rondel,
    rows,
    waiting,
)
from .waiting import wait_until

__all__ = ["cells", "empty", "rondel"]

COLUMNS = "strategy,seed,round,boxes,voxels,actions,seconds,class,dice,low,high"


def commands(group, words: tuple[str, ...] = ()):
    yield words, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*words, name))


@pytest.mark.parametrize("words", [words for words, _ in commands(typer.main.get_command(app))], ids=" ".join)
def test_every_verb_explains_itself_with_an_example(rondel: Rondel, words: tuple[str, ...]) -> None:
    lines = [line.strip() for line in rondel.ok(*words, "--help").out.splitlines()]
    assert lines[0].startswith(" ".join(("Usage: rondel", *words)))
    assert len(lines[2].split()) >= 4 and lines[2][0].isupper()
    assert any(line.startswith("Example: rondel ") for line in lines)


def test_the_program_runs_as_a_module() -> None:
    ran = subprocess.run([sys.executable, "-m", "rondel.tui.cli", "stop", "--help"], capture_output=True, text=True)
    assert ran.returncode == 0 and ran.stdout.strip().startswith("Usage: rondel stop ")


def test_quick_makes_a_project_and_proposes_boxes(rondel: Rondel, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("scan.ome.tif", blobs()[0], metadata={"axes": "ZYX"})
    said = rondel.ok("quick", "scan.ome.tif", "--classes", "background,blob", *SPACED, "--no-serve").out
    found = waiting(rondel, Path("scan"))
    assert [box["purpose"] for box in found[:1]] == ["test"] and "next: label box 1 of 'scan', test" in said
    assert rondel.ok("-p", "scan", "next").out.startswith("label box 1")


def test_quick_that_is_stopped_is_gone_on_with_by_the_line_it_prints(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "scan.ome.tif", blobs((64, 256, 256))[0], metadata={"axes": "ZYX"})
    words = [*HEARING, "quick", "scan.ome.tif", "--classes", "background,blob", *SPACED, "--no-serve"]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as quick:
        assert quick.stderr
        assert any(line.startswith("look for typical boxes") for line in quick.stderr)
        quick.send_signal(signal.SIGINT)
        said = quick.stderr.read()
        assert quick.wait(60) == 130
    (hint,) = re.findall(r"has stopped; rondel (.*) goes on with it", said)
    again = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 2 and f"go on with it: rondel {hint}; or" in again.stderr
    ran = subprocess.run([*HEARING, *hint.split()], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0 and "8 boxes proposed" in ran.stdout and "next: label box 1" in ran.stdout


def test_jobs_are_reached_from_where_one_stands(rondel: Rondel, cells: Path, monkeypatch) -> None:
    said = rondel.ok("-p", "cells", "score", "--detach").err
    assert "'rondel -p cells jobs' shows it, 'rondel -p cells jobs cancel 4' stops it" in said
    monkeypatch.chdir(cells)
    rondel("jobs", "cancel", 4)
    wait_until(lambda: newest_job(rondel, cells)["ended"])


def test_one_round_ends_with_a_champion_and_the_next_boxes(rondel: Rondel, cells: Path) -> None:
    models = rondel.ok("-p", cells, "models", "list", "--json").json("models")
    assert [(m["number"], m["champion"], m["boxes"], m["steps"]) for m in models] == [(1, True, [3, 4, 5], 4)]
    assert [s["boxes"] for s in models[0]["scores"]] == [2, 2]
    rounds = rondel.ok("-p", cells, "rounds", "--json").json("rounds")
    assert [(r["number"], r["state"], r["trained"]) for r in rounds] == [(1, "closed", 1), (2, "labelling", None)]
    jobs = rondel.ok("-p", cells, "jobs", "list", "--json").json("jobs")
    assert [(j["kind"], j["state"]) for j in jobs] == [("round", "done"), ("round", "done"), ("import", "done")]
    boxes = rondel.ok("-p", cells, "boxes", "list", "--json").json("boxes")
    assert [b["state"] for b in boxes] == ["done"] * 5 + ["proposed"] * 3
    assert all(b["reason"] and 0 <= b["priority"] <= 1 for b in boxes)
    assert [b["reserve"] for b in boxes if b["round"] == 2] == [False, False, True]
    history = rondel.ok("-p", cells, "history", "--json").json("edits")
    assert [(e["kind"], e["person"], e["live"]) for e in history] == [("import", "ann", True)] * 5
    (status,) = rondel.ok("-p", cells, "status", "--json").json("projects")
    assert (status["champion"]["number"], status["next"]["step"], status["edits"]) == (1, "label", 5)
    assert "champion: model 1, test Dice blob" in rondel.ok("-p", cells, "status").out
    (step,) = rondel.ok("-p", cells, "next", "--json").json("steps")
    assert step["verb"] == "rondel label 6"
    assert (cells / "models" / "0001" / "curve.png").stat().st_size > 1000
    assert len(list((cells / "backups").glob("*.db"))) == 1


@pytest.mark.parametrize("verb", ["boxes", "models", "rounds", "jobs", "history", "status", "info", "config"])
def test_lists_are_readable_without_json(rondel: Rondel, cells: Path, verb: str) -> None:
    ran = rondel.ok("-p", cells, verb)
    assert len(ran.out.splitlines()) > 1 and ran.err == ""


def test_a_round_drops_what_nobody_has_begun_and_says_so(rondel: Rondel, cells: Path) -> None:
    first, second, third = waiting(rondel, cells)
    np.save("box.npy", cut(blobs()[1], first))
    rondel.ok("-p", cells, "label", first["id"], "--from", "box.npy")
    page = serving.SavedSession("t", "ann", "scan", second["id"], "s", "http://127.0.0.1:1", None, 0, held=True)
    serving.save(cells, serving.Serving(0, "", "127.0.0.1", 1, "key", "secret", "cookie", 0, (page,)))
    said = rondel.ok("-p", cells, "round").out
    assert "1 box of earlier rounds dropped: nobody had begun any" in said
    assert f"1 box of earlier rounds kept, begun or open on a page: {second['id']}" in said
    found = rondel.ok("-p", cells, "boxes", "list", "--state", "dropped", "--json").json("boxes")
    assert [box["id"] for box in found] == [third["id"]]


def test_verbs_find_the_project_one_stands_in_or_names_in_the_environment(rondel: Rondel, cells: Path, monkeypatch):
    monkeypatch.setenv("RONDEL_PROJECT", str(cells))
    by_name = rondel.ok("status").out
    monkeypatch.delenv("RONDEL_PROJECT")
    monkeypatch.chdir(cells)
    assert rondel.ok("status").out == rondel.ok().out == by_name


def test_info_tells_what_is_known_of_a_volume(rondel: Rondel, cells: Path) -> None:
    (facts,) = rondel.ok("-p", cells, "info", "scan", "--json").json("volumes")
    assert (facts["axes"], facts["shape"], facts["dtype"]) == ("zyx", list(SHAPE), "uint8")
    assert (facts["spacing"], facts["unit"], facts["missing"]) == ([10, 10, 10], "nanometer", [])


def test_a_second_round_learns_on_from_the_champion(rondel: Rondel, cells: Path) -> None:
    for box in waiting(rondel, cells)[:2]:
        tifffile.imwrite("box.tif", cut(blobs()[1], box))
        rondel.ok("-p", cells, "label", box["id"], "--from", "box.tif")
    said = rondel.ok("-p", cells, "round").out
    assert "model 2 trained on 5 boxes" in said and "round 3: 2 boxes proposed, 1 more in reserve" in said
    second = rondel.ok("-p", cells, "models", "list", "--json").json("models")[1]
    assert (second["parent"], second["boxes"]) == (1, [3, 4, 5, 6, 7])
    assert [b["state"] for b in rondel.ok("-p", cells, "boxes", "list", "--round", 2, "--json").json("boxes")] == [
        "done",
        "done",
    ]
    table = rondel.ok("-p", cells, "models", "compare", 1, 2).out.splitlines()
    assert [line.split()[0] for line in table] == ["class", "background", "blob"]
    rondel.ok("-p", cells, "models", "note", 2, "after the new staining")
    assert "after the new staining" in rondel.ok("-p", cells, "models").out
    rondel.ok("-p", cells, "models", "use", 1)
    assert [m["champion"] for m in rondel.ok("-p", cells, "models", "list", "--json").json("models")] == [True, False]


def test_a_round_with_nothing_to_compute_says_what_waits(rondel: Rondel, cells: Path) -> None:
    before = rows(cells)
    assert "next: label box 6" in rondel.ok("-p", cells, "round").out
    assert rows(cells) == before


def written(folder: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in folder.rglob("s0/c/**/*") if p.is_file()}


def test_a_volume_is_predicted_once_and_exported(rondel: Rondel, cells: Path) -> None:
    rondel.ok("-p", cells, "predict", "scan", "--probabilities")
    tiles, files = rows(cells)["tile"], written(cells / "maps")
    rondel.ok("-p", cells, "predict")
    assert rows(cells)["tile"] == tiles and written(cells / "maps") == files != {}
    with project.open_project(cells) as opened:
        box = opened.volume_record("scan").box
        maps = Maps.open(cells, "scan", 1)
        wanted = {
            "classes": maps.read_classes(box),
            "uncertainty": maps.read_uncertainty(box),
            "probabilities": maps.read_probabilities(box),
            "labels": labels.read(opened, "scan", box),
        }
    assert set(np.unique(wanted["classes"])) <= {1, 2} and wanted["probabilities"].shape == (2, *SHAPE)
    for what, array in wanted.items():
        rondel.ok("-p", cells, "export", "scan", f"{what}.ome.zarr", "--what", what)
        rondel.ok("-p", cells, "export", "scan", f"{what}.tif", "--what", what)
        planes = array.swapaxes(0, 1) if what == "probabilities" else array  # OME-TIFF keeps channels within sections
        assert np.array_equal(tifffile.imread(f"{what}.tif"), planes)
        finest = ngff.read_metadata(f"{what}.ome.zarr").levels[0].path
        assert np.array_equal(np.asarray(zarr.open_array(f"{what}.ome.zarr/{finest}", mode="r")), array)


def test_simulate_leaves_a_curve_and_the_named_project_as_it_was(rondel: Rondel, cells: Path) -> None:
    np.save("truth.npy", blobs()[1])
    rondel.ok("-p", cells, "status")
    before = contents(cells), (cells / "project.db").read_bytes()
    halves = ("--truth", "truth.npy", "--region", ":,0:32,:", "--score-region", ":,32:64,:")
    size = ("--rounds", 2, "--boxes", 2, "--seeds", 1, "--strategy", "random", "--strategy", "entropy")
    ran = rondel.ok("-p", cells, "simulate", "scan", *halves, *size, "--out", "curves")
    assert (contents(cells), (cells / "project.db").read_bytes()) == before
    assert sorted(p.name for p in Path("curves").iterdir()) == ["curve.csv", "curve.png", "result.json"]
    with Path("curves/curve.csv").open() as file:
        points = list(csv.DictReader(file))
    assert list(points[0]) == COLUMNS.split(",")
    assert {(p["strategy"], p["round"], p["class"]) for p in points} == {
        (s, r, c) for s in ("random", "entropy") for r in "12" for c in ("background", "blob")
    }
    assert {int(p["boxes"]) for p in points} >= {2, 4}
    result = json.loads(Path("curves/result.json").read_text())
    assert result["schema"] == 1 and set(result["last_dice"]) == {"random", "entropy"}
    copy = next(line for line in ran.err.splitlines() if "cp " in line).partition("the project's own curve: ")[2]
    subprocess.run(shlex.split(copy), check=True)
    with project.open_project(cells) as opened:
        arms = learning.read_arms(opened)
    assert {arm.name: len(arm.points) for arm in arms} == {"random (curve.csv)": 2, "entropy (curve.csv)": 2}


def test_simulate_keeps_its_projects_when_asked_to(rondel: Rondel, cells: Path) -> None:
    np.save("truth.npy", blobs()[1])
    halves = ("--truth", "truth.npy", "--region", ":,0:32,:", "--score-region", ":,32:64,:")
    ran = rondel.ok("-p", cells, "simulate", *halves, "--rounds", 1, "--boxes", 99, "--seeds", 1, "--keep")
    assert "of 99 boxes; no more fit" in ran.out
    (run,) = Path("curves/project/runs").iterdir()
    assert [m["number"] for m in rondel.ok("-p", run, "models", "list", "--json").json("models")] == [1]
    regions = [b["box"] for b in rondel.ok("-p", run, "boxes", "list", "--json").json("boxes")]
    assert regions and all(b["stop"][1] <= 32 for b in regions)


def test_volumes_of_different_shape_go_through_one_round(rondel: Rondel, empty: Path) -> None:
    truths = {"scan": blobs()[1]}
    rondel.ok("-p", empty, "add", "scan.npy", *SPACED)
    for name, shape, spacing in (("thick", (12, 150, 140), "0.05,0.01,0.01"), ("photo", (150, 160), "0.2,0.2")):
        image, truth = blobs(shape)
        tifffile.imwrite(f"{name}.tif", image)
        rondel.ok(
            "-p", empty, "add", f"{name}.tif", "--spacing", spacing, "--unit", "um", "--axes", "zyx"[-len(shape) :]
        )
        truths[name] = truth.reshape((-1, *shape[-2:]))
    configure(rondel, empty, boxes__shape='"auto"', train__patch='"auto"', boxes__per_round="6", test__boxes="3")
    rondel.ok("-p", empty, "round")
    assert {box["volume"] for box in waiting(rondel, empty)} == set(truths)
    answer(rondel, empty, truths, empty.parent)
    assert "model 1 is the champion" in rondel.ok("-p", empty, "round").out
    assert len(waiting(rondel, empty)) > 0
    for name, truth in truths.items():
        rondel.ok("-p", empty, "export", name, f"{name}.classes.tif")
        assert tifffile.imread(f"{name}.classes.tif").size == truth.size


def test_a_class_added_later_widens_the_model(rondel: Rondel, cells: Path) -> None:
    with (cells / "project.toml").open("a") as file:
        file.write('\n[[class]]\nvalue = 3\nname = "rim"\ncolour = "#3c8ce6"\n')
    box = waiting(rondel, cells)[0]
    part = cut(blobs()[1], box).copy()
    part[:4] = 3
    np.save("box.npy", part)
    rondel.ok("-p", cells, "label", box["id"], "--from", "box.npy")
    rondel.ok("-p", cells, "round")
    second = rondel.ok("-p", cells, "models", "list", "--json").json("models")[1]
    assert (second["parent"], second["classes"]) == (1, ["background", "blob", "rim"])
    rondel.ok("-p", cells, "predict", "scan", "--model", 1)
    rondel.ok("-p", cells, "predict", "scan", "--model", 2, "--probabilities")
    rondel.ok("-p", cells, "export", "scan", "p.tif", "--what", "probabilities", "--model", 2)
    assert tifffile.imread("p.tif").shape == (24, 3, 64, 64)


def begin_long_round(rondel: Rondel, cells: Path) -> subprocess.Popen:
    """Start a round that trains for long, and wait until it does."""
    answer(rondel, cells, {"scan": blobs()[1]}, cells.parent)
    rondel.ok("-p", cells, "config", "train.steps", "2000")
    words = [*HEARING, "-p", str(cells), "round"]
    started = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert started.stderr is not None
    for line in started.stderr:
        if line.startswith("train model 2 …"):
            return started
    raise AssertionError(started.wait())


def newest_job(rondel: Rondel, cells: Path) -> dict:
    return rondel.ok("-p", cells, "jobs", "list", "--json").json("jobs")[0]


def test_ctrl_c_stops_a_round_which_then_goes_on(rondel: Rondel, cells: Path) -> None:
    started = begin_long_round(rondel, cells)
    started.send_signal(signal.SIGINT)
    assert started.wait(60) == 130
    assert newest_job(rondel, cells)["state"] == "cancelled"
    assert rondel.ok("-p", cells, "next", "--json").json("steps")[0]["step"] == "train"
    rondel.ok("-p", cells, "config", "train.steps", "4")
    assert "model 2 trained" in rondel.ok("-p", cells, "round").out


def test_a_closed_terminal_leaves_the_round_running(rondel: Rondel, cells: Path) -> None:
    started = begin_long_round(rondel, cells)
    started.send_signal(signal.SIGHUP)
    assert started.wait(60) in (-signal.SIGHUP, 128 + signal.SIGHUP)
    job = newest_job(rondel, cells)
    assert job["state"] == "running"
    os.kill(job["pid"], 0)
    held = rondel("-p", cells, "round")
    assert held.code == 4 and str(job["pid"]) in held.err
    rondel.ok("-p", cells, "jobs", "cancel", job["id"])
    wait_until(lambda: newest_job(rondel, cells)["state"] == "cancelled")
