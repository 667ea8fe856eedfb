"""What a person does to layers while something is computed: nothing is lost or hangs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.widgets.docks import expected_labels
from tests.widgets.train_dock import WAIT, click, draw, quick


def renamed(viewer: Any, image: Any, ours: Any) -> None:
    image.name = "another name"


def reordered(viewer: Any, image: Any, ours: Any) -> None:
    viewer.layers.reverse()


def deleted(viewer: Any, image: Any, ours: Any) -> None:
    viewer.layers.remove(ours)


def replaced(viewer: Any, image: Any, ours: Any) -> None:
    ours.data = np.zeros_like(ours.data)


def painted(viewer: Any, image: Any, ours: Any) -> None:
    ours.paint((3, 3), 1)


def reshaped(viewer: Any, image: Any, ours: Any) -> None:
    ours.data = np.zeros((7, 9), np.uint8)


def hidden(viewer: Any, image: Any, ours: Any) -> None:
    viewer.layers.select_all()
    ours.visible = False


Change = Callable[[Any, Any, Any], None]
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


@pytest.mark.parametrize(
    "change", (renamed, reordered, deleted), ids=lambda change: change.__name__
)
def test_layers_change_while_a_fit_is_on(
    viewer: Any, train: Any, image: Any, change: Change, qtbot: Any
) -> None:
    layer = draw(train)
    drawn = train.annotations.open[0].labels
    with qtbot.waitSignal(train.fits.fitted, timeout=WAIT):
        click(train.quick)
        change(viewer, image, layer)
    qtbot.waitUntil(lambda: train.fits.phase == "idle", timeout=WAIT)
    annotation = train.annotations.find(image)
    assert np.array_equal(annotation.labels, drawn)
    quick(train, qtbot)
