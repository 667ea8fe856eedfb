"""Layers that help, beside the maps: strokes of a new prototype, what changed, corrections."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from napari.utils.colormaps import DirectLabelColormap

from napari_gaussproto.core.model.maps import MapRole
from napari_gaussproto.widgets.layers.placement import (
    layer_of,
    placement,
    undisturbed,
)
from napari_gaussproto.widgets.shared.state import Outcome
from napari_gaussproto.widgets.shared.tags import role_of, tag

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

BRUSHED, CHANGED = MapRole("new prototype"), MapRole("changed")
WHY, CORRECTIONS = MapRole("why"), MapRole("corrections")
_BRUSH_COLOR, _CHANGED_COLOR, _CORRECTION_COLOR = "#f0e442", "#ff00ff", "#ffffff"
_BORDER_WIDTH = 2


def is_scratch(layer: Layer) -> bool:
    """Whether a layer only helps with edits, and holds no labels of the image."""
    return role_of(layer) in (BRUSHED, CHANGED)


def brush_layer(viewer: Viewer, outcome: Outcome) -> Labels:
    """The layer to paint a new prototype in, made when first wanted; the brush is ready."""
    layer: Labels | None = layer_of(viewer, outcome, BRUSHED)
    if layer is None:
        layer = viewer.add_labels(
            np.zeros(outcome.segmentation.labels.shape, np.uint8),
            name=f"{outcome.source.name} – new prototype",
            opacity=0.7,
            colormap=_one_color(_BRUSH_COLOR),
            metadata=tag(BRUSHED),
            **placement(outcome.source, ndim=outcome.ndim),
        )
        layer.brush_size = 20
        outcome.maps[BRUSHED] = layer
    layer.visible = True
    layer.selected_label = 1
    layer.mode = "paint"
    viewer.layers.selection.active = layer
    return layer


def brushed(viewer: Viewer, outcome: Outcome) -> npt.NDArray[np.bool_] | None:
    """A copy of what was painted, (..., H, W); None when nothing was."""
    layer = layer_of(viewer, outcome, BRUSHED)
    return None if layer is None or not layer.data.any() else np.asarray(layer.data > 0)


def wipe(viewer: Viewer, outcome: Outcome) -> None:
    """Empty the painted layer for the next prototype; undo brings the strokes back."""
    layer = layer_of(viewer, outcome, BRUSHED)
    if layer is not None:
        painted = np.nonzero(layer.data)
        if len(painted[0]):
            layer.data_setitem(painted, 0)
        layer.mode = "pan_zoom"


def show_changed(viewer: Viewer, outcome: Outcome, changed: npt.NDArray[np.bool_]) -> Labels:
    """Mark pixels (..., H, W) whose class changed, in the one layer that is kept for it."""
    known: Labels | None = layer_of(viewer, outcome, CHANGED)
    values = changed.astype(np.uint8)
    if known is not None:
        known.data = values
        known.visible = True
        return known
    with undisturbed(viewer):
        layer: Labels = viewer.add_labels(
            values,
            name=f"{outcome.source.name} – changed",
            opacity=0.9,
            colormap=_one_color(_CHANGED_COLOR),
            metadata=tag(CHANGED),
            **placement(outcome.source, ndim=outcome.ndim),
        )
    layer.editable = False
    outcome.maps[CHANGED] = layer
    return layer


def hide_changed(viewer: Viewer, outcome: Outcome) -> None:
    """Hide the layer of what changed, if there is one."""
    layer = layer_of(viewer, outcome, CHANGED)
    if layer is not None:
        layer.visible = False


class CorrectionOverlay:
    """Bright borders around labels for which the model predicts another class.

    There is one layer per image, shown on request.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._layers: WeakKeyDictionary[Image, Labels] = WeakKeyDictionary()

    def show(self, corrected: Iterable[tuple[Image, npt.NDArray[np.bool_]]]) -> None:
        """Mark the corrections of these images, and of no others.

        Parameters
        ----------
        corrected : iterable of (Image, ndarray)
            For each image the pixels (..., H, W) whose label is a correction.
        """
        wanted = dict(corrected)
        for image, layer in list(self._layers.items()):
            if image not in wanted and layer in self._viewer.layers:
                layer.visible = False
        for image, marked in wanted.items():
            self._mark(image, marked.astype(np.uint8))

    def _mark(self, image: Image, values: npt.NDArray[np.uint8]) -> None:
        known = self._layers.get(image)
        if known is not None and known in self._viewer.layers:
            known.data = values
            known.visible = True
            return
        with undisturbed(self._viewer):
            layer: Labels = self._viewer.add_labels(
                values,
                name=f"{image.name} – {CORRECTIONS}",
                opacity=1.0,
                colormap=_one_color(_CORRECTION_COLOR),
                metadata=tag(CORRECTIONS),
                **placement(image),
            )
        layer.contour = _BORDER_WIDTH
        layer.editable = False
        self._layers[image] = layer


def _one_color(color: str) -> DirectLabelColormap:
    return DirectLabelColormap(color_dict={None: color, 0: "transparent", 1: color})
