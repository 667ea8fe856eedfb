"""Layers that help with edits: one to paint a new prototype in, one for what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from napari.utils.colormaps import DirectLabelColormap

from napari_gaussproto.widgets.layers.placement import placement, undisturbed
from napari_gaussproto.widgets.shared.preferences import PLUGIN
from napari_gaussproto.widgets.shared.state import Outcome

if TYPE_CHECKING:
    from napari.layers import Labels, Layer
    from napari.viewer import Viewer

BRUSHED, CHANGED = "new prototype", "changed"
_BRUSH_COLOR, _CHANGED_COLOR = "#f0e442", "#ff00ff"


def is_scratch(layer: Layer) -> bool:
    """Whether a layer is one of these, and holds no labels of the image."""
    return layer.metadata.get(PLUGIN, {}).get("role") in (BRUSHED, CHANGED)


def brush_layer(viewer: Viewer, outcome: Outcome) -> Labels:
    """The layer to paint a new prototype in, made when first wanted; the brush is ready."""
    layer = outcome.maps.get(BRUSHED)
    if layer is None or layer not in viewer.layers:
        layer = viewer.add_labels(
            np.zeros(outcome.segmentation.labels.shape, np.uint8),
            name=f"{outcome.source.name} – new prototype",
            opacity=0.7,
            colormap=_one_color(_BRUSH_COLOR),
            metadata={PLUGIN: {"role": BRUSHED}},
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
    """A copy of what was painted; None when nothing was."""
    layer = outcome.maps.get(BRUSHED)
    if layer is None or layer not in viewer.layers or not layer.data.any():
        return None
    return np.asarray(layer.data > 0)


def wipe(viewer: Viewer, outcome: Outcome) -> None:
    """Empty the painted layer for the next prototype; undo brings the strokes back."""
    layer = outcome.maps.get(BRUSHED)
    if layer is not None and layer in viewer.layers:
        painted = np.nonzero(layer.data)
        if len(painted[0]):
            layer.data_setitem(painted, 0)
        layer.mode = "pan_zoom"


def show_changed(viewer: Viewer, outcome: Outcome, changed: npt.NDArray[np.bool_]) -> Labels:
    """Mark pixels whose class changed, in the one layer that is kept for it."""
    known = outcome.maps.get(CHANGED)
    values = changed.astype(np.uint8)
    if known is not None and known in viewer.layers:
        known.data = values
        known.visible = True
        return known
    with undisturbed(viewer):
        layer: Labels = viewer.add_labels(
            values,
            name=f"{outcome.source.name} – changed",
            opacity=0.9,
            colormap=_one_color(_CHANGED_COLOR),
            metadata={PLUGIN: {"role": CHANGED}},
            **placement(outcome.source, ndim=outcome.ndim),
        )
    layer.editable = False
    outcome.maps[CHANGED] = layer
    return layer


def hide_changed(viewer: Viewer, outcome: Outcome) -> None:
    """Hide the layer of what changed, if there is one."""
    layer = outcome.maps.get(CHANGED)
    if layer is not None and layer in viewer.layers:
        layer.visible = False


def _one_color(color: str) -> DirectLabelColormap:
    return DirectLabelColormap(color_dict={None: color, 0: "transparent", 1: color})
