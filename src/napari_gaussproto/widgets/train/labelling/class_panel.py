"""The classes of the Train dock: choose one for the brush, and change the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QColorDialog, QFileDialog, QMenu, QMessageBox, QSizePolicy, QWidget

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import GaussProtoError
from napari_gaussproto.core.labels.class_file import read_classes, write_classes
from napari_gaussproto.core.labels.class_table import (
    TableChange,
    add_class,
    extend_table,
    merge_classes,
    recolor_class,
    remove_class,
    rename_class,
    reorder_classes,
)
from napari_gaussproto.widgets.shared.forms import across, button, down, enable, fill
from napari_gaussproto.widgets.train.labelling.class_list import (
    ClassList,
    counted,
    plain_icon,
)

_READABLE = "Class tables (*.json *.csv *.tsv *.txt *.label);;All files (*)"
_SIGN = 30
_NO_CLASS = "Choose a class first: there is none yet"


class ClassPanel(QWidget):
    """Classes, one of them for the brush, and buttons that change the table.

    The panel never changes the table itself: it asks, and whoever owns the table applies the
    change to the labels as well and then calls `set_classes`.
    """

    class_selected = Signal(int)  # to paint as
    change_asked = Signal(object)  # TableChange
    undo_asked = Signal()
    redo_asked = Signal()
    failed = Signal(str)  # why something cannot be

    def __init__(self) -> None:
        super().__init__()
        self.classes: tuple[SegmentationClass, ...] = ()
        self._pixels: list[int] = []
        self.selected = -1  # the class for the brush, if there is one
        self._asked: TableChange | None = None
        self._can_undo = self._can_redo = False
        self.list = ClassList()
        self.list.chosen.connect(self._on_chosen)
        self.list.renamed.connect(self._rename)
        self.list.recolor_asked.connect(self._recolor)
        self.list.remove_asked.connect(self.remove_selected)
        self._build()
        self._enable()

    def _build(self) -> None:
        self.add_button = button("+ Add", "Add a class and type its name", self.add)
        self.remove_button = button("− Remove", "", self.remove_selected)
        self.merge_button = button("Merge into", "")
        self._targets = QMenu(self)
        self._targets.aboutToShow.connect(self._fill_targets)
        self.merge_button.setMenu(self._targets)
        self.up_button = button("↑", "", lambda: self._move(-1))
        self.down_button = button("↓", "", lambda: self._move(1))
        self.undo_button = button("↶", "", self.undo_asked)
        self.redo_button = button("↷", "", self.redo_asked)
        self.more_button = button("…", "Import or export the classes")
        self.more_button.setStyleSheet("QPushButton::menu-indicator { image: none; }")
        self.more_button.setMenu(self._more_menu())
        changes = (self.up_button, self.down_button)
        others = (self.undo_button, self.redo_button, self.more_button)
        for sign in (*changes, *others):
            sign.setFixedWidth(_SIGN)
        words = across((self.add_button, 1), (self.remove_button, 1), (self.merge_button, 1))
        fill(self, down(self.list, words, across(*changes, None, *others), None, spacing=4))
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)

    def _more_menu(self) -> QMenu:
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        self.import_action = menu.addAction("Import…", self._ask_import)
        self.import_action.setToolTip(
            "Add the classes of a file: JSON, CSV, one name per line, QuPath, COCO or ITK-SNAP"
        )
        self.export_action = menu.addAction("Export…", self._ask_export)
        return menu

    # -- what it shows -----------------------------------------------------------------------

    def set_classes(self, classes: Sequence[SegmentationClass]) -> None:
        """Show a table; the chosen class stays chosen while it is there.

        After an addition the new class is chosen and its name open for typing.
        """
        former, asked = self.classes, self._asked
        self._asked = None
        self.classes = tuple(classes)
        accepted = asked is not None and asked.after == self.classes
        if len(self.classes) != len(former):
            self._pixels = []  # whoever owns the labels counts anew
        added = accepted and asked is not None and asked.after[:-1] == asked.before
        if added:
            index = len(self.classes) - 1
        elif accepted and asked is not None and 0 <= self.selected < len(former):
            index = asked.mapping[self.selected + 1] - 1
        else:
            index = self._same_name(former)
        if not 0 <= index < len(self.classes):
            index = min(max(self.selected, 0), len(self.classes) - 1)
        self.list.show_classes(self.classes, index)
        self.list.show_amounts(self._pixels)
        self._choose(index)
        if added:
            self.list.rename(index)

    def set_counts(self, pixels: Sequence[int]) -> None:
        """Say how many pixels are labelled as each class."""
        self._pixels = list(pixels)
        self.list.show_amounts(self._pixels)

    def select(self, index: int) -> None:
        """Choose the class for the brush; emits `class_selected` when it is another one.

        Raises
        ------
        IndexError
            For no such class.
        """
        if not 0 <= index < len(self.classes):
            raise IndexError(f"There is no class {index}.")
        self.list.show_classes(self.classes, index)
        self._choose(index)

    def set_undo(self, can_undo: bool, can_redo: bool) -> None:
        """Say whether a change of the table can be taken back, or done again."""
        self._can_undo, self._can_redo = can_undo, can_redo
        self._enable()

    def _same_name(self, former: Sequence[SegmentationClass]) -> int:
        if not 0 <= self.selected < len(former):
            return -1
        name = former[self.selected].name
        return next((i for i, entry in enumerate(self.classes) if entry.name == name), -1)

    def _choose(self, index: int) -> None:
        changed = index != self.selected
        self.selected = index
        self._enable()
        if changed and index >= 0:
            self.class_selected.emit(index)

    def _on_chosen(self, index: int) -> None:
        if index >= 0:
            self._choose(index)

    def _enable(self) -> None:
        n, index = len(self.classes), self.selected
        some = "" if index >= 0 else _NO_CLASS
        few = "" if n > 1 else "Merging needs two classes"
        first = "" if index > 0 else "The chosen class is the first already"
        last = "" if index < n - 1 else "The chosen class is the last already"
        undo = "" if self._can_undo else "No change of the classes to take back"
        redo = "" if self._can_redo else "No change of the classes was taken back"
        none = "" if n else "There is no class to export"
        merge = "Make everything labelled as the chosen class another class, and remove it"
        enable(self.remove_button, "Remove the chosen class (Del); undo brings it back", some)
        enable(self.merge_button, merge, some or few)
        enable(self.up_button, "Move the chosen class up; its labels go with it", some or first)
        enable(self.down_button, "Move the chosen class down; its labels go with it", some or last)
        enable(self.undo_button, "Take the last change of the classes back, labels as well", undo)
        enable(self.redo_button, "Do again what was taken back", redo)
        enable(self.export_action, "Save names and colours as JSON or CSV", none)

    # -- what the person asks for -------------------------------------------------------------

    def add(self) -> None:
        """Ask for one more class, with a name to be typed over."""
        names = {entry.name for entry in self.classes}
        numbered = (f"class {n}" for n in count(len(names) + 1))
        name = next(name for name in numbered if name not in names)
        self._ask(lambda: add_class(self.classes, name))

    def remove_selected(self) -> None:
        """Ask for the removal of the chosen class, after a question when it is in use."""
        index = self.selected
        if index < 0:
            return
        name = self.classes[index].name
        if self._agreed(
            index,
            f"Remove “{name}”?",
            f"{self._used(index)} labelled as “{name}” would not be labelled any more.",
        ):
            self._ask(lambda: remove_class(self.classes, index))

    def merge_selected(self, target: int) -> None:
        """Ask for the chosen class to become part of another one."""
        source = self.selected
        if source < 0:
            return
        name, other = self.classes[source].name, self.classes[target].name
        if self._agreed(
            source,
            f"Merge “{name}” into “{other}”?",
            f"{self._used(source)} labelled as “{name}” would be labelled as “{other}”.",
        ):
            self._ask(lambda: merge_classes(self.classes, source, target))

    def import_file(self, path: Path) -> None:
        """Ask for the classes of a file: known names get its colours, others are appended."""
        self._ask(
            lambda: extend_table(self.classes, read_classes(path)),
            f"“{path.name}” names no other classes or colours than these: nothing to change.",
        )

    def export_file(self, path: Path) -> None:
        """Write names and colours."""
        try:
            write_classes(path, self.classes)
        except GaussProtoError as error:
            self.failed.emit(str(error))

    def _rename(self, index: int, name: str) -> None:
        self._ask(lambda: rename_class(self.classes, index, name))

    def _recolor(self, index: int) -> None:
        color = self.pick_color(self.classes[index].color)
        if color:
            self._ask(lambda: recolor_class(self.classes, index, color))

    def _move(self, step: int) -> None:
        order = list(range(len(self.classes)))
        index, other = self.selected, self.selected + step
        if 0 <= index < len(order) and 0 <= other < len(order):
            order[index], order[other] = order[other], order[index]
            self._ask(lambda: reorder_classes(self.classes, order))

    def _ask(self, make: Callable[[], TableChange], nothing: str = "") -> None:
        """Emit a change, unless it is impossible or none."""
        try:
            change = make()
        except GaussProtoError as error:
            self.failed.emit(str(error))
            return
        if change.after == change.before:
            if nothing:
                self.failed.emit(nothing)
            return
        self._asked = change
        self.change_asked.emit(change)

    def _used(self, index: int) -> str:
        return counted(self._pixels[index], "pixel")

    def _agreed(self, index: int, title: str, loss: str) -> bool:
        """Whether a class may go: at once when nothing is labelled as it."""
        if index >= len(self._pixels) or not self._pixels[index]:
            return True
        return self.confirm(title, f"{loss}\n\nThis can be undone with ↶ below the list.")

    def _fill_targets(self) -> None:
        self._targets.clear()
        for i, entry in enumerate(self.classes):
            if i != self.selected:
                action = self._targets.addAction(plain_icon(entry.color), entry.name)
                action.triggered.connect(lambda _, target=i: self.merge_selected(target))

    # -- questions; replaced where nobody is there to answer ---------------------------------

    def confirm(self, title: str, text: str) -> bool:
        """Ask a question; no is the answer that Return gives."""
        buttons = QMessageBox.StandardButton
        answer = QMessageBox.question(
            self, title, text, buttons.Yes | buttons.Cancel, buttons.Cancel
        )
        return bool(answer == buttons.Yes)

    def pick_color(self, color: str) -> str:
        """Let the person choose a colour; empty when none was."""
        chosen = QColorDialog.getColor(QColor(color), self, "Colour of the class")
        return str(chosen.name()) if chosen.isValid() else ""

    def _ask_import(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Import classes", "", _READABLE)
        if name:
            self.import_file(Path(name))

    def _ask_export(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, "Export classes", "classes.json", "JSON (*.json);;CSV (*.csv)"
        )
        if not name:
            return
        path = Path(name)
        if not path.suffix:
            path = path.with_suffix(".json")
            if path.exists() and not self.confirm(
                f"Replace “{path.name}”?", f"There is a file “{path.name}” already."
            ):
                return
        self.export_file(path)
