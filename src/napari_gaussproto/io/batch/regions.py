"""Regions of interest, such as the plots of a trial, from GeoJSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.draw import polygon2mask

from napari_gaussproto.core.base.errors import ConfigError

Ring = npt.NDArray[np.float64]
# The outline of each of its parts, then the outlines of holes.
Polygons = list[list[Ring]]


def read_regions(path: Path) -> dict[str, Polygons]:
    """Polygons of a GeoJSON file by name, in pixels: x to the right, y down.

    0 is the centre of the first pixel, as in napari. A region is called by its property "name", or
    "id", or else by its number; polygons of one name are one region. An outline is (N, 2): x, y.

    Raises
    ------
    ConfigError
        When the file cannot be read or holds no polygon.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        regions: dict[str, Polygons] = {}
        for number, feature in enumerate(_features(found), start=1):
            name = _name(feature, number)
            regions.setdefault(name, []).extend(_polygons(feature["geometry"]))
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ConfigError(
            f"“{path}” could not be read as GeoJSON ({error}): give a file of polygons."
        ) from error
    regions = {name: polygons for name, polygons in regions.items() if polygons}
    if not regions:
        raise ConfigError(f"“{path}” holds no polygon: draw the regions as polygons.")
    return regions


def region_masks(
    regions: Mapping[str, Polygons], shape: tuple[int, int], origin: tuple[int, int] = (0, 0)
) -> dict[str, npt.NDArray[np.bool_]]:
    """Which pixels (H, W) lie in each region, as masks by name.

    They are those of an image, or of a window of it that begins at ``origin``, y and x.
    """
    return {name: polygons_mask(polygons, shape, origin) for name, polygons in regions.items()}


def polygons_mask(
    polygons: Sequence[Sequence[Ring]], shape: tuple[int, int], origin: tuple[int, int] = (0, 0)
) -> Any:
    """Pixels (H, W) of bool whose centres lie in a region; see `region_masks`."""
    mask = np.zeros(shape, np.bool_)
    for rings in polygons:
        outline, *holes = (ring[:, ::-1] - origin for ring in rings)
        if (outline.max(0) < 0).any() or (outline.min(0) > shape).any():
            continue
        part = polygon2mask(shape, outline)
        for hole in holes:
            part &= ~polygon2mask(shape, hole)
        mask |= part
    return mask


def ellipse_outline(corners: npt.NDArray[Any]) -> Ring:
    """Outline (64, 2) of the ellipse inside a rectangle of four corners (4, 2), in their order."""
    along, across = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)[:, None]
    return corners.mean(0) + np.cos(angle) * along + np.sin(angle) * across


def _features(found: Any) -> list[Any]:
    if found["type"] == "FeatureCollection":
        return list(found["features"])
    return [found if found["type"] == "Feature" else {"geometry": found}]


def _name(feature: Any, number: int) -> str:
    properties = feature.get("properties") or {}
    known = (properties.get("name"), properties.get("id"), feature.get("id"))
    return next((str(value) for value in known if value not in (None, "")), str(number))


def _polygons(geometry: Any) -> Polygons:
    """Of a polygon or several; none of points and lines."""
    kind = geometry["type"]
    parts = {"Polygon": lambda c: [c], "MultiPolygon": list}.get(kind, lambda c: [])(
        geometry.get("coordinates")
    )
    # There the corner of the first pixel is 0, and here its centre; so neighbours that share an
    # edge share no pixel.
    return [[np.array(ring, float)[:, :2] - 0.5 for ring in part] for part in parts]
