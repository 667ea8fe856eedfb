"""Where the work is kept, and an offer to bring former work back."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QFrame, QMenu, QSizePolicy, QWidget
from superqt import QElidingLabel

from napari_gaussproto.widgets.shared.forms import (
    across,
    button,
    down,
    fill,
    menu_button,
    wrapped_label,
)


class ProjectBar(QWidget):
    """Name of the project, when it was saved, and what can be brought back."""

    # Both with the path of a folder.
    open_asked = Signal(object)
    copy_asked = Signal(object)
    new_asked = Signal()
    restore_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.name = QElidingLabel("Saved as you draw", wordWrap=True)
        self.name.setToolTip("Labels and models are saved by themselves, in a project folder")
        # A long name must not widen the dock.
        self.name.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        menu = QMenu(self)
        menu.addAction("New project").triggered.connect(self.new_asked)
        menu.addAction("Open project…").triggered.connect(self._ask_open)
        menu.addAction("Save a copy as…").triggered.connect(self._ask_copy)
        self.more = menu_button("Project ▾", menu)
        self.more.setToolTip("Begin or open another project, or save a copy of this one")
        self.found = wrapped_label()
        self.offer = QFrame(frameShape=QFrame.Shape.StyledPanel)
        self.restore = button("Bring it back", "Open that project", self.restore_asked)
        self.dismiss = button("Not now", "Go on without it", self.offer.hide)
        self.offer.setLayout(down(self.found, across(self.restore, self.dismiss, None)))
        fill(self, down(across((self.name, 1), self.more), self.offer))
        self.offer.hide()

    def show_saved(self, name: str, folder: Path, when: str) -> None:
        """Say where and when everything was saved."""
        self.name.setText(f"{name}, saved {when}")
        self.name.setToolTip(f"Everything drawn and fitted is kept in {folder}")

    def show_offer(self, sentence: str | None) -> None:
        """Offer to bring former work back; None takes the offer back."""
        self.found.setText(sentence or "")
        self.offer.setVisible(sentence is not None)

    def _ask_open(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Open a project folder")
        if name:
            self.open_asked.emit(Path(name))

    def _ask_copy(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, "Save a copy of the project", "labels.gaussproto", "Projects (*.gaussproto)"
        )
        if name:
            self.copy_asked.emit(Path(name))
