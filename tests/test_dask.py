"""Tiles on workers of dask.distributed: the serial engine's bytes, whatever is killed, and errors in one line.

RONDEL_KILLS sets how many workers are killed in the middle of a prediction.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from distributed import Client, Nanny, Scheduler, SpecCluster, Worker, get_worker
from rondel.loop import cluster, jobs, mapping
from rondel.loop.cluster import Dask, connected
from rondel.loop.engine import Answer, Write
from rondel.store import ledger, settings_file, shards
from rondel.store.box import Box, Tile
from rondel.store.errors import Cancelled, RondelError, UsageError
from rondel.store.maps import Maps, map_folder
from rondel.store.project import Project, open_project
from rondel.store.records import JobState
from rondel.store.settings import PredictTable

from . import test_engine
from .doors import Rondel, rondel
from .small_predicted import Predicted, assert_equal, make_predicted, outcome
from .small_rounds import Quiet
from .test_engine import COUNT, TILES, EngineTests, Logged
from .waiting import wait_until

__all__ = ["rondel"]

KILLS = int(os.environ.get("RONDEL_KILLS", "2"))
KILLS_A_RUN = 3  # a tile whose worker died four times ends the run
SMALL = PredictTable(threads=1, device="cpu")


@pytest.fixture(scope="module", autouse=True)
def steps_for_workers() -> Iterator[None]:
    """Let the processes that tests start find the steps of other tests, by the name that pytest gives their module."""
    place = str(Path(test_engine.__file__).parents[test_engine.__name__.count(".")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", place)
        patch.syspath_prepend(place)
        yield


@pytest.fixture(scope="module")
def dask(steps_for_workers) -> Iterator[Dask]:
    with connected(2, None, SMALL, Quiet()) as found:
        yield found


@pytest.fixture(scope="module")
def serial(tmp_path_factory) -> Predicted:
    return make_predicted(tmp_path_factory.mktemp("serial"))


class TestDask(EngineTests):
    @pytest.fixture
    def engine(self, dask: Dask) -> Dask:
        return dask


def test_the_bytes_are_the_serial_ones_whichever_model_comes(serial, dask, tmp_path):
    assert len(serial.whole[1]["tiles"]) == 12
    with open_project(serial.copy(tmp_path / "many")) as project:
        for number in (1, 2):
            mapping.predict_volume(project, "scan", number, Quiet(), probabilities=True, dask=dask)
            assert_equal(outcome(project, number), serial.whole[number])
        assert serial.whole[1]["files"]["bins.npy"] != serial.whole[2]["files"]["bins.npy"]
        assert project.database.changes()["tile"] == 2 * 12


def test_a_map_that_is_made_anew_is_filled_by_workers_that_knew_the_old_one(serial, dask, tmp_path):
    folder = serial.copy(tmp_path / "anew")
    with open_project(folder) as project:
        mapping.predict_volume(project, "scan", 1, Quiet(), probabilities=True, dask=dask)
        tree = project.settings.model_dump(by_alias=True, mode="json")
        tree["boxes"]["shape"] = [8, 8, 8]
        settings_file.write(folder / "project.toml", settings_file.parse(tree))
    with open_project(folder) as project:
        mapping.predict_volume(project, "scan", 1, Quiet(), probabilities=True, dask=dask)
        found = outcome(project)
    with open_project(folder) as project:
        shutil.rmtree(map_folder(folder, "scan", 1))
        mapping.predict_volume(project, "scan", 1, Quiet(), probabilities=True)
        assert_equal(found, outcome(project))
    assert len(found["files"]["bins.npy"]) > 6 * len(serial.whole[1]["files"]["bins.npy"])


class Killing(Quiet):
    """Kills a worker, some time after so many tiles were recorded."""

    def __init__(self, dask: Dask, moments: dict[int, float]) -> None:
        self.dask, self.moments, self.seen, self.timers = dask, moments, 0, []
        self.killed: list[int] = []

    def __call__(self, stage: str, done: float, total: float, unit: str, text: str = "") -> None:
        if stage.startswith("predict") and done:
            self.seen += 1
            if self.seen in self.moments:
                self.timers.append(threading.Timer(self.moments[self.seen], self.kill))
                self.timers[-1].start()

    def kill(self) -> None:
        there = [pid for nanny in nannies(self.dask) if (pid := nanny.pid)]
        pid = random.Random(len(self.killed)).choice(there)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.killed.append(pid)


def nannies(dask: Dask) -> list[Nanny]:
    spec: Any = dask.client.cluster
    return list(spec.workers.values())


def test_workers_killed_in_the_middle_lose_nothing_and_double_nothing(serial, dask, tmp_path):
    dice, killed, runs = random.Random(1), 0, 0
    while killed < KILLS:
        runs += 1
        moments = {dice.randrange(0, 10) + 1: dice.uniform(0, 0.4) for _ in range(min(KILLS_A_RUN, KILLS - killed))}
        with open_project(serial.copy(tmp_path / str(runs))) as project:
            report = Killing(dask, moments)
            mapping.predict_volume(project, "scan", 1, report, probabilities=True, dask=dask)
            for timer in report.timers:
                timer.join()
            killed += len(report.killed)
            assert_equal(outcome(project), serial.whole[1])
            assert report.seen == project.database.changes()["tile"] == 12
        shutil.rmtree(tmp_path / str(runs))
    print(f"{killed} workers killed in {runs} predictions")
    wait_until(lambda: dask.workers == 2)


def test_workers_that_write_into_the_same_shards_lose_nothing(serial, dask, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "MANY", 2)
    with open_project(serial.copy(tmp_path / "shards")) as project:
        mapping.predict_volume(project, "scan", 1, Quiet(), probabilities=True, dask=dask)
        found = Maps.open(project.folder, "scan", 1)
    wanted = Maps.open(serial.folder.with_name("done"), "scan", 1)
    whole = Box.of_shape(found.plan.shape)
    assert sum(1 for path in (found.folder / "classes.ome.zarr/s0/c").rglob("*") if path.is_file()) == 2
    for read in (Maps.read_classes, Maps.read_uncertainty, Maps.read_probabilities):
        np.testing.assert_array_equal(read(found, whole), read(wanted, whole))


class Deadly(Logged):
    """Steps that take their process along."""

    def compute(self, tile: Tile, image: np.ndarray) -> Write:
        if tile.write.start[0] == self.failing:
            os._exit(1)
        return Logged.compute(self, tile, image)


def test_a_tile_over_which_every_worker_dies_ends_the_run(dask, tmp_path, monkeypatch):
    local: Any = dask.client.cluster
    monkeypatch.setattr(local.scheduler, "allowed_failures", 1)
    steps = Deadly(tmp_path / "steps", failing=5)
    with pytest.raises(RondelError, match="2 workers died .* see their logs"):
        dask.run(TILES, steps, lambda tile, answer: steps.step("record", tile), lambda: False)
    assert len(steps.of("record")) == len({*steps.of("record")})
    assert 5 not in steps.of("record")
    wait_until(lambda: dask.workers == 2)


def test_a_run_that_all_workers_left_ends(tmp_path):
    steps = Logged(tmp_path / "steps")
    with alone({}) as address, Client(address, set_as_default=False) as client:
        with pytest.raises(RondelError, match="all workers are gone and none comes back"):
            Dask(client, 1, 1e9, patience=0.5).run(TILES, steps, lambda tile, answer: None, lambda: False)
        assert client.futures == {}
    assert steps.log() == []


class Stopping(Quiet):
    """Asks to stop once so many tiles were recorded."""

    def __init__(self, after: int) -> None:
        self.after = after

    def __call__(self, stage: str, done: float, total: float, unit: str, text: str = "") -> None:
        self.after -= stage.startswith("predict")

    @property
    def cancelled(self) -> bool:
        return self.after <= 0


def test_a_run_that_was_cancelled_goes_on_where_it_was(serial, dask, tmp_path):
    with open_project(serial.copy(tmp_path / "stopped")) as project:
        with pytest.raises(Cancelled):
            mapping.predict_volume(project, "scan", 1, Stopping(3), probabilities=True, dask=dask)
        done = ledger.done_tiles(project.database, "scan", 1)
        assert 3 <= len(done) < 12
        mapping.predict_volume(project, "scan", 1, Quiet(), probabilities=True, dask=dask)
        assert_equal(outcome(project), serial.whole[1])
        assert project.database.changes()["tile"] == 12


def test_a_driving_job_that_is_killed_leaves_no_worker_and_goes_on(serial, tmp_path):
    with open_project(serial.copy(tmp_path / "killed")) as project:
        request = {"volume": "scan", "model": 1, "probabilities": True, "dask": {"workers": 2, "scheduler": None}}
        job = jobs.start(project, "predict", request)
        wait_until(lambda: ledger.done_tiles(project.database, "scan", 1))
        assert job.pid
        process = psutil.Process(job.pid)
        workers = [child for child in process.children(recursive=True) if "spawn_main" in " ".join(child.cmdline())]
        assert len(workers) == 2
        process.kill()
        process.wait()
        assert psutil.wait_procs(workers, timeout=30)[1] == []
        assert jobs.refresh(project, job.id).state == JobState.LOST
        assert 0 < len(ledger.done_tiles(project.database, "scan", 1)) < 12
        again = jobs.follow(project, jobs.start(project, "predict", request), lambda progress: None)
        assert again.state == JobState.DONE, jobs.log_path(project, again.id).read_text()
        assert_equal(outcome(project), serial.whole[1])
        assert project.database.changes()["tile"] == 12


@contextmanager
def program(name: str, *words: str, before: str = "pass") -> Iterator[subprocess.Popen]:
    """Run one of dask's own programs, after a line of Python."""
    text = f"import sys; {before}; from distributed.cli.{name} import main; main()"
    process = subprocess.Popen([sys.executable, "-c", text, *words], stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_scheduler_elsewhere_is_used_and_its_end_is_an_error(serial, tmp_path):
    place = str(tmp_path / "scheduler.json")
    plain = ["--no-dashboard", "--scheduler-file", place]
    with program("dask_scheduler", "--host", "127.0.0.1", "--port", "0", *plain) as scheduler:
        wait_until(lambda: Path(place).exists())
        address = "tcp://127.0.0.1:" + Path(place).read_text().split("tcp://127.0.0.1:")[1].split('"')[0]
        worker = ["--nworkers", "1", "--nthreads", "3", "--host", "127.0.0.1", "--local-directory", str(tmp_path)]
        with (
            program("dask_worker", *worker, *plain),
            connected(None, address, PredictTable(), Quiet()) as found,
            open_project(serial.copy(tmp_path / "elsewhere")) as project,
        ):
            assert (found.workers, found.threads) == (1, 3)
            one = Dask(found.client, 1, 1e9)
            mapping.predict_volume(project, "scan", 1, Quiet(), probabilities=True, dask=one)
            assert_equal(outcome(project), serial.whole[1])

            steps = Logged(tmp_path / "steps")

            def record(tile: Tile, answer: Answer) -> None:
                steps.step("record", tile)
                if len(steps.of("record")) == 2:
                    scheduler.kill()

            with pytest.raises(RondelError, match=f"the scheduler at {address} is gone; start one"):
                found.run(TILES, steps, record, lambda: False)
            assert len(steps.of("record")) < COUNT


@contextmanager
def alone(workers: dict[str, Any]) -> Iterator[str]:
    """Run a scheduler and workers in this process; gives the scheduler's address."""
    options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with SpecCluster(workers, {"cls": Scheduler, "options": options}) as found:
        yield found.scheduler.address  # type: ignore[union-attr]  # distributed declares it as None at first


def test_one_that_waits_for_workers_can_be_stopped():
    class Impatient(Quiet):
        asked = 0

        def __call__(self, stage: str, done: float, total: float, unit: str, text: str = "") -> None:
            self.asked += 1
            if self.asked > 3:
                raise Cancelled("stop")

    with alone({}) as address, pytest.raises(Cancelled), connected(None, address, SMALL, Impatient()):
        pass


def test_a_worker_without_this_program_is_an_error_in_one_line(tmp_path):
    words = ["--no-nanny", "--nthreads", "1", "--host", "127.0.0.1", "--local-directory", str(tmp_path)]
    with (
        alone({}) as address,
        program("dask_worker", address, *words, "--no-dashboard", before="sys.modules['rondel'] = None"),
        connected(None, address, SMALL, Quiet()) as found,
        pytest.raises(RondelError, match="a worker has another rondel, or none: .*; install the same one"),
    ):
        found.run(TILES, Logged(tmp_path / "steps"), lambda tile, answer: None, lambda: False)


class Named(Logged):
    """Steps that write down whose they are."""

    def compute(self, tile: Tile, image: np.ndarray) -> Write:
        self.step(str(get_worker().name), tile)
        return Logged.compute(self, tile, image)


def test_where_workers_have_gpus_only_these_get_tiles(tmp_path):
    specs = {"plain": {"cls": Worker, "options": {"nthreads": 2}}}
    specs["gpu"] = {"cls": Worker, "options": {"nthreads": 2, "resources": {"GPU": 1}}}
    steps = Named(tmp_path / "steps")
    with alone(specs) as address, connected(None, address, SMALL, Quiet()) as found:
        assert found.workers == 1
        found.run(TILES, steps, lambda tile, answer: None, lambda: False)
    assert sorted(steps.of("gpu")) == list(range(COUNT))


def test_each_worker_of_this_machine_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    given = [environment["CUDA_VISIBLE_DEVICES"] for environment in cluster._environments(2, PredictTable())]
    assert given == ["5", "7"]
    with pytest.raises(UsageError, match="3 workers want GPUs, this machine has 2; use --workers 2"):
        cluster._environments(3, PredictTable())
    assert cluster._environments(3, SMALL) == [{}, {}, {}]


def test_a_worker_that_does_not_see_the_project_says_so(serial, dask, tmp_path):
    with open_project(serial.copy(tmp_path / "here")) as project:
        moved = tmp_path / "moved"
        report = Quiet()
        with pytest.raises(UsageError, match="does not see .* under the same path"):
            predict_behind(project, moved, report, dask)


def predict_behind(project: Project, moved: Path, report: Quiet, dask: Dask) -> None:
    """Predict, the maps being moved away as soon as workers would look for them."""
    run = Dask.run

    class Elsewhere(Dask):
        def run(self, *arguments: Any) -> None:
            (project.folder / "maps").rename(moved)
            run(self, *arguments)

    mapping.predict_volume(project, "scan", 2, report, dask=Elsewhere(dask.client, 1, 1e9))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--workers", "2"), "rondel: --workers means nothing to the serial engine; add --engine dask"),
        (("--scheduler", "tcp://127.0.0.1:1"), "rondel: --scheduler means nothing to the serial engine"),
        (("--engine", "dask"), "rondel: --engine dask takes --workers or --scheduler, got neither"),
        (("--engine", "dask", "--workers", "2", "--scheduler", "tcp://127.0.0.1:1"), "got --workers and --scheduler"),
        (("--engine", "spark"), "rondel: --engine spark is not known; use one of serial, dask"),
        (("--engine", "dask", "--workers", "0"), "--workers"),
        (("--engine", "dask", "--scheduler", "tcp://127.0.0.1:1"), "no scheduler answers at tcp://127.0.0.1:1: "),
        (("--engine", "dask", "--scheduler", "somewhere"), "no scheduler answers at somewhere: missing port number"),
    ],
)
def test_what_cannot_be_is_one_line_and_predicts_nothing(serial, rondel: Rondel, tmp_path, words, message):
    folder = serial.copy(tmp_path / "cells")
    ran = rondel("-p", folder, "predict", "scan", *words)
    assert ran.code == 2
    assert len(ran.errors) == 1 and message in ran.errors[0]
    assert not (folder / "maps").exists() or not any((folder / "maps").iterdir())


def test_a_missing_extra_is_named(serial, rondel: Rondel, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    ran = rondel("-p", serial.copy(tmp_path / "cells"), "predict", "scan", "--engine", "dask", "--workers", "2")
    assert (ran.code, len(ran.errors)) == (2, 1)
    assert ran.errors[0].endswith("is not installed; pip install 'rondel[dask]'")
