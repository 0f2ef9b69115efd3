"""project.toml is strict, names what is wrong, and keeps its comments."""

from pathlib import Path

import numpy as np
import pytest
from rondel.store import settings_file
from rondel.store.errors import SettingsError
from rondel.store.settings import COLOURS, Settings
from skimage import color


@pytest.fixture
def path(tmp_path):
    settings_file.write(tmp_path / "project.toml", settings_file.draft("cells", ["background", "membrane"], seed=7))
    return tmp_path / "project.toml"


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"train": {"step": 3}}, "unknown key 'train.step'; did you mean 'train.steps'?"),
        ({"predict": {"memmory_gb": 3}}, "did you mean 'predict.memory_gb'?"),
        ({"trian": {}}, "unknown key 'trian'; did you mean 'train'?"),
        ({"class": [{"value": 1, "name": "a", "colour": "#000000", "wieght": 2}]}, "did you mean 'class.0.weight'?"),
        ({"loss": {"weights": [0.3, 0.7]}}, "unknown key 'loss.weights'"),
        ({"loss": {"name": "focal"}}, "loss.name.*found 'focal'"),
        ({"network": {"name": "unet"}}, "network.name.*found 'unet'"),
        ({"train": {"steps": 0}}, "train.steps.*found 0"),
        ({"rank": {"blank": float("nan")}}, "rank.blank.*found nan"),
        ({"rank": {"within": "soon"}}, "rank.within: a time is wanted, as 90, 60s, 5m or 1h, found 'soon'"),
        ({"predict": {"halo": -3}}, "predict.halo: must be greater than or equal to 0, found -3"),
        ({"predict": {"halo": "most"}}, "predict.halo: must be 'exact', or a whole number, found 'most'"),
        ({"predict": {"memory_gb": "x"}}, "predict.memory_gb: must be 'auto', or a number, found 'x'"),
        ({"predict": {"memory_gb": float("inf")}}, "predict.memory_gb: must be a finite number, found inf"),
        ({"train": {"cache_gb": float("inf")}}, "train.cache_gb.*found inf"),
        ({"loss": {"weight_limit": float("inf")}}, "loss.weight_limit.*found inf"),
        ({"rank": {"within": "-3s"}}, "rank.within"),
        ({"class": [{"value": 2, "name": "a", "colour": "#000000"}]}, "class values are 1, 2, 3"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tree, words):
    with pytest.raises(SettingsError, match=words) as caught:
        settings_file.parse(tree)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("written", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), (3, 3)])
def test_a_time_may_have_a_unit(written, seconds):
    assert settings_file.parse({"rank": {"within": written}}).rank.within == seconds


def test_a_new_file_shows_every_default_as_a_comment_and_reads_as_what_was_written(path):
    settings, text = settings_file.load(path), path.read_text()
    assert settings == settings_file.draft("cells", ["background", "membrane"], seed=7)
    assert settings.model_dump(exclude={"project", "classes"}) == Settings().model_dump(exclude={"project", "classes"})
    for key, _, _, sentence in settings_file.describe(settings):
        assert key.partition(".")[2] in text and sentence
        assert sentence in text or key.startswith("project.")


def test_every_commented_default_may_be_uncommented(path):
    lines = path.read_text().splitlines()
    defaults = [line.removeprefix("# ") if line.startswith("# ") and " = " in line else line for line in lines]
    path.write_text("\n".join(defaults))
    assert len(set(defaults) - set(lines)) > 40
    assert settings_file.load(path) == settings_file.draft("cells", ["background", "membrane"], seed=7)


def test_a_change_keeps_comments_and_what_a_person_wrote(path):
    path.write_text(path.read_text().replace("[gate]", "# agreed with Ann\n[gate]"))
    before = path.read_text()
    settings = settings_file.change(path, "train.steps", "200")
    after = path.read_text()
    assert settings.train.steps == settings_file.load(path).train.steps == 200
    assert set(before.splitlines()) - set(after.splitlines()) == set()
    assert set(after.splitlines()) - set(before.splitlines()) == {"steps = 200"}


