"""What tests of the Prototypes dock share: the dock after a run, and what a person does."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.jobs.running import run_job
from napari_gaussproto.widgets.layers import large_labels
from napari_gaussproto.widgets.segment import dock as segment_dock

TAG = "napari-gaussproto"
LEFT = Qt.MouseButton.LeftButton


def large_from_a_megapixel(monkeypatch: pytest.MonkeyPatch, tile: int) -> None:
    """From one megapixel on an image is large, and a run has tiles of so many pixels."""
    monkeypatch.setattr(large_labels, "preference", lambda name: 1)
    settings = {"tile": tile, "device": "cpu"}
    monkeypatch.setattr(segment_dock, "preference", settings.__getitem__)


def without_end(
    monkeypatch: pytest.MonkeyPatch, panel: Any, is_last: Callable[[Any], bool]
) -> list[Any]:
    """Let jobs that a module starts take one step again and again, until they are cancelled.

    So a cancel comes before the end, however quick the machine is. Returns the steps, as they come.
    """
    taken: list[Any] = []

    def steps(*arguments: Any) -> Generator[Any, None, None]:
        for step in run_job(*arguments):
            taken.append(step)
            yield step
            while is_last(step):
                time.sleep(0.005)
                taken.append(step)
                yield step

    monkeypatch.setattr(panel, "run_job", steps)
    return taken


def by_role(viewer: Any, role: str) -> list[Any]:
    """Layers of this plugin that have a role."""
    return [layer for layer in viewer.layers if layer.metadata.get(TAG, {}).get("role") == role]


def pick(dock: Any, image: Any) -> None:
    """Choose an image, as a click in the list of a dock does."""
    dock.images.choose(image)
    dock.images.activated.emit(dock.images.currentIndex())


def labels_of(prototypes: Any) -> Any:
    """The label layer of the current result."""
    return prototypes.state.current.labels


def expected_labels(prototypes: Any) -> np.ndarray:
    """What the current model says about the image, from scratch."""
    return segment(prototypes.state.current.source.data, prototypes.state.model).labels


def click(qtbot: Any, widget: Any) -> None:
    """Click in the middle of a widget."""
    qtbot.mouseClick(widget, LEFT)


def canvas_point(viewer: Any, world: tuple[float, float]) -> QPoint:
    """Where a point of the world is drawn on the canvas."""
    native = viewer.window._qt_viewer.canvas.native
    camera = getattr(viewer, "scene", viewer).camera
    centre = np.array([native.height(), native.width()]) / 2
    y, x = centre + (np.array(world) - camera.center[-2:]) * camera.zoom
    return QPoint(round(x), round(y))
