"""One small plot of curves over steps, with a legend that switches them off and on.

Importing this module loads pyqtgraph; see `widgets.shared.plots`.
"""

from __future__ import annotations

import math
from collections.abc import Container, Sequence

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QEvent, QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QMouseEvent, QPalette, QPen, QPixmap, QWheelEvent
from qtpy.QtWidgets import QLabel, QPushButton, QSizePolicy, QWidget
from superqt import QFlowLayout

from napari_gaussproto.widgets.shared.forms import down, fill
from napari_gaussproto.widgets.shared.plots import ThemedPlot, smaller
from napari_gaussproto.widgets.shared.workarounds import painting
from napari_gaussproto.widgets.train.fitting.curve_log import (
    GATE,
    HELD_OUT,
    LABELLED,
    CurveLog,
    Series,
    log_ticks,
    y_scale,
)
from napari_gaussproto.widgets.train.fitting.semi_terms import name_of_loss

_HEIGHT, _AXIS, _LEFT = 104, 16, 38
_LINE = QSize(16, 10)
_MEANING = {
    "classification": "How badly the labelled pixels are told apart",
    "density": "How badly the prototypes describe the labelled cells",
    "diversity": "How much prototypes of one class overlap",
    "unlabelled density": "How badly the prototypes describe the unlabelled cells",
    "soft labels": "How far the model is from its own running average on unlabelled pixels",
    "pseudo-labels": "How far unlabelled pixels are from the labels that passed the gate",
    "affinity": "How far unlabelled cells are from the labelled cells they look like",
    "anchoring": "How far the model has moved from where it started",
    HELD_OUT: "Mean IoU on strokes that are not learnt from. They choose what is kept, so it "
    "is rather too high than too low",
    LABELLED: "Mean IoU on the strokes that are learnt from: higher than on other pixels",
    GATE: "Share of the unlabelled area that is familiar and certain enough to be learnt from",
}
_TIPS = {name_of_loss(name): meaning for name, meaning in _MEANING.items()}


