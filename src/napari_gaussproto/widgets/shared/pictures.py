"""Arrays as pictures on screen: pixmaps, and tooltips that enlarge patches."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtGui import QColor, QHelpEvent, QIcon, QImage, QPainter, QPixmap
from qtpy.QtWidgets import QLabel, QToolTip

from napari_gaussproto.core.base.config import SegmentationClass

ICON_SIZE = QSize(102, 32)
_ENLARGED = 112
_IN_A_ROW = 4


def pixmap_of(picture: npt.NDArray[np.uint8]) -> QPixmap:
    """A picture (h, w, 3 or 4) uint8 as a pixmap."""
    data = np.ascontiguousarray(picture)
    height, width, channels = data.shape
    kind = QImage.Format.Format_RGBA8888 if channels == 4 else QImage.Format.Format_RGB888
    # The image only borrows the array; making a pixmap copies it.
    return QPixmap.fromImage(QImage(data.data, width, height, channels * width, kind))


def picture_icon(patches: npt.NDArray[np.uint8], color: str, count: int = 3) -> QIcon:
    """An icon of a prototype's nearest patches (K, h, w, 3), framed in the colour of its class."""
    side, gap = ICON_SIZE.height(), 2
    pixmap = QPixmap(count * (side + gap), side)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setPen(QColor(color))
    for slot, patch in enumerate(patches[:count]):
        left = slot * (side + gap)
        painter.drawPixmap(left, 0, pixmap_of(patch).scaled(side, side))
        painter.drawRect(left, 0, side - 1, side - 1)
    painter.end()
    return QIcon(pixmap)


def strip_pixmap(patches: npt.NDArray[np.uint8], count: int, side: int) -> QPixmap:
    """The first patches of (K, h, w, 3) side by side, each ``side`` pixels high."""
    from napari_gaussproto.core.explain.gallery import strip

    pixmap = pixmap_of(strip(patches, count))
    return pixmap.scaledToHeight(side, Qt.TransformationMode.SmoothTransformation)


class PatchStrip(QLabel):
    """The nearest patches of a prototype; hovering enlarges all of them.

    Parameters
    ----------
    count : int
        How many to show.
    side : int
        Height in pixels.
    """

    def __init__(self, count: int, side: int) -> None:
        super().__init__()
        self._count, self._side = count, side
        self._patches: npt.NDArray[np.uint8] = np.zeros((0, 48, 48, 3), np.uint8)
        self._labels: Sequence[int] = ()
        self._name = ""
        self._classes: Sequence[SegmentationClass] = ()
        gaps = count - 1
        self.setFixedSize(count * side + 2 * gaps, side)

    def show_patches(
        self,
        patches: npt.NDArray[np.uint8],
        labels: Sequence[int],
        name: str,
        classes: Sequence[SegmentationClass],
    ) -> None:
        """Show other patches (K, h, w, 3); ``labels`` are class indices, or empty if not known."""
        if patches is not self._patches:
            self.setPixmap(strip_pixmap(patches, self._count, self._side))
        self._patches, self._labels, self._name, self._classes = patches, labels, name, classes

    def event(self, event: QEvent) -> bool:
        """Make the tooltip when it is wanted: most are never seen."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), self.tooltip_html(), self)
            return True
        return bool(super().event(event))

    def tooltip_html(self) -> str:
        """All patches, enlarged, with what their pixels were labelled."""
        from napari_gaussproto.core.explain.gallery import data_url

        if not len(self._patches):
            return f"<b>{escape(self._name)}</b><br>No example patches are known."
        cells = []
        for i, patch in enumerate(self._patches):
            picture = f'<img src="{data_url(patch)}" width="{_ENLARGED}" height="{_ENLARGED}">'
            cells.append(f"<td>{picture}<br>{self._label(i)}</td>")
        rows = [cells[i : i + _IN_A_ROW] for i in range(0, len(cells), _IN_A_ROW)]
        table = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
        title = f"<b>{escape(self._name)}</b>: nearest patches and their labels"
        return f"<p>{title}</p><table cellspacing='2'>{table}</table>"

    def _label(self, i: int) -> str:
        if i >= len(self._labels) or self._labels[i] >= len(self._classes):
            return "not labelled"
        entry = self._classes[self._labels[i]]
        return f'<span style="color:{entry.color}">■</span> {escape(entry.name)}'
