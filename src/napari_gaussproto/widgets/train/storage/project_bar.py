"""Where the work is kept, and an offer to bring former work back."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)


class ProjectBar(QWidget):
    """Name of the project, when it was saved, and what can be brought back.

    Signals
    -------
    open_asked(Path), copy_asked(Path)
        A folder.
    new_asked()
    restore_asked()
    """

    open_asked = Signal(object)
    copy_asked = Signal(object)
    new_asked = Signal()
    restore_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.name = QLabel("Saved as you draw")
        self.name.setToolTip("Labels and models are saved by themselves, in a project folder")
        # A long name must not widen the dock.
        self.name.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.more = QToolButton()
        self.more.setText("Project")
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self)
        menu.addAction("New project").triggered.connect(self.new_asked)
        menu.addAction("Open project…").triggered.connect(self._ask_open)
        menu.addAction("Save a copy as…").triggered.connect(self._ask_copy)
        self.more.setMenu(menu)
        row = QHBoxLayout()
        row.addWidget(self.name, 1)
        row.addWidget(self.more)
        self.found = QLabel()
        self.found.setWordWrap(True)
        self.restore = QPushButton("Bring it back")
        self.dismiss = QPushButton("Not now")
        buttons = QHBoxLayout()
        buttons.addWidget(self.restore)
        buttons.addWidget(self.dismiss)
        buttons.addStretch()
        self.offer = QFrame()
        self.offer.setFrameShape(QFrame.Shape.StyledPanel)
        offer = QVBoxLayout(self.offer)
        offer.addWidget(self.found)
        offer.addLayout(buttons)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.offer)
        self.offer.hide()
        self.restore.clicked.connect(self.restore_asked)
        self.dismiss.clicked.connect(self.offer.hide)

    def show_saved(self, name: str, folder: Path, when: str) -> None:
        """Say where and when everything was saved."""
        self.name.setText(f"Saved {when}, {name}")
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
