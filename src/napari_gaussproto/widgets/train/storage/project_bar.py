"""Where the work is kept, and an offer to bring former work back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QFrame, QMenu, QPushButton, QSizePolicy, QWidget
from superqt import QElidingLabel

from napari_gaussproto.core.project.places import SUFFIX, projects_root
from napari_gaussproto.widgets.shared.forms import (
    across,
    button,
    down,
    fill,
    menu_button,
    wrapped_label,
)


class Question(QFrame):
    """A sentence with buttons below it; hidden as long as nothing is asked."""

    def __init__(self) -> None:
        super().__init__(frameShape=QFrame.Shape.StyledPanel)
        self.words = wrapped_label()
        self.buttons: list[QPushButton] = []
        self._row = across(None)
        self.setLayout(down(self.words, self._row))
        self.hide()

    def ask(self, sentence: str, *answers: tuple[str, str, Callable[[], None]]) -> None:
        """Ask; an answer is the text of a button, its tooltip, and what it does."""
        self.drop()
        self.words.setText(sentence)
        self.buttons = [button(*answer) for answer in answers]
        for place, made in enumerate(self.buttons):
            self._row.insertWidget(place, made)
        self.show()

    def drop(self) -> None:
        """Ask no more."""
        self.hide()
        for former in self.buttons:
            self._row.removeWidget(former)
            former.hide()
            former.deleteLater()
        self.buttons = []


class ProjectBar(QWidget):
    """Name of the project, when it was saved, and what can be brought back."""

    # Both with the path of a folder.
    open_asked = Signal(object)
    copy_asked = Signal(object)
    new_asked = Signal()
    restore_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.name = QElidingLabel(wordWrap=True)
        self.show_new()
        # A long name must not widen the dock.
        self.name.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        menu.addAction("Open project…").triggered.connect(self._ask_open)
        new = menu.addAction("New project")
        new.setToolTip("Begin without labels; this project keeps what was drawn and fitted")
        new.triggered.connect(self.new_asked)
        menu.addAction("Save a copy as…").triggered.connect(self._ask_copy)
        self.more = menu_button("Project ▾", menu)
        self.more.setToolTip("Begin or open another project, or save a copy of this one")
        tip = "Go on with former work: its images, labels, models and settings"
        self.open = button("Open project…", tip, self._ask_open)
        self.question = Question()
        self.found = wrapped_label()
        self.offer = QFrame(frameShape=QFrame.Shape.StyledPanel)
        self.restore = button("Bring it back", "Open that project", self.restore_asked)
        self.dismiss = button("Not now", "Go on without it", self.offer.hide)
        self.offer.setLayout(down(self.found, across(self.restore, self.dismiss, None)))
        top = across((self.name, 1), self.more)
        fill(self, down(top, self.open, self.offer, self.question))
        self.offer.hide()

    def show_new(self) -> None:
        """Say that nothing is kept yet."""
        self.name.setText("Saved as you draw")
        self.name.setToolTip("Labels and models are saved by themselves, in a project folder")

    def show_saved(self, name: str, folder: Path, when: str) -> None:
        """Say where and when everything was saved."""
        self.open.hide()  # from now on it is found in the menu
        self.name.setText(f"{name}, saved {when}")
        self.name.setToolTip(f"Everything drawn and fitted is kept in {folder}")

    def show_offer(self, sentence: str | None) -> None:
        """Offer to bring former work back; None takes the offer back."""
        self.found.setText(sentence or "")
        self.offer.setVisible(sentence is not None)

    def _ask_open(self) -> None:
        title = f"Open a project: a folder whose name ends in {SUFFIX}"
        name = QFileDialog.getExistingDirectory(self, title, str(projects_root()))
        if name:
            self.open_asked.emit(Path(name))

    def _ask_copy(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, "Save a copy of the project", f"labels{SUFFIX}", f"Projects (*{SUFFIX})"
        )
        if name:
            self.copy_asked.emit(Path(name))
