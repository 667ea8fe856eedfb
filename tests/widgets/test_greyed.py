"""Whatever is grey in a dock says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QMenu,
    QTabBar,
    QTabWidget,
    QWidget,
)

from napari_gaussproto.core.labels.class_table import remove_class
from napari_gaussproto.widgets.prototypes.dock import PrototypesWidget
from napari_gaussproto.widgets.shared.forms import Foldable, obstacle_of
from tests.core.builders import two_tone
from tests.widgets.docks import large_from_a_megapixel
from tests.widgets.train_dock import WAIT, click, draw, quick, settled

_USED = QAbstractButton | QAbstractSpinBox | QComboBox | QLineEdit
# Parts of other widgets of Qt.
_PARTS = QAbstractSpinBox | QComboBox | QTabBar


def grey(dock: QWidget) -> dict[str, str]:
    """What is seen and cannot be used, on all tabs and in all sections, with the reasons."""
    found: dict[str, str] = {}
    for section in dock.findChildren(Foldable):
        section.header.setChecked(True)
    tabs = dock.findChildren(QTabWidget)
    for place in range(max([1, *(tab.count() for tab in tabs)])):
        for tab in tabs:
            tab.setCurrentIndex(place)
        for part in dock.findChildren(QWidget):
            used = isinstance(part, _USED) and not isinstance(part.parentWidget(), _PARTS)
            if used and not part.isEnabled() and part.isVisibleTo(dock):
                found[_name(part)] = obstacle_of(part)
    for action in (action for menu in dock.findChildren(QMenu) for action in menu.actions()):
        if not action.isEnabled():
            found[action.text()] = "" if action.toolTip() == action.text() else action.toolTip()
    return found


def _name(part: Any) -> str:
    text = part.text() if hasattr(part, "text") else ""
    return text or f"{type(part).__name__} {part.toolTip()!r} of {type(part.parent()).__name__}"


def silent(*docks: QWidget) -> list[str]:
    """What is grey without a reason."""
    return [name for dock in docks for name, reason in grey(dock).items() if not reason]


def test_buttons_of_the_segment_dock_say_why_they_are_grey(
    viewer: Any, dock: Any, run: Any, qtbot: Any, monkeypatch: Any
) -> None:
    assert grey(dock)["Segment"].startswith("Open an image first")
    assert grey(dock)["Segment all"] == "Choose a folder for the results first"
    assert dock.batch.status.text() == "Choose a folder for the results first."
    assert grey(dock)["Pin"] == "Segment the image first"
    assert not silent(dock)
    dock.batch.out.setText("results")
    assert dock.batch.status.text() == "" and dock.batch.run_button.isEnabled()
    image = viewer.add_image(two_tone()[0], name="field")
    dock.run_button.click()
    assert grey(dock)["Segment"] == "An image is being segmented" and not silent(dock)
    qtbot.waitUntil(lambda: not dock.runner.busy, timeout=WAIT)
    assert grey(dock)["Cancel"] == "Nothing is being computed" and not silent(dock)
    viewer.layers.remove(image)
    viewer.add_image(np.stack([two_tone(seed=seed)[0] for seed in range(2)]), name="series")
    run(dock)
    assert grey(dock)["One stack with a slider"] == "A stack of images has a slider already"
    assert not silent(dock)


def test_buttons_of_the_train_dock_say_why_they_are_grey(
    viewer: Any, train: Any, qtbot: Any
) -> None:
    assert not silent(train)
    viewer.add_image(two_tone()[0], name="field")
    train.change_classes(remove_class(train.annotations.classes, 0))
    assert not silent(train)
    click(train.classes.undo_button)
    draw(train)
    quick(train, qtbot)
    settled(train, qtbot)
    assert not silent(train)
    train.budget.unit.setCurrentText("steps")
    train.budget.amount.setValue(5000)
    with qtbot.waitSignal(train.fits.progressed, timeout=WAIT):
        click(train.budget.start)
    # One button ends it and keeps what it learned, another one does not; nothing else ends it.
    assert train.cancel.isHidden() and train.budget.discard.isVisibleTo(train)
    assert "end that under Fine-tune" in grey(train)["Quick fit"] and not silent(train)
    model = train.state.model
    click(train.budget.discard)
    qtbot.waitUntil(lambda: train.fits.phase == "idle", timeout=WAIT)
    assert train.state.model is model and not train.cancel.isHidden()
    assert train.status.text() == "Cancelled; the model is as it was." and not silent(train)


def test_buttons_of_the_prototypes_dock_say_why_they_are_grey(
    viewer: Any, prototypes: Any, dock: Any, run: Any, other_file: Path, wait: Any
) -> None:
    assert not silent(prototypes)
    prototypes.gallery.row(1).on.click()
    assert grey(prototypes)["Train away"] == "An edit is under way" and not silent(prototypes)
    wait()
    first = prototypes.state.current.source
    second = viewer.add_image(two_tone(seed=1)[0], name="second")
    dock.models.choose_file(other_file)
    run(dock)
    assert prototypes.state.current.source is second
    dock.images.choose(first)
    reasons = grey(prototypes)
    assert {reasons[name] for name in ("Delete", "Merge", "Train away", "Undo")} != {""}
    assert reasons["Delete"].startswith("Another model made this segmentation")
    assert not silent(prototypes)


def test_buttons_are_grey_for_a_reason_beside_a_large_image(
    viewer: Any, dock: Any, qtbot: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    large_from_a_megapixel(monkeypatch, 512)
    pixels = np.tile(two_tone()[0], (12, 9, 1))[:1024, :1100]
    viewer.add_image(da.from_array(pixels, chunks=(512, 512, 3)), rgb=True, name="large")
    dock.large.choose_folder(tmp_path)
    with qtbot.waitSignal(dock.runner.finished, timeout=WAIT):
        dock.run_button.click()
    widget = PrototypesWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Prototypes", area="right")
    assert grey(widget)["Pin"].startswith("Of a large image") and not silent(widget, dock)
    widget.close_work()
    qtbot.waitUntil(lambda: not widget.busy, timeout=WAIT)
