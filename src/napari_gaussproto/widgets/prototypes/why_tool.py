"""The Why? tool on the canvas: where a person points, and the outline of what is explained."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_gaussproto.core.imaging.masks import Polygon, haloed_strips
from napari_gaussproto.widgets.layers.clicks import (
    is_click,
    moves_image,
    pixel_at,
    pixel_in,
    pixels_on_screen,
)
from napari_gaussproto.widgets.layers.large_labels import streamed_of
from napari_gaussproto.widgets.layers.overlays import WHY
from napari_gaussproto.widgets.layers.placement import layer_of, placement, undisturbed
from napari_gaussproto.widgets.shared.state import ImageResult, OnImage, SharedState
from napari_gaussproto.widgets.shared.tags import WINDOW, is_cut_from, is_ours, tag

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Vectors
    from napari.viewer import Viewer

    from napari_gaussproto.core.explain.explain import Explanation

_HOVER_KEY = "Shift"
# Width on screen, in pixels, of the bright line and of the dark ones beside it.
_LINE = 1.5
# From the middle to the corners of the mark of a place, in pixels of the screen.
_MARK = 8.0
_DIAMOND = np.array([(-1, 0), (0, 1), (1, 0), (0, -1), (-1, 0)], float)
_BRIGHT, _DARK = (1.0, 1.0, 1.0, 1.0), (0.125, 0.125, 0.125, 1.0)


class WhyTool(QObject):
    """Listens to the mouse while it is on; clicking asks, dragging still moves the image.

    Notes
    -----
    Its signals:

    asked(tuple, int, int)
        Position along the leading axes, y and x in pixels of the current image.
    hovered(tuple, int, int)
        The same, while the mouse moves with Shift held.
    asked_large, hovered_large(Image, tuple, int, int)
        The same in a large image that has labels on disk and no result.
    missed(Image)
        The image pointed at has no result to explain.
    """

    asked = Signal(tuple, int, int)
    hovered = Signal(tuple, int, int)
    asked_large = Signal(object, tuple, int, int)
    hovered_large = Signal(object, tuple, int, int)
    missed = Signal(object)

    def __init__(self, viewer: Viewer, state: SharedState, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._state = viewer, state
        self.on = False
        self._painting: tuple[Labels, str] | None = None

    def switch(self, on: bool) -> None:
        """Start or stop listening."""
        if on == self.on:
            return
        self.on = on
        clicks, moves = self._viewer.mouse_drag_callbacks, self._viewer.mouse_move_callbacks
        active = self._viewer.layers.selection.events.active
        if on:
            clicks.append(self._on_drag)
            moves.append(self._on_move)
            active.connect(self._lay_brush_down)  # also where one is led to labels meanwhile
            self._lay_brush_down()
        else:
            clicks.remove(self._on_drag)
            moves.remove(self._on_move)
            active.disconnect(self._lay_brush_down)
            self._take_brush_up()

    # -- the mouse --------------------------------------------------------------------------

    def _on_drag(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        if (yield from is_click(event)) and moves_image(viewer):
            self._emit(self.asked, self.asked_large, event.position)

    def _on_move(self, viewer: Any, event: Any) -> None:
        if any(str(getattr(key, "name", key)) == _HOVER_KEY for key in event.modifiers):
            self._emit(self.hovered, self.hovered_large, event.position)

    def _emit(self, signal: Any, of_large: Any, position: Any) -> None:
        seen = self._seen_at(position)
        if seen is not None and seen not in self._state.results:
            made = streamed_of(self._state, seen)
            place = None if made is None else pixel_in(seen, made.labels.shape, position)
            if place is not None:
                of_large.emit(seen, *place)
                return
        result = self._result_of(seen)
        found = None if result is None else pixel_at(result, position)
        if found is not None:
            signal.emit(*found)

    def _seen_at(self, position: Any) -> Image | None:
        """The image that a person sees there; below a window without a result, the whole one."""
        seen = image_at(self._viewer, position)
        if seen is None or seen in self._state.results or WINDOW not in seen.metadata:
            return seen
        below = (la for la in images_at(self._viewer, position) if WINDOW not in la.metadata)
        return next((image for image in below if is_cut_from(seen, image)), seen)

    def _result_of(self, seen: Image | None) -> ImageResult | None:
        """The result of the image that a person sees there, which becomes the current one."""
        state = self._state
        result = state.current if seen is None else state.results.get(seen)
        if seen is not None and result is None:
            self.missed.emit(seen)
        elif result is not None and result is not state.current:
            state.set_result(result)
        return result

    def _lay_brush_down(self, event: object = None) -> None:
        active = self._viewer.layers.selection.active
        if active is not None and not moves_image(self._viewer):
            self._painting = (active, str(active.mode))
            active.mode = "pan_zoom"

    def _take_brush_up(self) -> None:
        if self._painting is not None:
            layer, mode = self._painting
            if layer in self._viewer.layers and str(layer.mode) == "pan_zoom":
                layer.mode = mode
        self._painting = None


def image_at(viewer: Viewer, position: Any) -> Image | None:
    """The topmost of `images_at`."""
    return next(images_at(viewer, position), None)


def images_at(viewer: Viewer, position: Any) -> Iterator[Image]:
    """Visible images, no maps of ours, at a point in world coordinates, from the top."""
    from napari.layers import Image

    for layer in reversed(viewer.layers):
        if isinstance(layer, Image) and layer.visible and layer.opacity and not is_ours(layer):
            point = [round(float(value)) for value in layer.world_to_data(position)]
            # The colours of an RGB image are no axis of the layer, other channels are one in front.
            data = layer.data[0] if layer.multiscale else layer.data
            shape = data.shape[: layer.ndim]
            if all(0 <= i < n for i, n in zip(point, shape, strict=True)):
                yield layer


def show_outline(
    viewer: Viewer, result: OnImage, explanation: Explanation, leading: tuple[int, ...]
) -> None:
    """Outline what is explained, in the one layer that is kept for it."""
    _draw(viewer, result, explanation.outlines, leading)


def show_mark(viewer: Viewer, result: OnImage, leading: tuple[int, ...], y: int, x: int) -> None:
    """Mark the place that is asked about in that layer, until the outline takes its place."""
    radius = _MARK / pixels_on_screen(viewer, result.source)
    _draw(viewer, result, [np.array((y, x)) + radius * _DIAMOND], leading)


def _draw(
    viewer: Viewer, result: OnImage, polygons: Sequence[Polygon], leading: tuple[int, ...]
) -> None:
    pixel = 1 / pixels_on_screen(viewer, result.source)
    strips, bright = haloed_strips(polygons, _LINE * pixel)
    data = np.zeros((len(strips), 2, len(leading) + 2))
    data[:, 0, : len(leading)] = leading
    data[..., -2:] = strips
    layer = _overlay(viewer, result)
    layer.data = data
    layer.edge_width = _LINE * pixel
    layer.edge_color = np.where(bright[:, None], _BRIGHT, _DARK)
    layer.visible = True


def reset_outline(viewer: Viewer, result: OnImage) -> None:
    """Empty the outline, if there is one."""
    layer = layer_of(viewer, result, WHY)
    if layer is not None:
        layer.data = np.empty((0, 2, layer.ndim))


def _overlay(viewer: Viewer, result: OnImage) -> Vectors:
    """The layer for the outline; no Shapes layer, as paths in one crash napari 0.9.2.

    Once all layers are removed, OpenGL draws from the buffers of the path that is gone
    (`viewer.layers.clear()`, then another image).
    """
    known: Vectors | None = layer_of(viewer, result, WHY)
    if known is not None:
        return known
    with undisturbed(viewer):
        layer: Vectors = viewer.add_vectors(
            ndim=result.ndim,
            name=f"{result.source.name} – why",
            opacity=1.0,
            vector_style="line",
            # The bright strips lie on the dark ones, at the same depth.
            blending="translucent_no_depth",
            metadata=tag(WHY),
            **placement(result.source, ndim=result.ndim),
        )
    result.maps[WHY] = layer
    return layer
