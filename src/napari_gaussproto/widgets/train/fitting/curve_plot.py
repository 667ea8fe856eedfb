"""One small plot of curves over steps, painted in the colours of the theme around it."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QEvent, QPoint, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFont, QMouseEvent, QPainter, QPaintEvent, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

# Pull of a new value on the line drawn; a step's loss depends on its crops as much as on the model.
_PULL = 0.3
# A logarithmic axis once typical values of the terms are this far apart.
_LOG_FROM = 15.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 38, 8, 20, 6
_AXIS = 16
# Contrast that graphics need (WCAG 2.1, 1.4.11).
_CONTRAST = 3.0


Values = npt.NDArray[np.float64]


@dataclass
class Series:
    """A curve.

    Attributes
    ----------
    name, color : str
    smooth : bool
        Draw a running mean instead of every value.
    marks : bool
        Draw each value as a dot too; for values that are rare.
    best : bool
        Mark the largest value.
    dashed, visible : bool
    x, y, drawn : list of float
        Steps, values, and the values that are drawn.
    """

    name: str
    color: str
    smooth: bool = False
    marks: bool = False
    best: bool = False
    dashed: bool = False
    visible: bool = True
    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)
    drawn: list[float] = field(default_factory=list)

    def add(self, x: float, y: float) -> None:
        """Append a value; one that is not finite is skipped."""
        if not math.isfinite(y):
            return
        if self.x and x == self.x[-1]:
            self.y[-1] = y
            self.drawn[-1] = y if not self.smooth else self.drawn[-1]
            return
        former = self.drawn[-1] if self.drawn and self.smooth else y
        self.x.append(x)
        self.y.append(y)
        self.drawn.append(former + _PULL * (y - former) if self.smooth else y)

    def at(self, x: float) -> tuple[float, float] | None:
        """Last step at or before ``x``, with the value that is drawn."""
        place = bisect_right(self.x, x) - 1
        return None if place < 0 else (self.x[place], self.drawn[place])

    def top(self) -> tuple[float, float] | None:
        """Step and value of the largest value, the first if there are several."""
        if not self.y:
            return None
        place = self.y.index(max(self.y))
        return self.x[place], self.y[place]


class Plot(QWidget):
    """Curves over steps, with axes.

    Parameters
    ----------
    title, empty : str
        Heading, and what to say as long as there are no curves.
    limits : tuple of float, optional
        Of the y axis; by default it fits the curves, logarithmic where they differ much.
    numbered : bool
        Whether steps are written below.

    Signals
    -------
    hovered(object, QPoint)
        Step under the mouse, or None when it left, and where the mouse is on the screen.
    """

    hovered = Signal(object, QPoint)

    def __init__(
        self,
        title: str,
        empty: str,
        limits: tuple[float, float] | None = None,
        numbered: bool = False,
    ) -> None:
        super().__init__()
        self.series: dict[str, Series] = {}
        self.breaks: list[tuple[float, str]] = []
        self.cursor: float | None = None
        self._title, self._empty, self._limits = title, empty, limits
        self._bottom = _AXIS if numbered else _BOTTOM
        self._span = (0.0, 1.0)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(122 + self._bottom)
        self.setMouseTracking(True)
        self.setAccessibleName(title)

    def sizeHint(self) -> QSize:
        """As wide as the dock."""
        return QSize(320, self.height())

    def set_span(self, first: float, last: float) -> None:
        """Steps at both ends of the x axis."""
        self._span = (first, max(last, first + 1))

    def shown(self) -> list[Series]:
        """Curves that are switched on and have a value."""
        return [series for series in self.series.values() if series.visible and series.x]

    # -- axes -------------------------------------------------------------------------------

    def scale(self) -> tuple[float, float, bool]:
        """Lower and upper end of the y axis, and whether it is logarithmic."""
        if self._limits is not None:
            return *self._limits, False
        return y_scale([self._thinned(series)[1] for series in self.shown()])

    def step_at(self, x: float) -> float:
        """The step drawn at a place of the widget."""
        first, last = self._span
        area = self._area()
        share = (x - area.left()) / max(1.0, area.width())
        return first + min(1.0, max(0.0, share)) * (last - first)

    def position_of(self, step: float, value: float) -> QPointF:
        """Where a value is drawn."""
        low, high, log = self.scale()
        return self._point(step, value, low, high, log)

    def _area(self) -> QRectF:
        return QRectF(
            _LEFT,
            _TOP,
            max(1, self.width() - _LEFT - _RIGHT),
            self.height() - _TOP - self._bottom,
        )

    def _thinned(self, series: Series) -> tuple[Values, Values]:
        """Steps and values of a curve, no more than can be told apart."""
        chosen = thinned(len(series.x), self.width())
        return np.array([series.x[i] for i in chosen]), np.array([series.drawn[i] for i in chosen])

    def _points(self, x: Values, y: Values, low: float, high: float, log: bool) -> list[QPointF]:
        area, (first, last) = self._area(), self._span
        if log:
            y, low, high = np.log10(np.maximum(y, low)), math.log10(low), math.log10(high)
        across = area.left() + (x - first) / (last - first) * area.width()
        down = area.bottom() - np.clip((y - low) / (high - low), 0, 1) * area.height()
        return [QPointF(*point) for point in zip(across.tolist(), down.tolist(), strict=True)]

    def _point(self, step: float, value: float, low: float, high: float, log: bool) -> QPointF:
        return self._points(np.array([step]), np.array([value]), low, high, log)[0]

    # -- drawing ----------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw axes and curves, or a sentence."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(_smaller(self.font()))
        low, high, log = self.scale()
        shown = self.shown()
        title = f"{self._title}, logarithmic" if log else self._title
        painter.setPen(self.ink(200))
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRectF(2, 0, self.width() - 4, _TOP - 2), left, title)
        if not shown:
            painter.setPen(self.ink(130))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            empty = "All are switched off" if any(s.x for s in self.series.values()) else None
            painter.drawText(self._area(), flags, empty or self._empty)
            return
        self._draw_axes(painter, low, high, log)
        for series in shown:
            self._draw_series(painter, series, low, high, log)
        if self.cursor is not None:
            self._vertical(painter, self.cursor, QPen(self.ink(150), 1))

    def ink(self, alpha: int) -> QColor:
        """The theme's text colour, weaker the smaller ``alpha``, of 255."""
        color = QColor(self.palette().color(QPalette.ColorRole.WindowText))
        color.setAlpha(alpha)
        return color

    def _draw_axes(self, painter: QPainter, low: float, high: float, log: bool) -> None:
        area = self._area()
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for value in ticks(low, high, log):
            y = self._point(self._span[0], value, low, high, log).y()
            painter.setPen(QPen(self.ink(40), 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(self.ink(170))
            painter.drawText(QRectF(0, y - 8, _LEFT - 5, 16), right, f"{value:.6g}")
        for step, text in self.breaks:
            self._vertical(painter, step, QPen(self.ink(110), 1, Qt.PenStyle.DotLine))
            if text:
                self._name_break(painter, step, text)
        if self._bottom == _AXIS:
            self._draw_steps(painter)

    def _draw_steps(self, painter: QPainter) -> None:
        area = self._area()
        painter.setPen(self.ink(170))
        metrics = painter.fontMetrics()
        for step in ticks(*self._span, False, most=6):
            if step != int(step):
                continue
            text = f"step {step:.0f}" if step == self._span[0] else f"{step:.0f}"
            x = self._point(step, 0, 0, 1, False).x()
            width = metrics.horizontalAdvance(text)
            begin = min(max(x - width / 2, 2), self.width() - width - 2)
            place = QPointF(begin, area.bottom() + metrics.ascent() + 2)
            painter.drawText(place, text)

    def _vertical(self, painter: QPainter, step: float, pen: QPen) -> None:
        area, x = self._area(), self._point(step, 0, 0, 1, False).x()
        painter.setPen(pen)
        painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))

    def _name_break(self, painter: QPainter, step: float, text: str) -> None:
        """Write what follows a line next to it, where there is room."""
        area, x = self._area(), self._point(step, 0, 0, 1, False).x()
        begin = x + 4
        if begin + painter.fontMetrics().horizontalAdvance(text) > self.width():
            text = f"{text} →"
            begin = x - 4 - painter.fontMetrics().horizontalAdvance(text)
        painter.setPen(self.ink(170))
        painter.drawText(QPointF(begin, area.top() + painter.fontMetrics().ascent()), text)

    def _draw_series(
        self, painter: QPainter, series: Series, low: float, high: float, log: bool
    ) -> None:
        color = readable(series.color, self.palette().color(QPalette.ColorRole.Window))
        style = Qt.PenStyle.DashLine if series.dashed else Qt.PenStyle.SolidLine
        painter.setPen(QPen(color, 1.6, style))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        points = self._points(*self._thinned(series), low, high, log)
        painter.drawPolyline(QPolygonF(points))
        if series.marks or len(points) == 1:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(color)
            for point in points:
                painter.drawEllipse(point, 2.2, 2.2)
        top = series.top()
        if series.best and top is not None:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(self.ink(230), 1.4))
            painter.drawEllipse(self._point(*top, low, high, log), 5, 5)

    # -- the mouse --------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Tell which step is under the mouse."""
        if self.shown():
            at = event.position()
            self.hovered.emit(self.step_at(at.x()), self.mapToGlobal(at.toPoint()))

    def leaveEvent(self, event: QEvent) -> None:
        """Tell that the mouse left."""
        self.hovered.emit(None, QPoint())


