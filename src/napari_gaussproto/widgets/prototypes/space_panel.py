"""The Space part of the Prototypes dock: the latent space as a picture, with its caption."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout

from napari_gaussproto.widgets.shared.forms import WordyPage, wrapped_label

if TYPE_CHECKING:
    from napari_gaussproto.widgets.prototypes.space_view import SpaceView

_CAPTIONS = {
    "discriminant": "Two directions that tell the classes apart best (Fisher's discriminant).",
    "principal": "Two directions of the largest spread (principal components).",
}


class SpacePanel(WordyPage):
    """The picture is made when there is something to show, as its library loads slowly."""

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.view: SpaceView | None = None
        self.caption = wrapped_label()
        self.caption.setToolTip(
            "Each dot is a cell of the image, each ellipse a prototype at one standard deviation, "
            "seen from two of the many directions of the latent space. Click to choose one"
        )
        self._layout = QVBoxLayout(self)
        self._layout.addWidget(self.caption)

    def ready_view(self, method: str) -> SpaceView:
        """The picture, made on first use, with the caption of a method of projection."""
        if self.view is None:
            from napari_gaussproto.widgets.prototypes.space_view import SpaceView

            self.view = SpaceView()
            self.view.chosen.connect(self.chosen)
            self._layout.insertWidget(0, self.view, 1)
        self.caption.setText(_CAPTIONS[method])
        return self.view

    def select(self, m: int) -> None:
        """Mark a prototype as the chosen one."""
        if self.view is not None:
            self.view.select(m)
