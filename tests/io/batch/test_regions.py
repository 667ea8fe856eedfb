"""Regions from GeoJSON: what lies in them, and what they are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.io.batch.regions import read_regions, region_masks
from napari_gaussproto.io.geo import Georeference


def square(x: float, y: float, side: float) -> list[list[float]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def feature(geometry: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def polygon(*rings: list[list[float]]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": rings}


def masks_of(path: Path, shape: tuple[int, int], place: Georeference | None = None) -> Any:
    """Masks (H, W) of the regions of a file by name."""
    masks = {}
    for name, region in region_masks(read_regions(path).in_pixels(place), shape).items():
        masks[name] = np.zeros(shape, np.bool_)
        masks[name][region.window] = region.mask
    return masks


def test_polygons_with_holes_and_several_parts_are_masks(tmp_path: Path) -> None:
    path = tmp_path / "plots.geojson"
    parts = [[square(0, 0, 2)], [square(8, 4, 2)]]
    features = [
        feature(polygon(square(2, 2, 6), square(4, 4, 2)), name="ring"),
        feature({"type": "MultiPolygon", "coordinates": parts}, id=7),
        feature({"type": "Point", "coordinates": [0, 0]}, name="a point"),
        feature(polygon(square(20, 20, 5))),
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    masks = masks_of(path, (10, 12))
    assert list(masks) == ["ring", "7", "4"]
    expected = np.zeros((10, 12), np.bool_)
    expected[2:8, 2:8] = True
    expected[4:6, 4:6] = False
    assert np.array_equal(masks["ring"], expected)
    expected[:] = False
    expected[0:2, 0:2] = expected[4:6, 8:10] = True
    assert np.array_equal(masks["7"], expected)
    assert not masks["4"].any()  # beyond the image


def test_a_geometry_alone_is_a_region(tmp_path: Path) -> None:
    path = tmp_path / "one.geojson"
    path.write_text(json.dumps(polygon(square(0, 0, 3))))
    assert list(read_regions(path).polygons) == ["1"]


@pytest.mark.parametrize("text", ["", "[]", '{"type": "FeatureCollection"}', '{"type": "Feature"}'])
def test_what_is_no_geojson_is_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.geojson"
    path.write_text(text)
    with pytest.raises(ConfigError, match="could not be read as GeoJSON"):
        read_regions(path)
    path.write_text(json.dumps(polygon([])))
    with pytest.raises(ConfigError, match="could not be read as GeoJSON"):
        read_regions(path)
    path.write_text(json.dumps({"type": "Point", "coordinates": [0, 0]}))
    with pytest.raises(ConfigError, match="holds no polygon"):
        read_regions(path)
    with pytest.raises(ConfigError, match="could not be read"):
        read_regions(tmp_path / "none.geojson")


def test_neighbours_share_no_pixel(tmp_path: Path) -> None:
    path = tmp_path / "halves.geojson"
    halves = [feature(polygon(square(x, 0, 6)), name=str(x)) for x in (0, 6)]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": halves}))
    left, right = masks_of(path, (6, 12)).values()
    assert left[:, :6].all() and right[:, 6:].all() and not (left & right).any()


def test_a_mask_is_no_larger_than_its_region(tmp_path: Path) -> None:
    path = tmp_path / "plots.geojson"
    parts = {"type": "MultiPolygon", "coordinates": [[square(5, 4, 6)], [square(20, 1, 2)], []]}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature(parts)]}))
    regions = read_regions(path).in_pixels()
    assert region_masks(regions, (10_000, 10_000))["1"].mask.shape == (9, 17)
    # Of a window, what lies in it.
    assert region_masks(regions, (9, 9), (6, 2))["1"].mask.shape == (4, 6)


def test_an_island_in_a_hole_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "lake.geojson"
    parts = [[square(4, 4, 2)], [square(0, 0, 10), square(2, 2, 6)]]
    path.write_text(json.dumps({"type": "MultiPolygon", "coordinates": parts}))
    assert masks_of(path, (10, 10))["1"].sum() == 100 - 36 + 4


@pytest.mark.parametrize(
    "empty", [polygon(), {"type": "MultiPolygon", "coordinates": [[], []]}, None]
)
def test_what_has_no_outline_is_no_region(tmp_path: Path, empty: Any) -> None:
    path = tmp_path / "plots.geojson"
    features = [feature(empty), feature(polygon(square(0, 0, 2)))]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), "utf-8-sig")
    assert list(read_regions(path).polygons) == ["2"]


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"type": "Polygon", "coordinates": [[[NaN, 1]]]}']
)
def test_odd_files_are_sentences(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.geojson").write_text(text)
    with pytest.raises(ConfigError, match="give a file of polygons"):
        read_regions(tmp_path / "x.geojson")


# A pixel is half a unit wide, and the first begins at 600, 5000.
def place(*keys: int) -> Georeference:
    known = (1, 1, 0, len(keys) // 4, *keys)
    scale, tie = (0.5, 0.5, 0.0), (0.0, 0.0, 0.0, 600.0, 5000.0, 0.0)
    return Georeference({33550: (12, scale), 33922: (12, tie), 34735: (3, known)})


UTM, DEGREES, OWN = (
    place(*keys) for keys in ((3072, 0, 1, 32632), (2048, 0, 1, 4326), (3072, 0, 1, 32767))
)


def named(path: Path, crs: Any) -> Path:
    corners = square(601, 4997, 2)  # four pixels wide, two from the left and from the top
    path.write_text(json.dumps({**polygon(corners), "crs": crs}))
    return path


def name(text: str) -> dict[str, Any]:
    return {"type": "name", "properties": {"name": text}}


@pytest.mark.parametrize(
    ("crs", "where"),
    [
        (name("urn:ogc:def:crs:EPSG::32632"), UTM),
        (name("urn:ogc:def:crs:EPSG:10.2:32632"), UTM),
        (name("EPSG:32632"), UTM),
        (name("http://www.opengis.net/def/crs/EPSG/0/32632"), UTM),
        (name("urn:ogc:def:crs:OGC:1.3:CRS84"), DEGREES),
        (None, OWN),
    ],
)
def test_regions_in_the_world_find_their_place(
    tmp_path: Path, crs: Any, where: Georeference
) -> None:
    expected = np.zeros((10, 12), np.bool_)
    expected[2:6, 2:6] = True
    masks = masks_of(named(tmp_path / "x.geojson", crs), (10, 12), where)
    assert np.array_equal(masks["1"], expected)


@pytest.mark.parametrize(
    ("crs", "where", "sentence"),
    [
        (name("EPSG:32632"), None, "are in EPSG:32632, and the image does not say where it lies"),
        (name("EPSG:32633"), UTM, "are in EPSG:32633, and the image is in EPSG:32632"),
        (name("EPSG:32632"), OWN, "and the image is in one of its own"),
        (name("a field"), UTM, "are in a field, and the image is in EPSG:32632"),
        (None, UTM, "are in a system without a name, and the image is in EPSG:32632"),
        (None, None, "and the image does not say"),
        (name("EPSG:32632"), Georeference({33922: (12, (0.0,) * 12)}), "does not say"),
    ],
)
def test_regions_of_another_system_are_refused(
    tmp_path: Path, crs: Any, where: Georeference | None, sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        masks_of(named(tmp_path / "x.geojson", crs), (10, 12), where)
