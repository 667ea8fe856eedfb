"""A photograph that lies is noticed and turned, and what was drawn on it turns along."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_gaussproto.core.project.project import Project
from napari_gaussproto.io.images import read_image
from napari_gaussproto.io.reader import is_upright
from tests.core.builders import two_tone
from tests.io.test_images import AS_STORED
from tests.widgets.docks import by_role
from tests.widgets.train_dock import WAIT, click, settled

PHOTO, TRUTH = two_tone()


def taken(folder: Path, orientation: int, name: str = "taken.png") -> Path:
    """A photograph as a camera that was held so stores it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = folder / name
    Image.fromarray(np.ascontiguousarray(AS_STORED[orientation](PHOTO))).save(path, exif=exif)
    return path


def opened(viewer: Any, path: Path, reader: str = "napari") -> Any:
    [layer] = viewer.open(str(path), plugin=reader)
    return layer


def shown(offer: Any, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: not offer.isHidden(), timeout=WAIT)


def pressed(offer: Any, qtbot: Any) -> None:
    with qtbot.waitSignal(offer.turned, timeout=WAIT):
        offer.button.click()


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
def test_a_photograph_that_lies_is_turned_and_turned_back(
    viewer: Any, dock: Any, qtbot: Any, tmp_path: Path, orientation: int
) -> None:
    image = opened(viewer, taken(tmp_path, orientation))
    lying = np.array(image.data)
    assert not np.array_equal(lying, PHOTO)
    image.scale = (2, 3)
    labels = viewer.add_labels(AS_STORED[orientation](TRUTH).astype(int), scale=(2, 3))
    elsewhere = viewer.add_labels(np.ones(lying.shape[:2], int), scale=(2, 3), translate=(9, 0))
    spot = np.argwhere(AS_STORED[orientation](np.arange(TRUTH.size).reshape(TRUTH.shape)) == 700)
    points = viewer.add_points(spot * (2, 3))
    outline = (spot + np.array([[0, 0], [0, 4], [4, 4], [4, 0]])) * (2, 3)
    shapes = viewer.add_shapes([outline, outline + 3], shape_type=["rectangle", "ellipse"])
    shown(dock.upright, qtbot)
    assert "is shown as the camera stored it" in dock.upright.words.text()
    assert dock.upright.button.text() == "Turn it upright"
    pressed(dock.upright, qtbot)
    assert np.array_equal(image.data, PHOTO) and np.array_equal(labels.data, TRUTH)
    assert is_upright(image.metadata)
    assert np.array_equal(elsewhere.data, np.ones(lying.shape[:2], int))
    there = image.world_to_data(points.data_to_world(points.data[0]))
    assert np.allclose(there, np.unravel_index(700, TRUTH.shape))
    corner = image.world_to_data(shapes.data_to_world(shapes.data[0][0]))
    assert np.allclose(corner, there) and list(shapes.shape_type) == ["rectangle", "ellipse"]
    assert tuple(image.scale) == ((2, 3) if orientation < 5 else (3, 2)) == tuple(labels.scale)
    assert "turned upright, and 3 layers with it" in dock.upright.words.text()
    labels.data[0, 0] = 7  # what is drawn since goes back, too
    pressed(dock.upright, qtbot)
    assert np.array_equal(image.data, lying) and not is_upright(image.metadata)
    assert np.argwhere(np.asarray(labels.data) == 7).tolist() == [
        list(
            np.argwhere(AS_STORED[orientation](np.arange(TRUTH.size).reshape(TRUTH.shape)) == 0)[0]
        )
    ]
    assert np.allclose(shapes.data[0], outline) and np.allclose(points.data, spot * (2, 3))
    shown(dock.upright, qtbot)
    assert dock.upright.button.text() == "Turn it upright"


def test_an_upright_photograph_is_left_alone(
    viewer: Any, dock: Any, qtbot: Any, tmp_path: Path
) -> None:
    opened(viewer, taken(tmp_path, 6), "napari-gaussproto")
    qtbot.waitUntil(lambda: not dock.upright.busy, timeout=WAIT)
    assert dock.upright.isHidden()
    opened(viewer, taken(tmp_path, 1, "straight.png"))
    qtbot.waitUntil(lambda: not dock.upright.busy, timeout=WAIT)
    assert dock.upright.isHidden()
    # Turned by another program that left the tag: the pixels say that nothing is to be done.
    turned = opened(viewer, taken(tmp_path, 3, "tag.png"))
    turned.data = PHOTO
    dock.images.refresh()
    dock.upright.refresh()
    qtbot.waitUntil(lambda: not dock.upright.busy, timeout=WAIT)
    assert dock.upright.isHidden()


