"""Learning curves: which lines there are, and how they are drawn."""

import pytest
from rondel.loop import curves
from rondel.loop.curves import CurvePoint
from rondel.store.box import Box
from rondel.store.project import Project
from rondel.tui import snapshot
from rondel.tui.braille import MARKS, Line, Point, chart, short
from rondel.tui.curve_panel import NO_MODEL, NO_SCORE, CurvePanel
from rondel.tui.learning import Effort, lines, read_arms

from .conftest import add_box
from .screen_host import drive, text_of
from .small_models import add_model


@pytest.fixture
def state(project: Project) -> snapshot.Snapshot:
    """Two models, trained on one and on three boxes of 1000 voxels that took a minute each."""
    for k in range(3):
        add_box(project, Box((0, 10 * k, 0), (10, 10 * k + 10, 10)))
    database = project.database
    database.connection.execute("UPDATE box SET seconds = 60")
    add_model(project, boxes=(1,), dice=(0.9, 0.5, 0.3))
    add_model(project, boxes=(1, 2, 3), dice=(0.95, 0.7, None))
    return snapshot.read(project, None)


@pytest.mark.parametrize(
    ("effort", "places"), [(Effort.BOXES, [1, 3]), (Effort.VOXELS, [1000, 3000]), (Effort.MINUTES, [1, 3])]
)
def test_quality_is_drawn_against_what_labelling_took(state, effort: Effort, places: list[float]) -> None:
    found = {line.name: line for line in lines(state, effort)}
    assert list(found) == ["mean", "membrane", "organelle"]
    assert [(p.x, round(p.y, 3)) for p in found["mean"].points] == list(zip(places, (0.4, 0.7)))
    assert [p.x for p in found["membrane"].points] == places
    assert [p.y for p in found["organelle"].points] == [0.3], "a class that is n/a has no point"
    assert (found["membrane"].points[0].low, found["membrane"].points[0].high) == pytest.approx((0.4, 0.6))
    assert found["membrane"].colour == state.classes[1].colour


def test_a_model_without_a_score_is_in_no_line(state, project: Project) -> None:
    add_model(project, boxes=(1, 2, 3), dice=None)
    assert len(lines(snapshot.read(project, None), Effort.BOXES)[0].points) == 2


def arm(strategy: str, boxes: int, dice: float) -> list[CurvePoint]:
    return [
        CurvePoint(strategy, 0, boxes, boxes, 100 * boxes, 1, 1.0, name, value, None, None)
        for name, value in (("background", 0.99), ("membrane", dice), ("organelle", dice - 0.1))
    ]


def test_a_simulation_in_exports_is_drawn_beside_it(state, project: Project) -> None:
    folder = project.folder / "exports" / "sim"
    folder.mkdir(parents=True)
    points = [*arm("random", 1, 0.4), *arm("random", 4, 0.6), *arm("entropy", 4, 0.8)]
    curves.write_csv(folder / "curve.csv", points)
    (project.folder / "exports" / "other.csv").write_text("a,b\n1,2\n")
    arms = read_arms(project)
    drawn = {line.name.split()[0]: line for line in lines(state, Effort.BOXES, arms) if line.dashed}
    assert [(p.x, round(p.y, 3)) for p in drawn["random"].points] == [(1, 0.35), (4, 0.55)]
    assert [(p.x, round(p.y, 3)) for p in drawn["entropy"].points] == [(4, 0.75)]
    by_voxels = [line for line in lines(state, Effort.VOXELS, arms) if line.dashed]
    assert by_voxels[0].points[0].x == 100
    assert not [line for line in lines(state, Effort.MINUTES, arms) if line.dashed], "an oracle paints in no time"


def test_nothing_in_exports_is_no_arm(project: Project) -> None:
    assert read_arms(project) == ()


def straight(*points: tuple[float, float], **more) -> Line:
    return Line("one", "red", tuple(Point(x, y) for x, y in points), **more)


def test_a_chart_fills_its_cells_and_no_more() -> None:
    for width, height in ((20, 6), (60, 20), (133, 41)):
        drawn = chart([straight((1, 0.2), (9, 0.85))], width, height, "labelled boxes")
        assert len(drawn) == height and all(row.cell_len <= width for row in drawn)
        assert "0.20" in drawn[-3].plain and "1" in drawn[-1].plain and drawn[-1].plain.endswith("9")
        marks = [(n, row.plain.index(MARKS[0])) for n, row in enumerate(drawn) if MARKS[0] in row.plain]
        assert len(marks) == 2 and marks[0][0] < marks[1][0] and marks[0][1] > marks[1][1], "it rises to the right"


def test_a_chart_has_room_for_intervals() -> None:
    line = Line("one", "red", (Point(1, 0.5, 0.11, 0.99),), whiskers=True)
    drawn = chart([line], 40, 12, "x")
    assert drawn[-3].plain.strip().startswith("0.10")
    dotted = [row.plain[6:] for row in drawn[:-2] if any(0x2800 < ord(c) <= 0x28FF for c in row.plain[6:])]
    assert len(dotted) >= 8


def test_broken_lines_have_gaps() -> None:
    def dots(line: Line) -> int:
        text = "".join(row.plain for row in chart([line], 60, 12, "x"))
        return sum((ord(c) - 0x2800).bit_count() for c in text if 0x2800 < ord(c) <= 0x28FF)

    whole, broken = (dots(straight((0, 0.1), (9, 0.9), dashed=dashed)) for dashed in (False, True))
    assert 0.3 * whole < broken < 0.7 * whole


def test_no_points_or_no_room_is_no_chart() -> None:
    assert chart([], 40, 10, "x") == [] == chart([straight((1, 0.5))], 10, 3, "x")


@pytest.mark.parametrize(
    ("number", "text"), [(7, "7"), (12.5, "12.5"), (4096, "4096"), (340_000, "340 k"), (2.5e6, "2.5 M")]
)
def test_numbers_are_short(number: float, text: str) -> None:
    assert short(number) == text


def test_the_panel_says_the_next_step_while_there_is_nothing_to_draw(project: Project) -> None:
    empty = snapshot.read(project, None)
    add_model(project, boxes=(), dice=None)
    unscored = snapshot.read(project, None)
    panel = CurvePanel()

    async def steps(host, pilot) -> None:
        panel.show(empty)
        await pilot.pause()
        assert NO_MODEL[:40] in text_of(host)
        panel.show(unscored)
        await pilot.pause()
        assert NO_SCORE[:40] in text_of(host)

    drive(panel, steps, project.folder)


def test_a_key_changes_what_it_is_drawn_against(state, project: Project) -> None:
    panel = CurvePanel()

    async def steps(host, pilot) -> None:
        panel.show(state)
        panel.focus()
        await pilot.pause()
        for effort in (*Effort, Effort.BOXES):
            assert f"{effort} (v)" in text_of(host)
            await pilot.press("v")

    drive(panel, steps, project.folder)


def test_the_panel_finds_a_simulation_that_is_put_there_later(state, project: Project) -> None:
    panel = CurvePanel()

    async def steps(host, pilot) -> None:
        panel.show(state)
        await pilot.pause()
        assert panel.arms == ()
        (project.folder / "exports").mkdir(exist_ok=True)
        curves.write_csv(project.folder / "exports" / "curve.csv", arm("random", 4, 0.6))
        panel.look()
        await pilot.pause()
        assert [a.name for a in panel.arms] == ["random (curve.csv)"] and "random (curve.csv)" in text_of(host)

    drive(panel, steps, project.folder)