class LegendEntry(QPushButton):
    """Line, name and newest value of a curve; a click switches the curve off or on."""

    def __init__(self, series: Series, color: QColor, on: bool) -> None:
        super().__init__(series.name)
        self._pen = QPen(color, 2.5, _style(series))
        self.setCheckable(True)
        self.setIconSize(_LINE)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        meaning = _TIPS.get(series.name, "A term of the loss")
        self.setToolTip(f"{meaning}.\nClick to hide or show the curve")
        self.toggled.connect(self._show_state)
        self.setChecked(on)
        self._show_state(on)

    def _show_state(self, on: bool) -> None:
        """Draw the line; that of a curve that is off is pale and its name struck out."""
        pixmap = QPixmap(_LINE)
        pixmap.fill(Qt.GlobalColor.transparent)
        with painting(pixmap) as painter:
            painter.setOpacity(1.0 if on else 0.4)
            painter.setPen(self._pen)
            painter.drawLine(0, _LINE.height() // 2, _LINE.width(), _LINE.height() // 2)
        self.setIcon(QIcon(pixmap))
        # A line of text, not a button; underlined where the keyboard is.
        self.setStyleSheet(
            "QPushButton { border: none; background: transparent; padding: 0; min-height: 16px;"
            f" text-align: left; text-decoration: {'none' if on else 'line-through'}; }}"
            "QPushButton:focus { text-decoration: underline; }"
        )


class _Lines(ThemedPlot):
    """The plot itself; it tells which step is under the mouse, and the wheel scrolls the dock."""

    hovered = Signal(object)  # the step as a float, or None when the mouse left

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Tell which step is under the mouse, within the axis."""
        super().mouseMoveEvent(event)
        box = self.getViewBox()
        step = box.mapSceneToView(self.mapToScene(event.position().toPoint())).x()
        self.hovered.emit(float(np.clip(step, *box.viewRange()[0])))

    def leaveEvent(self, event: QEvent) -> None:
        """Tell that the mouse left."""
        super().leaveEvent(event)
        self.hovered.emit(None)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Leave it to the dock."""
        event.ignore()


class CurvePlot(QWidget):
    """A titled plot with a legend below.

    Parameters
    ----------
    title, empty : str
        Heading, and what it says besides as long as there are no curves.
    limits : tuple of float, optional
        Of the y axis; by default it fits the curves, logarithmic where they differ much.
    numbered : bool
        Whether steps are written below.
    """

    switched = Signal(str, bool)  # a curve, and whether it is shown
    hovered = Signal(object)  # the step under the mouse, or None when it left

    def __init__(
        self,
        title: str,
        empty: str,
        limits: tuple[float, float] | None = None,
        numbered: bool = False,
    ) -> None:
        super().__init__()
        self._title, self._empty, self._limits = title, empty, limits
        self.entries: dict[str, LegendEntry] = {}
        self.lines: dict[str, pg.PlotDataItem] = {}
        self._marks: dict[float, pg.InfiniteLine] = {}
        self.title = QLabel()
        self.plot = _Lines()
        self.plot.setFixedHeight(_HEIGHT + (_AXIS if numbered else 0))
        self.plot.setAccessibleName(title)
        self.plot.showGrid(y=True, alpha=0.15)
        self.plot.getAxis("left").setWidth(_LEFT)
        bottom = self.plot.getAxis("bottom")
        bottom.setStyle(showValues=numbered, tickTextOffset=1)
        bottom.setHeight(_AXIS if numbered else 4)
        self.plot.hovered.connect(self.hovered)
        self._kept = pg.ScatterPlotItem(size=10, brush=None)
        self._cursor = pg.InfiniteLine(angle=90)
        for item in (self._kept, self._cursor):
            item.setZValue(10)
            self.plot.addItem(item)
        self._legend = QFlowLayout()
        self._legend.setContentsMargins(2, 0, 2, 0)
        self._legend.setHorizontalSpacing(10)
        self._legend.setVerticalSpacing(1)
        fill(self, down(self.title, self.plot, self._legend, spacing=2))
        self.set_cursor(None)

    @property
    def cursor_step(self) -> float | None:
        """The step that a vertical line marks."""
        return float(self._cursor.value()) if self._cursor.isVisible() else None

    def set_cursor(self, step: float | None) -> None:
        """Mark a step, or none."""
        self._cursor.setVisible(step is not None)
        if step is not None:
            self._cursor.setValue(step)

    def show_curves(
        self,
        curves: Sequence[Series],
        log: CurveLog,
        off: Container[str],
        breaks: Sequence[tuple[float, str]],
    ) -> None:
        """Draw curves as they are now; those whose names are in ``off`` are hidden."""
        lines = {s.name: s.line() for s in curves if s.x and s.name not in off}
        scale = (*self._limits, False) if self._limits else None
        low, high, logarithmic = scale or y_scale([drawn for _, drawn in lines.values()])
        empty = ", all are switched off" if any(s.x for s in curves) else f", {self._empty}"
        add = ", logarithmic" if logarithmic else "" if lines else empty
        self.title.setText(f"<small>{self._title}{add}</small>")
        self.plot.setLogMode(y=logarithmic)
        ends = (math.log10(low), math.log10(high)) if logarithmic else (low, high)
        ticks = log_ticks(low, high) if logarithmic else []
        marks = [(math.log10(value), f"{value:.6g}") for value in ticks]
        self.plot.getAxis("left").setTicks([marks] if marks else None)
        self.plot.setRange(xRange=(0, max(log.last, 1)), yRange=ends, padding=0)
        for series in curves:
            self._make(series, series.name not in off)
            self.entries[series.name].setText(f"{series.name} {log.newest(series)}".strip())
            line, found = self.lines[series.name], lines.get(series.name)
            line.setVisible(found is not None)
            if found is not None:
                line.setData(found[0], np.maximum(found[1], low))
        kept = [s.kept for s in curves if s.kept is not None and s.name in lines]
        self._kept.setPen(pg.mkPen(self.plot.ink(230), width=1.4))
        self._cursor.setPen(self.plot.ink(150))
        self._kept.setData(pos=kept)
        self._show_breaks(breaks)

    def clear(self) -> None:
        """Forget all curves."""
        for item in (*self.lines.values(), *self._marks.values()):
            self.plot.removeItem(item)
        for entry in self.entries.values():
            entry.hide()
            entry.deleteLater()
        self.lines, self._marks, self.entries = {}, {}, {}

    def _make(self, series: Series, on: bool) -> None:
        """Line and entry of a curve, if there are none yet."""
        if series.name in self.lines:
            return
        color = self.plot.shade(series.color)
        line = self.lines[series.name] = pg.PlotDataItem(
            pen=pg.mkPen(color, width=1.6, style=_style(series)),
            antialias=True,
            symbol="o" if series.marks else None,
            symbolSize=4.4,
            symbolPen=None,
            symbolBrush=color,
        )
        self.plot.addItem(line)
        entry = self.entries[series.name] = LegendEntry(series, color, on)
        entry.toggled.connect(lambda on: self.switched.emit(series.name, on))
        self._legend.addWidget(entry)

    def _show_breaks(self, breaks: Sequence[tuple[float, str]]) -> None:
        for step in set(self._marks) - {step for step, _ in breaks}:
            self.plot.removeItem(self._marks.pop(step))
        for step, text in breaks:
            if step not in self._marks:
                pen = pg.mkPen(self.plot.ink(110), style=Qt.PenStyle.DotLine)
                behind = QColor(self.plot.palette().color(QPalette.ColorRole.Window))
                behind.setAlpha(150)
                options = {
                    "position": 0.9,
                    "anchors": [(0, 0.5), (1, 0.5)],
                    "color": self.plot.ink(200),
                    "fill": behind,
                }
                mark = pg.InfiniteLine(step, 90, pen, label=text or None, labelOpts=options)
                if text:
                    mark.label.setFont(smaller(self.font()))
                self._marks[step] = mark
                self.plot.addItem(mark)


def _style(series: Series) -> Qt.PenStyle:
    return Qt.PenStyle.DashLine if series.dashed else Qt.PenStyle.SolidLine
