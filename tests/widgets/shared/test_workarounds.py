"""What would crash when it is drawn: freed buffers of removed layers, painters that were kept."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import QObject
from qtpy.QtGui import QOffscreenSurface, QOpenGLContext, QPainter
from vispy.gloo import gl

from napari_gaussproto.core.base.strips import strips_with
from napari_gaussproto.widgets.prototypes.gallery import GalleryView, PrototypeRow
from napari_gaussproto.widgets.shared.dock import Connections
from napari_gaussproto.widgets.shared.job_queue import JobQueue
from napari_gaussproto.widgets.shared.share_table import ShareBar
from napari_gaussproto.widgets.shared.state import state_of
from napari_gaussproto.widgets.shared.workarounds import strips_of_stroke, when_gone, write_labels
from napari_gaussproto.widgets.shared.workers import Runner
from napari_gaussproto.widgets.train.labelling.class_list import ClassList

ENABLED = 0x8622  # GL_VERTEX_ATTRIB_ARRAY_ENABLED


PLACES = np.array([0, 2]), np.array([3, 900]), np.array([5, 5])
STROKES: dict[str, Callable[[Any], object]] = {
    "paint": lambda layer: layer.paint((1, 700, 20), 1),
    "erase": lambda layer: layer.paint((2, 30, 20), 0),
    "fill": lambda layer: layer.fill((2, 30, 20), 4),
    "set": lambda layer: layer.data_setitem(PLACES, 4),
    "written": lambda layer: _write(layer, 40),
    "written, much": lambda layer: _write(layer, 900),
}


def _write(layer: Any, rows: int) -> None:
    mask = np.zeros(layer.data.shape, bool)
    mask[1, :rows] = True
    write_labels(layer, mask, layer.data[mask], np.full(mask.sum(), 9, np.uint16))


@pytest.mark.parametrize("how", STROKES)
def test_a_stroke_says_which_strips_it_changed(how: str) -> None:
    data = np.zeros((3, 1000, 130), np.uint16)
    data[2, :100] = 3
    layer, told = Labels(data), []
    layer.brush_size = 20
    viewer = ViewerModel()
    viewer.add_layer(layer)
    viewer.dims.set_current_step(0, 2)
    layer.events.paint.connect(lambda event: told.append(event.value))
    before = data.copy()
    STROKES[how](layer)
    changed = strips_with(before != layer.data)
    found = [strips_of_stroke(data.shape, stroke) for stroke in told]
    assert changed and set().union(*found) == changed


def test_a_stroke_of_an_unknown_kind_may_have_changed_everything() -> None:
    assert strips_of_stroke((3, 4, 5), None) is None
    assert strips_of_stroke((3, 4, 5), [("somewhere", 0, 1)]) is None
    assert strips_of_stroke((3, 4, 5), [(([9], [0], [0]), 0, 1)]) is None


def test_a_stroke_of_pixels_counted_from_the_end_says_its_strips() -> None:
    stroke = [((np.array([1, -1]), np.array([-1, 0]), np.array([2, 2])), 0, 1)]
    data = np.zeros((3, 1000, 500), np.uint16)
    data[stroke[0][0]] = 1
    assert strips_of_stroke(data.shape, stroke) == strips_with(data > 0)
    assert strips_of_stroke((1000, 500), [((np.array([-1]), np.array([2])), 0, 1)]) == {7}


def test_a_stroke_across_planes_covers_each_of_their_strips() -> None:
    # As many planes as rows, of one column.
    where = (slice(0, 8), slice(126, 134), 3)
    data = np.zeros((8, 1000, 500), np.uint16)
    data[where] = 1
    assert strips_of_stroke(data.shape, [(where, 0, 1)]) == strips_with(data > 0)


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


def test_what_is_freed_dies_in_the_context_of_the_canvas(
    make_napari_viewer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = make_napari_viewer(show=True)
    state_of(viewer)
    layer = viewer.add_labels(np.ones((20, 30), np.uint8))
    viewer.screenshot(flash=False)
    own = viewer.window._qt_viewer.canvas._scene_canvas.native.context()
    contexts: list[Any] = []
    free = gl.glDeleteProgram

    def watched(handle: int) -> None:
        contexts.append(QOpenGLContext.currentContext())
        free(handle)

    monkeypatch.setattr(gl, "glDeleteProgram", watched)
    # As after a repaint, when the context that Qt puts the window together with is current.
    surface, other = QOffscreenSurface(), QOpenGLContext()
    surface.create()
    assert other.create() and other.makeCurrent(surface)
    viewer.layers.remove(layer)
    del layer
    viewer.screenshot(flash=False)
    assert contexts and all(context is own for context in contexts)


def test_a_viewer_never_shown_is_left_alone(
    make_napari_viewer: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "napari_gaussproto.widgets.shared.workarounds")
    viewer = make_napari_viewer()
    state_of(viewer)
    layer = viewer.add_image(np.zeros((20, 30), np.uint8))
    viewer.layers.remove(layer)
    assert "could not be switched off" not in caplog.text


class _Owner(QObject):
    """Garbage as soon as nobody else holds it, while Qt has it until it deletes it."""

    def __init__(self, make: Callable[[QObject], object]) -> None:
        super().__init__()
        self.itself, self.made = self, make(self)
        self.deleteLater()


class _Bare(QObject):
    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)


@pytest.mark.parametrize("make", [Runner, JobQueue, Connections])
def test_what_is_garbage_before_qt_deletes_it_ends_quietly(
    make: Callable[[QObject], object], qtbot: Any
) -> None:
    _Owner(make)
    gc.collect()
    qtbot.wait(10)


def test_what_is_called_last_is_called_once(qtbot: Any) -> None:
    calls: list[str] = []

    def made(owner: QObject) -> QObject:
        bare = _Bare(owner)
        when_gone(bare, lambda: calls.append("gone"))
        return bare

    _Owner(made)
    gc.collect()
    qtbot.wait(10)
    assert calls == ["gone"]


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
