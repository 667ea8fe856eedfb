"""Ask which way up a mask is, where its shape does not tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QToolButton, QWidget

from napari_gaussproto.widgets.shared.forms import across, down, fill, wrapped_label
from napari_gaussproto.widgets.shared.pictures import pixmap_of

_SIDE = 260


class PoseDialog(QDialog):
    """Let a person choose the picture in which a mask lies right over its photograph.

    Parameters
    ----------
    name, image : str
        Of the mask and of the photograph.
    pictures : sequence of (h, w, 3) ndarray
        The likelier one first.

    Attributes
    ----------
    choice : int
        Which picture was chosen.
    """

    def __init__(
        self,
        name: str,
        image: str,
        pictures: Sequence[npt.NDArray[np.uint8]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Which way up is the mask?")
        self.choice = 0
        words = wrapped_label(
            f"The camera stored “{image}” turned, so “{name}” fits over it in two ways. Click the "
            "picture in which the bright parts are what the mask marks."
        )
        self.buttons = [self._way(i, picture) for i, picture in enumerate(pictures)]
        cancel = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        cancel.rejected.connect(self.reject)
        fill(self, down(words, across(*self.buttons), cancel, spacing=10), 11, 11, 11, 11)

    def _way(self, number: int, picture: npt.NDArray[np.uint8]) -> QToolButton:
        text = "This way (fits better)" if number == 0 else "This way"
        way = QToolButton(text=text, toolTip="Take the mask as it lies here")
        way.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        keep = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
        shown = pixmap_of(picture).scaled(QSize(_SIDE, _SIDE), *keep)
        way.setIcon(QIcon(shown))
        way.setIconSize(shown.size())
        way.clicked.connect(lambda: self._choose(number))
        return way

    def _choose(self, number: int) -> None:
        self.choice = number
        self.accept()
