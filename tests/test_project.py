"""A project is a folder that opens, or says why not."""

import fcntl
import os
import socket
from dataclasses import replace

import pytest
from rondel.store import locks, settings_file
from rondel.store import project as projects
from rondel.store.errors import LockedError, ProjectError, SettingsError, UsageError, VolumeError

from .conftest import RECORD


def test_a_volume_comes_back_as_it_was_added(project):
    record = replace(
        RECORD, name="b", time=3, channels=(2, 0), axes="tczyx", intensities=((0.5, 7.0), (1.0, 2.0)), truth="t.zarr"
    )
    added = projects.add_volume(project, record)
    assert project.volume_record("b") == added == replace(record, created=added.created)
    assert [v.name for v in project.volumes()] == ["scan", "b"]


def test_a_second_project_in_a_folder_is_refused(project):
    before = (project.folder / "project.toml").read_bytes()
    with pytest.raises(ProjectError, match="already holds a project"):
        projects.create(project.folder, ["a", "b"])
    assert (project.folder / "project.toml").read_bytes() == before


def test_two_classes_are_the_least(tmp_path):
    with pytest.raises(UsageError, match="names 1 class; name at least two"):
        projects.create(tmp_path / "cells", ["cell"])
    assert not (tmp_path / "cells").exists()


def test_a_folder_without_a_project_says_how_to_make_one(tmp_path):
    with pytest.raises(ProjectError, match="no rondel project.*rondel init"):
        projects.open_project(tmp_path)


def test_a_class_may_be_added_at_the_end_and_none_be_lost(project):
    path = project.folder / "project.toml"
    fewer, more = (settings_file.draft("cells", names) for names in (["background"], ["background", "a", "b", "c"]))
    settings_file.write(path, more)
    with projects.open_project(project.folder) as again:
        assert again.label_values == (1, 2, 3, 4)
    settings_file.write(path, fewer)
    with pytest.raises(SettingsError, match="declares 1 classes"):
        projects.open_project(project.folder)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../up", "a/b", "a\\b", "-p", ".hidden", "a b", "a\n", "a\0", "ä", "\u0661", "x" * 101]
)
def test_hostile_volume_names_are_refused_and_nothing_is_made(project, name):
    files = sorted(project.folder.rglob("*"))
    with pytest.raises(UsageError, match="will not do"):
        projects.add_volume(project, replace(RECORD, name=name))
    with pytest.raises(UsageError, match="will not do"), projects.new_volume(project, name):
        pass
    assert sorted(project.folder.rglob("*")) == files


@pytest.mark.parametrize("name", ["scan", "SCAN"])
def test_a_name_that_is_taken_is_refused_and_its_labels_stay(project, name):
    labels = sorted(project.labels_path("scan").rglob("*"))
    with pytest.raises(UsageError, match="there is a volume 'scan' already"):
        projects.add_volume(project, replace(RECORD, name=name))
    assert labels and sorted(project.labels_path("scan").rglob("*")) == labels


def test_a_failed_import_leaves_nothing_at_its_place(project):
    with pytest.raises(KeyError), projects.new_volume(project, "b") as target:
        target.mkdir()
        raise KeyError
    assert not target.exists() and target.parent.exists()


def test_a_volume_is_relinked_only_to_the_same_image(project):
    projects.relink(project, replace(RECORD, url="moved.ome.zarr"))
    assert project.volume_record("scan").url == "moved.ome.zarr"
    with pytest.raises(VolumeError, match=r"shape \(1, 2, 3\), but 'scan' has"):
        projects.relink(project, replace(RECORD, shape=(1, 2, 3), url="other.ome.zarr"))
    assert project.volume_record("scan").url == "moved.ome.zarr"


def test_a_volume_with_boxes_is_never_forgotten(project, box):
    projects.add_volume(project, replace(RECORD, name="b"))
    projects.forget_volume(project, "scan")
    projects.forget_volume(project, "b")
    assert [v.name for v in project.volumes()] == ["scan"]
    assert project.labels_path("scan").exists() and not project.labels_path("b").exists()


def test_an_unknown_volume_names_those_there_are(project):
    with pytest.raises(UsageError, match="no volume 'scam'; volumes: scan"):
        project.volume_record("scam")
    projects.add_volume(project, replace(RECORD, name="b"))
    with pytest.raises(UsageError, match="has 2 volumes"):
        project.only_volume(None)


def test_the_person_is_who_is_said_to_be(monkeypatch):
    monkeypatch.setenv("RONDEL_PERSON", "ann")
    assert projects.person() == "ann"


def test_a_lock_has_one_holder_who_is_named_and_is_free_afterwards(project):
    path = project.folder / locks.LABELS
    words = rf"labels.lock is held by painting \(pid {os.getpid()} on {socket.gethostname()}"
    with locks.hold(path, "painting", 0), pytest.raises(LockedError, match=words), locks.hold(path, "more", 0.05):
        pass
    assert locks.holder(path) is None
    with locks.hold(path, "more", 0):
        assert "more (pid" in str(locks.holder(path))


def test_who_looks_at_a_lock_is_not_taken_for_its_last_holder(project):
    path = project.folder / locks.LABELS
    with locks.hold(path, "a server that was killed", 0):
        pass
    with path.open("rb") as looks:  # as somebody else does at the same moment
        fcntl.flock(looks, fcntl.LOCK_SH | fcntl.LOCK_NB)
        assert locks.holder(path) is None
    assert locks.holder(project.folder / "nobody.lock") is None and not (project.folder / "nobody.lock").exists()
