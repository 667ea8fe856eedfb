"""The labels of the chosen image: begin, take over, accept, and how much there is."""

from __future__ import annotations

from qtpy.QtWidgets import QMenu, QWidget

from napari_gaussproto.jobs.storage import Count
from napari_gaussproto.widgets.shared.forms import (
    across,
    button,
    check_box,
    down,
    enable,
    fill,
    wrapped_label,
)
from napari_gaussproto.widgets.train.fitting.sentences import counted

_ACCEPT = "Then click regions of the prediction that are right: they are labels"
_CLEAR = "Take all labels of the chosen image back; Ctrl+Z over the image brings them again"
_ACCEPT_ALL = "Make the whole prediction labels"


class LabelsPanel(QWidget):
    """Begin, take over and accept labels of the chosen image; what its parts do is up to others.

    Attributes
    ----------
    menu : QMenu
        Labels that can be taken over.

    Parameters
    ----------
    outlines : QWidget
        What is said about the prediction besides.
    """

    def __init__(self, outlines: QWidget) -> None:
        super().__init__()
        self.new = button("Draw", "Paint labels on this image, in the class chosen above")
        self.use = button("Use labels", "Take over labels that exist already")
        self.accept = button("Accept region", _ACCEPT)
        self.accept.setCheckable(True)
        self.accept_all = button("Accept image", _ACCEPT_ALL)
        corrections = "Mark labels for which the model predicts another class"
        self.corrections = check_box("Show corrections", corrections)
        self.note = wrapped_label()
        self.clear = button("Clear labels", _CLEAR)
        self.clear.hide()
        closed = (
            "Labelled images of this project that are not open are read from their files, so that "
            "a fit does not forget them"
        )
        self.closed = check_box("", closed)
        self.closed.setChecked(True)
        self.closed.hide()
        self._n_closed = 0
        self.menu = QMenu(self)
        self.use.setMenu(self.menu)
        upper = across((self.new, 1), (self.use, 1))
        lower = across((self.accept, 1), (self.accept_all, 1))
        shown = across((self.corrections, 1), (outlines, 1))
        fill(self, down(upper, lower, shown, across((self.note, 1), self.clear), self.closed))

    def allow_accepting(self, predicted: bool) -> None:
        """Let a prediction be accepted, or say why there is none."""
        for accept, tip in ((self.accept, _ACCEPT), (self.accept_all, _ACCEPT_ALL)):
            enable(accept, tip, "" if predicted else "Fit or run a model first")

    def show_count(self, count: Count) -> None:
        """Say how much is labelled."""
        self._n_closed = count.closed
        total, opened = sum(count.pixels), counted(count.open, "image")
        self.clear.setVisible(total > 0)
        self.note.setText(f"{total:,} pixels on {opened} are labelled." if total else "")
        are = "is" if count.closed == 1 else "are"
        self.closed.setText(f"Learn from {counted(count.closed, 'image')} that {are} closed")
        self.closed.setVisible(count.closed > 0)

    @property
    def learns_from_closed(self) -> bool:
        """Whether there are labelled images that are not open, and they should teach."""
        return self._n_closed > 0 and self.closed.isChecked()
