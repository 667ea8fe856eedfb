"""What napari has no public way for, and what keeps it from crashing.

It can crash when it draws after a layer was removed, for two reasons.

napari frees what belongs to the layer in whatever OpenGL context is current. After a repaint that
is Qt's own, and shaders that die there leave the canvas with pointers to nothing. So the canvas'
context is made current before.

vispy switches vertex arrays on before it
draws a visual, and never off. When a removed layer's buffers are freed, an array that no remaining
visual uses still points there, and the next drawing reads from nowhere: a segmentation fault, seen
with Mesa's software renderer. Whatever is drawn next switches on what it needs, so switching all
off is always right.

Qt can crash, too: when a painter outlives the drawing that it was made for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from operator import index
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakMethod, ref

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject
from qtpy.QtGui import QPaintDevice, QPainter
from qtpy.QtWidgets import QWidget

from napari_gaussproto.core.base.strips import strips_at, strips_with

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

logger = logging.getLogger(__name__)
T = TypeVar("T")

# What is called when something is destroyed.
_last_calls: set[Callable[..., None]] = set()
# As many as OpenGL promises.
_VERTEX_ARRAYS = 16


# From so many pixels on, a mask is less work for an undo than their places.
_MANY = 20_000


def write_labels(
    layer: Labels, mask: npt.NDArray[np.bool_], old: npt.NDArray[Any], new: npt.NDArray[Any]
) -> None:
    """Write into a layer as `data_setitem` does, in one step of its undo, however many pixels.

    With its lists of places, napari takes more than a second for the pixels of a photograph.

    Parameters
    ----------
    mask : (..., H, W) ndarray
        The K pixels that change.
    old, new : (K,) ndarray
        What is there, and what shall be.
    """
    remember = getattr(bare(layer), "_save_history", None)
    if len(new) < _MANY or remember is None or not isinstance(layer.data, np.ndarray):
        layer.data_setitem(np.nonzero(mask), new)
        return
    layer.data[mask] = new
    remember((mask, old, new))
    layer.refresh()


def strips_of_stroke(shape: Sequence[int], stroke: Any) -> set[int] | None:
    """Which strips of labels (..., H, W) a stroke changed, by what napari's `paint` event says.

    It is a list of what the undo remembers, which is not public: None where that is unknown.
    """
    found: set[int] = set()
    try:
        for atom in stroke:
            where = getattr(atom, "slice_key", atom[0])
            if isinstance(where, np.ndarray):
                found |= strips_with(where)
                continue
            if any(isinstance(at, slice) for at in where):
                each = (at if isinstance(at, slice) else [index(at)] for at in where)
                places = np.ix_(*(np.arange(n)[at] for n, at in zip(shape, each, strict=True)))
            else:  # of single pixels; they may be counted from the end of an axis
                places = tuple(np.arange(n)[at] for n, at in zip(shape, where, strict=True))
            found |= strips_at(shape, *places[:-1])
    except (TypeError, ValueError, IndexError):
        logger.debug("a stroke is told of in another way", exc_info=True)
        return None
    return found


def reset_undo(layer: Labels) -> None:
    """Empty a layer's undo; napari has no public way to."""
    getattr(bare(layer), "_reset_history", lambda: None)()


def replace_levels(layer: Labels, levels: Sequence[Any]) -> None:
    """Show other data in a layer of several resolutions, of the same shapes.

    napari 0.6 takes what such a layer of labels is given for a single array.

    Parameters
    ----------
    levels : sequence of (..., H, W) array-likes
        The finest first.
    """
    real = bare(layer)
    if not version("napari").startswith("0.6."):
        real.data = list(levels)
        return
    real.data._data[:] = levels
    real.events.data(value=real.data)
    real.refresh()


def bare(thing: T) -> T:
    """A viewer or a layer itself.

    What napari gives to a plugin's dock is a proxy that hides what is not public. Each layer that
    comes through it is another proxy, never the same object as the layer of an event, and tables
    with weak keys lose it at once.
    """
    return getattr(thing, "__wrapped__", thing)


def camera_of(viewer: Viewer) -> Any:
    """The camera of a viewer; napari 0.9 moved it into the scene."""
    return getattr(viewer, "scene", viewer).camera


def canvas_size(viewer: Viewer) -> tuple[int, int]:
    """Height and width of the canvas in pixels of the screen; napari 0.9 made them public."""
    canvas = getattr(viewer, "canvas", None)
    return tuple(bare(viewer)._canvas_size if canvas is None else canvas.size)


def guard_canvas(viewer: Viewer) -> None:
    """From now on, keep the canvas whole whenever a layer is removed from a viewer.

    Its context is current when napari frees what belongs to the layer, and stays so: Qt makes its
    own current when it draws. Vertex arrays are off afterwards.
    """
    weak = ref(viewer)

    def reset(event: Any = None) -> None:
        open_viewer = weak()
        if open_viewer is None:
            return
        try:
            _reset_vertex_arrays(open_viewer)
        except Exception:  # of napari's inside only; a drawing goes on without it
            logger.debug("vertex arrays could not be switched off", exc_info=True)

    # Before, as napari has freed everything when it tells of the removal, and after.
    viewer.layers.events.removing.connect(reset)
    viewer.layers.events.removed.connect(reset)


def _reset_vertex_arrays(viewer: Viewer) -> None:
    from vispy.gloo import gl

    canvas = viewer.window._qt_viewer.canvas._scene_canvas
    if not canvas.native.isValid():
        return  # never shown, so nothing was drawn
    canvas.set_current()
    for number in range(_VERTEX_ARRAYS):
        gl.glDisableVertexAttribArray(number)


def announce(owner: QObject, cancel: Callable[[], object]) -> Callable[[], object]:
    """Tell napari that something is computed for a dock: it asks before it closes that window.

    napari's own workers tell it to the window in front, whosesoever they are, and are cancelled
    when that one is closed.

    Parameters
    ----------
    cancel : callable
        A method; napari's list, which keeps what has ended, does not keep its object.

    Returns
    -------
    callable
        To call when it has ended.
    """
    thing: QObject | None = owner
    while not (thing is None or isinstance(thing, QWidget)):
        thing = thing.parent()
    window = getattr(None if thing is None else thing.window(), "_window", None)
    if window is None or not hasattr(window, "_register_task_status"):
        return lambda: None
    from napari.utils.task_status import Status

    weak = WeakMethod(cancel)

    def end() -> None:
        method = weak()
        if method is not None:
            method()

    said = (Status.BUSY, "something is being computed")
    task = window._register_task_status("Gaussian Prototypes", *said, end)
    return lambda: window._update_task_status(task, Status.COMPLETED, "done")


def when_gone(thing: QObject, then: Callable[[], object]) -> None:
    """Call a function when an object of Qt is destroyed.

    PyQt6 does not keep Python from collecting what is called then as garbage, with the object
    itself, while Qt still has it: a segmentation fault.

    Parameters
    ----------
    then : callable
        It is kept until it is called, so it must not hold the object.
    """

    def call(destroyed: object = None) -> None:
        _last_calls.discard(call)
        then()

    _last_calls.add(call)
    thing.destroyed.connect(call)


@contextmanager
def painting(device: QPaintDevice) -> Iterator[QPainter]:
    """A painter that ends with the block.

    Left to Python it ends with the frame that made it, and what looks at frames, a traceback or a
    profiler, keeps that for longer than Qt keeps what is drawn on: a segmentation fault.
    """
    painter = QPainter(device)
    try:
        yield painter
    finally:
        painter.end()
