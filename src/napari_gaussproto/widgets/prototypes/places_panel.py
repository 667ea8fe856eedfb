"""The Places part of the Prototypes dock: where to look, or to annotate, next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QLabel, QListWidget, QListWidgetItem, QVBoxLayout

from napari_gaussproto.widgets.layers.legends import caution_of
from napari_gaussproto.widgets.shared.forms import WordyPage, wrapped_label
from napari_gaussproto.widgets.shared.pictures import pixmap_of

if TYPE_CHECKING:
    from napari_gaussproto.core.explain.places import Place

_ICON, _ROWS = 56, 2
_KINDS = {
    "novel": (
        "Most novel",
        "Least like anything in the training data: annotate here to teach the model something "
        "new. Click to go there",
    ),
    "uncertain": (
        "Most uncertain",
        "Where the classes are the closest call: annotate here to sharpen the border between "
        "them. Click to go there",
    ),
}


class PlacesPanel(WordyPage):
    """Two lists of places, as pictures; clicking one goes to its y and x in pixels."""

    chosen = Signal(int, int)

    def __init__(self) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        self.lists: dict[str, QListWidget] = {}
        self.caution = wrapped_label()
        self.caution.hide()
        layout.addWidget(self.caution)
        for kind, (title, tip) in _KINDS.items():
            view = QListWidget(
                viewMode=QListWidget.ViewMode.IconMode,
                iconSize=QSize(_ICON, _ICON),
                gridSize=QSize(_ICON + 6, _ICON + 20),
                movement=QListWidget.Movement.Static,
                resizeMode=QListWidget.ResizeMode.Adjust,
                horizontalScrollBarPolicy=Qt.ScrollBarPolicy.ScrollBarAlwaysOff,
                uniformItemSizes=True,
                toolTip=tip,
            )
            view.setFixedHeight(_ROWS * (_ICON + 20) + 6)
            view.itemClicked.connect(self._on_clicked)
            view.itemActivated.connect(self._on_clicked)
            self.lists[kind] = view
            layout.addWidget(QLabel(f"<b>{title}</b>", toolTip=tip))
            layout.addWidget(view)
        layout.addStretch()

    def show_strokes(self, strokes: int | None) -> None:
        """Say what novelty means after so many strokes; see `caution_of`."""
        caution = caution_of(strokes)
        self.caution.setText(caution)
        self.caution.setVisible(bool(caution))

    def show_places(
        self, kind: str, places: list[Place], pictures: list[npt.NDArray[np.uint8]]
    ) -> None:
        """Fill a list, ``"novel"`` or ``"uncertain"``; pictures are (h, w, 3)."""
        view = self.lists[kind]
        view.clear()
        for place, picture in zip(places, pictures, strict=True):
            item = QListWidgetItem(QIcon(pixmap_of(picture)), f"{place.value:.0%}")
            item.setData(Qt.ItemDataRole.UserRole, (place.y, place.x))
            item.setToolTip(f"{kind} {place.value:.1%} at y {place.y}, x {place.x}")
            view.addItem(item)

    def _on_clicked(self, item: QListWidgetItem) -> None:
        y, x = item.data(Qt.ItemDataRole.UserRole)
        self.chosen.emit(int(y), int(x))
