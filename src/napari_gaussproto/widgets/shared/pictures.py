"""Arrays as pictures on screen: pixmaps, and tooltips that enlarge patches."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtGui import QColor, QHelpEvent, QIcon, QImage, QPixmap
from qtpy.QtWidgets import QLabel, QToolTip

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.widgets.shared.share_table import square_html
from napari_gaussproto.widgets.shared.workarounds import painting

if TYPE_CHECKING:
    from napari_gaussproto.core.model.segmentation import Prototype

ICON_SIZE = QSize(102, 32)
_ENLARGED = 112
_IN_A_ROW = 4


def faint(color: str | QColor, alpha: int) -> QColor:
    """A colour, the more transparent the smaller ``alpha``, of 255."""
    made = QColor(color)
    made.setAlpha(alpha)
    return made


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
    with painting(pixmap) as painter:
        painter.setPen(QColor(color))
        for slot, patch in enumerate(patches[:count]):
            left = slot * (side + gap)
            painter.drawPixmap(left, 0, pixmap_of(patch).scaled(side, side))
            painter.drawRect(left, 0, side - 1, side - 1)
    return QIcon(pixmap)


class PatchStrip(QLabel):
    """The ``count`` nearest patches of a prototype, small; hovering enlarges all of them."""

    def __init__(self, count: int, side: int) -> None:
        super().__init__()
        self._count, self._side = count, side
        self._prototype: Prototype | None = None
        self._classes: Sequence[SegmentationClass] = ()
        self.setFixedSize(count * side + 2 * (count - 1), side)

    def show_prototype(self, prototype: Prototype, classes: Sequence[SegmentationClass]) -> None:
        """Show another prototype."""
        from napari_gaussproto.core.explain.gallery import strip

        if self._prototype is None or prototype.patches is not self._prototype.patches:
            pixmap = pixmap_of(strip(prototype.patches, self._count))
            smooth = Qt.TransformationMode.SmoothTransformation
            self.setPixmap(pixmap.scaledToHeight(self._side, smooth))
        self._prototype, self._classes = prototype, classes

    def event(self, event: QEvent) -> bool:
        """Make the tooltip when it is wanted: most are never seen."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), self.tooltip_html(), self)
            return True
        return bool(super().event(event))

    def tooltip_html(self) -> str:
        """All patches, enlarged, with what their pixels were labelled."""
        from napari_gaussproto.core.explain.gallery import data_url

        if self._prototype is None:
            return ""
        name = escape(self._prototype.name)
        if not len(self._prototype.patches):
            return f"<b>{name}</b><br>No example patches are known."
        cells = []
        for i, patch in enumerate(self._prototype.patches):
            picture = f'<img src="{data_url(patch)}" width="{_ENLARGED}" height="{_ENLARGED}">'
            cells.append(f"<td>{picture}<br>{self._label(self._prototype, i)}</td>")
        rows = [cells[i : i + _IN_A_ROW] for i in range(0, len(cells), _IN_A_ROW)]
        table = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
        title = f"<b>{name}</b>: nearest patches and their labels"
        return f"<p>{title}</p><table cellspacing='2'>{table}</table>"

    def _label(self, prototype: Prototype, i: int) -> str:
        labels = prototype.patch_labels
        if i >= len(labels) or labels[i] >= len(self._classes):
            return "not labelled"
        entry = self._classes[labels[i]]
        return f"{square_html(entry.color)} {escape(entry.name)}"
