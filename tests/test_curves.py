import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rondel.loop import curves
from rondel.loop.curves import CurvePoint
from rondel.store.errors import InvalidDataError

DICE = {"membrane": (0.4, 0.6, 0.7), "organelle": (None, 0.2, 0.5)}


def run(strategy: str = "entropy", seed: int = 0, shift: float = 0.0) -> list[CurvePoint]:
    return [
        CurvePoint(
            strategy, seed, n, 8 * n, 8 * n * 32**3, 10 * n, 2.5 * n, label,
            dice and dice + shift, dice and dice + shift - 0.1, dice and dice + shift + 0.1,
        )
        for label, quality in DICE.items()
        for n, dice in enumerate(quality, 1)
    ]  # fmt: skip


def test_csv_has_the_promised_header_and_leaves_unknown_qualities_empty(tmp_path: Path):
    curves.write_csv(tmp_path / "curve.csv", run())
    lines = (tmp_path / "curve.csv").read_text().splitlines()
    assert lines[0] == "strategy,seed,round,boxes,voxels,actions,seconds,class,dice,low,high"
    assert lines[4] == "entropy,0,1,8,262144,10,2.5,organelle,,,"


def test_csv_comes_back_as_it_was_written(tmp_path: Path):
    points = [*run(), replace(run()[0], actions=None, seconds=None, label="axon, myelinated")]
    curves.write_csv(tmp_path / "curve.csv", points)
    assert curves.read_csv(tmp_path / "curve.csv") == points


def test_writing_leaves_nothing_else_behind(tmp_path: Path):
    curves.write_csv(tmp_path / "curve.csv", run())
    curves.draw(tmp_path / "curve.png", run())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curve.csv", "curve.png"]


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", ",".join(curves.HEADER) + "\nentropy,0,1,8\n"])
def test_a_file_that_is_no_curve_is_refused(tmp_path: Path, text: str):
    (tmp_path / "curve.csv").write_text(text)
    with pytest.raises(InvalidDataError, match="curve.csv"):
        curves.read_csv(tmp_path / "curve.csv")


def test_the_mean_is_over_known_classes_without_the_background():
    points = [*run(), *(replace(p, label="background", dice=1.0) for p in run()[:3])]
    first, second, _ = curves.summarise(points, background="background")
    assert first.dice == pytest.approx(0.4)
    assert second.dice == pytest.approx(0.4)
    assert second.classes == pytest.approx({"membrane": 0.6, "organelle": 0.2, "background": 1.0})


def test_a_single_seed_has_the_interval_of_its_scores():
    second = curves.summarise(run())[1]
    assert (second.low, second.high) == pytest.approx((0.3, 0.5))


def test_an_unknown_interval_stays_unknown():
    first = curves.summarise([replace(p, low=None, high=None) for p in run()])[0]
    assert first.dice == pytest.approx(0.4)
    assert first.low is None
    assert first.high is None


def test_several_seeds_span_from_the_lowest_to_the_highest():
    second = curves.summarise([*run(seed=0), *run(seed=1, shift=0.06), *run(seed=2, shift=0.03)])[1]
    assert (second.low, second.dice, second.high) == pytest.approx((0.4, 0.43, 0.46))


def test_strategies_keep_their_order_and_rounds_are_sorted():
    points = [*reversed(run("random")), *run("entropy")]
    assert [(s.strategy, s.round) for s in curves.summarise(points)] == [
        (name, n) for name in ("random", "entropy") for n in (1, 2, 3)
    ]


def test_table_has_a_line_a_round_and_says_what_is_not_known():
    lines = curves.table(run()).splitlines()
    assert lines[1].split() == ["round", "boxes", "voxels", "Dice", "[low,", "high]", "membrane", "organelle"]
    assert lines[2].split() == ["1", "8", "262,144", "0.400", "[0.300,", "0.500]", "0.400", "n/a"]
    assert lines[4].split() == ["3", "24", "786,432", "0.600", "[0.500,", "0.700]", "0.700", "0.500"]
    assert len({len(line) for line in lines[1:]}) == 1


def test_plot_fits_the_terminal_and_rises_to_the_right():
    text = curves.plot(run(), width=40, height=8)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 40
    assert text.isascii()
    marks = [line.rindex("*") for line in lines if "|" in line and "*" in line]
    assert marks[0] == max(marks) > marks[-1]


def test_plot_tells_strategies_apart():
    text = curves.plot([*run("entropy"), *run("random", shift=0.2)])
    assert "* entropy   o random" in text
    assert {"*", "o"} <= set("".join(line for line in text.splitlines() if "|" in line))


@pytest.mark.parametrize("points", [[], [replace(p, dice=None, low=None, high=None) for p in run()]])
def test_nothing_known_is_said_and_drawn_without_failing(tmp_path: Path, points: list[CurvePoint]):
    assert "n/a" in curves.plot(points)
    assert "0." not in curves.table(points)
    curves.draw(tmp_path / "curve.png", points)
    assert inked(tmp_path / "curve.png", "#ffffff") > 100_000


def inked(path: Path, colour: str) -> int:
    """Count the pixels of about this colour."""
    wanted = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)])
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    return int((np.abs(pixels - wanted).max(axis=2) < 12).sum())


def test_png_has_a_line_a_strategy(tmp_path: Path):
    curves.draw(tmp_path / "one.png", run("entropy"))
    curves.draw(tmp_path / "two.png", [*run("entropy"), *run("random", shift=0.1)], x="voxels")
    assert inked(tmp_path / "two.png", curves.COLOURS[0]) > 500
    assert inked(tmp_path / "two.png", curves.COLOURS[1]) > 2 * inked(tmp_path / "one.png", curves.COLOURS[1])


def test_training_curve_is_written_and_drawn(tmp_path: Path):
    curve = [(n, 2.0 / (n + 1), 1e-3, 0.5 if n == 20 else None) for n in range(30)]
    curves.write_training_csv(tmp_path / "loss.csv", curve)
    curves.draw_training(tmp_path / "loss.png", curve)
    lines = (tmp_path / "loss.csv").read_text().splitlines()
    assert lines[:2] == ["step,loss,rate,held_out", "0,2.0,0.001,"]
    assert len(lines) == 31
    assert inked(tmp_path / "loss.png", curves.COLOURS[0]) > 500


def test_drawing_leaves_pyplot_alone_and_importing_leaves_matplotlib_alone(tmp_path: Path):
    program = (
        "import sys; from pathlib import Path; from rondel.loop import curves;"
        "assert 'matplotlib' not in sys.modules;"
        f"curves.draw_training(Path({str(tmp_path / 'a.png')!r}), [(1, 1.0, 0.1, None), (2, 0.5, 0.1, 0.6)]);"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
