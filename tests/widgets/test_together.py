"""Several docks in one viewer: where they open, and that the order makes no difference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_gaussproto.core.labels.class_table import first_table, rename_class
from napari_gaussproto.core.model.model_file import save_model
from napari_gaussproto.widgets.segment.dock import SegmentWidget
from napari_gaussproto.widgets.shared.tags import RESTORED, WINDOW
from napari_gaussproto.widgets.train.dock import TrainWidget
from tests.core.builders import tiny_model, two_tone
from tests.widgets.train_dock import click, stroke


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """The file of a model of other classes than those that a new Train dock has."""
    return save_model(tiny_model(classes=["earth", "plant"]), tmp_path / "crops")


@pytest.fixture
def train_first(viewer: Any, qtbot: Any) -> Any:
    """A Train dock in which nothing was chosen."""
    widget = TrainWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Train", area="right")
    yield widget
    widget.fits.cancel()
    qtbot.waitUntil(lambda: not widget.busy, timeout=120_000)


@pytest.fixture
def segmented(
    train_first: Any, photo: Any, dock: Any, run: Callable[[SegmentWidget], None], crops: Path
) -> Callable[[], Any]:
    """Run the model of other classes; returns the Train dock, which was opened before."""

    def press() -> Any:
        assert dock.models.choose_file(crops)
        run(dock)
        return train_first

    return press


def names(train: Any) -> list[str]:
    return [entry.name for entry in train.annotations.classes]


def test_an_opened_dock_is_a_tab_beside_ours(viewer: Any, dock: Any, qtbot: Any) -> None:
    window = dock.parent().parent()
    other = TrainWidget(viewer)
    frame = viewer.window.add_dock_widget(other, name="Train", area="right")
    qtbot.waitUntil(lambda: frame in window.tabifiedDockWidgets(dock.parent()), timeout=5_000)
    other.close_work()
    qtbot.waitUntil(lambda: not other.busy, timeout=60_000)


@pytest.mark.parametrize("floats", [True, False])
def test_a_dock_that_was_moved_stays_where_it_is(
    viewer: Any, dock: Any, qtbot: Any, floats: bool
) -> None:
    window, segment = dock.parent().parent(), dock.parent()
    if floats:
        segment.setFloating(True)
    else:
        window.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, segment)
    other = TrainWidget(viewer)
    frame = viewer.window.add_dock_widget(other, name="Train", area="right")
    qtbot.wait(200)
    assert segment.isFloating() == floats
    assert frame not in window.tabifiedDockWidgets(segment)
    other.close_work()
    qtbot.waitUntil(lambda: not other.busy, timeout=60_000)


def test_an_untouched_train_dock_goes_on_with_the_model_that_was_run(
    segmented: Callable[[], Any], qtbot: Any
) -> None:
    train = segmented()
    assert names(train) == ["earth", "plant"]
    assert train.fits.model is train.state.model
    click(train.labels.accept_all)
    qtbot.waitUntil(lambda: not train.labelling.accept_tool.busy, timeout=30_000)
    result = next(iter(train.state.results.values()))
    assert np.array_equal(train.annotations.open[0].labels, result.segmentation.labels)


@pytest.mark.parametrize("touched", ["labels", "classes"])
def test_what_was_labelled_or_named_stays(
    train_first: Any, photo: Any, segmented: Callable[[], Any], touched: str
) -> None:
    if touched == "labels":
        click(train_first.labels.new)
        stroke(train_first, 1)
    else:
        train_first.change_classes(rename_class(first_table(), 0, "ground"))
    before = names(train_first)
    assert names(segmented()) == before


def test_what_cannot_be_accepted_is_said(
    train_first: Any, photo: Any, segmented: Callable[[], Any], viewer: Any, qtbot: Any
) -> None:
    click(train_first.labels.new)
    stroke(train_first, 1)
    train = segmented()
    result = next(iter(train.state.results.values())).segmentation
    annotation = train.annotations.open[0]
    expected = np.where(annotation.labels > 0, annotation.labels, 2 * (result.labels == 2))
    click(train.labels.accept_all)
    qtbot.waitUntil(lambda: not train.labelling.accept_tool.busy, timeout=30_000)
    assert "“earth” is predicted but is no class here" in train.status.text()
    assert "pixels are labels now" in train.status.text()
    assert np.array_equal(annotation.labels, expected)
    y, x = np.argwhere((annotation.labels == 0) & (result.labels == 1))[0]
    train.status.clear()
    tool = train.labelling.accept_tool
    tool.accept(annotation, photo.data_to_world((y, x)))
    qtbot.waitUntil(lambda: not tool.busy, timeout=30_000)
    assert "“earth” is predicted but is no class here" in train.status.text()


def test_one_image_is_at_work_in_all_docks(
    viewer: Any, train_first: Any, dock: Any, run: Callable[[SegmentWidget], None], qtbot: Any
) -> None:
    train = train_first
    first = viewer.add_image(two_tone()[0], name="first")
    run(dock)
    second = viewer.add_image(two_tone(seed=1)[0], name="second")
    run(dock)
    dock.images.choose(first)
    assert train.images.image() is first
    train.images.choose(second)
    assert dock.images.image() is second and dock.state.current.source is second
    # Drawing on an image chooses it, too; a window of a large one is the Train dock's alone.
    viewer.layers.selection.active = train.autosave.annotate(first).layer
    stroke(train, 1)
    assert train.images.image() is first and dock.images.image() is first
    window = viewer.add_image(
        two_tone()[0][:40, :40], name="window", metadata={WINDOW: (0, 0, 40, 40), RESTORED: {}}
    )
    train.images.choose(window)
    assert train.images.image() is window and dock.images.image() is first
    # A dock that opens later begins with it.
    dock.images.choose(second)
    viewer.add_image(two_tone(seed=3)[0], name="third")
    dock.images.choose(first)
    late = SegmentWidget(viewer)
    viewer.window.add_dock_widget(late, name="Late", area="right")
    assert late.images.image() is first
    late.close_work()
    qtbot.waitUntil(lambda: not late.busy, timeout=60_000)


def test_an_image_that_is_chosen_elsewhere_keeps_its_result(
    viewer: Any, train_first: Any, dock: Any, run: Callable[[SegmentWidget], None], crops: Path
) -> None:
    train = train_first
    first = viewer.add_image(two_tone()[0], name="first")
    assert dock.models.choose_file(crops)
    run(dock)  # the Train dock goes on with this model
    train.autosave.annotate(first)
    stroke(train, 1)
    assert train.fits.model is dock.state.model
    viewer.add_image(two_tone(seed=1)[0], name="second")
    dock.images.choose(first)
    other = save_model(tiny_model(seed=5), crops.with_name("other"))
    assert dock.models.choose_file(other)
    run(dock)
    shown = dock.state.results[first]
    assert shown.model is not train.fits.model
    dock.images.setCurrentText("second")
    dock.images.choose(first)
    assert train.images.image() is first
    assert not train.fits.busy and dock.state.results[first] is shown
    # Chosen in the Train dock, it is shown as the model that is trained there sees it.
    train.images.setCurrentText("second")
    train.images.choose(first)
    assert train.fits.busy
