"""The table of results: what is not known comes last, and no number is cut."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import Qt

from napari_gaussproto.widgets.shared.result_table import Column, ResultTable

NAN = float("nan")


class Counted(list[float]):
    """A list that counts how often one of its values is asked for."""

    asked = 0

    def __getitem__(self, at: Any) -> Any:
        self.asked += 1
        return super().__getitem__(at)


@pytest.fixture
def table(qtbot: Any) -> ResultTable:
    widget = ResultTable()
    qtbot.addWidget(widget)
    return widget


def test_what_is_not_known_comes_last_whichever_way_it_is_sorted(table: ResultTable) -> None:
    table.show_columns([Column("object", list("abcde")), Column("x", [2, NAN, 10, None, 3], ".1f")])
    table.sortByColumn(1, Qt.SortOrder.AscendingOrder)
    assert [row[1] for row in table.texts()] == ["2.0", "3.0", "10.0", "", ""]
    table.sortByColumn(1, Qt.SortOrder.DescendingOrder)
    assert [row[0] for row in table.texts()] == ["c", "e", "a", "b", "d"]


def test_a_column_has_room_for_its_longest_number_without_a_look_at_each_row(
    table: ResultTable,
) -> None:
    values = Counted([NAN, *[1.0] * 4000, -123456.0, *[1.0] * 4000])
    table.show_columns([Column("object", list(range(len(values)))), Column("x", values, ".1f")])
    values.asked = 0
    width = table.sizeHintForColumn(1)
    assert width > table.fontMetrics().horizontalAdvance("-123456.0")
    assert values.asked < 100
    table.show_columns([Column("x", [None, NAN])])
    assert table.sizeHintForColumn(0) < width
