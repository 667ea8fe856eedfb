"""Labels and the active layer are those of the photograph that is chosen and in view."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.core.builders import two_tone
from tests.widgets.docks import pick
from tests.widgets.train_dock import WAIT, click, settled


def choose(train: Any, image: Any) -> None:
    train.images.choose(image)


def paint(layer: Any) -> None:
    with layer.block_history():
        for column in range(10, 20):
            layer.paint((10, column), 1)
            layer.paint((30, column), 2)


def label(train: Any, image: Any, qtbot: Any) -> Any:
    """Pick a photograph, press Draw and paint; returns its annotations."""
    pick(train, image)
    click(train.labels.new)
    annotation = train.annotations.find(image)
    paint(annotation.layer)
    annotation.settle()
    settled(train, qtbot)
    return annotation


@pytest.fixture
def photos(viewer: Any, train: Any) -> list[Any]:
    return [viewer.add_image(two_tone(seed=n)[0], name=f"photo {n}") for n in range(3)]


def test_strokes_and_undo_are_those_of_the_photograph_that_is_picked(
    viewer: Any, train: Any, photos: list[Any], qtbot: Any
) -> None:
    first, second = (label(train, image, qtbot) for image in photos[:2])
    active, drawn = viewer.layers.selection, second.labels
    assert active.active is second.layer and "Paint on “photo 1”" in train.status.text()
    pick(train, photos[0])
    assert active.active is first.layer and str(first.layer.mode) == "paint"
    assert "photo 1" not in train.status.text()
    active.active.undo()  # what Ctrl+Z does
    first.settle()
    second.settle()
    assert not first.labels.any() and np.array_equal(second.labels, drawn)
    # The tool in hand comes along: with none, as while Why? is pressed, a click is no stroke.
    first.layer.mode = "pan_zoom"
    pick(train, photos[1])
    assert active.active is second.layer and str(second.layer.mode) == "pan_zoom"
    pick(train, photos[2])
    assert active.active is photos[2]


def test_the_brush_comes_back_from_a_photograph_without_labels(
    viewer: Any, train: Any, photos: list[Any], qtbot: Any
) -> None:
    active = viewer.layers.selection
    first, second = (label(train, image, qtbot) for image in photos[:2])
    for tool, target in (("paint", second), ("erase", first), ("pan_zoom", second)):
        active.active.mode = tool
        pick(train, photos[2])
        assert active.active is photos[2] and str(photos[2].mode) == "pan_zoom"
        pick(train, target.image)
        assert active.active is target.layer and str(target.layer.mode) == tool
    # What is opened lies over it, and napari makes it active.
    second.layer.mode = "fill"
    opened = viewer.add_image(two_tone(seed=3)[0], name="photo 3")
    assert active.active is opened
    pick(train, second.image)
    assert active.active is second.layer and str(second.layer.mode) == "fill"


def test_no_brush_comes_back_while_why_is_pressed(
    viewer: Any, train: Any, photos: list[Any], prototypes: Any, qtbot: Any
) -> None:
    first = label(train, photos[0], qtbot)
    pick(train, photos[2])
    prototypes.why_panel.button.click()
    pick(train, photos[0])
    assert viewer.layers.selection.active is first.layer and str(first.layer.mode) == "pan_zoom"
    prototypes.why_panel.button.click()
    assert str(first.layer.mode) == "paint"


def test_corrections_of_classes_are_left_with_their_photograph(
    viewer: Any, dock: Any, run: Any
) -> None:
    first = viewer.add_image(two_tone()[0], name="first")
    run(dock)
    classes = dock.state.current.labels
    second = viewer.add_image(two_tone(seed=1)[0], name="second")
    viewer.layers.selection.active = classes
    classes.mode = "paint"
    pick(dock, second)
    assert viewer.layers.selection.active is second
    # What a person hides themselves stays at hand.
    second.visible = False
    pick(dock, first)
    assert viewer.layers.selection.active is classes
    classes.visible = False
    pick(dock, first)
    assert viewer.layers.selection.active is classes


@pytest.fixture
def project(train: Any, photos: list[Any], qtbot: Any) -> Path:
    """A project with labels on two of three photographs; another one has begun."""
    for image in photos[:2]:
        label(train, image, qtbot)
    folder: Path = train.autosave.state.folder
    train.autosave.bar.new_asked.emit()
    settled(train, qtbot)
    return folder


def opened(train: Any, folder: Path, qtbot: Any) -> None:
    train.autosave.bar.open_asked.emit(folder)
    qtbot.waitUntil(lambda: len(train.annotations.open) == 2, timeout=WAIT)
    settled(train, qtbot)
    qtbot.waitUntil(lambda: not train.busy, timeout=WAIT)


def test_labels_that_come_back_wait_with_their_hidden_photographs(
    viewer: Any, train: Any, photos: list[Any], project: Path, qtbot: Any
) -> None:
    pick(train, photos[2])
    opened(train, project, qtbot)
    layers = [annotation.layer for annotation in train.annotations.open]
    assert not any(layer.visible for layer in layers)
    assert viewer.layers.selection.active is photos[2]
    for annotation in train.annotations.open:
        pick(train, annotation.image)
        assert [layer.visible for layer in layers] == [la is annotation.layer for la in layers]
        assert viewer.layers.selection.active is annotation.layer


@pytest.mark.parametrize("picked", [True, False])
def test_the_chosen_photograph_s_labels_are_at_hand_when_they_come_back(
    viewer: Any, train: Any, photos: list[Any], project: Path, picked: bool, qtbot: Any
) -> None:
    viewer.layers.remove(photos[2])
    for image in photos[:2]:
        image.visible = True
    (pick if picked else choose)(train, photos[0])
    opened(train, project, qtbot)
    first, second = (train.annotations.find(image).layer for image in photos[:2])
    assert viewer.layers.selection.active is first and first.visible and str(first.mode) == "paint"
    assert not second.visible
