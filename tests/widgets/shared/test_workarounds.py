"""After a layer was removed, no vertex array is left that points to its freed buffers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from vispy.gloo import gl

from napari_gaussproto.widgets.shared.state import state_of

ENABLED = 0x8622  # GL_VERTEX_ATTRIB_ARRAY_ENABLED


def test_vertex_arrays_are_switched_off(make_napari_viewer: Callable[..., Any]) -> None:
    viewer = make_napari_viewer(show=True)
    state_of(viewer)
    layer = viewer.add_image(np.zeros((20, 30), np.uint8))
    kept = viewer.add_labels(np.ones((20, 30), np.uint8))
    viewer.screenshot(flash=False)
    canvas = viewer.window._qt_viewer.canvas._scene_canvas
    canvas.set_current()
    assert any(gl.glGetVertexAttrib(number, ENABLED) for number in range(16))
    viewer.layers.remove(layer)
    canvas.set_current()
    assert not any(gl.glGetVertexAttrib(number, ENABLED) for number in range(16))
    assert viewer.screenshot(flash=False).any() and kept in viewer.layers


def test_a_viewer_never_shown_is_left_alone(
    make_napari_viewer: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "napari_gaussproto.widgets.shared.workarounds")
    viewer = make_napari_viewer()
    state_of(viewer)
    layer = viewer.add_image(np.zeros((20, 30), np.uint8))
    viewer.layers.remove(layer)
    assert "could not be switched off" not in caplog.text
