"""Where a GeoTIFF lies on the earth: its tags, for the files that are made from it.

The tags are copied as they are, so every reference system is kept without a library that would
have to know it; only the size of a pixel is changed where an element is several pixels wide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_gaussproto.core.imaging.orientation import UPRIGHT
from napari_gaussproto.core.imaging.tiff_pages import NODATA_TAG, main_series, orientation_in
from napari_gaussproto.io.images import is_tiff

# OGC GeoTIFF 1.1, annex B: size of a pixel, points that are known, a matrix; keys of the system.
_PIXEL_SCALE, _TIE_POINTS, _MATRIX = 33550, 33922, 34264
_KEYS, _DOUBLES, _TEXTS = 34735, 34736, 34737
_PLACES = (_PIXEL_SCALE, _TIE_POINTS, _MATRIX)
# The key that says what a pixel's position is: of its corner, or of its centre.
_RASTER_TYPE, _OF_CENTRE = 1025, 2
# Keys of the kind of a system, which may be projected, and of its unit, which may be the metre.
_KIND, _IS_PROJECTED, _UNIT, _METRE = 1024, 1, 3076, 9001
# Numbers at EPSG of systems in metres: UTM by WGS 84 and by ETRS89.
_IN_METRES = (range(32601, 32661), range(32701, 32761), range(25828, 25839))
# Keys with the EPSG code of a system, projected or of degrees; this one is nobody's.
_PROJECTED, _GEOGRAPHIC, _OWN = 3072, 2048, 32767

# How far the sides of a pixel may be from a right angle, as a share of its area.
_SKEW = 1e-3

ExtraTag = tuple[int, int, int | None, Any, bool]


@dataclass(frozen=True)
class Georeference:
    """The tags of a GeoTIFF that say where it lies.

    Attributes
    ----------
    tags : mapping of int to (int, tuple or str)
        By their code: TIFF's number of the type, and the values.
    """

    tags: Mapping[int, tuple[int, Any]]

    @classmethod
    def from_json(cls, tags: Mapping[int, tuple[int, Any]] | None) -> Georeference | None:
        """From tags that were in a JSON file, which knows no tuples; None without any."""
        if tags is None:
            return None
        return cls({c: (k, tuple(v) if isinstance(v, list) else v) for c, (k, v) in tags.items()})

    def extra_tags(self, pixel_size: int = 1, nodata: str | None = None) -> list[ExtraTag]:
        """The tags as tifffile writes them, for an array over the same image.

        Parameters
        ----------
        pixel_size : int
            Pixels of the image along the side of an element of the array.
        nodata : str, optional
            Value of elements without data.
        """
        placed = {
            code: (kind, self._scaled(code, values, pixel_size))
            for code, (kind, values) in self.tags.items()
        }
        if nodata is not None:
            placed[NODATA_TAG] = (int(tifffile.DATATYPE.ASCII), nodata)
        return [
            # Written for every page: programs open each channel by itself.
            (code, kind, None if isinstance(values, str) else len(values), values, False)
            for code, (kind, values) in sorted(placed.items())
        ]

    def _scaled(self, code: int, values: Any, size: int) -> Any:
        if code not in _PLACES or size == 1:
            return values
        # The centre of an element lies this much further than that of its first pixel.
        shift = (size - 1) / 2 if self._of_centre else 0.0
        if code == _PIXEL_SCALE:
            return (values[0] * size, values[1] * size, *values[2:])
        if code == _MATRIX:
            rows = [values[4 * row : 4 * row + 4] for row in range(4)]
            moved = [(a * size, b * size, c, d + shift * (a + b)) for a, b, c, d in rows[:3]]
            return (*(value for row in moved for value in row), *rows[3])
        points = [values[start : start + 6] for start in range(0, len(values), 6)]
        moved_points = [((p[0] - shift) / size, (p[1] - shift) / size, *p[2:]) for p in points]
        return tuple(value for point in moved_points for value in point)

    def matrix(self) -> npt.NDArray[np.float64] | None:
        """From pixels (x, y), where 0 is the corner of the first, to the world: (2, 3), or None.

        The last column is added. None where only single points are known.
        """
        if _MATRIX in self.tags:
            rows = np.reshape(self.tags[_MATRIX][1], (4, 4))[:2]
            found = rows[:, [0, 1, 3]].astype(np.float64)
        elif _PIXEL_SCALE in self.tags and _TIE_POINTS in self.tags:
            width, height = self.tags[_PIXEL_SCALE][1][:2]
            column, row, _, x, y, _ = self.tags[_TIE_POINTS][1][:6]
            found = np.array(
                [[width, 0.0, x - column * width], [0.0, -height, y + row * height]], np.float64
            )
        else:
            return None
        if self._of_centre:
            found[:, 2] -= found[:, :2].sum(1) / 2
        return found

    @property
    def pixel_sides(self) -> tuple[float, float] | None:
        """Width and height of a pixel in the unit of the system; None where they are not known."""
        if _PIXEL_SCALE in self.tags:
            width, height = self.tags[_PIXEL_SCALE][1][:2]
            return float(width), float(height)
        matrix = self.matrix()
        if matrix is None or abs(matrix[:, 0] @ matrix[:, 1]) > _SKEW * abs(_area(matrix)):
            return None  # pixels that are no rectangles
        width, height = np.hypot(*matrix[:, :2])
        return float(width), float(height)

    @property
    def is_in_metres(self) -> bool:
        """Whether the system is projected, and known to be in metres."""
        keys = self._keys
        if keys.get(_KIND) != _IS_PROJECTED:
            return False
        if _UNIT in keys:
            return keys[_UNIT] == _METRE
        return any((self.epsg or 0) in numbers for numbers in _IN_METRES)

    @property
    def epsg(self) -> int | None:
        """Number of the reference system at EPSG; None where the file has its own."""
        code = self._keys.get(_PROJECTED, self._keys.get(_GEOGRAPHIC, _OWN))
        return None if code == _OWN else code

    @property
    def _of_centre(self) -> bool:
        return self._keys.get(_RASTER_TYPE) == _OF_CENTRE

    @property
    def _keys(self) -> dict[int, int]:
        """Keys whose values stand beside them, and not in another tag."""
        keys = self.tags.get(_KEYS, (0, ()))[1]
        entries = (keys[start : start + 4] for start in range(4, len(keys), 4))
        return {int(entry[0]): int(entry[3]) for entry in entries if not entry[1]}


def _area(matrix: npt.NDArray[np.float64]) -> float:
    return float(np.linalg.det(matrix[:, :2]))


def georeference_of(path: str | Path) -> Georeference | None:
    """Where a GeoTIFF lies on the earth; None for other files, and if it cannot be read."""
    path = Path(path)
    try:
        if not is_tiff(path):
            return None
        with tifffile.TiffFile(path) as file:
            tags = main_series(file).keyframe.tags
            # Of an image that is turned upright they hold no more.
            return georeference_in(tags) if orientation_in(tags) == UPRIGHT else None
    except Exception:  # tifffile raises many types for a cut file; who reads it will say so
        return None


def georeference_in(tags: Any) -> Georeference | None:
    """What the tags of a page, as tifffile has them, say of its pixels as they are stored."""
    found = {
        code: (int(tags[code].dtype), tags[code].value)
        for code in (*_PLACES, _KEYS, _DOUBLES, _TEXTS)
        if code in tags
    }
    return Georeference(found) if any(code in found for code in _PLACES) else None
