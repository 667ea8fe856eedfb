"""Shapes that a person drew, as regions of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_gaussproto.io.batch.regions import Polygons, ellipse_outline

if TYPE_CHECKING:
    from napari.layers import Image, Shapes

_CLOSED = ("polygon", "rectangle", "ellipse")


def regions_of(shapes: Shapes, image: Image) -> dict[str, Polygons]:
    """Polygons, rectangles and ellipses of a layer by name, in pixels of an image: x, y.

    They are called by the feature "name" of the layer, or else by their number. An outline is
    (N, 2); see `Regions.in_pixels`.
    """
    names = shapes.features.get("name")
    regions: dict[str, Polygons] = {}
    for number, (kind, vertices) in enumerate(zip(shapes.shape_type, shapes.data, strict=True)):
        if kind in _CLOSED:
            outline = _in_pixels(shapes, image, np.asarray(vertices))
            outline = ellipse_outline(outline) if kind == "ellipse" else outline
            given = "" if names is None else str(names.iloc[number]).strip()
            regions.setdefault(given or str(number + 1), []).append([outline])
    return regions


def size_of(image: Image) -> str:
    """Side of a pixel of a layer with real units, such as "0.5mm"; "" of one without."""
    (y, x), units = image.scale[-2:], image.units[-2:]
    real = units[0] == units[1] and units[0].is_compatible_with("meter")
    return f"{float(x):g}{units[0]:~}" if real and x == y else ""


def _in_pixels(
    shapes: Shapes, image: Image, vertices: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Vertices (N, D) of a layer as x and y in an image, (N, 2)."""
    worlds = np.array([shapes.data_to_world(vertex) for vertex in vertices])
    missing = max(0, image.ndim - worlds.shape[1])
    worlds = np.pad(worlds, ((0, 0), (missing, 0)))[:, -image.ndim :]
    places = np.array([image.world_to_data(world) for world in worlds])
    return places[:, [-1, -2]]
