"""The latent space as a picture: cells, prototypes as ellipses; clicking chooses one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QHelpEvent, QMouseEvent, QPainter, QPaintEvent, QPalette, QPen
from qtpy.QtWidgets import QLabel, QSizePolicy, QToolTip, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from napari_gaussproto.core.explain.projection import Projection

_CAPTIONS = {
    "discriminant": "Two directions that tell the classes apart best (Fisher's discriminant).",
    "principal": "Two directions of the largest spread (principal components).",
}
_MARGIN = 14
_REACH = 40


class SpaceView(QWidget):
    """The picture.

    Signals
    -------
    chosen(int)
        A prototype was clicked.
    """

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._projection: Projection | None = None
        self._names: list[str] = []
        self._class_index: list[int] = []
        self._active: list[bool] = []
        self._colors: list[QColor] = []
        self._selected = -1
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(200)
        self.setMouseTracking(True)

    def sizeHint(self) -> QSize:
        """As large as the dock is wide."""
        return QSize(320, 260)

    def show_projection(
        self,
        projection: Projection,
        names: list[str],
        class_index: list[int],
        active: list[bool],
        colors: list[str],
    ) -> None:
        """Show a model's latent space."""
        self._projection = projection
        self._names, self._class_index, self._active = names, class_index, active
        self._colors = [QColor(color) for color in colors]
        self.update()

    def select(self, m: int) -> None:
        """Mark a prototype as the chosen one."""
        self._selected = m
        self.update()

    # -- drawing ----------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw cells as dots and prototypes as ellipses of one standard deviation."""
        if self._projection is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_cells(painter, self._projection)
        for m in self._order():
            self._draw_prototype(painter, self._projection, m)

    def _draw_cells(self, painter: QPainter, projection: Projection) -> None:
        points = self._on_screen(projection.cells)
        for c, color in enumerate(self._colors):
            dot = QColor(color)
            dot.setAlpha(90)
            painter.setPen(QPen(dot, 3, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
            own = points[projection.cell_class == c]
            painter.drawPoints([QPointF(x, y) for x, y in own.tolist()])

    def _draw_prototype(self, painter: QPainter, projection: Projection, m: int) -> None:
        x, y = self._on_screen(projection.means)[m].tolist()
        long, short, angle = (float(v) for v in projection.ellipses[m])
        scale = self._scale()
        color = QColor(self._colors[self._class_index[m]])
        chosen = m == self._selected
        style = Qt.PenStyle.SolidLine if self._active[m] else Qt.PenStyle.DotLine
        painter.save()
        painter.translate(x, y)
        painter.rotate(-math.degrees(angle))  # y runs downwards on a screen
        fill = QColor(color)
        fill.setAlpha(110 if chosen else 35)
        painter.setBrush(fill)
        painter.setPen(QPen(color.lighter(130), 2.5 if chosen else 1.2, style))
        painter.drawEllipse(QPointF(0, 0), long * scale, short * scale)
        painter.restore()
        painter.setPen(self.palette().color(QPalette.ColorRole.Text))
        if chosen:
            font = painter.font()
            font.setBold(True)
            painter.setFont(font)
        box = QRectF(x - 60, y - 8, 120, 16)
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, self._names[m])
        if chosen:
            font.setBold(False)
            painter.setFont(font)

    def _order(self) -> list[int]:
        """The chosen one last, on top."""
        return sorted(range(len(self._names)), key=lambda m: m == self._selected)

    # -- coordinates ------------------------------------------------------------------------

    def _bounds(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Corners of what is shown: all prototypes, and nearly all cells."""
        if self._projection is None:
            return np.zeros(2), np.ones(2)
        reach = self._projection.ellipses[:, :1]
        low = (self._projection.means - reach).min(0)
        high = (self._projection.means + reach).max(0)
        if len(self._projection.cells):
            low = np.minimum(low, np.quantile(self._projection.cells, 0.005, axis=0))
            high = np.maximum(high, np.quantile(self._projection.cells, 0.995, axis=0))
        return low, high

    def _scale(self) -> float:
        low, high = self._bounds()
        size = np.array([self.width(), self.height()]) - 2 * _MARGIN
        return float((size / np.maximum(high - low, 1e-9)).min())

    def _on_screen(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Points (K, 2) of the projection as (x, y) on the widget, with equal scales."""
        low, high = self._bounds()
        middle = np.array([self.width(), self.height()]) / 2
        return middle + (points - (low + high) / 2) * self._scale() * np.array([1, -1])

    def prototype_at(self, x: float, y: float) -> int | None:
        """The prototype whose middle is nearest to a point, if any is near."""
        if self._projection is None:
            return None
        distance = np.hypot(*(self._on_screen(self._projection.means) - (x, y)).T)
        nearest = int(distance.argmin())
        reach = max(_REACH, float(self._projection.ellipses[nearest, 0]) * self._scale())
        return nearest if distance[nearest] <= reach else None

    def position_of(self, m: int) -> tuple[float, float]:
        """Where the middle of a prototype is drawn."""
        if self._projection is None:
            return 0.0, 0.0
        x, y = self._on_screen(self._projection.means)[m].tolist()
        return float(x), float(y)

    # -- the mouse --------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the prototype under the mouse."""
        found = self.prototype_at(event.position().x(), event.position().y())
        if found is not None:
            self.chosen.emit(found)

    def event(self, event: QEvent) -> bool:
        """Name the prototype under the mouse."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            found = self.prototype_at(event.pos().x(), event.pos().y())
            QToolTip.showText(event.globalPos(), "" if found is None else self._names[found], self)
            return True
        return bool(super().event(event))


class SpacePanel(QWidget):
    """The picture with its caption."""

    def __init__(self) -> None:
        super().__init__()
        self.view = SpaceView()
        self.caption = QLabel()
        self.caption.setWordWrap(True)
        self.caption.setToolTip(
            "Each dot is a cell of the image, each ellipse a prototype at one standard deviation, "
            "seen from two of the many directions of the latent space. Click to choose one"
        )
        layout = QVBoxLayout(self)
        layout.addWidget(self.view, 1)
        layout.addWidget(self.caption)

    def show_projection(
        self,
        projection: Projection,
        names: list[str],
        class_index: list[int],
        active: list[bool],
        colors: list[str],
    ) -> None:
        """Show a model's latent space; see `SpaceView.show_projection`."""
        self.view.show_projection(projection, names, class_index, active, colors)
        self.caption.setText(_CAPTIONS[projection.method])
