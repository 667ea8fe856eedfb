"""A table of many rows that sorts by numbers, and is quick however many there are."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

# A value, and how it is written.
Cell = tuple[Any, str]
_SORT = Qt.ItemDataRole.UserRole


class _Rows(QAbstractTableModel):
    """Rows of cells under headers, each with a colour or none."""

    def __init__(self) -> None:
        super().__init__()
        self.headers: list[tuple[str, str]] = []
        self.cells: list[list[Cell]] = []

    def fill(self, headers: Sequence[tuple[str, str]], cells: Sequence[Sequence[Cell]]) -> None:
        self.beginResetModel()
        self.headers, self.cells = list(headers), [list(row) for row in cells]
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.cells)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.headers)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        value, text = self.cells[index.row()][index.column()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return text
        if role == _SORT:
            # What is not known comes after everything else.
            return -1.0 if value is None else value
        if role == Qt.ItemDataRole.TextAlignmentRole and not isinstance(value, str):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        if orientation == Qt.Orientation.Vertical:
            return None
        text, colour = self.headers[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return text
        if role == Qt.ItemDataRole.DecorationRole and colour:
            return QColor(colour)
        return None


class ResultTable(QTableView):
    """Rows to look at, to sort by a click on a header, and to copy."""

    def __init__(self) -> None:
        super().__init__()
        self._rows = _Rows()
        self._sorted = QSortFilterProxyModel(self)
        self._sorted.setSourceModel(self._rows)
        self._sorted.setSortRole(_SORT)
        self.setModel(self._sorted)
        self.setSortingEnabled(True)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.verticalHeader().hide()
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)

    def show_rows(
        self,
        headers: Sequence[tuple[str, str]],
        cells: Sequence[Sequence[Cell]],
        sort_by: int = 0,
        order: Qt.SortOrder = Qt.SortOrder.AscendingOrder,
    ) -> None:
        """Show rows under headers, which are a text and a colour or ""; sorted by a column."""
        self._rows.fill(headers, cells)
        self.sortByColumn(sort_by, order)
        for column in range(1, len(headers)):
            self.setColumnWidth(column, max(64, self.sizeHintForColumn(column)))
        self.setColumnWidth(0, 140)

    def texts(self) -> list[list[str]]:
        """What is seen, row by row, in the order in which it is sorted."""
        model = self._sorted
        rows, columns = range(model.rowCount()), range(model.columnCount())
        return [[str(model.index(row, column).data()) for column in columns] for row in rows]

    def as_text(self) -> str:
        """The same with headers, to paste into a spreadsheet."""
        stream = io.StringIO()
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow([text for text, _ in self._rows.headers])
        writer.writerows(self.texts())
        return stream.getvalue()