def y_scale(curves: Sequence[Values]) -> tuple[float, float, bool]:
    """Lower and upper end of an axis for curves, and whether it should be logarithmic.

    Logarithmic when no value is negative and the largest value is far above what is usual
    for one of the curves: on a linear axis such a curve would lie on the bottom.
    """
    if not curves:
        return 0.0, 1.0, False
    values = np.concatenate(curves)
    low, high = float(values.min()), float(values.max())
    usual = [median for curve in curves if (median := float(np.median(curve))) > 0]
    if low >= 0 and usual and high > _LOG_FROM * min(usual):
        # A term that rises from 0 starts at the bottom and does not stretch the axis.
        low = max(float(values[values > 0].min()), min(usual) / 10)
        return low / 1.15, high * 1.15, True
    low = min(low, 0.0)  # losses are compared by their height
    room = 0.06 * (high - low) or 0.5
    return low - (room if low < 0 else 0.0), high + room, False


def ticks(low: float, high: float, log: bool, most: int = 4) -> list[float]:
    """Round numbers between two ends."""
    return list(_log_ticks(low, high) if log else _linear_ticks(low, high, most))


def _linear_ticks(low: float, high: float, most: int) -> Iterator[float]:
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
        yield round(k * step, 12)


def _log_ticks(low: float, high: float) -> Iterator[float]:
    first, last = math.floor(math.log10(low)), math.floor(math.log10(high))
    wide = math.log10(high / low)
    factors = (1, 2, 5) if wide < 1.3 else (1, 3) if wide < 2.2 else (1,)
    stride = max(1, math.ceil(wide / 5))
    for power in range(first, last + 1):
        for factor in factors:
            value = factor * 10.0**power
            if low <= value <= high and power % stride == 0:
                yield value


