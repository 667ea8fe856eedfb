"""Layers that help, beside the maps: strokes of a new prototype, what changed, corrections."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from napari.utils.colormaps import DirectLabelColormap

from napari_gaussproto.core.model.maps import DEPENDENCE, MapRole
from napari_gaussproto.widgets.layers.captions import captions
from napari_gaussproto.widgets.layers.placement import layer_of, placement, undisturbed
from napari_gaussproto.widgets.shared.preferences import preference
from napari_gaussproto.widgets.shared.state import ImageResult, OnImage
from napari_gaussproto.widgets.shared.tags import role_of, tag

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

    from napari_gaussproto.core.explain.dependence import Dependence

BRUSHED, CHANGED = MapRole("new prototype"), MapRole("changed")
WHY, CORRECTIONS = MapRole("why"), MapRole("corrections")
_BRUSH_COLOR, _CHANGED_COLOR, _CORRECTION_COLOR = "#f0e442", "#ff00ff", "#ffffff"
_BORDER_WIDTH = 2


def is_scratch(layer: Layer) -> bool:
    """Whether a layer only helps with edits, and holds no labels of the image."""
    return role_of(layer) in (BRUSHED, CHANGED)


def brush_layer(viewer: Viewer, result: ImageResult) -> Labels:
    """The layer to paint a new prototype in, made when first wanted; the brush is ready."""
    layer: Labels | None = layer_of(viewer, result, BRUSHED)
    if layer is None:
        blank = np.zeros(result.segmentation.labels.shape, np.uint8)
        layer = _add_marks(viewer, result.source, blank, BRUSHED, _BRUSH_COLOR, 0.7)
        layer.brush_size = 20
        result.maps[BRUSHED] = layer
    layer.visible = True
    layer.selected_label = 1
    layer.mode = "paint"
    viewer.layers.selection.active = layer
    return layer


def brushed(viewer: Viewer, result: ImageResult) -> npt.NDArray[np.bool_] | None:
    """A copy of what was painted, (..., H, W); None when nothing was."""
    layer = layer_of(viewer, result, BRUSHED)
    return None if layer is None or not layer.data.any() else np.asarray(layer.data > 0)


def reset_brushed(viewer: Viewer, result: ImageResult) -> None:
    """Empty the painted layer for the next prototype; undo brings the strokes back."""
    layer = layer_of(viewer, result, BRUSHED)
    if layer is not None:
        painted = np.nonzero(layer.data)
        if len(painted[0]):
            layer.data_setitem(painted, 0)
        layer.mode = "pan_zoom"


def show_changed(viewer: Viewer, result: ImageResult, changed: npt.NDArray[np.bool_]) -> Labels:
    """Mark pixels (..., H, W) whose class changed, in the one layer that is kept for it."""
    layer: Labels | None = layer_of(viewer, result, CHANGED)
    values = changed.view(np.uint8)
    if layer is None:
        layer = _add_marks(viewer, result.source, values, CHANGED, _CHANGED_COLOR, 0.9)
        layer.editable = False
        result.maps[CHANGED] = layer
    else:
        layer.data = values
        layer.visible = True
    return layer


def hide_changed(viewer: Viewer, result: ImageResult) -> None:
    """Hide the layer of what changed, if there is one."""
    layer = layer_of(viewer, result, CHANGED)
    if layer is not None:
        layer.visible = False


def show_dependence(
    viewer: Viewer, result: OnImage, found: Dependence, leading: tuple[int, ...]
) -> Image:
    """Show what a place depends on, around that place, in the one layer that is kept for it."""
    values = found.levels.reshape((1,) * len(leading) + found.levels.shape)
    name = f"{result.source.name} – what (y {found.y}, x {found.x}) depends on"
    origin = (*leading, found.top, found.left)
    place = placement(result.source, found.pixel_size, origin, ndim=result.ndim)
    layer: Image | None = layer_of(viewer, result, DEPENDENCE)
    if layer is not None:
        layer.data, layer.translate, layer.name = values, place["translate"], name
        layer.visible = True
        return layer
    with undisturbed(viewer):
        layer = viewer.add_image(
            values,
            name=name,
            contrast_limits=(0, 1),
            colormap=preference("colormap"),
            opacity=0.6,
            rgb=False,
            metadata=tag(DEPENDENCE, **result.provenance.metadata),
            **place,
        )
    layer.colorbar.visible = True
    result.maps[DEPENDENCE] = layer
    captions(viewer).follow(layer)
    return layer


class CorrectionOverlay:
    """Bright borders around labels for which the model predicts another class, per image."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._layers: WeakKeyDictionary[Image, Labels] = WeakKeyDictionary()

    def show(self, corrected: Iterable[tuple[Image, npt.NDArray[np.bool_]]]) -> None:
        """Mark in these images, and in no others, pixels (..., H, W) that are corrections."""
        wanted = dict(corrected)
        for image, layer in list(self._layers.items()):
            if image not in wanted and layer in self._viewer.layers:
                layer.visible = False
        for image, marked in wanted.items():
            self._mark(image, marked.view(np.uint8))

    def _mark(self, image: Image, values: npt.NDArray[np.uint8]) -> None:
        known = self._layers.get(image)
        if known is not None and known in self._viewer.layers:
            known.data = values
            known.visible = True
            return
        layer = _add_marks(self._viewer, image, values, CORRECTIONS, _CORRECTION_COLOR, 1.0)
        layer.contour = _BORDER_WIDTH
        layer.editable = False
        self._layers[image] = layer


def _add_marks(
    viewer: Viewer,
    image: Image,
    values: npt.NDArray[np.uint8],
    role: MapRole,
    color: str,
    opacity: float,
) -> Labels:
    """Labels of one colour exactly over an image; the person's work is not disturbed."""
    with undisturbed(viewer):
        layer: Labels = viewer.add_labels(
            values,
            name=f"{image.name} – {role}",
            opacity=opacity,
            colormap=DirectLabelColormap(color_dict={None: color, 0: "transparent", 1: color}),
            metadata=tag(role),
            **placement(image, ndim=values.ndim),
        )
    return layer
