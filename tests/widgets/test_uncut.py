"""At the width that docks have, no words are cut, whatever photographs and folders are called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QLabel,
    QRadioButton,
    QStyle,
    QStyleOptionComboBox,
    QWidget,
)

from napari_gaussproto.widgets.segment.dock import SegmentWidget
from napari_gaussproto.widgets.train.labelling.class_list import ClassList
from tests.core.builders import two_tone
from tests.widgets.docks import large_from_a_megapixel
from tests.widgets.train_dock import draw, open_train, tune

NAME = "DJI_202606121030_orthomosaic_transparent_mosaic_group1"


def cut(dock: Any) -> list[str]:
    """Words of a dock that have less room than they need."""
    found = [] if dock.widget().width() <= dock.viewport().width() else ["the dock itself"]
    for label in dock.findChildren(QLabel):
        if label.isVisible() and label.wordWrap() and label.text():
            needs = label.minimumSizeHint().width(), label.heightForWidth(label.width())
            found += [label.text()] if needs[0] > label.width() or needs[1] > label.height() else []
    for kind in (QCheckBox, QRadioButton):
        found += [b.text() for b in dock.findChildren(kind) if b.isVisible() and is_narrow(b)]
    combos = [combo for combo in dock.findChildren(QComboBox) if combo.isVisible()]
    return found + [combo.currentText() for combo in combos if hides_words(combo)]


def hides_words(combo: QComboBox) -> bool:
    """Whether a choice is cut that is no name of a file or of a class."""
    option, text = QStyleOptionComboBox(), combo.currentText()
    combo.initStyleOption(option)
    about = (QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField)
    room = combo.style().subControlRect(*about, combo).width()
    return text != NAME and combo.fontMetrics().horizontalAdvance(text) > room


def is_narrow(widget: QWidget) -> bool:
    return bool(widget.sizeHint().width() > widget.width())


def narrow(viewer: Any, dock: Any, width: int, height: int = 700) -> None:
    viewer.window.resize(1100, height)
    window = dock.parent().parent()
    window.resizeDocks([dock.parent()], [width], Qt.Orientation.Horizontal)


@pytest.mark.parametrize("width", [320, 400])
def test_the_segment_dock_cuts_no_words(
    viewer: Any, dock: Any, run: Callable[[SegmentWidget], None], qtbot: Any, width: int
) -> None:
    viewer.add_image(two_tone(200, 300)[0], name=NAME)
    run(dock)
    viewer.window.show()
    dock.measure.header.click()
    narrow(viewer, dock, width)
    qtbot.waitUntil(lambda: dock.width() <= width + 10, timeout=5_000)
    dock.cells.preview.click()
    qtbot.waitUntil(dock.cells.note.isVisible, timeout=10_000)
    viewer.reset_view()
    qtbot.waitUntil(lambda: not dock.cells.runner.busy, timeout=10_000)
    assert dock.verticalScrollBar().isVisible()  # and takes some of the room
    dock.cells.note.setText("1,010,800 in view, about 1,010,800 in all. Zoom in to see them")
    qtbot.wait(100)
    assert cut(dock) == []


@pytest.mark.parametrize("width", [320, 400])
def test_what_is_said_of_a_large_image_is_not_cut(
    viewer: Any, dock: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    large_from_a_megapixel(monkeypatch, 256)
    dock.large.choose_folder(Path("/home/someone/Projects/season_2026") / NAME)
    viewer.add_image(np.zeros((1100, 1300, 3), np.uint8), name=NAME)
    viewer.window.show()
    narrow(viewer, dock, width)
    qtbot.waitUntil(lambda: dock.width() <= width + 10, timeout=5_000)
    qtbot.wait(100)
    assert NAME in dock.large.words.text() and cut(dock) == []


def test_the_prototypes_dock_cuts_no_words(
    viewer: Any, prototypes: Any, photo: Any, shown: None, qtbot: Any
) -> None:
    photo.name = NAME
    prototypes.why.ask((), 41, 66)
    narrow(viewer, prototypes, 320)
    for page in range(prototypes.tabs.count()):
        prototypes.tabs.setCurrentIndex(page)
        qtbot.waitUntil(lambda: not prototypes.busy, timeout=30_000)
        qtbot.wait(100)
        assert cut(prototypes) == [], prototypes.tabs.tabText(page)
    assert prototypes.space.caption.isVisible()


@pytest.mark.parametrize("height", [600, 860])
def test_what_a_fine_tune_says_and_three_classes_are_not_cut(
    viewer: Any, photo: Any, qtbot: Any, height: int
) -> None:
    photo.name = NAME
    train = open_train(viewer)
    viewer.window.show()
    narrow(viewer, train, 340, height)
    draw(train)
    tune(train, qtbot)
    train.status.setText("Fine-tuning made labels that were set aside no better. " * 5)
    qtbot.wait(100)
    assert cut(train) == []
    table = train.classes.findChild(ClassList)
    assert table.viewport().height() >= 3 * table.rowHeight(0)
    train.close()
