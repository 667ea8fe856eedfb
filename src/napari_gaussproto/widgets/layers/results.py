"""Show what a model says about an image: the layers, and what the docks share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.model.maps import LIKELIHOOD, OUTLINES, MapRole, Maps
from napari_gaussproto.widgets.layers.class_layers import show_labels
from napari_gaussproto.widgets.layers.following import follow_images
from napari_gaussproto.widgets.layers.overlays import BRUSHED, CHANGED, WHY
from napari_gaussproto.widgets.layers.placement import layer_of, set_aside, show_map, undisturbed
from napari_gaussproto.widgets.layers.prototype_map import prototype_map
from napari_gaussproto.widgets.shared.state import ImageResult, SharedState

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer


def succeed(viewer: Viewer, state: SharedState, result: ImageResult, maps: Maps) -> ImageResult:
    """Let a fit's result take over the layers of the last one of its image.

    Maps (..., h, w) that it says nothing about, or about another class of that number, are
    set aside.
    """
    former = state.results.get(result.source)
    if former is None:
        return result
    shown = {role for role in maps if _same_meaning(role, former, result)}
    shown |= {role for role in former.maps if role.is_pinned}
    if former.segmentation.n_cells == result.segmentation.n_cells:
        shown.add(OUTLINES)
    take_over(viewer, state, result, shown)
    result.remove_pinned()
    return result


def take_over(
    viewer: Viewer, state: SharedState, result: ImageResult, shown: Iterable[MapRole]
) -> None:
    """Give a result the layers of the last one of its image.

    Maps that it says nothing about, which are all but ``shown``, are renamed and no longer updated.
    """
    follow_images(viewer)
    former = state.results.get(result.source)
    if former is None:
        return
    result.labels, result.labels_checksum = former.labels, former.labels_checksum
    result.maps = present_maps(viewer, former)
    kept = {LIKELIHOOD, BRUSHED, CHANGED, WHY, *shown}
    for role in [role for role in result.maps if role not in kept]:
        set_aside(viewer, result.maps.pop(role))


def present_maps(viewer: Viewer, result: ImageResult) -> dict[MapRole, Layer]:
    """Maps of a result that are in the viewer still."""
    return {role: layer for role, layer in result.maps.items() if layer in viewer.layers}


def _same_meaning(role: MapRole, former: ImageResult, result: ImageResult) -> bool:
    """Whether a map shows the same thing as before: numbers of classes can change."""
    if not role.is_probability or role.number is None:
        return True
    c = slice(role.number, role.number + 1)
    before, now = former.segmentation.classes[c], result.segmentation.classes[c]
    return [entry.name for entry in before] == [entry.name for entry in now]


def redraw(viewer: Viewer, result: ImageResult, maps: Maps) -> None:
    """Show new values (..., h, w) in the maps that an image has besides the likelihood."""
    for role, values in maps.items():
        layer = layer_of(viewer, result, role)
        if layer is not None:
            show_map(viewer, result, role, values, layer.name, visible=layer.visible)
    result.remove_pinned()


def publish(
    viewer: Viewer,
    state: SharedState,
    result: ImageResult,
    maps: Maps,
    prototype: int,
    values: npt.NDArray[np.float32],
) -> None:
    """Show a new result of an image and make it the current one.

    Parameters
    ----------
    viewer, state, result
    maps : dict of (..., h, w) ndarrays
        New values of maps that the image has.
    prototype : int
    values : (..., h, w) ndarray
        The map of that prototype, which is shown.
    """
    follow_images(viewer)
    with undisturbed(viewer):
        show_labels(viewer, result, result.segmentation.labels)
        redraw(viewer, result, maps)
        state.prototype = prototype
        state.set_result(result)
        prototype_map(viewer).show(result, prototype, values)
