"""Arrays of several channels are told from stacks, or asked about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_gaussproto.core.model.model_file import save_model
from napari_gaussproto.core.model.predict import segment
from tests.core.builders import tiny_model
from tests.widgets.docks import by_role
from tests.widgets.train_dock import click

BANDS = np.random.default_rng(0).random((5, 48, 64), np.float32)
LAST = np.ascontiguousarray(np.moveaxis(BANDS, 0, -1))


@pytest.fixture
def five(tmp_path: Path) -> Path:
    """A model for five channels."""
    return save_model(tiny_model(channels=5), tmp_path / "five")


def test_channels_last_are_not_taken_for_planes(
    viewer: Any, dock: Any, run: Callable[[Any], None], five: Path
) -> None:
    image = viewer.add_image(LAST, name="bands")
    assert not dock.channels.isHidden()
    assert "48 × 64 pixels with 5 channels or planes last" in dock.channels.words.text()
    assert not dock.run_button.isEnabled()
    assert dock.status.text() == "Press “Channels of one picture” or “Planes of a stack” first."
    click(dock.channels.channels)
    assert dock.channels.isHidden() and dock.run_button.isEnabled()
    assert image.data.shape == (5, 48, 64) and image.axis_labels[0] == "channel"
    assert dock.models.choose_file(five)
    run(dock)
    [labels] = by_role(viewer, "labels")
    assert np.array_equal(labels.data, segment(LAST, five).labels)


def test_planes_last_become_a_stack(viewer: Any, dock: Any, run: Callable[[Any], None]) -> None:
    image = viewer.add_image(LAST, name="bands")
    click(dock.channels.planes)
    assert dock.channels.isHidden() and dock.run_button.isEnabled()
    assert np.array_equal(image.data, BANDS) and image.axis_labels[0] == "plane"
    run(dock)
    assert by_role(viewer, "labels")[0].data.shape == BANDS.shape


def test_channels_in_front_are_asked_about(
    viewer: Any, dock: Any, run: Callable[[Any], None], five: Path
) -> None:
    viewer.add_image(BANDS, name="bands")
    assert not dock.channels.isHidden() and not dock.channels.planes.isHidden()
    assert "are its 5 planes a stack, or the channels of one picture?" in (
        dock.channels.words.text()
    )
    run(dock)  # what is seen is what one gets: planes, with the question standing there
    assert by_role(viewer, "labels")[0].data.shape == BANDS.shape
    click(dock.channels.channels)
    assert not by_role(viewer, "labels")
    run(dock)
    assert "has 5 channels" in dock.status.text() and "was made for 3" in dock.status.text()
    assert dock.models.choose_file(five)
    run(dock)
    assert np.array_equal(by_role(viewer, "labels")[0].data, segment(LAST, five).labels)


def test_the_answer_is_kept_with_the_layer(viewer: Any, dock: Any) -> None:
    image = viewer.add_image(BANDS, name="bands")
    click(dock.channels.planes)
    assert dock.channels.isHidden() and image.axis_labels[0] == "plane"
    viewer.add_image(BANDS[0], name="other")
    dock.images.choose(image)
    assert dock.channels.isHidden()


@pytest.mark.parametrize(
    ("array", "options"),
    [
        (BANDS[0], {}),
        (LAST[..., :3], {"rgb": True}),
        (np.zeros((20, 48, 64), np.uint8), {}),
        (BANDS, {"axis_labels": ("z", "y", "x")}),
        (BANDS, {"axis_labels": ("channel", "y", "x")}),
    ],
)
def test_nothing_is_asked_where_it_is_known(
    viewer: Any, dock: Any, array: np.ndarray, options: dict[str, Any]
) -> None:
    viewer.add_image(array, **options)
    assert dock.channels.isHidden() and dock.run_button.isEnabled()


def test_strokes_lie_on_one_picture(viewer: Any, train: Any) -> None:
    image = viewer.add_image(LAST, name="bands")
    click(train.labels.new)
    assert not train.annotations.open
    assert "Press “Channels of one picture” or “Planes of a stack” first" in train.status.text()
    click(train.channels.channels)
    click(train.labels.new)
    [annotation] = train.annotations.open
    assert annotation.image is image and annotation.layer.data.shape == (48, 64)


def test_a_labelled_stack_stays_one(viewer: Any, train: Any) -> None:
    viewer.add_image(BANDS, name="bands")
    click(train.labels.new)
    train.channels.refresh()
    assert not train.channels.channels.isEnabled()
    assert "Remove the labels" in train.channels.channels.toolTip()