def thinned(count: int, most: int) -> list[int]:
    """At most about ``most`` of ``count`` indices, evenly, the last one included."""
    stride = max(1, -(-count // max(1, most)))
    chosen = list(range(0, count, stride))
    if count and chosen[-1] != count - 1:
        chosen.append(count - 1)
    return chosen


def nearest(x: Sequence[float], at: float) -> float | None:
    """The value of sorted ``x`` that is nearest to a place."""
    place = bisect_left(x, at)
    around = x[max(0, place - 1) : place + 1]
    return min(around, key=lambda value: abs(value - at)) if around else None


def readable(color: str | QColor, background: QColor) -> QColor:
    """A colour, made lighter or darker until it stands out against a background."""
    found, light = QColor(color), _luminance(background)
    for _ in range(20):
        own = _luminance(found)
        if (max(own, light) + 0.05) / (min(own, light) + 0.05) >= _CONTRAST:
            break
        found = found.lighter(108) if light < 0.2 else found.darker(108)
    return found


def _luminance(color: QColor) -> float:
    """Relative luminance (WCAG 2.1)."""
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (color.redF(), color.greenF(), color.blueF())
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _smaller(font: QFont) -> QFont:
    small = QFont(font)
    if font.pointSizeF() > 0:
        small.setPointSizeF(font.pointSizeF() * 0.85)
    else:
        small.setPixelSize(max(9, round(font.pixelSize() * 0.85)))
    return small
