"""What the first run finds out, advises and makes."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from rondel.loop import jobs
from rondel.loop.network import plan_network
from rondel.store.errors import SettingsError, UsageError, VolumeError
from rondel.store.project import check_volume_name, open_project
from rondel.store.records import ENDED, JobState
from rondel.store.settings import NetworkTable
from rondel.tui import first_run
from rondel.tui.first_run import Plan, Started

from .images import make_volume, texture
from .waiting import wait_until

CLASSES = (("background", "#808080"), ("a [cell]", "#11aa33"))


def wait(started: Started):
    """Follow until adding the image has ended; what is due next is started and cancelled again."""
    looks = []  # each look may start what is due next, so that the last one counts

    def ended() -> bool:
        looks.append(first_run.follow(started)[0])
        return looks[-1].state in ENDED

    wait_until(ended)
    job = looks[-1]
    if job.state == JobState.DONE:
        with open_project(started.folder) as project:
            for other in jobs.jobs(project):
                jobs.cancel(project, other.id)
            wait_until(lambda: all(j.state in ENDED for j in jobs.jobs(project)))
    return job


def test_an_ome_zarr_says_levels_channels_and_voxel_size(tmp_path: Path) -> None:
    make_volume(tmp_path, np.stack([texture((8, 32, 40))] * 2), spacing_nm=(40.0, 10.0, 10.0))
    found = first_run.look(str(tmp_path / "scan.ome.zarr"))
    assert (found.name, found.axes, found.channels, found.times) == ("scan", "czyx", ("0", "1"), 1)
    assert found.levels[0] == first_run.Level((8, 32, 40), (40.0, 10.0, 10.0))
    assert found.unit == "nanometer" and found.referenced


def test_a_file_that_does_not_say_its_voxel_size_leaves_it_open(tmp_path: Path) -> None:
    np.save(tmp_path / "scan.npy", texture((4, 32, 32)))
    found = first_run.look(str(tmp_path / "scan.npy"))
    assert found.levels == (first_run.Level((4, 32, 32), None),) and found.unit is None and not found.referenced


def test_a_tiff_s_voxel_size_and_channels_are_found(tmp_path: Path) -> None:
    image = np.stack([texture((4, 32, 32))] * 2)
    metadata = {"axes": "CZYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1, "PhysicalSizeZ": 0.5}
    metadata |= {f"PhysicalSize{a}Unit": "µm" for a in "XYZ"} | {"Channel": {"Name": ["DAPI", "actin"]}}
    tifffile.imwrite(tmp_path / "scan.ome.tif", image, metadata=metadata)
    found = first_run.look(str(tmp_path / "scan.ome.tif"))
    assert found.channels == ("DAPI", "actin") and found.unit == "micrometer"
    assert found.levels[0].spacing == pytest.approx((0.5, 0.1, 0.1))


@pytest.mark.parametrize("image", ["", "nothing.tif", "folder"])
def test_what_is_no_image_is_refused(tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises((UsageError, VolumeError)):
        first_run.look(image)


@pytest.mark.parametrize(
    ("text", "name"),
    [("scan", "scan"), ("my scan (2)", "my_scan_2"), ("../x", "x"), ("übung", "bung"), ("日本", "volume")],
)
def test_any_file_s_name_becomes_one_that_a_volume_may_have(text: str, name: str) -> None:
    assert first_run.name_from(text) == name == check_volume_name(name)


def test_images_of_a_folder_are_offered(tmp_path: Path) -> None:
    for name in ("b.TIF", "a.ome.zarr", "notes.txt"):
        (tmp_path / name).touch()
    assert first_run.offer(tmp_path).images == ["a.ome.zarr", "b.TIF"]
    assert first_run.offer(tmp_path / "none") == first_run.Offered([], [])
    (tmp_path / "cells").mkdir()
    assert first_run.offer(tmp_path / "cells").images == ["../a.ome.zarr", "../b.TIF"]
    (tmp_path / "cells" / "paper.pdf").touch()
    assert first_run.offer(tmp_path / "cells") == first_run.Offered([], [])


@pytest.mark.parametrize(
    ("shape", "spacing", "dims"),
    [
        ((64, 64, 64), (10, 10, 10), 3),
        ((64, 64, 64), (39, 10, 10), 3),
        ((64, 64, 64), (40, 10, 10), 2),
        ((1, 64, 64), (1, 1, 1), 2),
    ],
)
def test_thick_sections_are_advised_to_be_predicted_one_by_one(shape, spacing, dims: int) -> None:
    assert first_run.recommend(shape, spacing).dims == dims


def test_the_advice_is_what_the_network_does() -> None:
    for z in (10.0, 39.0, 40.0, 80.0):
        plan = plan_network(NetworkTable(), (z, 10.0, 10.0), (64, 64, 64), 1, 2)
        assert plan.dims == first_run.recommend((64, 64, 64), (z, 10.0, 10.0)).dims


def test_classes_without_a_name_are_left_out() -> None:
    assert first_run.check_classes([(" background ", "#808080"), ("cell", "#ff0000"), ("  ", "#00ff00")]) == (
        ("background", "#808080"),
        ("cell", "#ff0000"),
    )


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ([("background", "#808080")], "two classes at least"),
        ([("a", "#808080"), ("b", "#ffffff"), ("a", "#ff0000")], "classes 1 and 3 have the same name"),
        ([("a", "#808080"), ("b", "red")], "colour of class 2"),
        ([("", "#808080"), ("b", "#ff0000"), ("c", "#00ff00")], "class 1 has no name"),
        ([("a", "#808080"), ("b\x1b", "#ff0000")], "name"),
    ],
)
def test_classes_that_will_not_do_are_refused_in_words_of_the_page(classes, said: str) -> None:
    with pytest.raises((UsageError, SettingsError), match=said):
        first_run.check_classes(classes)


@pytest.mark.parametrize(
    ("text", "size"), [("50,4,4", (50, 4, 4)), ("50 4 4", (50, 4, 4)), ("50, 4, 4", (50, 4, 4)), ("4,4", (4, 4, 4))]
)
def test_voxel_sizes_are_read(text: str, size) -> None:
    assert first_run.check_spacing(text, "nanometer") == size


@pytest.mark.parametrize(
    ("text", "unit"),
    [("", "nanometer"), ("1,2,3", None), ("a", "nanometer"), ("0,1,1", "nanometer"), ("1e9,1,1", "micrometer")],
)
def test_voxel_sizes_that_will_not_do_are_refused(text: str, unit) -> None:
    with pytest.raises(UsageError) as refused:
        first_run.check_spacing(text, unit)
    assert "--" not in f"{refused.value}"


def test_a_project_goes_beside_the_images_and_not_among_them(tmp_path: Path) -> None:
    assert first_run.default_folder(tmp_path, "scan") == tmp_path
    (tmp_path / "scan.npy").touch()
    assert first_run.default_folder(tmp_path, "scan") == tmp_path / "scan"


def test_the_folder_that_is_proposed_is_named_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert first_run.default_folder(Path(), "scan") == tmp_path


def test_a_project_is_made_as_it_was_planned(tmp_path: Path) -> None:
    np.save(tmp_path / "scan.npy", texture((16, 64, 64)))
    plan = Plan(
        tmp_path / "new" / "cells", str(tmp_path / "scan.npy"), "em", CLASSES,
        spacing=(50.0, 4.0, 4.0), unit="nanometer", dims=3,
    )  # fmt: skip
    job = wait(first_run.create(plan))
    assert job.state == JobState.DONE, job.error
    with open_project(plan.folder) as project:
        assert [(c.name, c.colour) for c in project.classes] == list(CLASSES)
        assert project.settings.network.dims == 3
        assert project.volume_record("em").spacing_nm == (50.0, 4.0, 4.0)
        assert [j.kind for j in jobs.jobs(project)] == ["round", "import"], "the first boxes are proposed"
    assert "# How many boxes a round proposes" in (plan.folder / "project.toml").read_text()


def test_an_image_that_will_not_do_leaves_what_was_there(tmp_path: Path) -> None:
    np.save(tmp_path / "scan.npy", np.full((4, 8, 8), np.nan, np.float32))
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "mine.txt").touch()
    before = sorted(tmp_path.rglob("*"))
    plan = Plan(tmp_path, str(tmp_path / "scan.npy"), "em", CLASSES, spacing=(4.0, 4.0, 4.0), unit="nanometer")
    started = first_run.create(plan)
    job = wait(started)
    assert job.state == JobState.FAILED and job.error
    started.before.restore()
    assert sorted(tmp_path.rglob("*")) == before


def test_new_folders_of_a_given_up_project_are_removed(tmp_path: Path) -> None:
    np.save(tmp_path / "scan.npy", texture((4, 16, 16)))
    plan = Plan(tmp_path / "a" / "b", str(tmp_path / "scan.npy"), "em", CLASSES, spacing=(4.0, 4.0, 4.0), unit="nm")
    started = first_run.create(plan)
    wait(started)
    started.before.restore()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scan.npy"]
