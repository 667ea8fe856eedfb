"""What a person does to layers while something is computed: nothing is lost or hangs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

from napari_gaussproto.core.project.project import Project
from tests.reliability.faults import SHORT, held, short
from tests.widgets.docks import by_role, expected_labels
from tests.widgets.train_dock import WAIT, click, draw, fitted, open_train, quick, settled


def renamed(viewer: Any, image: Any, ours: Any) -> None:
    image.name = "another name"


def reordered(viewer: Any, image: Any, ours: Any) -> None:
    viewer.layers.reverse()


def deleted(viewer: Any, image: Any, ours: Any) -> None:
    viewer.layers.remove(ours)


def replaced(viewer: Any, image: Any, ours: Any) -> None:
    ours.data = ours.data[::-1].copy()


def painted(viewer: Any, image: Any, ours: Any) -> None:
    ours.paint((3, 3), 1)


def reshaped(viewer: Any, image: Any, ours: Any) -> None:
    ours.data = np.zeros((7, 9), np.uint8)


def hidden(viewer: Any, image: Any, ours: Any) -> None:
    viewer.layers.select_all()
    ours.visible = False


def click_quick(train: Any) -> None:
    click(train.quick)


def click_tune(train: Any) -> None:
    train.budget.unit.setCurrentText("steps")
    train.budget.amount.setValue(4)
    click(train.budget.start)


LEARN = (pytest.param(click_quick, id="quick"), pytest.param(click_tune, id="tune"))
Change = Callable[[Any, Any, Any], None]
SENTENCE = re.compile(r"Memory is too short for [^.]+: close other programs[^.]+\.")
CHANGES = (renamed, reordered, deleted, replaced, painted, reshaped, hidden)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_layers_change_while_a_run_is_on(
    viewer: Any, dock: Any, run: Any, photo: Any, other_file: Path, change: Change, qtbot: Any
) -> None:
    run(dock)
    ours = dock.state.current.labels
    dock.models.choose_file(other_file)
    with qtbot.waitSignal(dock.runner.finished, timeout=WAIT):
        dock.run_button.click()
        change(viewer, photo, ours)
    now = dock.state.current
    assert now.source is photo and now.labels in viewer.layers
    assert np.array_equal(now.labels.data, expected_labels(dock))
    assert now.labels.name.startswith(photo.name)
    run(dock)  # and once more, as if nothing had been


@pytest.mark.parametrize("learn", LEARN)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_layers_change_while_a_fit_is_on(
    viewer: Any, train: Any, image: Any, change: Change, learn: Any, qtbot: Any
) -> None:
    layer = draw(train)
    drawn = train.annotations.open[0].labels
    warned: list[str] = []
    train.messages.warned.connect(warned.append)

    def press_and_change() -> None:
        learn(train)
        change(viewer, image, layer)

    fitted(train, qtbot, press_and_change)
    assert train.state.results[image].model is train.fits.model
    annotation = train.annotations.find(image)
    annotation.settle()
    expected = drawn[::-1] if change is replaced else drawn.copy()
    if change is painted:
        expected[annotation.labels != drawn] = 1
        assert annotation.labels[3, 3] == 1
    assert np.array_equal(annotation.labels, expected)
    assert (annotation.layer in viewer.layers) == (change is not deleted)
    assert change is deleted or annotation.layer.data.shape == drawn.shape
    told = [said for said in warned if said.startswith("Labels must have the size of their image")]
    assert len(told) == (change is reshaped)
    quick(train, qtbot)


@pytest.mark.parametrize("kind", SHORT)
def test_a_run_without_memory_is_a_sentence(
    kind: str, viewer: Any, dock: Any, run: Any, photo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        short(patch, SHORT[kind])
        run(dock)
    assert SENTENCE.fullmatch(dock.status.text())
    assert not by_role(viewer, "labels")
    run(dock)
    assert by_role(viewer, "labels")


@pytest.mark.parametrize("learn", LEARN)
@pytest.mark.parametrize("kind", SHORT)
def test_a_fit_without_memory_is_a_sentence(
    kind: str, learn: Any, train: Any, image: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(train)
    drawn = train.annotations.open[0].labels
    with monkeypatch.context() as patch, qtbot.waitSignal(train.fits.runner.failed, timeout=WAIT):
        short(patch, SHORT[kind], after=3 if learn is click_tune else 0)
        learn(train)
    assert SENTENCE.fullmatch(train.status.text())
    assert train.fits.phase == "idle" and not train.version_panel.versions
    assert np.array_equal(train.annotations.open[0].labels, drawn)
    fitted(train, qtbot, lambda: learn(train))


@pytest.mark.parametrize("learn", LEARN)
def test_an_unexpected_fault_of_a_fit_is_shown_and_the_next_press_works(
    learn: Any, train: Any, image: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(train)
    # What a slot raises napari shows, with the traceback.
    with monkeypatch.context() as patch, qtbot.captureExceptions() as caught:
        short(patch, ZeroDivisionError("a fault"))
        with qtbot.waitSignal(train.fits.runner.failed, timeout=WAIT):
            learn(train)
        qtbot.waitUntil(lambda: bool(caught), timeout=WAIT)
    assert [str(error) for _, error, _ in caught] == ["a fault"]
    assert train.status.text().startswith("Something unexpected went wrong")
    assert train.fits.phase == "idle"
    fitted(train, qtbot, lambda: learn(train))


def test_two_viewers_label_the_same_photograph(
    make_napari_viewer: Any, train: Any, image: Any, qtbot: Any
) -> None:
    layer = draw(train)
    settled(train, qtbot)
    other = make_napari_viewer()
    twin = open_train(other)
    other.add_image(image.data, name="the same")
    qtbot.waitUntil(lambda: not twin.autosave.bar.offer.isHidden(), timeout=WAIT)
    click(twin.autosave.bar.restore)
    qtbot.waitUntil(lambda: "is open in another window" in twin.status.text(), timeout=WAIT)
    qtbot.waitUntil(lambda: not twin.busy, timeout=WAIT)
    draw(twin, 1)
    settled(twin, qtbot)
    drawn = [dock.annotations.open[0].labels for dock in (train, twin)]
    assert not np.array_equal(*drawn)
    assert twin.autosave.state.folder.parent == train.autosave.state.folder.parent
    assert twin.autosave.state.folder != train.autosave.state.folder
    QApplication.sendEvent(other.window._qt_viewer.window(), QEvent(QEvent.Type.WindowActivate))
    click(train.quick)
    with qtbot.waitSignals([dock.fits.fitted for dock in (train, twin)], timeout=WAIT):
        click(twin.quick)
    for dock, labels in zip((train, twin), drawn, strict=True):
        assert len(dock.state.results) == 1
        assert np.array_equal(dock.annotations.open[0].labels, labels)
    with qtbot.waitSignal(train.fits.fitted, timeout=WAIT):
        click(twin.quick)
        click(train.quick)
        other.close()
    assert layer in train.viewer.layers


def test_a_project_that_another_process_has_open_is_a_sentence(
    train: Any, image: Any, qtbot: Any, tmp_path: Path
) -> None:
    Project.create(tmp_path / "theirs").close()
    draw(train)
    settled(train, qtbot)
    drawn, own = train.annotations.open[0].labels, train.autosave.state.folder
    with held(tmp_path / "theirs.gaussproto"):
        train.autosave.bar.open_asked.emit(tmp_path / "theirs.gaussproto")
        qtbot.waitUntil(lambda: "open in another window" in train.status.text(), timeout=WAIT)
    qtbot.waitUntil(lambda: bool(train.annotations.open), timeout=WAIT)
    assert train.autosave.state.folder == own
    assert np.array_equal(train.annotations.open[0].labels, drawn)
    quick(train, qtbot)
    train.autosave.bar.open_asked.emit(tmp_path / "theirs.gaussproto")
    qtbot.waitUntil(lambda: "theirs" in train.autosave.bar.name.text(), timeout=WAIT)
