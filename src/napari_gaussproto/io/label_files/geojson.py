"""Pieces of label images as polygons of GeoJSON, in world coordinates where they are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.atomic import write_bytes_atomically
from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.io.geo import Georeference
from napari_gaussproto.io.label_files.pieces import Piece, Ring, pieces_of


def write_geojson(
    path: Path,
    labels: npt.NDArray[Any],
    classes: Sequence[SegmentationClass],
    georeference: Georeference | None = None,
    least_area: int = 1,
) -> None:
    """Write a feature for each piece of labels (H, W).

    Coordinates are those of the reference system of the image. Without one they are pixels, x to
    the right and y down, and 0 is the corner of the first pixel. The system is named as GeoJSON of
    2008 did (member "crs"), which GDAL and QGIS read; RFC 7946 has degrees of WGS 84 only. One
    without a number at EPSG is null there, which stands for a system that cannot be named.
    """
    matrix = None if georeference is None else georeference.matrix()
    features = [_feature(piece, classes, matrix) for piece in pieces_of(labels, least_area)]
    content: dict[str, Any] = {"type": "FeatureCollection", "name": path.name.split(".")[0]}
    if georeference is not None and matrix is not None:
        code = georeference.epsg
        name = {"name": f"urn:ogc:def:crs:EPSG::{code}"}
        content["crs"] = None if code is None else {"type": "name", "properties": name}
    content["features"] = features
    write_bytes_atomically(path, json.dumps(content, separators=(",", ":")).encode())


def _feature(
    piece: Piece, classes: Sequence[SegmentationClass], matrix: npt.NDArray[np.float64] | None
) -> dict[str, Any]:
    known = piece.value <= len(classes)
    entry = classes[piece.value - 1] if known else None
    polygons = [[_placed(ring, matrix) for ring in part] for part in piece.polygons()]
    one = len(polygons) == 1
    return {
        "type": "Feature",
        "properties": {
            "class": f"label {piece.value}" if entry is None else entry.name,
            "label": piece.value,
            "area_px": piece.area,
            **({} if entry is None else {"fill": entry.color}),
        },
        "geometry": {
            "type": "Polygon" if one else "MultiPolygon",
            "coordinates": polygons[0] if one else polygons,
        },
    }


def _placed(ring: Ring, matrix: npt.NDArray[np.float64] | None) -> list[list[float]]:
    """Points (N, 2) in the world; where its y goes up, in the other order, as RFC 7946 wants it."""
    if matrix is None:
        return ring.tolist()  # type: ignore[no-any-return]
    points = ring @ matrix[:, :2].T + matrix[:, 2]
    placed = points[::-1] if np.linalg.det(matrix[:, :2]) < 0 else points
    return placed.tolist()  # type: ignore[no-any-return]
