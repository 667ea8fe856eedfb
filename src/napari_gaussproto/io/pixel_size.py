"""The size of a pixel, where a TIFF says it: OME-TIFF, and GeoTIFF in metres."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_gaussproto.core.imaging.tiff_pages import main_series
from napari_gaussproto.core.measure.units import PixelSize
from napari_gaussproto.io.geo import Georeference, georeference_in
from napari_gaussproto.io.images import is_tiff

_TOLERANCE = 1e-3


def pixel_size_of(path: str | Path) -> PixelSize | None:
    """Size of the square pixels of a TIFF in real units; None where it does not say one.

    Of a GeoTIFF, that of a projected system in metres; degrees are no size.
    """
    path = Path(path)
    try:
        if not is_tiff(path):
            return None
        with tifffile.TiffFile(path) as file:
            if file.ome_metadata is not None:
                return _of_ome(tifffile.xml2dict(file.ome_metadata))
            return _of_place(georeference_in(main_series(file).keyframe.tags))
    except Exception:  # of the TIFF's structure, its XML and its tags; who reads it will say so
        return None


def _of_ome(description: Any) -> PixelSize | None:
    image = description["OME"]["Image"]
    pixels = (image[0] if isinstance(image, list) else image)["Pixels"]
    x, y = float(pixels["PhysicalSizeX"]), float(pixels["PhysicalSizeY"])
    units = {pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis in "XY"}
    return PixelSize.parse(f"{x!r}{units.pop()}") if len(units) == 1 and _square(x, y) else None


def _of_place(place: Georeference | None) -> PixelSize | None:
    sides = None if place is None or not place.is_in_metres else place.pixel_sides
    return PixelSize(sides[0], "m") if sides is not None and _square(*sides) else None


def _square(x: float, y: float) -> bool:
    return bool(np.isclose(x, y, rtol=_TOLERANCE, atol=0))
