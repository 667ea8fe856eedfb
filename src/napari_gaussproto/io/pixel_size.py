"""The size of a pixel, where a TIFF says it: OME-TIFF, and GeoTIFF in metres."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.imaging.tiff_pages import main_series
from napari_gaussproto.core.measure.units import PixelSize
from napari_gaussproto.io.images import TIFF_SUFFIXES

# OGC GeoTIFF 1.1: size of a pixel, and the keys of the reference system.
_SCALE, _KEYS = 33550, 34735
# Keys: kind of the system, and unit of lengths; values: projected, and the metre (EPSG 9001).
_KIND, _UNIT, _PROJECTED, _METRE = 1024, 3076, 1, 9001
_TOLERANCE = 1e-3


def pixel_size_of(path: str | Path) -> PixelSize | None:
    """Size of the square pixels of a TIFF in real units; None where it does not say one.

    Of a GeoTIFF, that of a projected system in metres; degrees are no size.
    """
    path = Path(path)
    if path.suffix.lower() not in TIFF_SUFFIXES or not path.is_file():
        return None
    try:
        with tifffile.TiffFile(path) as file:
            if file.ome_metadata is not None:
                return _of_ome(tifffile.xml2dict(file.ome_metadata))
            return _of_tags(main_series(file).keyframe.tags)
    except (ConfigError, OSError, KeyError, ValueError, TypeError, IndexError, AttributeError):
        return None
    except tifffile.TiffFileError:  # who reads it will say what is wrong
        return None


def _of_ome(description: Any) -> PixelSize | None:
    image = description["OME"]["Image"]
    pixels = (image[0] if isinstance(image, list) else image)["Pixels"]
    x, y = float(pixels["PhysicalSizeX"]), float(pixels["PhysicalSizeY"])
    units = {pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis in "XY"}
    return PixelSize.parse(f"{x!r}{units.pop()}") if len(units) == 1 and _square(x, y) else None


def _of_tags(tags: Any) -> PixelSize | None:
    if _SCALE not in tags or _KEYS not in tags:
        return None
    numbers = tags[_KEYS].value
    entries = [numbers[at : at + 4] for at in range(4, len(numbers), 4)]
    keys = {key: value for key, place, _, value in entries if not place}
    x, y = tags[_SCALE].value[:2]
    metres = keys.get(_KIND) == _PROJECTED and keys.get(_UNIT, _METRE) == _METRE
    return PixelSize(float(x), "m") if metres and _square(x, y) else None


def _square(x: float, y: float) -> bool:
    return bool(np.isclose(x, y, rtol=_TOLERANCE, atol=0))
