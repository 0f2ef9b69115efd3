"""What a process may use: all of the machine, or what containers and a cluster's jobs are given."""

from pathlib import Path

import pytest
from rondel.loop import device, memory
from rondel.loop.device import Device
from rondel.store.settings import PredictTable

GIB = 1 << 30
CPU = Device("cpu", False, 1, "CPU")


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for a process's control groups, as Linux shows them."""
    monkeypatch.setattr(memory, "GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "MOUNT", tmp_path / "mount")
    return tmp_path


def limit(file: Path, value: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(value + "\n")


def test_without_a_limit_it_is_what_the_machine_has(groups: Path):
    everything = memory.machine()
    assert everything > GIB
    (groups / "cgroup").write_text("0::/user.slice\n")
    limit(groups / "mount/user.slice/memory.max", "max")
    assert memory.machine() == everything


def test_a_limit_of_a_group_further_up_counts(groups: Path):
    (groups / "cgroup").write_text("0::/slurm/job_7/step_0\n")
    limit(groups / "mount/slurm/job_7/memory.max", str(GIB))
    limit(groups / "mount/slurm/job_7/step_0/memory.max", "max")
    assert memory.machine() == GIB


def test_a_container_that_sees_only_its_own_group(groups: Path):
    (groups / "cgroup").write_text("4:memory:/docker/abc\n0::/\n")
    limit(groups / "mount/memory/memory.limit_in_bytes", str(GIB // 2))
    assert memory.machine() == GIB // 2


def test_a_tile_takes_what_is_set_or_a_share_of_the_process(groups: Path):
    (groups / "cgroup").write_text("0::/\n")
    limit(groups / "mount/memory.max", str(GIB))
    assert device.tile_memory(PredictTable(memory_gb=3), CPU) == 3e9
    assert device.tile_memory(PredictTable(), CPU) == GIB / 4
    assert device.tile_memory(PredictTable(), CPU, process=GIB / 2) == GIB / 8
