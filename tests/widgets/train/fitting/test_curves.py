"""Live curves: what is kept, what is drawn, and what the mouse does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QColor, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QToolTip

from napari_gaussproto.core.base.steps import TrainingStep
from napari_gaussproto.widgets.shared.plots import readable
from napari_gaussproto.widgets.train.fitting.curve_log import (
    GATE,
    HELD_OUT,
    LABELLED,
    CurveLog,
    Series,
    log_ticks,
    y_scale,
)
from napari_gaussproto.widgets.train.fitting.curves import TrainingCurves
from napari_gaussproto.widgets.train.fitting.semi_terms import TERMS


@pytest.fixture
def curves(qtbot: Any) -> TrainingCurves:
    widget = TrainingCurves()
    qtbot.addWidget(widget)
    widget.resize(340, 420)
    widget.show()
    qtbot.waitExposed(widget)
    return widget


def joint(step: int, miou: float | None = None, best: float | None = None, **losses: float) -> Any:
    return TrainingStep("joint", step, 100, losses, miou, best)


def settle(curves: TrainingCurves, qtbot: Any) -> None:
    """Until what was added is shown."""
    qtbot.waitUntil(lambda: not curves.busy, timeout=30_000)
    QTest.qWait(20)


def drawn(plot: Any) -> list[str]:
    """Names of the curves that are seen."""
    return [name for name, line in plot.lines.items() if line.isVisible()]


def pixels_like(widget: Any, color: str) -> int:
    """How many pixels of a widget have about this colour."""
    image, wanted = widget.grab().toImage(), QColor(color)
    close = 0
    for y in range(image.height()):
        for x in range(image.width()):
            found = image.pixelColor(x, y)
            off = (found.red() - wanted.red(), found.green() - wanted.green())
            close += max(map(abs, (*off, found.blue() - wanted.blue()))) < 25
    return close


def test_a_sentence_first_then_curves_then_a_sentence_again(
    curves: TrainingCurves, qtbot: Any
) -> None:
    assert curves.empty.isVisible() and curves.losses is None
    curves.add(TrainingStep("features", 1, 4))  # nothing to draw
    settle(curves, qtbot)
    assert curves.empty.isVisible()
    curves.add(joint(1, classification=1.0))
    settle(curves, qtbot)
    assert curves.losses.isVisible() and curves.quality.isVisible()
    assert not curves.empty.isVisible()
    curves.clear()
    assert curves.empty.isVisible() and not curves.losses.lines


def test_terms_get_a_curve_and_the_gate_goes_beside_the_iou() -> None:
    log = CurveLog()
    log.add(joint(1, classification=0.5, density=0.1, gate=0.25))
    log.add(joint(2, classification=0.25, density=0.1, gate=0.5))
    assert list(log.losses) == ["classification", "density"]
    assert log.quality[GATE].y == [0.25, 0.5]
    series = log.losses["classification"]
    assert series.y == [0.5, 0.25] and 0.25 < series.drawn[1] < 0.5  # smoothed
    assert len({entry.color for entry in log.losses.values()}) == 2


def test_steps_whose_crops_show_few_strokes_do_not_lift_a_loss() -> None:
    log = CurveLog()
    for step in range(1, 31):
        log.add(joint(step, classification=400.0 if step % 7 == 0 else 0.5))
    series = log.losses["classification"]
    assert max(series.y) == 400 and max(series.drawn) < 0.51


def test_a_line_begins_anew_with_a_stage() -> None:
    log = CurveLog()
    for step in range(1, 9):
        log.add(joint(step, classification=9.0))
    log.add(TrainingStep("final", 1, 8, {"classification": 1.0}))
    log.add(TrainingStep("final", 2, 8, {"classification": 1.0}))
    assert log.losses["classification"].drawn[-3:] == [9.0, 1.0, 1.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_skipped(
    curves: TrainingCurves, qtbot: Any, bad: float
) -> None:
    curves.add(joint(1, classification=bad, density=0.5, gate=bad))
    curves.add(joint(2, bad, classification=1.0, density=0.4))
    curves.add_labelled(2, bad)
    settle(curves, qtbot)
    assert curves.log.losses["classification"].x == [2.0]
    assert all(math.isfinite(v) for v in curves.log.losses["classification"].drawn)
    assert not drawn(curves.quality) and "not measured yet" in curves.quality.title.text()
    assert curves.losses.entries["classification"].text() == "classification 1.00"
    curves.grab()


def test_newest_value_and_the_kept_one(curves: TrainingCurves, qtbot: Any) -> None:
    curves.add(joint(20, 0.6, 0.6, classification=0.5))
    curves.add(joint(40, 0.75, 0.75, classification=0.4))
    curves.add(joint(60, 0.7, 0.75, classification=0.003))
    settle(curves, qtbot)
    assert curves.quality.entries[HELD_OUT].text() == "held-out 0.70 (kept 0.75)"
    # As the line that is drawn, which smooths what single crops do.
    assert curves.losses.entries["classification"].text() == "classification 0.46"
    assert curves.log.quality[HELD_OUT].kept == (40.0, 0.75)
    curves.add(joint(80, 0.76, 0.75))  # a little better is not enough
    settle(curves, qtbot)
    assert curves.quality.entries[HELD_OUT].text() == "held-out 0.76 (kept 0.75)"
    assert curves.log.quality[HELD_OUT].kept == (40.0, 0.75)


def test_start_lies_before_the_first_step_and_stages_follow_each_other(
    curves: TrainingCurves, qtbot: Any
) -> None:
    curves.add(TrainingStep("start", 1, 1, validation_miou=0.5, best_miou=0.5))
    for step in range(1, 11):
        curves.add(TrainingStep("layer", step, 10, {"classification": 1.0}))
    curves.add(joint(1, classification=0.5))
    curves.add(joint(2, 0.6, classification=0.5))
    curves.add_labelled(2, 0.9)
    settle(curves, qtbot)
    assert curves.log.quality[HELD_OUT].x == [0.0, 12.0]
    assert curves.log.quality[LABELLED].x == [12.0]
    assert curves.log.breaks() == [(10.0, "joint")]  # and none for a stage that takes no room
    assert "layer, step 10" in curves.text_at(10)
    text = curves.text_at(11)
    assert "joint, step 1<" in text and "held-out 0.50 (layer, step 0)" in text


def test_clicking_the_legend_switches_a_term_off_and_on(curves: TrainingCurves, qtbot: Any) -> None:
    for step in range(1, 30):
        curves.add(joint(step, classification=1.0, density=0.5 + 0.01 * step))
    settle(curves, qtbot)
    plot, entry = curves.losses.plot, curves.losses.entries["density"]
    color = plot.shade(curves.log.losses["density"].color).name()
    assert pixels_like(plot, color) > 50
    QTest.mouseClick(entry, Qt.MouseButton.LeftButton)
    assert drawn(curves.losses) == ["classification"]
    assert pixels_like(plot, color) == 0
    curves.clear()  # the next training keeps what a person does not want to see
    curves.add(joint(1, classification=1.0, density=0.5))
    settle(curves, qtbot)
    assert drawn(curves.losses) == ["classification"]
    QTest.mouseClick(curves.losses.entries["density"], Qt.MouseButton.LeftButton)
    assert len(drawn(curves.losses)) == 2


def test_hovering_shows_the_values_of_that_step(curves: TrainingCurves, qtbot: Any) -> None:
    for step in range(101):
        miou = 0.5 + step / 1000 if step % 20 == 0 else None
        curves.add(joint(step, miou, classification=1 + step / 100))
    settle(curves, qtbot)
    plot = curves.losses
    box = plot.plot.getViewBox()
    at = plot.plot.mapFromScene(box.mapViewToScene(QPointF(30, 1.3)))
    QTest.mouseMove(plot.plot.viewport(), at)
    qtbot.waitUntil(lambda: plot.cursor_step is not None, timeout=5000)
    assert plot.cursor_step == pytest.approx(30, abs=1)
    text = curves.text_at(30)
    assert "step 30" in text and "classification 1.25" in text
    assert "held-out 0.52 (step 20)" in text  # measured rarely: the last one, and when
    assert "classification" in QToolTip.text()
    assert curves.quality.cursor_step == plot.cursor_step
    plot.hovered.emit(None)
    assert plot.cursor_step is None


def test_steps_that_come_fast_are_drawn_rarely(curves: TrainingCurves, qtbot: Any) -> None:
    curves.add(joint(1, classification=1.0))
    settle(curves, qtbot)
    painted: list[None] = []
    curves.losses.lines["classification"].sigPlotChanged.connect(lambda _: painted.append(None))
    for step in range(2, 500):
        curves.add(joint(step, classification=1.0))
    settle(curves, qtbot)
    assert 1 <= len(painted) <= 5
    assert curves.log.losses["classification"].x[-1] == 499


def test_the_axis_is_logarithmic_where_terms_are_far_apart() -> None:
    one = np.linspace(1.0, 0.8, 50)
    assert y_scale([one, one * 0.5]) == (0.0, pytest.approx(1.06), False)
    low, high, log = y_scale([one, one * 0.01])
    assert log and 0 < low <= 0.008 and high >= 1.0
    rising = np.linspace(0, 0.02, 50)  # begins at 0, which has no logarithm
    low, _, log = y_scale([one, rising])
    assert log and low > 1e-4
    low, _, log = y_scale([one, -one])
    assert not log and low < -1.0
    assert y_scale([np.zeros(3)])[0] == 0.0
    assert not y_scale([])[2]


@pytest.mark.parametrize(("low", "high"), [(2e-4, 3), (0.3, 9), (0.017, 2.4), (1e-9, 10)])
def test_ticks_are_few_and_inside(low: float, high: float) -> None:
    found = log_ticks(low, high)
    assert 2 <= len(found) <= 7
    assert all(low <= value <= high for value in found) and found == sorted(set(found))


def test_long_curves_are_thinned_and_keep_their_end() -> None:
    series = Series("loss", "#000000")
    assert [len(values) for values in series.line()] == [0, 0]
    for step in range(10_000):
        series.add(step, 1.0)
    x, values = series.line()
    assert len(x) == len(values) <= 402 and x[0] == 0 and x[-1] == 9_999
    assert (np.diff(x) > 0).all()


@pytest.mark.parametrize("background", ["#262930", "#efebe9", "#ffffff", "#000000"])
def test_colors_stand_out_on_any_theme(background: str) -> None:
    for color in ("#f0e442", "#0072b2", "#999999", "#009e73"):
        found, behind = readable(color, QColor(background)), QColor(background)
        assert abs(found.lightnessF() - behind.lightnessF()) > 0.1
    assert readable("#009e73", QColor("#262930")).name() == "#009e73"


def test_more_curves_are_told_once(curves: TrainingCurves, qtbot: Any) -> None:
    told: list[None] = []
    curves.grew.connect(lambda: told.append(None))
    for step in range(1, 4):
        curves.add(joint(step, classification=0.5))
        settle(curves, qtbot)
    qtbot.wait(300)
    assert len(told) == 1


def test_terms_are_called_what_their_boxes_are_called(curves: TrainingCurves, qtbot: Any) -> None:
    names = {"soft labels", "pseudo-labels", "affinity", "anchoring"}
    curves.add(joint(1, classification=-0.0, **dict.fromkeys(names, 0.5)))
    settle(curves, qtbot)
    assert set(curves.losses.entries) == {"classification", *(label for _, label, _, _ in TERMS)}
    assert curves.losses.entries["classification"].text() == "classification 0.00"


def test_the_wheel_over_a_plot_scrolls_the_dock(curves: TrainingCurves, qtbot: Any) -> None:
    curves.add(joint(1, classification=1.0))
    curves.add(joint(2, classification=0.9))
    settle(curves, qtbot)
    before = curves.losses.plot.viewRange()
    place = QPointF(curves.losses.plot.rect().center())
    event = QWheelEvent(
        place, place, QPoint(), QPoint(0, -120), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(curves.losses.plot.viewport(), event)
    assert not event.isAccepted() and curves.losses.plot.viewRange() == before
