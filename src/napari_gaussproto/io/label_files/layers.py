"""Label layers of napari to files and back (writers and readers of ``napari.yaml``).

A layer is what napari gives to plugins: data, a dict of its attributes, and its type.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.colors import to_hex

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.imaging.ngff import PIXEL
from napari_gaussproto.core.labels.class_table import MOST_CLASSES, label_colors, label_names
from napari_gaussproto.io.geo import Georeference, georeference_of
from napari_gaussproto.io.label_files.coco import coco_file
from napari_gaussproto.io.label_files.geojson import write_geojson
from napari_gaussproto.io.label_files.label_image import LabelImage, Spacing
from napari_gaussproto.io.label_files.ome_zarr import (
    holds_ome_labels,
    read_ome_zarr,
    write_ome_zarr,
)
from napari_gaussproto.io.label_files.png import write_png
from napari_gaussproto.io.ome import read_label_image, write_labels
from napari_gaussproto.io.ome_images import image_facts, read_ome_image

# What a layer's metadata call the file that its labels came from.
FILE = "labels_file"

_ROTATED = (
    "The layer is rotated or sheared, which a file of labels cannot say: it was saved as it lies, "
    "and has to be turned again when it is opened."
)

LayerData = tuple[Any, dict[str, Any], str]


@dataclass(frozen=True)
class _Layer:
    """A label layer, ready to be written."""

    labels: npt.NDArray[Any]
    classes: list[SegmentationClass]
    spacing: Spacing
    georeference: Georeference | None

    @classmethod
    def of(cls, data: Any, about: Mapping[str, Any], most_axes: int = 2) -> _Layer:
        whole = data[0] if about.get("multiscale") else data
        labels = np.asarray(whole)
        if labels.ndim > most_axes:
            kind = "one plane" if most_axes == 2 else f"{most_axes} axes"
            raise LabelError(
                f"The layer has {labels.ndim} axes, and this format holds {kind}: save it as "
                "OME-TIFF or OME-Zarr, or a plane of it."
            )
        largest = int(labels.max(initial=0))
        if labels.min(initial=0) < 0 or largest > np.iinfo(np.uint16).max:
            raise LabelError(
                "Labels are whole numbers from 0 to 65535 in these formats: number them anew."
            )
        labels = labels.astype(np.uint8 if largest <= np.iinfo(np.uint8).max else np.uint16)
        spacing = _spacing(about, labels.ndim)
        file = (about.get("metadata") or {}).get(FILE)
        place = None if file is None else georeference_of(file)
        return cls(labels, _classes(largest, about), spacing, place)


def _spacing(about: Mapping[str, Any], ndim: int) -> Spacing:
    """Where a layer lies, which may be moved and scaled by a matrix, too.

    That it is rotated or sheared is said: there are no words for that in files of labels.
    """
    linear, origin = _matrix(about, ndim)
    steps = np.diagonal(linear)
    if not np.allclose(linear, np.diag(steps), atol=1e-6 * np.abs(linear).max()):
        warnings.warn(_ROTATED, stacklevel=4)
        steps = np.array(about.get("scale") or (1.0,) * ndim)
    units = tuple(str(unit) for unit in about.get("units") or (PIXEL,) * ndim)
    return Spacing(tuple(steps.tolist()), units, tuple(origin.tolist()))


def _matrix(about: Mapping[str, Any], ndim: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """From elements to the world as napari places a layer: (D, D), and what is added (D,)."""

    def square(name: str, side: int) -> npt.NDArray[Any]:
        found = about.get(name)
        return np.eye(side) if found is None else np.asarray(found, float)

    shear = square("shear", ndim)
    if shear.ndim == 1:  # napari's short form: what is above the diagonal, row by row
        above, shear = shear, np.eye(ndim)
        shear[np.triu_indices(ndim, 1)] = above
    own = square("rotate", ndim) @ shear @ np.diag(about.get("scale") or (1.0,) * ndim)
    moved = np.asarray(about.get("translate") or (0.0,) * ndim, float)
    affine = square("affine", ndim + 1)
    return affine[:-1, :-1] @ own, affine[:-1, :-1] @ moved + affine[:-1, -1]


def _classes(largest: int, about: Mapping[str, Any]) -> list[SegmentationClass]:
    """Names and colours as the layer has them; none where it has more values than classes."""
    known = (about.get("metadata") or {}).get("classes")
    if known and largest <= len(known):
        return [SegmentationClass.model_validate(entry) for entry in known]
    if largest > MOST_CLASSES:
        return []
    names = _names(about.get("features"))
    values = range(1, max([largest, *names]) + 1)
    colours = about["colormap"].map(np.array(values)) if len(values) else []
    return [
        SegmentationClass(name=names.get(value, f"label {value}"), color=to_hex(colour[:3]))
        for value, colour in zip(values, colours, strict=True)
    ]


def _names(features: Any) -> dict[int, str]:
    """Names by value, of a table that has a column for them, as napari's status bar reads it."""
    if features is None or "class" not in features:
        return {}
    found = zip(features.get("index", features.index), features["class"], strict=True)
    return {int(v): str(name) for v, name in found if 0 < int(v) <= MOST_CLASSES and str(name)}


