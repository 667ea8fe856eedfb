"""Regions from GeoJSON: what lies in them, and what they are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.io.batch.regions import read_regions, region_masks


def square(x: float, y: float, side: float) -> list[list[float]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def feature(geometry: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def polygon(*rings: list[list[float]]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": rings}


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
    masks = region_masks(read_regions(path), (10, 12))
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
    assert list(read_regions(path)) == ["1"]


@pytest.mark.parametrize("text", ["", "[]", '{"type": "FeatureCollection"}', '{"type": "Feature"}'])
def test_what_is_no_geojson_is_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.geojson"
    path.write_text(text)
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
    left, right = region_masks(read_regions(path), (6, 12)).values()
    assert left[:, :6].all() and right[:, 6:].all() and not (left & right).any()
