"""The list of the class panel: a row for each class, with its key, colour, name and labels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import repeat

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QKeyEvent, QKeySequence, QPaintEvent, QShowEvent
from qtpy.QtWidgets import QAbstractItemView, QFrame, QHeaderView, QTableWidget, QTableWidgetItem

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.widgets.shared.share_table import swatch
from napari_gaussproto.widgets.shared.workarounds import painting
from napari_gaussproto.widgets.shared.workers import soon

KEY, COLOR, NAME, AMOUNT = range(4)
_ROW, _SWATCH = 26, 14
# Rows that are shown at least and at most before the list scrolls.
_LEAST, _MOST = 3, 8
_FAINT = QColor(134, 142, 147)
_NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"
_EMPTY = "No class yet: add one, or import a list"


class ClassList(QTableWidget):
    """Classes to choose from; it shows what it is given and reports what a person does."""

    chosen = Signal(int)  # another row is the current one; -1 when there is none
    renamed = Signal(int, str)  # a name was typed; the row still shows the former one
    recolor_asked = Signal(int)
    remove_asked = Signal()

    def __init__(self) -> None:
        super().__init__(0, 4)
        self._names: list[str] = []
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        triggers = QAbstractItemView.EditTrigger
        self.setEditTriggers(triggers.DoubleClicked | triggers.EditKeyPressed)
        self.setTabKeyNavigation(False)  # Tab leaves the list
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setIconSize(QSize(_SWATCH, _SWATCH))
        self.setAccessibleName("Classes")
        self._columns()
        self.cellClicked.connect(self._on_clicked)
        self.itemChanged.connect(self._on_edited)
        self.currentCellChanged.connect(self._on_current)
        self._fit()

    def _columns(self) -> None:
        header, side = self.horizontalHeader(), self.verticalHeader()
        header.hide()
        side.hide()
        side.setDefaultSectionSize(_ROW)
        side.setMinimumSectionSize(_ROW)
        header.setMinimumSectionSize(10)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(AMOUNT, QHeaderView.ResizeMode.ResizeToContents)
        self.setColumnWidth(KEY, 20)
        self.setColumnWidth(COLOR, 26)

    def show_classes(self, classes: Sequence[SegmentationClass], current: int) -> None:
        """Show a table of classes, one of them chosen."""
        self.blockSignals(True)
        self._names = [entry.name for entry in classes]
        if self.rowCount() != len(classes):
            self._rebuild(len(classes))
        for row, entry in enumerate(classes):
            self.item(row, COLOR).setIcon(plain_icon(entry.color))
            self.item(row, COLOR).setToolTip(f"{entry.color}: click to choose another colour")
            self.item(row, NAME).setText(entry.name)
            self.item(row, NAME).setToolTip(f"{entry.name}\nDouble-click or F2 to rename")
        self.setCurrentCell(current, NAME)
        self.blockSignals(False)
        self.viewport().update()

    def show_amounts(self, pixels: Sequence[int]) -> None:
        """Say how much is labelled as each class; empty while that is not known."""
        self.blockSignals(True)
        for row, n in zip(range(self.rowCount()), pixels or repeat(None), strict=False):
            item = self.item(row, AMOUNT)
            item.setText("" if n is None else amount_text(n))
            item.setToolTip("" if n is None else f"{counted(n, 'pixel')} labelled as this class")
        self.blockSignals(False)
        self.resizeColumnToContents(AMOUNT)

    def rename(self, row: int) -> None:
        """Open the name of a class for typing."""
        # Later: now the event that led here may still take the focus away.
        soon(self, partial(self._open, row))

    def _open(self, row: int) -> None:
        item = self.item(row, NAME)
        if item is not None:
            self.setFocus()
            self.editItem(item)

    def _rebuild(self, count: int) -> None:
        self.setRowCount(0)
        self.setRowCount(count)
        can_choose = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        for row in range(count):
            for column in range(4):
                item = QTableWidgetItem()
                editable = Qt.ItemFlag.ItemIsEditable if column == NAME else can_choose
                item.setFlags(can_choose | editable)
                self.setItem(row, column, item)
            key, amount = self.item(row, KEY), self.item(row, AMOUNT)
            key.setForeground(_FAINT)
            key.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
            if row < 9:
                key.setText(str(row + 1))
                keys = QKeySequence(f"Ctrl+{row + 1}")
                shown = keys.toString(QKeySequence.SequenceFormat.NativeText)
                key.setToolTip(f"{shown} over the image, or {row + 1} here, chooses this class")
            amount.setForeground(_FAINT)
            amount.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._fit()

    def _fit(self) -> None:
        rows = min(max(self.rowCount(), _LEAST), _MOST)
        # Half a row more says that there is more below.
        height = rows * _ROW + (_ROW // 2 if self.rowCount() > _MOST else 0)
        self.setFixedHeight(height + 2 * self.frameWidth())

    def showEvent(self, event: QShowEvent) -> None:
        """Fit to the frame, which napari's theme gives it no earlier than now."""
        super().showEvent(event)
        self._fit()

    def _on_clicked(self, row: int, column: int) -> None:
        if column == COLOR:
            self.recolor_asked.emit(row)

    def _on_edited(self, item: QTableWidgetItem) -> None:
        row, text = item.row(), item.text().strip()
        self.blockSignals(True)
        item.setText(self._names[row])  # until the change is accepted
        self.blockSignals(False)
        if text != self._names[row]:
            self.renamed.emit(row, text)

    def _on_current(self, row: int, column: int, former: int, _: int) -> None:
        if row != former:
            self.chosen.emit(row)
        if row >= 0 and column != NAME:
            self.blockSignals(True)
            self.setCurrentCell(row, NAME)  # F2 then edits the name
            self.blockSignals(False)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Del asks for removal, a digit chooses; the rest is Qt's."""
        key = event.key()
        row = key - Qt.Key.Key_1
        if key in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.remove_asked.emit()
        elif 0 <= row < min(9, self.rowCount()) and not event.modifiers():
            self.setCurrentCell(row, NAME)
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Say what to do when there is no class."""
        super().paintEvent(event)
        if self.rowCount() == 0:
            flags = int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap)
            with painting(self.viewport()) as painter:
                painter.setPen(_FAINT)
                painter.drawText(self.viewport().rect().adjusted(8, 0, -8, 0), flags, _EMPTY)


def plain_icon(color: str) -> QIcon:
    """A swatch that stays as it is when its row is chosen."""
    icon, pixmap = QIcon(), swatch(color, _SWATCH)
    icon.addPixmap(pixmap, QIcon.Mode.Normal)
    icon.addPixmap(pixmap, QIcon.Mode.Selected)
    return icon


def amount_text(pixels: int) -> str:
    """How much is labelled, short."""
    return f"{pixels / 1e6:.1f} Mpx" if pixels >= 1e6 else f"{grouped(pixels)} px"


def grouped(number: int) -> str:
    """A number with its digits in groups of three."""
    return f"{number:,}".replace(",", _NARROW_SPACE)


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number of things."""
    return f"{grouped(number)} {noun if number == 1 else plural or noun + 's'}"
