"""The labels of the chosen image: begin, take over, accept, and how much there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QMenu, QWidget

from napari_gaussproto.core.labels.amount import Amount
from napari_gaussproto.jobs.session.counts import Count
from napari_gaussproto.widgets.shared.forms import (
    across,
    button,
    check_box,
    down,
    enable,
    fill,
    menu_button,
    wrapped_label,
)
from napari_gaussproto.widgets.train.fitting.sentences import counted

if TYPE_CHECKING:
    from napari_gaussproto.core.project.session import SessionImage

_ACCEPT = "Then click regions of the prediction that are right: they are labels"
_CLEAR = "Take all labels of the chosen image back; Ctrl+Z over the image brings them again"
_ACCEPT_ALL = "Make the whole prediction labels"
# Closed images that a menu names; all of them can be opened at once.
_MOST_LISTED = 30


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

    Notes
    -----
    Its signals:

    open_asked(list of SessionImage)
        Closed images are to be opened.
    """

    open_asked = Signal(list)

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
        self._closed_menu = QMenu(self)
        self._closed_menu.setToolTipsVisible(True)
        self.open_closed = menu_button("Open ▾", self._closed_menu)
        self.open_closed.setToolTip("Open closed images of this project, with their labels")
        for part in (self.closed, self.open_closed):
            part.hide()
        self._count = Count([], 0, 0)
        self.menu = QMenu(self)
        self.use.setMenu(self.menu)
        upper = across((self.new, 1), (self.use, 1))
        lower = across((self.accept, 1), (self.accept_all, 1))
        shown = across((self.corrections, 1), (outlines, 1))
        counts = across((self.note, 1), self.clear)
        elsewhere = across((self.closed, 1), self.open_closed)
        fill(self, down(upper, lower, shown, counts, elsewhere))

    def allow_accepting(self, predicted: bool) -> None:
        """Let a prediction be accepted, or say why there is none."""
        for accept, tip in ((self.accept, _ACCEPT), (self.accept_all, _ACCEPT_ALL)):
            enable(accept, tip, "" if predicted else "Fit or run a model first")

    def show_count(self, count: Count) -> None:
        """Say how much is labelled."""
        self._count = count
        total = sum(count.pixels)
        self.clear.setVisible(total > 0)
        self.note.setText(labelled_sentence(count))
        are = "is" if count.closed == 1 else "are"
        self.closed.setText(f"Learn from {counted(count.closed, 'image')} that {are} closed")
        for part in (self.closed, self.open_closed):
            part.setVisible(count.closed > 0)
        self._offer(list(count.closed_images))

    def _offer(self, images: list[SessionImage]) -> None:
        """List closed images, each of which can be opened."""
        self._closed_menu.clear()
        for entry in images[:_MOST_LISTED]:
            action = self._closed_menu.addAction(entry.image.name.replace("&", "&&"))
            action.setToolTip(entry.image.file or "It came from no file that is known")
            action.triggered.connect(lambda _, one=entry: self.open_asked.emit([one]))
        if len(images) > 1:
            self._closed_menu.addSeparator()
            every = self._closed_menu.addAction(f"All {len(images)}")
            every.triggered.connect(lambda _: self.open_asked.emit(images))

    @property
    def learns_from_closed(self) -> bool:
        """Whether there are labelled images that are not open, and they should teach."""
        return self._count.closed > 0 and self.closed.isChecked()

    @property
    def amount(self) -> Amount:
        """How much there is that a fit learns from."""
        count = self._count
        return count.amount if self.closed.isChecked() else count.open_amount


def labelled_sentence(count: Count) -> str:
    """How much is labelled on open images, and on closed ones; empty for nothing."""
    here, elsewhere = sum(count.pixels), sum(count.closed_pixels)
    opened, closed = counted(count.open, "image"), counted(count.closed, "closed image")
    if here and elsewhere:
        return f"{here:,} pixels on {opened} are labelled, {elsewhere:,} on {closed}."
    if here or elsewhere:
        return f"{here or elsewhere:,} pixels on {opened if here else closed} are labelled."
    return ""