def write_layer_as_tiff(path: str, data: Any, about: dict[str, Any]) -> list[str]:
    """Write a label layer as OME-TIFF.

    Raises
    ------
    LabelError
        When the format cannot hold it.
    """
    layer = _Layer.of(data, about, most_axes=4)
    write_labels(path, layer.labels, layer.classes, None, layer.georeference, layer.spacing)
    return [path]


def write_layer_as_zarr(path: str, data: Any, about: dict[str, Any]) -> list[str]:
    """Write a label layer as OME-Zarr.

    Raises
    ------
    LabelError
        When the format cannot hold it.
    """
    layer = _Layer.of(data, about, most_axes=4)
    write_ome_zarr(Path(path), layer.labels, layer.classes, layer.spacing)
    return [path]


def write_layer_as_png(path: str, data: Any, about: dict[str, Any]) -> list[str]:
    """Write a label layer as a PNG whose palette has the colours.

    Raises
    ------
    LabelError
        When the format cannot hold it.
    """
    layer = _Layer.of(data, about)
    write_png(Path(path), layer.labels, layer.classes)
    return [path]


def write_layer_as_coco(path: str, data: Any, about: dict[str, Any]) -> list[str]:
    """Write the pieces of a label layer as a COCO file of one image, called as the layer.

    Raises
    ------
    LabelError
        When the format cannot hold it.
    """
    layer = _Layer.of(data, about)
    classes = layer.classes or [
        SegmentationClass(name=f"label {value}", color="#7f7f7f")
        for value in range(1, int(layer.labels.max(initial=0)) + 1)
    ]
    with coco_file(Path(path), classes) as file:
        file.add(str(about.get("name") or Path(path).stem), layer.labels)
    return [path]


def write_layer_as_geojson(path: str, data: Any, about: dict[str, Any]) -> list[str]:
    """Write the pieces of a label layer as polygons; of labels of a GeoTIFF in the world.

    Raises
    ------
    LabelError
        When the format cannot hold it.
    """
    layer = _Layer.of(data, about)
    write_geojson(Path(path), layer.labels, layer.classes, layer.georeference)
    return [path]


def get_zarr_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """What reads an OME-Zarr of labels or of an image; None for other folders."""
    if not isinstance(path, str):
        return None
    if holds_ome_labels(Path(path)):
        return lambda given: [layer_of(given, read_ome_zarr(Path(given)))]
    return None if image_facts(Path(path)) is None else read_ome_image


def read_tiff_layer(path: str) -> LayerData:
    """Labels of `write_labels` as a layer.

    Raises
    ------
    ImageError
        When the file is damaged.
    """
    return layer_of(path, read_label_image(path))


def layer_of(path: str, found: LabelImage) -> LayerData:
    """A label layer of napari, with names and colours where the file has them."""
    about: dict[str, Any] = {
        "name": Path(path).name.split(".")[0],
        "scale": found.spacing.steps,
        "units": found.spacing.units,
        "metadata": {FILE: str(Path(path).absolute())},
    }
    if any(found.spacing.origin):
        about["translate"] = found.spacing.origin
    if found.levels:
        about["multiscale"] = True
    if found.classes:
        about["colormap"] = label_colors(found.classes)
        about["features"] = label_names(found.classes)
        about["metadata"]["classes"] = [entry.model_dump() for entry in found.classes]
    return found.levels or found.values, about, "labels"
