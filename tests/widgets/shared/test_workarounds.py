"""What would crash when it is drawn: freed buffers of removed layers, painters that were kept."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest
from qtpy.QtGui import QPainter
from vispy.gloo import gl

from napari_gaussproto.widgets.prototypes.gallery import GalleryView, PrototypeRow
from napari_gaussproto.widgets.shared.share_table import ShareBar
from napari_gaussproto.widgets.shared.state import state_of
from napari_gaussproto.widgets.train.labelling.class_list import ClassList

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


def _row() -> PrototypeRow:
    return PrototypeRow(GalleryView())


@pytest.mark.parametrize("make", [ShareBar, ClassList, _row])
def test_a_painter_ends_with_its_drawing(make: Callable[[], Any], qtbot: Any) -> None:
    widget = make()
    qtbot.addWidget(widget)
    with qtbot.waitExposed(widget):
        widget.show()
    drawn = widget.viewport() if isinstance(widget, ClassList) else widget
    frames: list[FrameType] = []  # as a profiler or a traceback keeps them
    sys.setprofile(lambda frame, event, argument: frames.append(frame))
    try:
        drawn.repaint()
    finally:
        sys.setprofile(None)
    kept = [v for frame in frames for v in frame.f_locals.values() if isinstance(v, QPainter)]
    assert kept and not any(painter.isActive() for painter in kept)
