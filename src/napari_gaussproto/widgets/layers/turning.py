"""Turn a photograph of the viewer upright, with everything that lies over it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.imaging.orientation import (
    upright_points,
    upright_shape,
)
from napari_gaussproto.core.labels.check import checksum
from napari_gaussproto.io.reader import PHOTOGRAPH
from napari_gaussproto.jobs.upright import Turned, turned
from napari_gaussproto.widgets.layers.class_layers import remove_result
from napari_gaussproto.widgets.layers.placement import pixels_of
from napari_gaussproto.widgets.shared.state import SharedState
from napari_gaussproto.widgets.shared.tags import is_ours
from napari_gaussproto.widgets.shared.workarounds import reset_undo

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer


def turn_photograph(
    viewer: Viewer,
    state: SharedState,
    image: Image,
    orientation: int,
    ready: Turned,
    layers: Sequence[Labels],
    *,
    is_upright: bool,
) -> list[str]:
    """Show a photograph turned, and turn what lies over it; the names of those layers.

    Labels of the same size at the same place turn along, and so do shapes and points, where no
    other photograph is that they could belong to. Maps of its segmentation are removed, for their
    cells do not turn; so are its classes, unless a person painted on them.

    Parameters
    ----------
    ready : Turned
        The pixels after the turn, and labels.
    layers : sequence of Labels
        Whose labels these are, from `labels_over`; what a person painted on since is turned here.
    is_upright : bool
        Whether the photograph is upright then.
    """
    shape = tuple(int(n) for n in pixels_of(image).shape[:2])
    remove_result(viewer, state.forget_result(image))
    labels = labels_over(viewer, image)
    done = {id(layer): made for layer, made in zip(layers, ready.labels, strict=True)}
    drawn = list(_drawn_over(viewer, image))
    corners = [_corners(layer, image, layer_data) for layer, layer_data in drawn]
    image.data = ready.pixels
    known = image.metadata.get(PHOTOGRAPH)
    about = (known if isinstance(known, dict) else {}) | {"upright": is_upright}
    image.metadata = {**image.metadata, PHOTOGRAPH: about}
    _swap_scale(image, orientation)
    for layer in labels:
        before, made = done.get(id(layer), (None, None))
        same = made is not None and checksum(np.asarray(layer.data)) == before
        layer.data = made if same else turned(layer.data, orientation)
        reset_undo(layer)
        _swap_scale(layer, orientation)
    for (layer, _), points in zip(drawn, corners, strict=True):
        _put_back(layer, image, [upright_points(p, orientation, shape) for p in points])
    if upright_shape(shape, orientation) != shape:
        viewer.reset_view()
    return [layer.name for layer in (*labels, *(layer for layer, _ in drawn))]


def labels_over(viewer: Viewer, image: Image) -> list[Labels]:
    """Labels that turn with a photograph: of the same size, at the same place."""
    from napari.layers import Labels

    shape = tuple(int(n) for n in pixels_of(image).shape[:2])
    return [
        layer
        for layer in viewer.layers
        if isinstance(layer, Labels)
        and not layer.multiscale
        and layer.data.shape == shape
        and _same_place(layer, image, shape)
    ]


def _same_place(layer: Layer, image: Image, shape: tuple[int, ...]) -> bool:
    marks = ((0, 0), (shape[0], 0), (0, shape[1]))
    return all(np.allclose(layer.data_to_world(m), image.data_to_world(m)) for m in marks)


def _drawn_over(viewer: Viewer, image: Image) -> Iterator[tuple[Any, list[Any]]]:
    """Shapes and points of a person that lie on this photograph and could lie on no other."""
    from napari.layers import Image, Points, Shapes

    others = [
        layer
        for layer in viewer.layers
        if isinstance(layer, Image) and not is_ours(layer) and layer is not image
    ]
    if any(_overlap(image, other) for other in others):
        return
    for layer in viewer.layers:
        if isinstance(layer, Points | Shapes) and layer.ndim == 2 and not is_ours(layer):
            data = list(layer.data) if isinstance(layer, Shapes) else [np.asarray(layer.data)]
            if sum(map(len, data)):
                yield layer, data


def _overlap(one: Image, other: Image) -> bool:
    (low, high), (least, most) = (layer.extent.world[:, -2:] for layer in (one, other))
    return bool((low < most).all() and (least < high).all())


def _corners(layer: Any, image: Image, data: list[Any]) -> list[npt.NDArray[np.float64]]:
    """Points of a layer in pixels of the photograph."""
    return [
        np.array([image.world_to_data(layer.data_to_world(p)) for p in points], np.float64).reshape(
            -1, 2
        )
        for points in data
    ]


def _put_back(layer: Any, image: Image, corners: list[npt.NDArray[np.float64]]) -> None:
    from napari.layers import Points

    data = [
        np.array([layer.world_to_data(image.data_to_world(p)) for p in points]).reshape(-1, 2)
        for points in corners
    ]
    layer.data = data[0] if isinstance(layer, Points) else data


def _swap_scale(layer: Any, orientation: int) -> None:
    """Rows are as far apart as columns were, where the two are swapped."""
    if upright_shape((0, 1), orientation) == (1, 0):
        layer.scale = (*layer.scale[:-2], layer.scale[-1], layer.scale[-2])