@pytest.mark.parametrize(
    ("key", "value", "field"),
    [("boxes.shape", "16,32,32", (16, 32, 32)), ("boxes.shape", "auto", "auto"), ("augment.flip", "false", False)],
)
def test_values_are_read_as_a_person_types_them(path, key, value, field):
    table, name = key.split(".")
    assert getattr(getattr(settings_file.change(path, key, value), table), name) == field


@pytest.mark.parametrize(
    ("key", "value"), [("train.steps", "none"), ("train.step", "3"), ("train", "3"), ("gate.drop", "7"), ("x.y", "1")]
)
def test_a_change_that_will_not_do_leaves_the_file_alone(path, key, value):
    before = path.read_bytes()
    with pytest.raises(SettingsError):
        settings_file.change(path, key, value)
    assert path.read_bytes() == before


def test_text_that_is_no_toml_names_its_line(path):
    path.write_text("[train\nsteps = 3")
    with pytest.raises(SettingsError, match=r"project\.toml is not valid TOML.*line 1"):
        settings_file.load(path)


def test_settings_do_not_change(path):
    with pytest.raises(ValueError, match="frozen"):
        settings_file.load(path).train.steps = 3


SIGHT = {
    "full": np.eye(3),
    "no long waves": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no medium waves": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
}
"""What becomes of linear red, green and blue in a person's eyes: Machado, Oliveira and Fernandes (2009)."""
NOTICED = 5
"""CIEDE2000 at which two colours are plainly not the same."""


@pytest.mark.parametrize("sight", SIGHT)
def test_default_colours_differ_from_greys_and_from_each_other_whoever_looks(sight: str):
    rgb = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in COLOURS[:7]])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ np.transpose(SIGHT[sight])
    seen = np.clip(linear, 0, 1)
    seen = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    greys = np.repeat(np.linspace(0, 1, 52)[:, None], 3, 1)
    found, grey = color.rgb2lab(seen), color.rgb2lab(greys)
    assert color.deltaE_ciede2000(found[:, None], grey[None]).min() > NOTICED
    apart = color.deltaE_ciede2000(found[:, None], found[None])
    assert apart[~np.eye(len(found), dtype=bool)].min() > 2 * NOTICED
    assert len(set(COLOURS)) == len(COLOURS)


@pytest.mark.parametrize(
    "classes",
    [
        '[[class]]\nvalue = 1\nname = "a"\ncolour = "#808080"\n[[class]]\nvalue = 2\nname = "b"\ncolour = "#e63c3c"\n',
        'class = [{value = 1, name = "a", colour = "#808080"}, {value = 2, name = "b", colour = "#e63c3c"}]\n',
        "",
    ],
    ids=["tables", "one line", "none"],
)
def test_classes_are_changed_and_added_however_they_are_written(tmp_path: Path, classes: str) -> None:
    file = tmp_path / "project.toml"
    file.write_text(f"{classes}\n# mine\n[boxes]\nreserve = 3\n")
    count = len(settings_file.load(file).classes)
    settings = settings_file.change(file, f"class.{count + 1}.name", "new")
    settings = settings_file.change(file, "class.1.colour", "#010203")
    assert settings == settings_file.load(file) and settings.boxes.reserve == 3 and "# mine" in file.read_text()
    assert [(c.value, c.name) for c in settings.classes][count:] == [(count + 1, "new")]
    assert settings.classes[0].colour == "#010203"


@pytest.mark.parametrize("key", ["class.0.name", "class.4.name", "class.x.name", "class.1.value", "class", "class.2"])
def test_what_is_no_part_of_a_class_is_refused(tmp_path: Path, key: str) -> None:
    file = tmp_path / "project.toml"
    settings_file.write(file, settings_file.draft("cells", ["a", "b"]))
    before = file.read_text()
    with pytest.raises(SettingsError, match="unknown key"):
        settings_file.change(file, key, "1")
    with pytest.raises(SettingsError, match="no class 3 yet"):
        settings_file.change(file, "class.3.colour", "#010203")
    assert file.read_text() == before
