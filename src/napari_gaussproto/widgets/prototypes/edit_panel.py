"""The Edit part of the Prototypes dock: changes of the chosen prototype, and new ones."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtGui import QIcon
from qtpy.QtWidgets import (
    QComboBox,
    QFrame,
    QGridLayout,
    QLabel,
    QProgressBar,
    QWidget,
)

from napari_gaussproto.widgets.shared.forms import (
    across,
    button,
    check_box,
    combo_box,
    down,
    wrapped_label,
)
from napari_gaussproto.widgets.shared.share_table import swatch

if TYPE_CHECKING:
    from napari_gaussproto.core.base.config import SegmentationClass
    from napari_gaussproto.core.explain.gallery import GalleryEntry

PRESENT = "keep the rest"
_MERGE = "Make one prototype of the two, and keep this name"


class EditPanel(QWidget):
    """Buttons and choices; what they do is up to `EditController`."""

    def __init__(self) -> None:
        super().__init__()
        self.shows_active = True
        self.title, self.findings = QLabel(), wrapped_label()
        tip = "Let it explain nothing, or take it into use again"
        self.on_off = button("Turn off", tip)
        self.split_button = button(
            "Split",
            "Divide it in two by the cells of this image that it explains. The two are learned "
            "from these cells; what it had learned from other images is gone",
        )
        tip = "Remove it from the model; undo brings it back"
        self.delete_button = button("Delete", tip)
        self.class_choice = combo_box("The class that its places count for", 6)
        self.siblings = combo_box("Another prototype of the same class, most similar first", 6)
        self.merge_button = button("Merge", _MERGE)
        self.new_class = combo_box("The class of the new prototype", 6)
        self.brush = button("Brush", "Paint an example in a layer of its own")
        self.add_button = button("Add", "Make a prototype of the painted cells of this image")
        self.labels = combo_box(
            "What must stay right while the prototype is trained away: the result where other "
            "prototypes made it, or the labels of a layer",
            6,
        )
        self.train_button = button(
            "Train away",
            "Remove it for good and let the others learn to do without it, some seconds",
        )
        self.cancel_button = button("Cancel", "Stop; the model stays as it is")
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(6)
        tip = "A layer that marks the pixels whose class changed"
        self.changes = check_box("Show what the last edit changed", tip)
        self._arrange()
        self.show_progress(None)

    def _arrange(self) -> None:
        grid = QGridLayout()
        grid.setColumnStretch(1, 1)
        grid.addWidget(QLabel("Class"), 0, 0)
        grid.addWidget(self.class_choice, 0, 1, 1, 2)
        grid.addWidget(QLabel("Merge with"), 1, 0)
        grid.addWidget(self.siblings, 1, 1)
        grid.addWidget(self.merge_button, 1, 2)
        grid.addWidget(QLabel("Reject"), 2, 0)
        grid.addWidget(self.labels, 2, 1)
        grid.addWidget(self.train_button, 2, 2)
        grid.addWidget(self.progress, 3, 0, 1, 2)
        grid.addWidget(self.cancel_button, 3, 2)
        line = QFrame()
        line.setFrameShape(QFrame.Shape.HLine)
        grid.addWidget(line, 4, 0, 1, 3)
        grid.addWidget(QLabel("New for"), 5, 0)
        grid.addLayout(across((self.new_class, 1), self.brush, self.add_button), 5, 1, 1, 2)
        buttons = across(self.on_off, self.split_button, self.delete_button)
        self.setLayout(down(self.title, self.findings, buttons, grid, self.changes, None))

    # -- what is shown ----------------------------------------------------------------------

    def show_prototype(
        self,
        entry: GalleryEntry,
        classes: list[SegmentationClass],
        siblings: list[tuple[int, str]],
    ) -> None:
        """Show the chosen prototype; ``siblings`` are those it may be merged with."""
        prototype = entry.prototype
        self.shows_active = entry.active
        color = classes[prototype.class_index].color
        self.title.setText(
            f'<span style="color:{color}">■</span> <b>{escape(prototype.name)}</b>'
            + ("" if entry.active else " (off)")
        )
        self.findings.setText(
            "<br>".join(f"<b>!</b> {escape(m.meaning)} {escape(m.advice)}" for m in entry.marks)
        )
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
        self.merge_button.setEnabled(bool(siblings))
        self.siblings.setEnabled(bool(siblings))
        self.merge_button.setToolTip(
            _MERGE if siblings else "There is no other prototype of this class that is on"
        )

    def offer_labels(self, names: list[str]) -> None:
        """Offer label layers to train away by; the choice stays while it is there."""
        chosen = self.labels.currentText()
        self.labels.clear()
        self.labels.addItems([PRESENT, *names])
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
