"""Live curves of a training: losses by term, and how good the model is meanwhile."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import QPoint, QRectF, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QPainter, QPaintEvent, QPalette, QPen
from qtpy.QtWidgets import QAbstractButton, QLabel, QSizePolicy, QToolTip, QVBoxLayout, QWidget
from superqt import QFlowLayout

from napari_gaussproto.core.base.config import DEFAULT_COLORS
from napari_gaussproto.widgets.train.fitting.curve_plot import Plot, Series, nearest, readable
from napari_gaussproto.widgets.train.fitting.semi_terms import name_of_loss

if TYPE_CHECKING:
    from napari_gaussproto.core.base.steps import TrainingStep

HELD_OUT, LABELLED, GATE = "held-out", "labelled", "passes the gate"
# What a stage is called next to its line.
_NAMES = {"final": "on all strokes"}
_GATE_KEY = "gate"  # among a step's losses
_EVERY_MS = 100
_LINE = 16
_MEANING = {
    "classification": "How badly the labelled pixels are told apart",
    "density": "How badly the prototypes describe the labelled cells",
    "diversity": "How much prototypes of one class overlap",
    "unlabelled density": "How badly the prototypes describe the unlabelled cells",
    "soft labels": "How far the model is from its own running average on unlabelled pixels",
    "pseudo-labels": "How far unlabelled pixels are from the labels that passed the gate",
    "affinity": "How far unlabelled cells are from the labelled cells they look like",
    "anchoring": "How far the model has moved from where it started",
    HELD_OUT: "Mean IoU on strokes that are kept out of the training: the figure to trust",
    LABELLED: "Mean IoU on the strokes that are learnt from: higher than on other pixels",
    GATE: "Share of the unlabelled area that is familiar and certain enough to be learnt from",
}
_TIPS = {name_of_loss(name): meaning for name, meaning in _MEANING.items()}


class LegendEntry(QAbstractButton):
    """Line, name and newest value of a curve; a click switches the curve off or on."""

    def __init__(self, series: Series) -> None:
        super().__init__()
        self._series = series
        self._value = ""
        self.setCheckable(True)
        self.setChecked(True)
        self.setText(series.name)
        self.setAccessibleName(series.name)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        meaning = _TIPS.get(series.name, "A term of the loss")
        self.setToolTip(f"{meaning}.\nClick to hide or show the curve")

    @property
    def value(self) -> str:
        """The newest value as text."""
        return self._value

    def set_value(self, value: str) -> None:
        """Show the newest value."""
        if value != self._value:
            self._value = value
            self.updateGeometry()
            self.update()

    def sizeHint(self) -> QSize:
        """Room for line, name and value."""
        metrics = self.fontMetrics()
        width = _LINE + 5 + metrics.horizontalAdvance(f"{self.text()} {self._value}")
        return QSize(width + 4, metrics.height() + 2)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the entry, paler when its curve is off."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setOpacity(1.0 if self.isChecked() else 0.4)
        color = readable(self._series.color, self.palette().color(QPalette.ColorRole.Window))
        style = Qt.PenStyle.DashLine if self._series.dashed else Qt.PenStyle.SolidLine
        middle = self.height() // 2
        painter.setPen(QPen(color, 2.5, style))
        painter.drawLine(0, middle, _LINE, middle)
        box = QRectF(self.rect()).adjusted(_LINE + 5, 0, 0, 0)
        painter.setPen(self.palette().color(QPalette.ColorRole.WindowText))
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(box, left, f"{self.text()} {self._value}")
        if not self.isChecked():
            width = self.fontMetrics().horizontalAdvance(self.text())
            painter.drawLine(_LINE + 5, middle + 1, _LINE + 5 + width, middle + 1)
        if self.hasFocus():
            painter.setPen(QPen(self.palette().color(QPalette.ColorRole.WindowText), 1))
            painter.drawLine(0, self.height() - 1, self.width() - 4, self.height() - 1)


class CurvePlot(QWidget):
    """A plot with a legend below.

    Signals
    -------
    switched()
        A curve was hidden or shown.
    """

    switched = Signal()

    def __init__(self, plot: Plot) -> None:
        super().__init__()
        self.plot = plot
        self.entries: dict[str, LegendEntry] = {}
        self._legend = QWidget()
        self._flow = QFlowLayout(self._legend)
        self._flow.setContentsMargins(2, 0, 2, 0)
        self._flow.setHorizontalSpacing(10)
        self._flow.setVerticalSpacing(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(plot)
        layout.addWidget(self._legend)

    def series(self, series: Series) -> Series:
        """The curve of that name; the one given if there was none."""
        known = self.plot.series.get(series.name)
        if known is not None:
            return known
        self.plot.series[series.name] = series
        entry = LegendEntry(series)
        entry.toggled.connect(lambda on: self._switch(series, on))
        self.entries[series.name] = entry
        self._flow.addWidget(entry)
        entry.show()
        return series

    def clear(self) -> None:
        """Forget all curves."""
        self.plot.series.clear()
        while (item := self._flow.takeAt(0)) is not None:
            item.widget().hide()
            item.widget().deleteLater()
        self.entries.clear()

    def _switch(self, series: Series, on: bool) -> None:
        series.visible = on
        self.switched.emit()


class TrainingCurves(QWidget):
    """Losses by term, and below them IoU and the share of pixels that passes the gate.

    Stages of a training follow each other on one axis, with a dotted line between them that
    says what follows.

    Signals
    -------
    grew()
        There are more curves.
    """

    grew = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.losses = CurvePlot(Plot("Loss by term", "No loss yet."))
        self.quality = CurvePlot(
            Plot("Mean IoU", "Not measured yet.", limits=(0.0, 1.0), numbered=True)
        )
        self.empty = QLabel("The curves of the training appear here.")
        self.empty.setEnabled(False)
        self._best: float | None = None
        self._stages: list[tuple[str, float]] = []
        self._last = 0.0
        self._count = 0
        self._off: set[str] = set()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_EVERY_MS)
        self._timer.timeout.connect(self._refresh)
        # There is room for new curves only after the layout has seen them.
        self._room = QTimer(self)
        self._room.setSingleShot(True)
        self._room.setInterval(_EVERY_MS)
        self._room.timeout.connect(self.grew)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.empty)
        for part in (self.losses, self.quality):
            part.hide()
            layout.addWidget(part)
            part.switched.connect(self._on_switch)
            part.plot.hovered.connect(self._on_hover)

    def clear(self) -> None:
        """Forget everything, before another training; curves that are off stay off."""
        self._best, self._last = None, 0.0
        self._stages.clear()
        for part in (self.losses, self.quality):
            part.clear()
        self._refresh()

    def add(self, step: TrainingStep) -> None:
        """Add what happened in a step. Values that are not finite are skipped.

        Parameters
        ----------
        step : TrainingStep
        """
        measured = step.validation_miou is not None
        if not (step.losses or measured):
            return
        x = self._place(step.stage, step.step if step.losses else 0)
        for name, value in step.losses.items():
            if name == _GATE_KEY:
                self._curve(self.quality, Series(GATE, "#999999", smooth=True, dashed=True)).add(
                    x, value
                )
            else:
                color = DEFAULT_COLORS[len(self.losses.plot.series) % len(DEFAULT_COLORS)]
                series = Series(name_of_loss(name), color, smooth=True)
                self._curve(self.losses, series).add(x, value)
        if step.validation_miou is not None:
            series = Series(HELD_OUT, DEFAULT_COLORS[0], marks=True, best=True)
            self._curve(self.quality, series).add(x, step.validation_miou)
        self._best = step.best_miou if step.best_miou is not None else self._best
        self._later()

    def add_labelled(self, step: int, value: float) -> None:
        """Add the IoU on the labelled pixels.

        Parameters
        ----------
        step : int
            Of the present stage.
        value : float
            In [0, 1]; one that is not finite is skipped.
        """
        x = step + (self._stages[-1][1] if self._stages else 0.0)
        series = Series(LABELLED, DEFAULT_COLORS[2], marks=True)
        self._curve(self.quality, series).add(x, value)
        self._last = max(self._last, x)
        self._later()

    def text_at(self, x: float) -> str:
        """Values at the step nearest to a place of the axis, as HTML; empty without any."""
        steps = [
            found
            for part in (self.losses, self.quality)
            for series in part.plot.shown()
            if (found := nearest(series.x, x)) is not None
        ]
        if not steps:
            return ""
        at = min(steps, key=lambda step: abs(step - x))
        lines = [f"<b>{self._name_of(at)}</b>"]
        for part in (self.losses, self.quality):
            window = part.plot.palette().color(QPalette.ColorRole.Window)
            for series in part.plot.shown():
                last = series.at(at)
                if last is None:
                    continue
                color = readable(series.color, window).name()
                when = "" if last[0] == at else f" ({self._name_of(last[0])})"
                lines.append(
                    f'<span style="color:{color}">■</span> {escape(series.name)} '
                    f"{_number(last[1])}{when}"
                )
        return "<br>".join(lines)

    # -- the axis ---------------------------------------------------------------------------

    def _place(self, stage: str, step: int) -> float:
        """Where on the axis a step of a stage is drawn: stages follow each other."""
        if not self._stages or self._stages[-1][0] != stage:
            self._stages.append((stage, self._last))
        x = self._stages[-1][1] + step
        self._last = max(self._last, x)
        return x

    def _drawn_stages(self) -> list[tuple[str, float]]:
        """Stages that take room on the axis, with where they begin."""
        ends = [begin for _, begin in [*self._stages, ("", self._last)][1:]]
        return [
            stage
            for stage, end in zip(self._stages, ends, strict=True)
            if end > stage[1] or len(self._stages) == 1
        ]

    def _name_of(self, x: float) -> str:
        drawn = self._drawn_stages()
        # A stage owns its last step, as it counts from 1.
        inside = [stage for stage in drawn if stage[1] < x] or drawn[:1]
        if not inside:
            return f"step {x:.0f}"
        name, begin = inside[-1]
        return f"{name}, step {x - begin:.0f}" if len(drawn) > 1 else f"step {x - begin:.0f}"

    # -- showing ----------------------------------------------------------------------------

    def _curve(self, part: CurvePlot, series: Series) -> Series:
        known = part.series(series)
        if known is series and series.name in self._off:
            part.entries[series.name].setChecked(False)
        return known

    def _later(self) -> None:
        """Draw soon: steps may come faster than anyone can look."""
        if not self._timer.isActive():
            self._timer.start()

    def _refresh(self) -> None:
        count = len(self.losses.plot.series) + len(self.quality.plot.series)
        if count > self._count:
            self._room.start()
        some, self._count = count > 0, count
        self.empty.setVisible(not some)
        breaks = [(begin, _NAMES.get(name, name)) for name, begin in self._drawn_stages()[1:]]
        for part in (self.losses, self.quality):
            part.setVisible(some)
            part.plot.set_span(0, self._last)
            # Said once: in the lower plot the labelled IoU lies where the name would be.
            part.plot.breaks = breaks if part is self.losses else [(x, "") for x, _ in breaks]
            part.plot.update()
            for name, series in part.plot.series.items():
                if series.y:
                    part.entries[name].set_value(self._newest(series))

    def _newest(self, series: Series) -> str:
        text = _number(series.drawn[-1])
        if series.name == HELD_OUT and self._best is not None:
            text += f" (best {_number(self._best)})"
        return text

    def _on_switch(self) -> None:
        for part in (self.losses, self.quality):
            for name, series in part.plot.series.items():
                (self._off.discard if series.visible else self._off.add)(name)
            part.plot.update()

    def _on_hover(self, x: float | None, where: QPoint) -> None:
        text = "" if x is None else self.text_at(x)
        for part in (self.losses, self.quality):
            part.plot.cursor = x if text else None
            part.plot.update()
        if text:
            QToolTip.showText(where, text, self)
        else:
            QToolTip.hideText()


def _number(value: float) -> str:
    """Short enough for a legend."""
    value += 0.0  # a zero may be negative
    if abs(value) >= 100:
        return f"{value:.0f}" if abs(value) < 1e5 else f"{value:.1e}"
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"
