"""Layers of classes: those of a result, brought up to date, and what a person painted on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.notifications import show_info

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.labels.check import checksum
from napari_gaussproto.core.labels.class_table import label_names, overlay_colors
from napari_gaussproto.core.model.card import Provenance
from napari_gaussproto.core.model.maps import LABELS
from napari_gaussproto.widgets.layers.placement import placement
from napari_gaussproto.widgets.shared.state import ImageResult
from napari_gaussproto.widgets.shared.tags import annotations_of, keep_edited, tag
from napari_gaussproto.widgets.shared.workarounds import write_labels

if TYPE_CHECKING:
    from napari.layers import Labels, Layer
    from napari.viewer import Viewer

LABEL_OPACITY = 0.5
REMOVED = "The layer with the classes was removed: press Segment to have it again"


def is_removed(viewer: Viewer, labels: Labels | None) -> bool:
    """Whether a person removed the classes of a result, with what they painted there."""
    return labels is not None and labels not in viewer.layers


def show_labels(viewer: Viewer, result: ImageResult, labels: npt.NDArray[np.uint8]) -> None:
    """Show predicted labels (..., H, W): in the layer of the last run, or in a new one.

    A layer that a person painted on since is kept as it is, hidden, under the name "... (edited)".
    """
    known, visible = result.labels, True
    if known is not None and known in viewer.layers:
        if known.data.shape == labels.shape and checksum(known.data) == result.labels_checksum:
            _replace(known, labels)
            _style_labels(known, result)
            result.labels_checksum = checksum(labels)
            return
        # Both at once could not be told apart.
        visible, known.visible = known.visible, False
        keep_edited(known)
        show_info(f"What you painted is kept in the layer “{known.name}”, which is hidden now.")
    result.labels = _add_labels(viewer, result, labels)
    if not visible:
        result.labels.visible = False
    result.labels_checksum = checksum(labels)


def _add_labels(viewer: Viewer, result: ImageResult, labels: npt.NDArray[np.uint8]) -> Labels:
    layer: Labels = viewer.add_labels(
        labels.copy(),  # a person may paint on it, and the result must stay what it was
        name=f"{result.source.name} – classes",
        opacity=LABEL_OPACITY,
        **placement(result.source, ndim=result.ndim),
    )
    _style_labels(layer, result)
    put_below_annotations(viewer, layer, result.source)
    layer.brush_size = 10
    layer.selected_label = len(result.segmentation.classes)
    keep_colors(layer)
    return layer


def put_below_annotations(viewer: Viewer, layer: Labels, *images: Layer) -> None:
    """Let what was drawn on images, or in windows of them, stay in its own colours above classes.

    A stroke below classes would have the colour of both. Strokes move, and not the classes, which
    would not be seen below an image that lies above the strokes in its windows.
    """
    layers: Any = viewer.layers
    drawn = [labels for image in images for labels in annotations_of(viewer, image)]
    for labels in sorted(drawn, key=layers.index, reverse=True):
        if layers.index(labels) < layers.index(layer):
            layers.move(layers.index(labels), layers.index(layer) + 1)


def _style_labels(layer: Labels, result: ImageResult) -> None:
    follows = result.segmentation.follows_edges
    outlines = {} if follows is None else {"follow_edges": follows}
    show_classes(layer, result.segmentation.classes, result.provenance, **outlines)


def show_classes(
    layer: Labels, classes: Sequence[SegmentationClass], provenance: Provenance, **more: Any
) -> None:
    """Give labels the colours and names of their classes, and say what made them."""
    known = class_metadata(classes)
    if layer.metadata.get("classes") != known["classes"]:
        layer.colormap = overlay_colors(classes)
        layer.features = label_names(classes)
        # Else the brush would paint a class of another model, which has no name here.
        layer.selected_label = min(layer.selected_label, len(classes))
    about = tag(LABELS, **provenance.metadata, **more)
    layer.metadata = {**layer.metadata, **about, **known}


def class_metadata(classes: Sequence[SegmentationClass]) -> dict[str, Any]:
    """What the metadata of labels say about their classes."""
    return {"classes": [known.model_dump() for known in classes]}


def keep_colors(layer: Labels) -> None:
    """Undo napari's "shuffle colours", which replaces class colours by random ones."""

    def restore() -> None:
        if not isinstance(layer.colormap, DirectLabelColormap):
            classes = [SegmentationClass.model_validate(c) for c in layer.metadata["classes"]]
            layer.colormap = overlay_colors(classes)

    layer.events.colormap.connect(restore)


def _replace(layer: Labels, labels: npt.NDArray[np.uint8]) -> None:
    """Write new labels pixel by pixel, so that the undo of the layer takes them back."""
    changed = layer.data != labels
    if changed.any():
        if not layer.visible:
            # napari writes into what is in view, too, and forgets that of a hidden layer when
            # another layer changes the extent of the viewer.
            layer.set_view_slice()
        write_labels(layer, changed, layer.data[changed], labels[changed])


def remove_result(viewer: Viewer, result: ImageResult | None) -> None:
    """Remove the layers of a result that does not hold any more; what a person painted on stays."""
    for layer in [] if result is None else layers_to_remove(viewer, result):
        viewer.layers.remove(layer)


def layers_to_remove(viewer: Viewer, result: ImageResult) -> list[Layer]:
    """The layers that show nothing but a result; one that a person painted on is named so."""
    layers = [layer for layer in result.maps.values() if layer in viewer.layers]
    labels = result.labels
    if labels is not None and labels in viewer.layers:
        if checksum(labels.data) == result.labels_checksum:
            layers.append(labels)
        else:
            keep_edited(labels)
    return layers
