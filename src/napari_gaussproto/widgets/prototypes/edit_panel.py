"""The Edit part of the Prototypes dock: changes of the chosen prototype, and new ones."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QComboBox, QFrame, QGridLayout, QLabel

from napari_gaussproto.widgets.shared.forms import (
    SlimBar,
    WordyPage,
    across,
    button,
    check_box,
    combo_box,
    down,
    enable,
    wrapped_label,
)
from napari_gaussproto.widgets.shared.share_table import square_html, swatch

if TYPE_CHECKING:
    from napari_gaussproto.core.base.config import SegmentationClass
    from napari_gaussproto.core.explain.gallery import GalleryEntry

_PRESENT = "keep the rest"
_MERGE = "Make one prototype of the two, and keep this name"
_SIBLINGS = "Another prototype of the same class, most similar first"
_TRAIN = "Remove it for good and let the others learn to do without it, some seconds"
_ALONE = "There is no other prototype of this class that is on"


class EditPanel(WordyPage):
    """Buttons and choices; what they do is up to `EditController`."""

    def __init__(self) -> None:
        super().__init__()
        self.shows_active = True
        self.title, self.findings = QLabel(), wrapped_label()
        self.on_off = button("Turn off", "Let it explain nothing, or take it into use again")
        self.split_button = button(
            "Split",
            "Divide it in two by the cells of this image that it explains. Together the two are "
            "what it was, and merging them gives it back",
        )
        self.delete_button = button("Delete", "Remove it from the model; undo brings it back")
        self.class_choice = combo_box("The class that its places count for", 6)
        self.siblings = combo_box(_SIBLINGS, 6)
        self.merge_button = button("Merge", _MERGE)
        self.new_class = combo_box("The class of the new prototype", 6)
        self.brush = button("Brush", "Paint an example in a layer of its own")
        self.add_button = button("Add", "Make a prototype of the painted cells of this image")
        self.labels = combo_box(
            "What must stay right while the prototype is trained away: the result where other "
            "prototypes made it, or the labels of a layer",
            6,
        )
        self.train_button = button("Train away", _TRAIN)
        self.cancel_button = button("Cancel", "Stop; the model stays as it is")
        self.progress = SlimBar()
        tip = "A layer that marks the pixels whose class changed"
        self.changes = check_box("Show what the last edit changed", tip)
        self._arrange()
        self.show_progress(None)

    def _arrange(self) -> None:
        grid = QGridLayout()
        grid.setColumnStretch(1, 1)
        for row, title in ((0, "Class"), (1, "Merge with"), (2, "Reject"), (5, "New for")):
            grid.addWidget(QLabel(title), row, 0)
        for part, *place in (
            (self.class_choice, 0, 1, 1, 2),
            (self.siblings, 1, 1),
            (self.merge_button, 1, 2),
            (self.labels, 2, 1),
            (self.train_button, 2, 2),
            (self.progress, 3, 0, 1, 2),
            (self.cancel_button, 3, 2),
            (QFrame(frameShape=QFrame.Shape.HLine), 4, 0, 1, 3),
        ):
            grid.addWidget(part, *place)
        grid.addLayout(across((self.new_class, 1), self.brush, self.add_button), 5, 1, 1, 2)
        buttons = across(self.on_off, self.split_button, self.delete_button)
        self.setLayout(down(self.title, self.findings, buttons, grid, self.changes, None))

    # -- what is shown ----------------------------------------------------------------------

    def show_prototype(
        self, entry: GalleryEntry, classes: list[SegmentationClass], siblings: list[tuple[int, str]]
    ) -> None:
        """Show the chosen prototype; ``siblings`` are those it may be merged with."""
        prototype = entry.prototype
        self.shows_active = entry.active
        square = square_html(classes[prototype.class_index].color)
        off = "" if entry.active else " (off)"
        self.title.setText(f"{square} <b>{escape(prototype.name)}</b>{off}")
        findings = (f"<b>!</b> {escape(m.meaning)} {escape(m.advice)}" for m in entry.marks)
        self.findings.setText("<br>".join(findings))
        self.findings.setVisible(bool(entry.marks))
        self.on_off.setText("Turn off" if entry.active else "Turn on")
        _fill_classes(self.class_choice, classes)
        self.class_choice.setCurrentIndex(prototype.class_index)
        if self.new_class.count() != len(classes):
            _fill_classes(self.new_class, classes)
            self.new_class.setCurrentIndex(len(classes) - 1)
        self.siblings.clear()
        for m, name in siblings:
            self.siblings.addItem(name, m)
        obstacle = "" if siblings else _ALONE
        enable(self.merge_button, _MERGE, obstacle)
        enable(self.siblings, _SIBLINGS, obstacle)

    def allow_training(self, obstacle: str) -> None:
        """Let a prototype be trained away, or say why not now."""
        enable(self.train_button, _TRAIN, obstacle)

    def offer_labels(self, names: list[str]) -> None:
        """Offer label layers to train away by; the choice stays while it is there."""
        chosen = self.labels.currentText()
        self.labels.clear()
        self.labels.addItems([_PRESENT, *names])
        self.labels.setCurrentIndex(max(0, self.labels.findText(chosen)))

    def show_progress(self, share: float | None) -> None:
        """Show how far a long edit is; None when there is none."""
        self.progress.setVisible(share is not None)
        self.cancel_button.setVisible(share is not None)
        self.progress.setRange(0, 100)
        self.progress.setValue(round(100 * (share or 0)))


def _fill_classes(combo: QComboBox, classes: list[SegmentationClass]) -> None:
    combo.clear()
    for entry in classes:
        combo.addItem(QIcon(swatch(entry.color)), entry.name)
