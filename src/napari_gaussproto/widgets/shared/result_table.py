"""A table of many rows that sorts by numbers, and is quick however many there are."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QTableView

# Rows whose texts are measured for the width of a column.
_LOOKED_AT = 50


@dataclass(frozen=True)
class Column:
    """A column of a table: its title, values, how numbers are written, and a colour or none.

    Values are texts, or numbers and None where one is not known.
    """

    title: str
    values: Sequence[Any] = field(repr=False)
    form: str = ""
    color: str = ""

    def text(self, row: int) -> str:
        """A value as a person reads it."""
        return self.written(self.values[row])

    def written(self, value: Any) -> str:
        """The same of any value of the column."""
        return format(value, self.form) if _is_known(value) else ""

    def order(self, descending: bool) -> list[int]:
        """Rows in the order of their values; those that are not known come last."""
        known = [row for row, value in enumerate(self.values) if _is_known(value)]
        others = sorted(set(range(len(self.values))) - set(known))
        return sorted(known, key=self.values.__getitem__, reverse=descending) + others


def _is_known(value: Any) -> bool:
    return value is not None and value == value


class _Rows(QAbstractTableModel):
    """Columns beside each other; only what is seen is ever written as text."""

    def __init__(self) -> None:
        super().__init__()
        self.columns: list[Column] = []
        self.order: list[int] = []

    def fill(self, columns: Sequence[Column]) -> None:
        self.beginResetModel()
        self.columns = list(columns)
        self.order = list(range(len(columns[0].values) if columns else 0))
        self.endResetModel()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        if 0 <= column < len(self.columns):
            self.layoutAboutToBeChanged.emit()
            self.order = self.columns[column].order(order == Qt.SortOrder.DescendingOrder)
            self.layoutChanged.emit()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.order)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        column, row = self.columns[index.column()], self.order[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return column.text(row)
        if role == Qt.ItemDataRole.TextAlignmentRole and column.form:
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
        column = self.columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.title
        if role == Qt.ItemDataRole.DecorationRole and column.color:
            return QColor(column.color)
        return None


class ResultTable(QTableView):
    """Rows to look at, to sort by a click on a header, and to copy.

    Notes
    -----
    Its signal:

    row_chosen(int)
        The number of a row, in the order in which rows were given.
    """

    row_chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._rows = _Rows()
        self.setModel(self._rows)
        self.setSortingEnabled(True)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.verticalHeader().hide()
        self.selectionModel().currentRowChanged.connect(self._on_row)

    @property
    def count(self) -> int:
        """How many rows there are."""
        return self._rows.rowCount()

    def show_columns(self, columns: Sequence[Column]) -> None:
        """Show columns of one length, sorted by the first one."""
        self._rows.fill(columns)
        self.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.resizeColumnsToContents()
        for number in range(len(columns)):
            self.setColumnWidth(number, min(self.columnWidth(number), 160))

    def sizeHintForColumn(self, column: int) -> int:
        """How wide a column is, in pixels: as its longest text of the least, greatest and first.

        Qt would ask for a thousand rows of each column, a fifth of a second for a photograph.
        """
        shown = self._rows.columns[column]
        known = list(filter(_is_known, shown.values))
        ends = (min(known), max(known)) if known else ()
        first = (shown.values[row] for row in self._rows.order[:_LOOKED_AT])
        texts = [shown.written(value) for value in (*ends, *first)]
        letters = self.fontMetrics()
        longest = max((letters.horizontalAdvance(text) for text in texts), default=0)
        return longest + 3 * letters.averageCharWidth()

    def choose(self, row: int) -> None:
        """Choose a row by its number, and bring it into view."""
        if row in self._rows.order:
            self.selectRow(self._rows.order.index(row))

    def texts(self) -> list[list[str]]:
        """What is seen, row by row, in the order in which it is sorted."""
        return [[column.text(row) for column in self._rows.columns] for row in self._rows.order]

    def as_text(self) -> str:
        """The same with headers, to paste into a spreadsheet."""
        stream = io.StringIO()
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow([column.title for column in self._rows.columns])
        writer.writerows(self.texts())
        return stream.getvalue()

    def _on_row(self, current: QModelIndex, before: QModelIndex) -> None:
        if current.isValid():
            self.row_chosen.emit(self._rows.order[current.row()])
