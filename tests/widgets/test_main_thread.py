"""What is changed by another thread than the viewer's own is told."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image


def named(viewer: ViewerModel, layer: Image) -> None:
    layer.name = "other"


def added(viewer: ViewerModel, layer: Image) -> None:
    viewer.layers.append(Image(np.zeros((4, 4))))


def moved(viewer: ViewerModel, layer: Image) -> None:
    viewer.dims.ndisplay = 3


@pytest.mark.parametrize("change", [named, added, moved])
def test_what_another_thread_changes_is_told(
    change: Callable[[ViewerModel, Image], None], main_thread_alone: list[str]
) -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((4, 4)))
    change(viewer, layer)
    assert not main_thread_alone
    thread = Thread(target=change, args=(viewer, layer))
    thread.start()
    thread.join()
    assert f"in {change.__name__}" in main_thread_alone[0]
    main_thread_alone.clear()
