"""The mapping dialog: first guesses, real clicks, and labels that come out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt, QTimer
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDialog, QInputDialog, QLabel

from napari_gaussproto.core.base.config import DEFAULT_COLORS, SegmentationClass
from napari_gaussproto.core.labels.class_table import extend_table, import_mask, mask_values
from napari_gaussproto.widgets.train.labelling.mapping_dialog import MappingDialog

LEFT = Qt.MouseButton.LeftButton
TABLE = [
    SegmentationClass(name=name, color=DEFAULT_COLORS[i])
    for i, name in enumerate(["soil", "crop", "weed"])
]


@pytest.fixture(autouse=True)
def quick_clicks(qapp: QApplication) -> Iterator[None]:
    """Two clicks are two after less than the half second of a person."""
    before = qapp.doubleClickInterval()
    qapp.setDoubleClickInterval(50)
    yield
    qapp.setDoubleClickInterval(before)


@pytest.fixture
def open_dialog(qtbot: Any) -> Callable[..., MappingDialog]:
    def make(values: dict[int, int], classes: Any = TABLE, **more: Any) -> MappingDialog:
        dialog = MappingDialog(values, classes, None, **more)
        qtbot.addWidget(dialog)
        dialog.show()
        dialog.activateWindow()
        assert QTest.qWaitForWindowActive(dialog)  # becoming active later would close a popup
        return dialog

    return make


def test_a_guess_by_numbers_alone_says_so(open_dialog: Callable[..., MappingDialog]) -> None:
    values = {0: 10, 1: 20, 2: 30}
    by_number = open_dialog(values)
    assert not by_number.note.isHidden() and "by their numbers" in by_number.note.text()
    colors = {1: DEFAULT_COLORS[2], 2: DEFAULT_COLORS[0]}
    assert open_dialog(values, colors=colors).note.isHidden()
    assert open_dialog(values, names={1: "weed", 2: "crop"}).note.isHidden()


def test_the_picture_shows_what_is_chosen(
    open_dialog: Callable[..., MappingDialog], qtbot: Any
) -> None:
    asked: list[dict[int, int]] = []

    def preview(labels: dict[int, int], colors: list[str]) -> np.ndarray:
        assert colors == [entry.color for entry in TABLE]
        asked.append(dict(labels))
        return np.full((20, 30, 3), 100, np.uint8)

    dialog = open_dialog({0: 50, 1: 20, 2: 30}, preview=preview)
    assert dialog.picture.isVisible() and dialog.picture.pixmap().width() > 100
    assert asked[-1] == {0: 1, 1: 2, 2: 3}
    choose(dialog, 1, "weed", qtbot)
    assert asked[-1] == {0: 1, 1: 3, 2: 3}
    assert open_dialog({0: 50, 1: 20}).picture.isHidden()


def choose(dialog: MappingDialog, row: int, text: str, qtbot: Any) -> None:
    """Open a combo box and click an entry of its list, as a person does."""
    combo = dialog.combos[row]
    QTest.mouseClick(combo, LEFT)
    view = combo.view()
    qtbot.waitUntil(view.isVisible)
    assert QTest.qWaitForWindowExposed(view.window())  # not laid out before, on a busy machine
    QTest.qWait(QApplication.doubleClickInterval() + 50)  # else Qt takes both for one click
    index = combo.model().index(combo.findText(text), 0)
    view.scrollTo(index)
    place = view.visualRect(index).center()
    QTest.mouseClick(view.viewport(), LEFT, pos=place)
    qtbot.waitUntil(lambda: not view.isVisible())


def type_into_question(text: str, button: bool = True) -> None:
    """Answer the next question as soon as it is asked."""

    def answer(tries: int) -> None:
        question = QApplication.activeModalWidget()
        if isinstance(question, QInputDialog):
            question.setTextValue(text)
            question.accept() if button else question.reject()
        elif tries:
            QTimer.singleShot(20, lambda: answer(tries - 1))

    answer(1500)


def shown(dialog: MappingDialog) -> list[str]:
    return [combo.currentText() for combo in dialog.combos]


def test_the_first_guess_is_shown_and_can_be_taken_as_it_is(
    open_dialog: Callable[..., MappingDialog],
) -> None:
    dialog = open_dialog({0: 950, 1: 30, 2: 20, 255: 1}, name="a.png")
    assert "a.png" in dialog.windowTitle()
    assert shown(dialog) == ["not labelled", "soil", "crop", "not labelled"]
    assert dialog.mapping() == {0: 0, 1: 1, 2: 2, 255: 0} and dialog.new_classes() == []
    assert dialog.left_over.text().startswith("2 values, 95.0% of the pixels")
    QTest.mouseClick(dialog.ok_button, LEFT)
    assert dialog.result() == QDialog.DialogCode.Accepted


def test_a_person_chooses_with_clicks(
    open_dialog: Callable[..., MappingDialog], qtbot: Any
) -> None:
    dialog = open_dialog({0: 95, 10: 3, 20: 1, 30: 1, 40: 1})
    assert not any(dialog.mapping().values())  # four values, three classes: no guess
    assert not dialog.ok_button.isEnabled()
    assert "at least one value" in dialog.ok_button.toolTip()
    QTest.mouseClick(dialog.ok_button, LEFT)
    assert dialog.isVisible()
    choose(dialog, 1, "weed", qtbot)
    choose(dialog, 3, "soil", qtbot)
    assert dialog.mapping() == {0: 0, 10: 3, 20: 0, 30: 1, 40: 0}
    assert dialog.ok_button.isEnabled() and shown(dialog)[1] == "weed"
    choose(dialog, 1, "not labelled", qtbot)
    choose(dialog, 3, "not labelled", qtbot)
    assert not dialog.ok_button.isEnabled()
    QTest.keyClick(dialog, Qt.Key.Key_Escape)
    assert dialog.result() == QDialog.DialogCode.Rejected


def test_a_new_class_is_named_and_offered_to_other_values(
    open_dialog: Callable[..., MappingDialog], qtbot: Any
) -> None:
    mask = np.array([[0, 7, 8], [9, 9, 9]])
    dialog = open_dialog(mask_values(mask), TABLE[:2])
    type_into_question(" straw ")
    choose(dialog, 1, "New class…", qtbot)
    type_into_question("unused")
    choose(dialog, 2, "New class…", qtbot)
    choose(dialog, 2, "straw", qtbot)  # another choice: nothing is “unused” any more
    type_into_question("stone", button=False)
    choose(dialog, 3, "New class…", qtbot)  # cancelled
    assert shown(dialog) == ["not labelled", "straw", "straw", "not labelled"]
    type_into_question("crop")  # there is one: that it is
    choose(dialog, 3, "New class…", qtbot)
    assert [new.name for new in dialog.new_classes()] == ["straw"]
    assert dialog.mapping() == {0: 0, 7: 3, 8: 3, 9: 2}
    table = extend_table(TABLE[:2], dialog.new_classes()).after
    labels = import_mask(mask, dialog.mapping(), len(table))
    assert [table[label - 1].name for label in labels[0, 1:]] == ["straw", "straw"]
    assert labels[1].tolist() == [2, 2, 2]


def test_new_classes_are_numbered_without_gaps(
    open_dialog: Callable[..., MappingDialog], qtbot: Any
) -> None:
    dialog = open_dialog({3: 1, 4: 1}, ())
    answers = iter(["first", "second", "third"])
    dialog.ask_name = lambda value: next(answers)  # type: ignore[method-assign]
    for row, text in ((0, "New class…"), (1, "New class…"), (0, "New class…")):
        choose(dialog, row, text, qtbot)
    assert [new.name for new in dialog.new_classes()] == ["second", "third"]
    assert dialog.mapping() == {3: 2, 4: 1}


def test_with_no_class_each_value_can_become_one(
    open_dialog: Callable[..., MappingDialog],
) -> None:
    colors = {0: "#000000", 0xFF: "#0000ff", 0xFF0000: "#ff0000"}
    dialog = open_dialog({0: 5, 0xFF: 3, 0xFF0000: 2}, (), colors=colors)
    titles = [label.text() for label in dialog.findChildren(QLabel)]
    assert "#0000ff" in titles and "255" not in titles
    assert not dialog.ok_button.isEnabled()
    QTest.mouseClick(dialog.each_button, LEFT)
    assert [new.name for new in dialog.new_classes()] == ["class #0000ff", "class #ff0000"]
    assert [entry.color for entry in dialog.new_classes()] == ["#0000ff", "#ff0000"]
    assert dialog.mapping() == {0: 0, 0xFF: 1, 0xFF0000: 2} and dialog.ok_button.isEnabled()
    assert not dialog.each_button.isEnabled() and "already" in dialog.each_button.toolTip()


def test_too_many_new_classes_cannot_be_accepted(
    open_dialog: Callable[..., MappingDialog],
) -> None:
    many = [SegmentationClass(name=f"c{i}", color="#000000") for i in range(253)]
    dialog = open_dialog({500: 1, 600: 1}, many)
    QTest.mouseClick(dialog.each_button, LEFT)
    assert not dialog.ok_button.isEnabled() and "254 classes at most" in dialog.ok_button.toolTip()


def test_many_values_are_said_to_look_like_objects(
    open_dialog: Callable[..., MappingDialog], qtbot: Any
) -> None:
    mask = np.arange(400).reshape(20, 20)
    dialog = open_dialog(mask_values(mask))
    assert dialog.note.isVisible() and "400 different values" in dialog.note.text()
    assert len(dialog.combos) == 2 and not dialog.ok_button.isEnabled()
    choose(dialog, 1, "crop", qtbot)
    labels = import_mask(mask, dialog.mapping(), 3)
    assert labels[0, 0] == 0 and (labels.ravel()[1:] == 2).all()


def test_three_values_are_no_objects(open_dialog: Callable[..., MappingDialog]) -> None:
    """Neither the sentence about many values nor a button that is grey without a reason."""
    few = open_dialog({7: 1, 9: 1, 11: 1}, [])
    assert few.note.isHidden() and not few.note.text() and few.each_button.isEnabled()
    numbers = open_dialog({0: 1, 1: 1, 2: 1})
    assert "by their numbers" in numbers.note.text() and "objects" not in numbers.note.text()
    nothing = open_dialog({0: 5}, [])
    assert not nothing.each_button.isEnabled()
    assert "not labelled" in nothing.each_button.toolTip()


def test_the_wheel_scrolls_and_changes_no_class(open_dialog: Callable[..., MappingDialog]) -> None:
    dialog = open_dialog(dict.fromkeys(range(1, 21), 10))
    before = dialog.mapping()
    combo = dialog.combos[1]
    place = QPointF(combo.rect().center())
    buttons, keys = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
    event = QWheelEvent(
        place, combo.mapToGlobal(place), QPoint(), QPoint(0, -120), buttons, keys,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(combo, event)
    assert dialog.mapping() == before


def test_an_empty_mask_can_only_be_cancelled(open_dialog: Callable[..., MappingDialog]) -> None:
    dialog = open_dialog({})
    assert dialog.mapping() == {} and not dialog.ok_button.isEnabled()


def test_outlines_are_mapped_by_what_they_are_called(
    open_dialog: Callable[..., MappingDialog], qtbot: Any
) -> None:
    names = {1: "Crop", 2: "thistle"}
    dialog = open_dialog({0: 500, 1: 300, 2: 200}, names=names)
    assert dialog.mapping() == {0: 0, 1: 2, 2: 0}
    shown = [label.text() for label in dialog.findChildren(QLabel)]
    assert {"outside of all outlines", "Crop", "thistle"} <= set(shown)
    QTest.mouseClick(dialog.each_button, LEFT)
    assert [entry.name for entry in dialog.new_classes()] == ["thistle"]
    assert dialog.mapping() == {0: 0, 1: 2, 2: 4}
