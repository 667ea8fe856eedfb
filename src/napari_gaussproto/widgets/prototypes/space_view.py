"""The latent space as a picture: cells as dots, prototypes as ellipses; a click chooses one.

Importing this module loads pyqtgraph; see `widgets.shared.plots`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from qtpy.QtCore import QEvent, QPoint, QPointF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QHelpEvent, QMouseEvent, QPen
from qtpy.QtWidgets import QGraphicsEllipseItem, QSizePolicy, QToolTip

from napari_gaussproto.widgets.shared.pictures import faint
from napari_gaussproto.widgets.shared.plots import ThemedPlot

if TYPE_CHECKING:
    from napari_gaussproto.core.explain.projection import Projection
    from napari_gaussproto.core.model.segmentation import Prototype

# Pixels around the middle of a prototype within which a click means it.
_REACH = 40


class SpaceView(ThemedPlot):
    """The picture; `chosen` says which prototype was clicked."""

    chosen = Signal(int)

    def __init__(self) -> None:
        self._names: list[pg.TextItem] = []
        self._ellipses: list[QGraphicsEllipseItem] = []
        self._means: npt.NDArray[np.float64] = np.zeros((0, 2))
        self._reach: npt.NDArray[np.float64] = np.zeros(0)
        self._selected = -1
        super().__init__()
        self.setAntialiasing(True)
        self.hideAxis("left")
        self.hideAxis("bottom")
        self.setAspectLocked(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(200)

    def sizeHint(self) -> QSize:
        """As large as the dock is wide."""
        return QSize(320, 260)

    def show_projection(
        self,
        projection: Projection,
        prototypes: Sequence[Prototype],
        active: Sequence[bool],
        colors: Sequence[str],
    ) -> None:
        """Show a model's latent space; ``colors`` are those of the classes."""
        self.clear()
        self._means, self._reach = projection.means, projection.ellipses[:, 0]
        for c, color in enumerate(colors):
            own = projection.cells[projection.cell_class == c]
            self.addItem(pg.ScatterPlotItem(pos=own, size=3, pen=None, brush=faint(color, 90)))
        self._ellipses, self._names = [], []
        for m, (x, y) in enumerate(self._means.tolist()):
            long, short, angle = projection.ellipses[m].tolist()
            ellipse = QGraphicsEllipseItem(-long, -short, 2 * long, 2 * short)
            ellipse.setPos(x, y)
            ellipse.setRotation(math.degrees(angle))
            style = Qt.PenStyle.SolidLine if active[m] else Qt.PenStyle.DotLine
            color = QColor(colors[prototypes[m].class_index])
            pen = QPen(color.lighter(130), 1.2, style)
            pen.setCosmetic(True)
            ellipse.setPen(pen)
            ellipse.setBrush(color)
            name = pg.TextItem(prototypes[m].name, anchor=(0.5, 0.5))
            name.setPos(x, y)
            self._ellipses.append(ellipse)
            self._names.append(name)
            for item in (ellipse, name):
                self.addItem(item, ignoreBounds=True)
        low, high = _bounds(projection)
        self.setRange(xRange=(low[0], high[0]), yRange=(low[1], high[1]), padding=0.06)
        self.restyle()

    def select(self, m: int) -> None:
        """Mark a prototype as the chosen one."""
        self._selected = m
        self.restyle()

    def restyle(self) -> None:
        """Draw the chosen prototype on top, and stronger than the others."""
        super().restyle()
        font = self.font()
        for m, (ellipse, name) in enumerate(zip(self._ellipses, self._names, strict=True)):
            chosen, pen = m == self._selected, ellipse.pen()
            pen.setWidthF(2.5 if chosen else 1.2)
            ellipse.setPen(pen)
            ellipse.setBrush(faint(ellipse.brush().color(), 110 if chosen else 35))
            ellipse.setZValue(2 if chosen else 1)
            font.setBold(chosen)
            name.setFont(font)
            name.setColor(self.ink(255))
            name.setZValue(4 if chosen else 3)

    # -- the mouse --------------------------------------------------------------------------

    def position_of(self, m: int) -> QPoint:
        """Where the middle of a prototype is drawn, in pixels of the viewport."""
        box = self.getViewBox()
        return self.mapFromScene(box.mapViewToScene(QPointF(*self._means[m].tolist())))

    def prototype_at(self, place: QPoint) -> int | None:
        """The prototype whose middle is nearest to a point of the viewport, if any is near."""
        if not len(self._means):
            return None
        box = self.getViewBox()
        point = box.mapSceneToView(self.mapToScene(place))
        pixel = box.viewPixelSize()[0]
        distance = np.hypot(*(self._means - (point.x(), point.y())).T)
        nearest = int(distance.argmin())
        near = distance[nearest] <= max(_REACH * pixel, float(self._reach[nearest]))
        return nearest if near else None

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the prototype under the mouse."""
        found = self.prototype_at(event.pos())
        if found is not None:
            self.chosen.emit(found)

    def viewportEvent(self, event: QEvent) -> bool:
        """Name the prototype under the mouse."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            found = self.prototype_at(event.pos())
            text = "" if found is None else self._names[found].toPlainText()
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return bool(super().viewportEvent(event))


def _bounds(projection: Projection) -> tuple[list[float], list[float]]:
    """Corners of what is shown: all prototypes, and nearly all cells."""
    reach = projection.ellipses[:, :1]
    low, high = (projection.means - reach).min(0), (projection.means + reach).max(0)
    if len(projection.cells):
        low = np.minimum(low, np.quantile(projection.cells, 0.005, axis=0))
        high = np.maximum(high, np.quantile(projection.cells, 0.995, axis=0))
    return low.tolist(), high.tolist()
