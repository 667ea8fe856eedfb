"""Put results into layers that lie exactly over their image, and update them in place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from napari.utils.transforms import Affine
from scipy.linalg import block_diag

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.labels.codes import Snapshot
from napari_gaussproto.core.model.maps import OUTLINES, STACK, MapRole
from napari_gaussproto.jobs.train_image import TrainImage
from napari_gaussproto.widgets.layers.captions import PROTOTYPE_AXIS, captions
from napari_gaussproto.widgets.shared.preferences import PLUGIN, preference
from napari_gaussproto.widgets.shared.state import ImageResult, OnImage
from napari_gaussproto.widgets.shared.tags import (
    WINDOW,
    file_of,
    is_edited,
    tag,
)
from napari_gaussproto.widgets.shared.workarounds import camera_of, canvas_size

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.viewer import Viewer

# What the first axis of a layer may be called that holds channels; the first is how we call it.
CHANNEL_NAMES = ("channel", "channels", "c", "band", "bands", "wavelength")
# Pixels of layers with channels in front, as `pixels_of` gives them, and what they are made of.
_MOVED: WeakKeyDictionary[Any, tuple[Any, Any]] = WeakKeyDictionary()
_MAP_OPACITY = 0.6


def pixels_of(layer: Image) -> Any:
    """The array of an image layer at full resolution, with its channels last; see `has_channels`.

    The same object as long as the layer's data are.
    """
    array = layer.data[0] if layer.multiscale else layer.data
    if layer.rgb or not has_channels(layer):
        return array
    known = _MOVED.get(layer)
    if known is None or known[0] is not array:
        known = _MOVED[layer] = (array, channels_moved(array, 0, -1))
    return known[1]


def has_channels(layer: Image) -> bool:
    """Whether an axis holds the channels of one picture: colours, or the first, if it says so."""
    first = str(layer.axis_labels[0]).lower()
    return bool(layer.rgb) or (layer.ndim == 3 and first in CHANNEL_NAMES)


def channels_moved(array: Any, source: int, destination: int) -> Any:
    """An array with an axis at another place; of one that is stored, nothing is read."""
    if not isinstance(array, np.ndarray):
        import dask.array as da

        return da.moveaxis(da.asarray(array), source, destination)
    return np.moveaxis(array, source, destination)


def train_image(layer: Image, codes: Snapshot | None = None, is_open: bool = True) -> TrainImage:
    """An image layer and what is drawn on it, for a thread.

    Parameters
    ----------
    layer : Image
    codes : Snapshot, optional
        Codes (..., H, W), see `Corrections`.
    is_open : bool
        False when the layer was removed from the viewer.
    """
    area = layer.metadata.get(WINDOW)
    about = (pixels_of(layer), has_channels(layer), codes, layer.name, file_of(layer))
    window = None if area is None else tuple(area)
    return TrainImage(layer.unique_id, *about, is_open, window)


def layer_of(viewer: Viewer, result: OnImage, role: MapRole) -> Any:
    """The layer of a result that has a role, while it is in the viewer; else None."""
    layer = result.maps.get(role)
    return layer if layer is not None and layer in viewer.layers else None


def placement(
    layer: Layer, pixel_size: int = 1, origin: Sequence[int] | None = None, ndim: int | None = None
) -> dict[str, Any]:
    """Arguments that place an array exactly over a layer.

    Parameters
    ----------
    layer : Layer
        The image.
    pixel_size : int
        Pixels of the image along the side of an element of the array, along the last two
        axes. The first element then covers the first ``pixel_size`` pixels, so its centre
        lies ``(pixel_size - 1) / 2`` pixels further than the first pixel's; that offset
        goes through the layer's rotation, shear and scale.
    origin : sequence of int, optional
        Pixel of the image, along the array's axes, where the array starts.
    ndim : int, optional
        Axes of the array, which are the last ones of the image: an image of many channels has
        one in front that its results lack.
    """
    factor, offset = np.ones(layer.ndim), np.zeros(layer.ndim)
    factor[-2:] = pixel_size
    if origin is not None:
        offset[-len(origin) :] = origin
    offset[-2:] += (pixel_size - 1) / 2
    linear = Affine(
        scale=layer.scale, rotate=layer.rotate, shear=layer.shear, ndim=layer.ndim
    ).linear_matrix
    place = {
        "scale": np.asarray(layer.scale) * factor,
        "translate": np.asarray(layer.translate) + linear @ offset,
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine,
        "units": layer.units,
        "axis_labels": layer.axis_labels,
    }
    dropped = 0 if ndim is None else layer.ndim - ndim
    return _of_last_axes(place, dropped) if dropped > 0 else place


def _of_last_axes(place: dict[str, Any], dropped: int) -> dict[str, Any]:
    shear = np.asarray(place["shear"])
    if shear.ndim == 1:  # napari's short form: what is above the diagonal, row by row
        full = np.eye(len(place["scale"]))
        full[np.triu_indices(len(full), 1)] = shear
        shear = full
    last = slice(dropped, None)
    return {
        **{key: place[key][last] for key in ("scale", "translate", "units", "axis_labels")},
        "rotate": np.asarray(place["rotate"])[last, last],
        "shear": shear[last, last],
        "affine": Affine(affine_matrix=np.asarray(place["affine"].affine_matrix)[last, last]),
    }


def plane_in_view(viewer: Viewer, image: Image, leading: Sequence[int]) -> tuple[int, ...]:
    """Indices of the plane that the sliders show, along leading axes of these lengths."""
    point = image.world_to_data(viewer.dims.point)[: len(leading)]
    return tuple(
        min(max(0, round(float(value))), n - 1) for value, n in zip(point, leading, strict=True)
    )


def area_in_view(viewer: Viewer, image: Layer) -> tuple[int, int, int, int]:
    """(y0, x0, y1, x1) in pixels of the part of an image that the canvas shows."""
    corners = _corners_in_view(viewer, image) if image.multiscale else image.corner_pixels[:, -2:]
    (y0, x0), (y1, x1) = np.round(corners).astype(int).tolist()
    return y0, x0, y1 + 1, x1 + 1


def _corners_in_view(viewer: Viewer, image: Layer) -> npt.NDArray[np.float64]:
    """First and last pixel (2, 2) of an image of several resolutions that the canvas shows.

    Its own `corner_pixels` go on to the ends of chunks, and stay while a person zooms in.
    """
    camera, axes = camera_of(viewer), list(viewer.dims.displayed[-2:])
    half = np.array(canvas_size(viewer)) / (2 * camera.zoom)
    point = np.array(viewer.dims.point, float)
    corners = []
    for side in product((-1, 1), repeat=2):
        point[axes] = camera.center[-2:] + half * side
        corners.append(image.world_to_data(point)[-2:])
    last = np.array(image.level_shapes)[0, : image.ndim][-2:] - 1
    return np.clip([np.min(corners, 0), np.max(corners, 0)], 0, last)


@contextmanager
def undisturbed(viewer: Viewer) -> Iterator[None]:
    """Keep the active layer, the camera and the position of the sliders.

    napari makes every new layer the active one, so a person's next stroke would do nothing;
    and the first layer with more axes resets zoom and centre.
    """
    active = viewer.layers.selection.active
    was_edited = active is not None and is_edited(active)
    camera = camera_of(viewer)
    zoom, centre = camera.zoom, camera.center
    point = viewer.dims.point
    yield
    # napari draws again for each of these, also when nothing is changed by it.
    if (camera.zoom, camera.center) != (zoom, centre):
        camera.zoom, camera.center = zoom, centre
    selection = viewer.layers.selection
    # Classes that were put aside meanwhile are no layer to go on with.
    stays = active is not None and active in viewer.layers and is_edited(active) == was_edited
    if stays and selection.active is not active:
        selection.active = active
    steps = viewer.dims.point
    if len(steps) == len(point) and tuple(steps) != tuple(point):
        for axis, value in enumerate(point):
            viewer.dims.set_point(axis, value)


def set_aside(viewer: Viewer, layer: Layer) -> None:
    """Say that a layer shows an earlier result, which is not brought up to date any more.

    It takes the place of one that was set aside before.
    """
    name = f"{layer.name} (earlier run)"
    for other in list(viewer.layers):
        if other.name == name and other.metadata.get(PLUGIN, {}).get("earlier", False):
            viewer.layers.remove(other)
    layer.name = name
    layer.metadata = {**layer.metadata, PLUGIN: layer.metadata.get(PLUGIN, {}) | {"earlier": True}}


def show_map(
    viewer: Viewer,
    result: ImageResult,
    role: MapRole,
    values: npt.NDArray[np.float32],
    name: str,
    *,
    visible: bool,
) -> Layer:
    """Show a map (..., h, w) of cells, in the layer of that role if there is one."""
    if role == STACK:
        return show_stack(viewer, result, values)
    known: Layer | None = layer_of(viewer, result, role)
    if known is not None and known.data.shape == values.shape:
        known.name = name
        return _update_map(viewer, known, result, role, values)
    if known is not None:
        # Its cells have another size now. Nobody would know what a second map in view is.
        set_aside(viewer, known)
        visible, known.visible = known.visible, False
    look = _map_look(result, role) | {"blending": "translucent", "rgb": False}
    layer = result.maps[role] = viewer.add_image(values, name=name, visible=visible, **look)
    layer.colorbar.visible = True
    if result.labels is not None and result.labels in viewer.layers:
        # Strokes stay visible above the map.
        viewer.layers.move(viewer.layers.index(layer), viewer.layers.index(result.labels))
    captions(viewer).follow(layer)
    return layer


def show_stack(viewer: Viewer, result: ImageResult, stack: npt.NDArray[np.float32]) -> Layer:
    """Show the maps of all prototypes of one image, (M, h, w), as one layer with a slider."""
    known: Layer | None = layer_of(viewer, result, STACK)
    if known is not None:
        return _update_map(viewer, known, result, STACK, stack)
    look = _map_look(result, STACK)
    for key, first in (("scale", 1.0), ("translate", 0.0), ("units", "pixel")):
        look[key] = (first, *look[key])
    look["rotate"] = block_diag(1.0, look["rotate"])
    look["shear"] = np.array([0.0, 0.0, result.source.shear[-1]])
    look["affine"] = Affine(affine_matrix=block_diag(1.0, look["affine"].affine_matrix))
    look["axis_labels"] = (PROTOTYPE_AXIS, "y", "x")
    name = f"{result.source.name} – all prototypes"
    layer: Layer = viewer.add_image(stack, name=name, **look)
    layer.colorbar.visible = True
    result.maps[STACK] = layer
    captions(viewer).follow(layer)
    return layer


def _map_look(result: ImageResult, role: MapRole) -> dict[str, Any]:
    return {
        "colormap": preference("colormap"),
        "contrast_limits": (0, 1),
        "opacity": _MAP_OPACITY,
        "metadata": _about(result, role),
        **placement(result.source, result.segmentation.map_pixel_size, ndim=result.ndim),
    }


def _update_map(
    viewer: Viewer,
    layer: Layer,
    result: ImageResult,
    role: MapRole,
    values: npt.NDArray[np.float32],
) -> Layer:
    layer.data = values
    layer.metadata = {**layer.metadata, **_about(result, role)}
    captions(viewer).refresh()
    return layer


def show_outlines(
    viewer: Viewer,
    image: Image,
    known: Layer | None,
    outlines: npt.NDArray[np.bool_],
    name: str,
    origin: Sequence[int] | None = None,
    visible: bool = True,
) -> Layer:
    """Show the borders of cells as thin bright lines over an image, in ``known`` if given.

    A new layer is ``visible`` or not; seen from far, the lines run into each other.

    Parameters
    ----------
    outlines : (..., h, w) ndarray of bool
        As many axes as the image has, without colours.
    """
    place = placement(image, origin=origin, ndim=outlines.ndim)
    lines = outlines.view(np.uint8)
    if known is not None and known in viewer.layers:
        known.data, known.translate, known.name = lines, place["translate"], name
        return known
    layer: Layer = viewer.add_image(
        lines,
        name=name,
        contrast_limits=(0, 1),
        colormap="gray",
        blending="additive",
        opacity=0.45,
        visible=visible,
        rgb=False,
        metadata=tag(OUTLINES),
        **place,
    )
    return layer


def _about(result: ImageResult, role: MapRole) -> dict[str, Any]:
    prototypes = result.segmentation.prototypes if role == STACK else []
    names = {"prototypes": [prototype.name for prototype in prototypes]} if prototypes else {}
    return tag(role, **result.provenance.metadata, **names)


def check_unchanged(viewer: Viewer, layer: Image, pixels: Any) -> None:
    """Make sure that a result still belongs to its layer.

    Parameters
    ----------
    pixels : array-like
        What `pixels_of` gave when the work began.

    Raises
    ------
    ImageError
        When the layer was removed or holds other data now.
    """
    if layer not in viewer.layers:
        raise ImageError(
            "The image was removed while it was segmented: add it again and press Segment."
        )
    if pixels_of(layer) is not pixels:
        raise ImageError("The image changed while it was segmented: press Segment again.")
