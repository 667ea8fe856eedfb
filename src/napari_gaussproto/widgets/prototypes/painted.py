"""What a person painted at a place that is explained, beside what the model says of it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from napari_gaussproto.core.labels.codes import PREDICTED
from napari_gaussproto.widgets.shared.state import ImageResult
from napari_gaussproto.widgets.shared.tags import annotations_of

if TYPE_CHECKING:
    from napari.viewer import Viewer


def painted_at(viewer: Viewer, result: ImageResult, place: tuple[int, ...]) -> str:
    """Name of the class that a person painted at a pixel (..., y, x); empty for none.

    Labels of the Train dock come before what was painted into the classes themselves.
    """
    return _label(viewer, result, place) or _in_classes(viewer, result, place)


def _label(viewer: Viewer, result: ImageResult, place: tuple[int, ...]) -> str:
    for layer in annotations_of(viewer, result.source):
        if layer.ndim == len(place):
            code = int(layer.data[place])
            if 0 < code < PREDICTED:
                named = layer.features
                return str(named.loc[named["index"] == code, "class"].item())
    return ""


def _in_classes(viewer: Viewer, result: ImageResult, place: tuple[int, ...]) -> str:
    layer, predicted = result.labels, result.segmentation.labels
    if layer is None or layer not in viewer.layers or layer.data.shape != predicted.shape:
        return ""
    value, classes = int(layer.data[place]), result.segmentation.classes
    is_painted = value != int(predicted[place]) and 0 < value <= len(classes)
    return classes[value - 1].name if is_painted else ""


def painted_sentence(painted: str, predicted: str) -> str:
    """What was painted and what the model says, as HTML that leads over to its reasons."""
    what = f"You painted this place as <b>{escape(painted)}</b>"
    if painted == predicted:
        return f"{what}, and the model says the same:"
    return f"{what}; the model says <b>{escape(predicted)}</b>, and why:"
