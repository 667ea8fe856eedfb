"""Keeps napari from crashing when it draws after a layer was removed.

vispy switches vertex arrays on before it draws a visual, and never off. When a removed layer's
buffers are freed, an array that no remaining visual uses still points there, and the next
drawing reads from nowhere: a segmentation fault, seen with Mesa's software renderer. Whatever is
drawn next switches on what it needs, so switching all off is always right.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from weakref import ref

if TYPE_CHECKING:
    from napari.viewer import Viewer

logger = logging.getLogger(__name__)

# As many as OpenGL promises.
_VERTEX_ARRAYS = 16


def guard_canvas(viewer: Viewer) -> None:
    """From now on, switch vertex arrays off whenever a layer is removed from a viewer."""
    weak = ref(viewer)

    def reset(event: Any = None) -> None:
        open_viewer = weak()
        if open_viewer is None:
            return
        try:
            _reset_vertex_arrays(open_viewer)
        except Exception:  # of napari's inside only; a drawing goes on without it
            logger.debug("vertex arrays could not be switched off", exc_info=True)

    viewer.layers.events.removed.connect(reset)


def _reset_vertex_arrays(viewer: Viewer) -> None:
    from vispy.gloo import gl

    canvas = viewer.window._qt_viewer.canvas._scene_canvas
    if not canvas.native.isValid():
        return  # never shown, so nothing was drawn
    canvas.set_current()
    for number in range(_VERTEX_ARRAYS):
        gl.glDisableVertexAttribArray(number)
    canvas.native.doneCurrent()
