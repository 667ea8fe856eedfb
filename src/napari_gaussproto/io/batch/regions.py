"""Regions of interest, such as the plots of a trial, from GeoJSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.draw import polygon

from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.measure.regions import RegionMask
from napari_gaussproto.io.geo import Georeference

Ring = npt.NDArray[np.float64]
# The outline of each of its parts, then the outlines of holes.
Polygons = list[list[Ring]]
# What systems are called that stand for degrees of WGS 84, east first: EPSG 4326.
_DEGREES = "CRS84"


@dataclass(frozen=True)
class Regions:
    """Polygons of a file.

    Attributes
    ----------
    path : Path
    polygons : dict of str to list
        By name; an outline is (N, 2), x and y as they stand in the file.
    system : str
        The reference system of these: "EPSG:" and its number, or what the file calls it; "" for
        pixels, where 0 is the corner of the first.
    named : bool
        False where the file says that they are in a system that has no name.
    """

    path: Path
    polygons: dict[str, Polygons]
    system: str = ""
    named: bool = True

    @property
    def need_place(self) -> bool:
        """Whether one has to know where an image lies on the earth to find them in it."""
        return bool(self.system) or not self.named

    def in_pixels(self, place: Georeference | None = None) -> dict[str, Polygons]:
        """Polygons in an image, as lists of (N, 2) rings: x, y, where 0 is the first centre.

        Parameters
        ----------
        place : Georeference, optional
            Where the image lies on the earth.

        Raises
        ------
        ConfigError
            When the image does not say where it lies in the system of the polygons.
        """
        matrix = self._matrix(place) if self.need_place else np.eye(2, 3)
        turned, moved = np.linalg.inv(matrix[:, :2]).T, matrix[:, 2]

        # Pixels whose centres lie inside count, so neighbours that share an edge share no pixel.
        def placed(ring: Ring) -> Ring:
            return (ring - moved) @ turned - 0.5

        return {
            name: [[placed(ring) for ring in part] for part in parts]
            for name, parts in self.polygons.items()
        }

    def _matrix(self, place: Georeference | None) -> npt.NDArray[np.float64]:
        matrix = None if place is None else place.matrix()
        if matrix is not None and not np.linalg.det(matrix[:, :2]):
            matrix = None
        theirs = "" if place is None or place.epsg is None else f"EPSG:{place.epsg}"
        if matrix is not None and theirs == self.system:
            return matrix
        system = self.system or "a system without a name"
        image = (
            "does not say where it lies"
            if matrix is None
            else f"is in {theirs or 'one of its own'}"
        )
        raise ConfigError(
            f"The regions in “{self.path.name}” are in {system}, and the image {image}: give "
            "regions in pixels, or in the system of a GeoTIFF that says where it lies."
        )


def read_regions(path: Path) -> Regions:
    """Polygons of a GeoJSON file by name.

    A region is called by its property "name", or "id", or else by its number; polygons of one
    name are one region. The reference system is that of the member "crs" of GeoJSON of 2008, as
    GDAL and QGIS write it; without one, the polygons are in pixels: x to the right, y down.

    Raises
    ------
    ConfigError
        When the file cannot be read or holds no polygon.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
        regions: dict[str, Polygons] = {}
        for number, feature in enumerate(_features(found), start=1):
            name = _name(feature, number)
            regions.setdefault(name, []).extend(_polygons(feature["geometry"]))
        system = _system(found)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ConfigError(
            f"“{path}” could not be read as GeoJSON ({error}): give a file of polygons."
        ) from error
    except RecursionError as error:
        raise ConfigError(f"“{path}” is nested too deep: give a file of polygons.") from error
    regions = {name: polygons for name, polygons in regions.items() if polygons}
    if not regions:
        raise ConfigError(f"“{path}” holds no polygon: draw the regions as polygons.")
    return Regions(path, regions, system or "", named=system is not None)


def region_masks(
    regions: Mapping[str, Polygons], shape: tuple[int, int], origin: tuple[int, int] = (0, 0)
) -> dict[str, RegionMask]:
    """Which pixels of an image (H, W) lie in each region, by name.

    Parameters
    ----------
    regions : mapping of str to list
        In pixels, where 0 is the centre of the first; see `Regions.in_pixels`.
    shape : tuple of int
        Of the image, or of a window of it.
    origin : tuple of int
        Where that begins, y and x.
    """
    return {name: region_mask(polygons, shape, origin) for name, polygons in regions.items()}


def region_mask(
    polygons: Sequence[Sequence[Ring]], shape: tuple[int, int], origin: tuple[int, int] = (0, 0)
) -> RegionMask:
    """Pixels whose centres lie in a region; see `region_masks`."""
    parts = [_part([ring[:, ::-1] - origin for ring in rings], shape) for rings in polygons]
    parts = [part for part in parts if part.mask.size]
    if len(parts) < 2:
        return parts[0] if parts else RegionMask(np.zeros((0, 0), np.bool_))
    top, left = (min(getattr(part, side) for part in parts) for side in ("top", "left"))
    bottom, right = (max(part.window[axis].stop for part in parts) for axis in (0, 1))
    whole = np.zeros((bottom - top, right - left), np.bool_)
    for part in parts:
        moved = RegionMask(part.mask, part.top - top, part.left - left)
        whole[moved.window] |= part.mask
    return RegionMask(whole, top, left)


def _part(rings: Sequence[Ring], shape: tuple[int, int]) -> RegionMask:
    """An outline (N, 2), y and x, without its holes, in the smallest window of an image."""
    begin = np.clip(np.ceil(rings[0].min(0)), 0, shape).astype(int)
    end = np.clip(np.floor(rings[0].max(0)) + 1, begin, shape).astype(int)
    mask = np.zeros(end - begin, np.bool_)
    for number, ring in enumerate(rings if mask.size else ()):
        mask[polygon(*(ring - begin).T, mask.shape)] = number == 0
    return RegionMask(mask, *begin.tolist())


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


def _system(found: Any) -> str | None:
    """See `Regions.system`; None for a system that has no name."""
    if "crs" not in found:
        return ""
    if found["crs"] is None:
        return None
    name = str(found["crs"]["properties"]["name"])
    if name.endswith(_DEGREES):
        return "EPSG:4326"
    # “EPSG:4326”, “urn:ogc:def:crs:EPSG::4326”, “http://www.opengis.net/def/crs/EPSG/0/4326”
    code = re.search(r"\bEPSG[:/].*?(\d+)$", name, re.IGNORECASE)
    return f"EPSG:{code[1]}" if code else name


def _polygons(geometry: Any) -> Polygons:
    """Of a polygon or several; none of points and lines, and where nothing is drawn."""
    kind = None if geometry is None else geometry["type"]
    if kind not in ("Polygon", "MultiPolygon"):
        return []
    stored = geometry["coordinates"]
    parts = [[_ring(ring) for ring in part] for part in ([stored] if kind == "Polygon" else stored)]
    return [part for part in parts if part]


def _ring(stored: Any) -> Ring:
    ring = np.array(stored, float)[:, :2]
    if ring.shape[1] < 2 or not np.isfinite(ring).all():
        raise ValueError("a place is no number")
    return ring
