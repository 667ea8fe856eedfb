"""The class panel: real clicks and keys, and what it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLineEdit, QMessageBox

from napari_gaussproto.core.base.config import DEFAULT_COLORS, SegmentationClass
from napari_gaussproto.core.labels.class_table import TableChange
from napari_gaussproto.widgets.train.labelling.class_list import COLOR, KEY, NAME, amount_text
from napari_gaussproto.widgets.train.labelling.class_panel import ClassPanel

LEFT, NO_KEY = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
NAMES = ("soil", "crop", "weed")


def table(names: Sequence[str]) -> tuple[SegmentationClass, ...]:
    return tuple(
        SegmentationClass(name=name, color=DEFAULT_COLORS[i % 8]) for i, name in enumerate(names)
    )


class Owner:
    """Applies what the panel asks for to labels, as the dock does, and keeps the undo."""

    def __init__(self, panel: ClassPanel, names: Sequence[str], labels: Any) -> None:
        self.panel, self.classes, self.labels = panel, table(names), np.asarray(labels, np.uint8)
        self.done: list[Any] = []
        self.brush: list[int] = []
        self.failures: list[str] = []
        self.questions: list[str] = []
        self.answer = True
        panel.change_asked.connect(self.apply)
        panel.undo_asked.connect(self.undo)
        panel.class_selected.connect(self.brush.append)
        panel.failed.connect(self.failures.append)
        panel.confirm = self.confirm  # type: ignore[method-assign]
        self.show()

    def apply(self, change: TableChange) -> None:
        assert change.before == self.classes
        self.labels, forgotten = change.apply(self.labels)
        self.done.append((change, forgotten))
        self.classes = change.after
        self.show()

    def undo(self) -> None:
        change, forgotten = self.done.pop()
        self.labels = change.revert(self.labels, forgotten)
        self.classes = change.before
        self.show()

    def show(self) -> None:
        self.panel.set_classes(self.classes)
        counts = np.bincount(self.labels.ravel(), minlength=len(self.classes) + 1)
        self.panel.set_counts(counts[1:].tolist())
        self.panel.set_undo(bool(self.done), False)

    def confirm(self, title: str, text: str) -> bool:
        self.questions.append(f"{title} {text}")
        return self.answer

    @property
    def names(self) -> list[str]:
        return [entry.name for entry in self.classes]


@pytest.fixture
def panel(qtbot: Any) -> ClassPanel:
    widget = ClassPanel()
    qtbot.addWidget(widget)
    widget.resize(300, 320)
    widget.show()
    qtbot.waitExposed(widget)
    return widget


@pytest.fixture
def owner(panel: ClassPanel) -> Owner:
    return Owner(panel, NAMES, [[1, 1, 1, 0], [2, 2, 0, 0]])


def click(panel: ClassPanel, row: int, column: int, double: bool = False) -> None:
    place = panel.list.visualItemRect(panel.list.item(row, column)).center()
    QTest.mouseClick(panel.list.viewport(), LEFT, NO_KEY, place)
    if double:
        QTest.mouseDClick(panel.list.viewport(), LEFT, NO_KEY, place)


def editor(panel: ClassPanel, qtbot: Any) -> QLineEdit:
    qtbot.waitUntil(lambda: panel.list.viewport().findChild(QLineEdit) is not None)
    return panel.list.viewport().findChild(QLineEdit)


def type_name(panel: ClassPanel, qtbot: Any, name: str) -> None:
    line = editor(panel, qtbot)
    line.selectAll()
    QTest.keyClicks(line, name)
    QTest.keyClick(line, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: panel.list.viewport().findChild(QLineEdit) is None)


def press(button: Any) -> None:
    QTest.mouseClick(button, LEFT)


def shown(panel: ClassPanel) -> list[str]:
    return [panel.list.item(row, NAME).text() for row in range(panel.list.rowCount())]


def test_a_row_for_each_class_says_how_much_is_labelled(owner: Owner, panel: ClassPanel) -> None:
    assert shown(panel) == list(NAMES) and panel.selected == 0
    assert [panel.list.item(row, 3).text() for row in range(3)] == ["3 px", "2 px", "0 px"]
    assert [panel.list.item(row, KEY).text() for row in range(3)] == ["1", "2", "3"]
    panel.set_counts([1240, 1, 12_400_000])
    assert panel.list.item(0, 3).text() == "1\u202f240 px"
    assert panel.list.item(2, 3).text() == "12.4 Mpx"
    assert panel.list.item(0, 3).toolTip() == "1\u202f240 pixels labelled as this class"
    assert panel.list.item(1, 3).toolTip() == "1 pixel labelled as this class"
    assert amount_text(999_999).endswith("999 px")


def test_clicks_and_keys_choose_the_brush(owner: Owner, panel: ClassPanel) -> None:
    click(panel, 2, NAME)
    assert owner.brush == [0, 2] and panel.selected == 2
    click(panel, 1, KEY)
    QTest.keyClick(panel.list, Qt.Key.Key_Up)
    QTest.keyClick(panel.list, Qt.Key.Key_Down)
    QTest.keyClick(panel.list, Qt.Key.Key_3)
    QTest.keyClick(panel.list, Qt.Key.Key_9)  # no such class
    assert owner.brush == [0, 2, 1, 0, 1, 2]
    panel.select(0)
    panel.select(0)
    assert owner.brush[-1] == 0 and len(owner.brush) == 7
    assert panel.list.currentRow() == 0
    with pytest.raises(IndexError):
        panel.select(3)


def test_a_name_is_edited_in_place(owner: Owner, panel: ClassPanel, qtbot: Any) -> None:
    click(panel, 1, NAME, double=True)
    type_name(panel, qtbot, " Zea mays ")
    assert owner.names == ["soil", "Zea mays", "weed"] == shown(panel)
    click(panel, 2, NAME)
    QTest.keyClick(panel.list, Qt.Key.Key_F2)
    type_name(panel, qtbot, "grass")
    assert owner.names[2] == "grass" and not owner.failures
    assert np.array_equal(owner.labels, [[1, 1, 1, 0], [2, 2, 0, 0]])


def test_a_name_that_cannot_be_is_put_back(owner: Owner, panel: ClassPanel, qtbot: Any) -> None:
    for name, sentence in (("soil", "called “soil” already"), ("  ", "needs a name")):
        click(panel, 1, NAME, double=True)
        type_name(panel, qtbot, name)
        assert sentence in owner.failures[-1] and shown(panel) == list(NAMES)
    click(panel, 1, NAME, double=True)
    type_name(panel, qtbot, "crop")  # as it was: nothing to do
    assert not owner.done and len(owner.failures) == 2


def test_a_click_on_the_swatch_chooses_a_colour(owner: Owner, panel: ClassPanel) -> None:
    offered: list[str] = []
    panel.pick_color = lambda color: offered.append(color) or "#123456"  # type: ignore[method-assign, func-returns-value]
    click(panel, 2, COLOR)
    assert offered == [DEFAULT_COLORS[2]] and owner.classes[2].color == "#123456"
    icon = panel.list.item(2, COLOR).icon().pixmap(8, 8).toImage()
    assert icon.pixelColor(2, 2).name() == "#123456"
    panel.pick_color = lambda color: ""  # type: ignore[method-assign]
    click(panel, 2, COLOR)
    assert len(owner.done) == 1


def test_an_added_class_is_named_at_once(owner: Owner, panel: ClassPanel, qtbot: Any) -> None:
    press(panel.add_button)
    assert owner.names[-1] == "class 4" and panel.selected == 3 == owner.brush[-1]
    type_name(panel, qtbot, "stone")
    assert owner.names == [*NAMES, "stone"]
    assert owner.classes[3].color == DEFAULT_COLORS[3]


def test_removal_asks_only_when_the_class_is_in_use(owner: Owner, panel: ClassPanel) -> None:
    click(panel, 2, NAME)
    press(panel.remove_button)
    assert owner.names == ["soil", "crop"] and not owner.questions
    assert panel.selected == 1
    owner.answer = False
    QTest.keyClick(panel.list, Qt.Key.Key_Delete)
    assert owner.names == ["soil", "crop"] and "2 pixels labelled as “crop”" in owner.questions[0]
    assert "can be undone" in owner.questions[0]
    owner.answer = True
    QTest.keyClick(panel.list, Qt.Key.Key_Delete)
    assert owner.names == ["soil"] and owner.labels.max() == 1
    press(panel.undo_button)
    press(panel.undo_button)
    assert owner.names == list(NAMES) and owner.labels[1].tolist() == [2, 2, 0, 0]
    assert not panel.undo_button.isEnabled()


def test_the_question_is_a_real_one(panel: ClassPanel, qtbot: Any) -> None:
    seen: list[str] = []

    def answer(button: Any) -> None:
        box = QApplication.activeModalWidget()
        assert isinstance(box, QMessageBox)
        seen.append(box.text())
        QTest.mouseClick(box.button(button), LEFT)

    panel.set_classes(table(NAMES))
    panel.set_counts([5, 0, 0])
    asked: list[TableChange] = []
    panel.change_asked.connect(asked.append)
    QTimer.singleShot(200, lambda: answer(QMessageBox.StandardButton.Cancel))
    press(panel.remove_button)
    assert not asked and "5 pixels labelled as “soil”" in seen[0]
    QTimer.singleShot(200, lambda: answer(QMessageBox.StandardButton.Yes))
    press(panel.remove_button)
    assert len(asked) == 1 and panel.classes == table(NAMES)  # the owner did nothing


def test_merging_offers_the_other_classes(owner: Owner, panel: ClassPanel) -> None:
    click(panel, 1, NAME)
    menu = panel.merge_button.menu()
    menu.aboutToShow.emit()
    assert [action.text() for action in menu.actions()] == ["soil", "weed"]
    menu.actions()[1].trigger()
    assert owner.names == ["soil", "weed"] and owner.labels[1].tolist() == [2, 2, 0, 0]
    assert "would be labelled as “weed”" in owner.questions[0]
    assert panel.selected == 1  # what it became part of
    press(panel.undo_button)
    assert owner.names == list(NAMES) and owner.labels[1].tolist() == [2, 2, 0, 0]


def test_order_changes_with_the_labels_and_the_brush(owner: Owner, panel: ClassPanel) -> None:
    press(panel.down_button)
    assert owner.names == ["crop", "soil", "weed"] and panel.selected == 1
    assert owner.labels.tolist() == [[2, 2, 2, 0], [1, 1, 0, 0]]
    press(panel.up_button)
    assert owner.names == list(NAMES) and panel.selected == 0
    assert not panel.up_button.isEnabled() and "first" in panel.up_button.toolTip()
    click(panel, 2, NAME)
    assert not panel.down_button.isEnabled() and "last" in panel.down_button.toolTip()


def test_undo_keeps_the_brush_with_its_class(owner: Owner, panel: ClassPanel) -> None:
    press(panel.down_button)  # crop, soil, weed: soil is chosen
    press(panel.undo_button)
    assert owner.names == list(NAMES) and panel.selected == 0 and owner.brush[-1] == 0


def test_with_no_class_only_adding_is_possible(panel: ClassPanel, qtbot: Any) -> None:
    owner = Owner(panel, (), np.zeros((2, 2)))
    assert panel.selected == -1 and owner.brush == []
    for button in (panel.remove_button, panel.merge_button, panel.up_button, panel.down_button):
        assert not button.isEnabled() and "there is none yet" in button.toolTip()
    assert not panel.export_action.isEnabled()
    QTest.keyClick(panel.list, Qt.Key.Key_Delete)
    press(panel.add_button)
    type_name(panel, qtbot, "soil")
    assert owner.names == ["soil"] and owner.brush == [0]
    assert not panel.merge_button.isEnabled() and "two classes" in panel.merge_button.toolTip()
    QTest.keyClick(panel.list, Qt.Key.Key_Delete)
    assert owner.names == [] and panel.selected == -1


def test_many_classes_scroll(panel: ClassPanel) -> None:
    few = panel.list.height()
    Owner(panel, [f"c{i}" for i in range(20)], np.zeros((2, 2)))
    assert few < panel.list.height() < 10 * 27
    panel.select(19)
    assert (
        panel.list.viewport()
        .rect()
        .contains(panel.list.visualItemRect(panel.list.item(19, NAME)).center())
    )
    assert panel.list.item(9, KEY).text() == ""


def test_names_are_typed_on_while_counts_come_in(
    owner: Owner, panel: ClassPanel, qtbot: Any
) -> None:
    click(panel, 1, NAME, double=True)
    line = editor(panel, qtbot)
    QTest.keyClicks(line, "ma")
    panel.set_counts([4, 5, 6])
    owner.show()
    assert editor(panel, qtbot) is line and line.text() == "ma"
    QTest.keyClicks(line, "ize")
    QTest.keyClick(line, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: owner.names[1] == "maize")


def test_import_and_export(owner: Owner, panel: ClassPanel, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("name,color\nstone,#111111\nsoil,#222222\n", encoding="utf-8")
    panel.import_file(path)
    assert owner.names == [*NAMES, "stone"] and len(owner.done) == 1
    assert [owner.classes[i].color for i in (0, 3)] == ["#222222", "#111111"]
    assert panel.selected == 0
    panel.import_file(path)
    assert "nothing to change" in owner.failures[-1] and len(owner.done) == 1
    path.write_text("name,color\nsoil,greenish\n", encoding="utf-8")
    panel.import_file(path)
    assert "greenish" in owner.failures[-1]
    panel.export_file(tmp_path / "b.json")
    press(panel.undo_button)
    panel.import_file(tmp_path / "b.json")
    assert owner.names == [*NAMES, "stone"]
    panel.export_file(tmp_path / "a.csv" / "c.json")
    assert "could not be written" in owner.failures[-1]


def test_an_export_without_a_suffix_overwrites_nothing_unasked(
    owner: Owner, panel: ClassPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qtpy.QtWidgets import QFileDialog

    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda *a, **k: (str(tmp_path / "mine"), "")
    )
    panel.export_action.trigger()
    written = (tmp_path / "mine.json").read_text(encoding="utf-8")
    assert "soil" in written and not owner.questions
    owner.answer = False
    click(panel, 2, NAME)
    press(panel.remove_button)
    panel.export_action.trigger()
    assert "Replace “mine.json”?" in owner.questions[-1]
    assert (tmp_path / "mine.json").read_text(encoding="utf-8") == written


def test_everything_says_what_it_does(owner: Owner, panel: ClassPanel) -> None:
    for button in panel.findChildren(type(panel.add_button)):
        assert button.toolTip(), button.text()
    item = panel.list.item(0, COLOR)
    assert "colour" in item.toolTip() and "F2" in panel.list.item(0, NAME).toolTip()
    assert panel.import_action.toolTip() != panel.import_action.text()
