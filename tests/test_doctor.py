"""The doctor says what a prediction runs on and costs, finds what is missing, and writes nothing."""

import shutil
from pathlib import Path

import pytest
from rondel.loop.doctor import Finding, examine
from rondel.store import project as projects
from rondel.store import settings_file
from rondel.store.project import open_project
from rondel.store.volume import describe

from .doors import Rondel, rondel
from .far_away import web_server
from .foreign import write_image
from .images import make_volume, texture

__all__ = ["rondel"]

SHAPE = (40, 150, 200)


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    folder = tmp_path / "cells"
    with projects.create(folder, ["dark", "bright"]) as project:
        settings_file.change(folder / "project.toml", "network.filters", "8,8,8")
        projects.add_volume(project, make_volume(folder, texture(SHAPE)).record)
    return folder


def look(folder: Path) -> dict[str, Finding]:
    with open_project(folder) as project:
        return {finding.about: finding for finding in examine(project, "scan")}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_says_what_is_chosen_and_what_it_costs_and_writes_nothing(cells: Path) -> None:
    before = contents(cells)
    found = look(cells)
    assert contents(cells) == before
    assert all(finding.good for finding in found.values())
    assert "threads" in found["device"].value or "CUDA" in found["device"].why
    assert found["tile"].value == "40 x 150 x 200, 1 of them"
    assert found["whole volume"].why == "1,200,000 voxels"
    assert found["disk"].why == "a map takes 0.00 GB in 34 files at most: classes and uncertainty"
    assert found["network"].why.startswith("as round 1 will train it; sees ")
    assert float(found["rate"].value.split()[0]) > 0


def test_smaller_tiles_and_pools_cost_what_they_are(cells: Path) -> None:
    settings_file.change(cells / "project.toml", "predict.memory_gb", "0.1")
    settings_file.change(cells / "project.toml", "rank.candidates", "10")
    found = look(cells)
    count, waste = int(found["tile"].value.split(",")[1].split()[0]), float(found["tile"].why.split()[1])
    assert count > 1 and waste > 1.2
    assert found["a round's candidates"].why.startswith("327,680 voxels")


def test_a_limit_of_time_and_more_context_than_is_needed_are_said(cells: Path) -> None:
    settings_file.change(cells / "project.toml", "rank.within", "0.001s")
    settings_file.change(cells / "project.toml", "predict.halo", "400")
    found = look(cells)
    assert found["a round's candidates"].value == "0.0 s, by [rank] within"
    assert found["context"].why.startswith("[predict] halo asks for more than is needed")


def test_settings_are_named_as_the_reason(cells: Path) -> None:
    settings_file.change(cells / "project.toml", "predict.precision", "float32")
    settings_file.change(cells / "project.toml", "predict.device", "cpu")
    found = look(cells)
    assert found["precision"] == Finding("precision", "float32", "[predict] precision says so")
    assert found["device"].why == '[predict] device is "cpu"'


def test_where_reading_is_slower_than_computing_it_gives_the_times(cells: Path, tmp_path: Path) -> None:
    settings_file.change(cells / "project.toml", "remote.cache_gb", "0")
    shape, voxels = (32, 64, 64), 32 * 64 * 64
    write_image(tmp_path / "web" / "far.zarr", [texture(shape)], "zyx", scales=[[1, 1, 1]])
    with web_server(tmp_path / "web") as web:
        with open_project(cells) as project:
            projects.forget_volume(project, "scan")
            projects.add_volume(project, describe("scan", f"{web.address}/far.zarr", root=cells))
        web.delay = 1.0
        found = look(cells)
    assert "; the times below are those of reading" in found["reading"].why
    assert float(found["whole volume"].value.split()[0]) >= web.delay
    assert float(found["reading"].value.split()[0]) <= voxels / 1e6


def test_what_is_missing_is_marked_and_the_rest_is_still_said(rondel: Rondel, cells: Path) -> None:
    settings_file.change(cells / "project.toml", "predict.memory_gb", "0.0001")
    told = rondel("-p", cells, "doctor")
    assert told.code == 1 and "! prediction" in told.out and "set [predict] memory_gb to" in told.out
    assert "memory_gb allows 0.0001" in told.out
    with open_project(cells) as project:
        shutil.rmtree(project.folder / project.volume_record("scan").url)
    told = rondel("-p", cells, "doctor")
    assert told.code == 1 and "! image" in told.out and "project.db" in told.out
