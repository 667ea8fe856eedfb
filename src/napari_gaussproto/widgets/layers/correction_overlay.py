"""Bright borders around labels for which the model predicts another class."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from napari.utils.colormaps import DirectLabelColormap

from napari_gaussproto.widgets.layers.placement import placement, undisturbed
from napari_gaussproto.widgets.shared.preferences import PLUGIN
from napari_gaussproto.widgets.train.annotation.annotation_layer import AnnotationLayer

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

ROLE = "corrections"
_COLOR = "#ffffff"
_WIDTH = 2


class CorrectionOverlay:
    """One layer per image, shown on request."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._layers: WeakKeyDictionary[Image, Labels] = WeakKeyDictionary()

    def show(self, annotations: list[AnnotationLayer]) -> None:
        """Mark the corrections of these images, and of no others."""
        wanted = {id(a.image) for a in annotations}
        for image, layer in list(self._layers.items()):
            if id(image) not in wanted and layer in self._viewer.layers:
                layer.visible = False
        for annotation in annotations:
            self._mark(annotation)

    def _mark(self, annotation: AnnotationLayer) -> None:
        values = annotation.record.corrected.astype(np.uint8)
        known = self._layers.get(annotation.image)
        if known is not None and known in self._viewer.layers:
            known.data = values
            known.visible = True
            return
        with undisturbed(self._viewer):
            layer: Labels = self._viewer.add_labels(
                values,
                name=f"{annotation.image.name} – {ROLE}",
                opacity=1.0,
                colormap=DirectLabelColormap(
                    color_dict={None: _COLOR, 0: "transparent", 1: _COLOR}
                ),
                metadata={PLUGIN: {"role": ROLE}},
                **placement(annotation.image),
            )
        layer.contour = _WIDTH
        layer.editable = False
        self._layers[annotation.image] = layer
