"""kill -9 in the middle of a round: nothing is lost, nothing half done is listed, and going on gives the same round.

Chains of kills over one job: it is killed, started again, killed again … until it ends, and what it leaves is compared
with what an uninterrupted job left in a copy of the project. RONDEL_KILLS sets how many kills each test deals out.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rondel.loop import jobs, rounds
from rondel.store import job_rows, ledger, models
from rondel.store.database import Database
from rondel.store.errors import LockedError
from rondel.store.project import Project, open_project
from rondel.store.records import ENDED, Job, JobState
from safetensors import safe_open

from .small_rounds import Quiet, Stages, assert_equal, check_whole, make_labelled, outcome, run_round

KILLS = int(os.environ.get("RONDEL_KILLS", "3"))
TRAINING, SCORING, PREDICTING, LAST = "train model", "score model", "predict", "probabilities of"


@dataclass(frozen=True)
class Whole:
    """A labelled project, and what an uninterrupted round made of a copy of it."""

    folder: Path
    outcome: dict[str, Any]
    stages: Stages

    def copy(self, folder: Path) -> Path:
        shutil.copytree(self.folder, folder)
        return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Whole:
    folder = tmp_path_factory.mktemp("whole")
    make_labelled(folder / "labelled")
    with open_project(folder / "labelled"):  # while one has it open, an ending job leaves the database's files in place
        shutil.copytree(folder / "labelled", folder / "done")
    stages = Stages()
    with open_project(folder / "done") as project:
        stages.last = run_round(project, stages).ended or 0.0
        check_whole(project)
        return Whole(folder / "labelled", outcome(project), stages)


def test_killed_while_training_and_saving(whole, tmp_path):
    seconds = whole.stages.seconds(TRAINING, SCORING)
    deal_kills(whole, tmp_path, TRAINING, seconds)


def test_killed_while_predicting(whole, tmp_path):
    seconds = whole.stages.seconds(PREDICTING, LAST)
    deal_kills(whole, tmp_path, PREDICTING, seconds)


def test_killed_anywhere_in_a_round(whole, tmp_path):
    deal_kills(whole, tmp_path, "", whole.stages.seconds(""))


def test_a_job_that_is_asked_to_stop_stops_between_steps_and_tiles_and_goes_on(whole, tmp_path):
    with open_project(whole.copy(tmp_path / "stopped")) as project:
        for stage in (TRAINING, PREDICTING):
            job = jobs.start(project, "round", {})
            assert wait_for(project, job, stage)
            jobs.cancel(project, job.id)
            job = jobs.follow(project, job, lambda progress: None)
            assert (job.state, job.exit_code) == (JobState.CANCELLED, 143)
        assert len(ledger.done_tiles(project.database, "scan", 1)) < len(whole.outcome["tiles"])
        run_round(project)
        assert_equal(outcome(project), whole.outcome)


def test_a_second_job_is_refused_while_one_computes(whole, tmp_path):
    with open_project(whole.copy(tmp_path / "busy")) as project:
        job = jobs.start(project, "round", {})
        assert wait_for(project, job, "")
        with pytest.raises(LockedError, match=rf"job {job.id} \(round\) \(pid {job.pid} on {socket.gethostname()}"):
            jobs.start(project, "train", {"scratch": False})
        assert len(job_rows.select(project.database)) == job.id
        assert kill(project, job, signal.SIGABRT)
        assert rounds.due(project).step == "train"
        assert not models.models(project.database)


def test_a_disk_that_is_full_while_the_model_is_saved_costs_no_training(whole, tmp_path):
    with open_project(whole.copy(tmp_path / "full")) as project:
        with small_disk(project.folder / "models"):
            failed = jobs.follow(project, jobs.start(project, "round", {}), lambda progress: None)
            assert (failed.state, failed.exit_code) == (JobState.FAILED, 5)
            assert "model 1 could not be saved" in failed.error
            assert not models.models(project.database)
        assert list((project.folder / "cache").glob("training-*.safetensors"))
        run_round(project)
        assert_equal(outcome(project), whole.outcome)
        assert not list((project.folder / "cache").glob("training-*.safetensors"))


def test_a_trained_version_that_was_never_judged_is_judged_instead_of_training_another(whole, tmp_path):
    with open_project(whole.copy(tmp_path / "unjudged")) as project:
        job = jobs.start(project, "train", {"scratch": False})
        assert wait_for(project, job, SCORING)
        assert kill(project, job, signal.SIGKILL)
        jobs.follow(project, jobs.start(project, "train", {"scratch": False}), lambda progress: None)
        assert [(m.number, m.champion, m.verdict) for m in models.models(project.database)] == [
            (1, True, "first model")
        ]


def test_a_round_that_dies_after_any_kind_of_commit_ends_the_same(whole, tmp_path, monkeypatch):
    died: list[str] = []
    transaction = Database.transaction

    @contextmanager
    def fragile(self: Database):
        statements: list[str] = []
        with transaction(self) as connection:
            connection.set_trace_callback(statements.append)
            yield connection
        if statements[0][:40] not in died:
            died.append(statements[0][:40])
            raise Died

    with open_project(whole.copy(tmp_path / "fragile")) as project, monkeypatch.context() as patch:
        patch.setattr(Database, "transaction", fragile)
        for _ in range(20):
            with suppress(Died):
                rounds.work_round(project, {}, Quiet())
                break
        check_whole(project)
        assert_equal(outcome(project), whole.outcome)
    assert len(died) > 9, died


class Died(BaseException):
    """What takes the place of a kill."""


def deal_kills(whole: Whole, folder: Path, stage: str, seconds: float) -> None:
    """Kill jobs at moments drawn from a stage that takes this long, until there were enough kills in it."""
    dice = random.Random(stage)
    kills = chains = 0
    while kills < KILLS:
        chains += 1
        with open_project(whole.copy(folder / str(chains))) as project:
            job, step = jobs.start(project, "round", {}), 0
            while kills < KILLS and wait_for(project, job, stage, dice.random() * seconds):
                kills += kill(project, job, signal.SIGKILL)
                before, step = step, saved_step(project)
                assert step >= before or models.models(project.database)
                job = jobs.start(project, "round", {})
            if not stage and kills < KILLS:
                seconds /= 2  # the job ended before its moment came: the machine is faster than when it was timed
            job = jobs.follow(project, job, lambda progress: None)
            assert job.state == JobState.DONE, jobs.log_path(project, job.id).read_text()
            check_whole(project)
            assert_equal(outcome(project), whole.outcome)
            assert not list(project.folder.rglob("*.partial"))
        shutil.rmtree(folder / str(chains))
    print(f"{kills} kills in {chains} chains, stage '{stage}'")


def kill(project: Project, job: Job, number: int) -> bool:
    """End a job's process by a signal it cannot handle, and check that the project is whole all the same.

    Returns False when it ended by itself just before.
    """
    assert job.pid
    with suppress(ProcessLookupError):
        os.kill(job.pid, number)
    with suppress(ChildProcessError):
        os.waitpid(job.pid, 0)
    with open_project(project.folder) as again:
        last = jobs.jobs(again)[0]
        assert last.id == job.id
        assert last.state in (JobState.LOST, JobState.DONE), jobs.log_path(project, job.id).read_text()
        check_whole(again)
    return last.state == JobState.LOST


def wait_for(project: Project, job: Job, stage: str, seconds: float = 0.0) -> bool:
    """Wait until a job is in a stage, and as much longer as is left of so many seconds of it, but not past its end.

    Returns False when the job ended before.
    """
    moment, deadline = None, time.monotonic() + 300
    while moment is None or time.monotonic() < moment:
        assert time.monotonic() < deadline
        if jobs.refresh(project, job.id).state in ENDED:
            return False
        progress = job_rows.progress(project.database, job.id)
        there = progress is not None and progress.stage.startswith(stage)
        if moment is None and progress and there:
            moment = time.monotonic() + seconds * (1 - progress.done / progress.total if stage else 1.0)
        elif moment and not there:
            break
        time.sleep(0.002)  # the job tells of its stage by a row
    return True


def saved_step(project: Project) -> int:
    """Return the step of the checkpoint from which training would go on; 0 when there is none."""
    for path in (project.folder / "cache").glob("training-*.safetensors"):
        with safe_open(path, "np") as file:
            return json.loads((file.metadata() or {})["run"])["step"]
    return 0


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Lay a file system of 32 kB over a folder."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount the small file system that gets full")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