def test_a_segmentation_of_the_photograph_as_it_lay_goes(
    viewer: Any, dock: Any, run: Callable[[Any], None], qtbot: Any, tmp_path: Path
) -> None:
    image = opened(viewer, taken(tmp_path, 6))
    run(dock)
    [labels] = by_role(viewer, "labels")
    labels.data_setitem(
        (np.array([3]), np.array([4])), np.array([2 if labels.data[3, 4] == 1 else 1])
    )
    painted = np.array(labels.data)
    shown(dock.upright, qtbot)
    pressed(dock.upright, qtbot)
    assert image not in dock.state.results and dock.state.current is None
    assert [layer for layer in viewer.layers if layer not in (image, labels)] == []
    assert labels.name.endswith("(edited)")  # a person's work stays
    assert np.array_equal(labels.data, np.rot90(painted, -1))
    run(dock)
    assert by_role(viewer, "labels")[-1].data.shape == PHOTO.shape[:2]


def test_strokes_turn_along_and_are_kept_once(
    viewer: Any, train: Any, qtbot: Any, tmp_path: Path
) -> None:
    image = opened(viewer, taken(tmp_path, 6))
    click(train.labels.new)
    [annotation] = train.annotations.open
    truth = np.rot90(TRUTH)
    annotation.layer.data_setitem(np.nonzero(truth == 2), np.uint16(2))
    annotation.settle()
    settled(train, qtbot)
    shown(train.upright, qtbot)
    pressed(train.upright, qtbot)
    expected = np.where(TRUTH == 2, 2, 0)
    assert np.array_equal(annotation.labels, expected)
    annotation.layer.undo()  # the strokes of before cannot be taken back where they are not
    annotation.settle()
    assert np.array_equal(annotation.labels, expected)
    annotation.layer.data_setitem((np.array([0]), np.array([0])), np.array([1], np.uint16))
    annotation.settle()
    expected[0, 0] = 1
    settled(train, qtbot)
    [kept] = train.autosave.state.kept.images
    assert np.array_equal(kept.labels, expected) and kept.image.shape == PHOTO.shape
    with_project = train.autosave.state.folder
    pressed(train.upright, qtbot)
    settled(train, qtbot)
    [kept] = train.autosave.state.kept.images
    assert np.array_equal(kept.labels, np.rot90(expected))
    assert kept.image.shape == image.data.shape
    train.close_work()
    with Project.open(with_project) as project:
        [stored] = project.annotations.load().images
        assert np.array_equal(stored.labels, np.rot90(expected))


def test_strokes_on_the_lying_photograph_come_back_upright(
    viewer: Any, train: Any, qtbot: Any, tmp_path: Path
) -> None:
    path = taken(tmp_path, 8)
    image = opened(viewer, path)
    click(train.labels.new)
    [annotation] = train.annotations.open
    annotation.layer.data_setitem(np.nonzero(AS_STORED[8](TRUTH) == 1), np.uint16(1))
    annotation.settle()
    settled(train, qtbot)
    viewer.layers.remove(image)
    again = opened(viewer, path, "napari-gaussproto")
    assert np.array_equal(again.data, read_image(path))
    qtbot.waitUntil(lambda: train.annotations.find(again) is not None, timeout=WAIT)
    found = train.annotations.find(again)
    assert np.array_equal(found.labels, np.where(TRUTH == 1, 1, 0))
    settled(train, qtbot)
    [kept] = train.autosave.state.kept.images
    assert np.array_equal(kept.labels, found.labels)


def test_the_two_docks_agree(
    viewer: Any, dock: Any, train: Any, qtbot: Any, tmp_path: Path
) -> None:
    opened(viewer, taken(tmp_path, 5))
    shown(dock.upright, qtbot)
    shown(train.upright, qtbot)
    pressed(dock.upright, qtbot)
    assert train.upright.button.text() == dock.upright.button.text() == "Turn it back"
