"""Polygons of COCO and GeoJSON hold just the pixels they were made of, as others read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.io.batch.regions import read_regions, region_mask, region_masks
from napari_gaussproto.io.geo import Georeference, georeference_of
from napari_gaussproto.io.label_files.coco import coco_file
from napari_gaussproto.io.label_files.geojson import write_geojson
from napari_gaussproto.io.label_files.pieces import pieces_of
from napari_gaussproto.io.mask_json import read_outlines
from tests.core.builders import two_tone
from tests.io.test_geo import MATRIX, SCALE, TIE, geotiff, position

CLASSES = [
    SegmentationClass(name="soil", color="#999999"),
    SegmentationClass(name="plant", color="#009e73"),
]
grids = npst.arrays(
    np.uint8, npst.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 2)
)


def ring() -> np.ndarray:
    """A piece with a hole in which lies another one, at the border of the image."""
    labels = np.zeros((30, 40), np.uint8)
    labels[:20, 5:30] = 2
    labels[5:15, 10:25] = 0
    labels[8:12, 14:20] = 1
    labels[29, 39] = 1
    return labels


@settings(max_examples=60)
@given(grids)
def test_pieces_and_their_polygons_are_the_labels(labels: np.ndarray) -> None:
    found = np.zeros_like(labels)
    for piece in pieces_of(labels):
        part = region_mask([[r - 0.5 for r in p] for p in piece.polygons()], labels.shape)
        assert part.mask.sum() == piece.area and not part.of(found).any()
        found[part.window][part.mask] = piece.value
    assert np.array_equal(found, labels)


def test_straight_lines_have_no_points_in_the_middle() -> None:
    labels = np.zeros((50, 60), np.uint8)
    labels[10:40, 20:50] = 1
    [piece] = pieces_of(labels)
    [[outline]] = piece.polygons()
    assert len(outline) == 9  # four corners, cut, and the first point again
    assert outline.min() == 10 and outline.max() == 50


def write_coco(path: Path, images: dict[str, np.ndarray], least_area: int = 1) -> dict:
    with coco_file(path, CLASSES, least_area) as file:
        for name, labels in images.items():
            file.add(name, labels)
    return json.loads(path.read_text("utf-8"))


def test_coco_is_read_as_the_labels_that_were_written(tmp_path: Path) -> None:
    images = {"a/x.jpg": ring(), "b/y.jpg": two_tone(48, 64, 1)[1].astype(np.uint8)}
    content = write_coco(tmp_path / "coco.json", images)
    assert [entry["file_name"] for entry in content["images"]] == list(images)
    assert [(c["id"], c["name"]) for c in content["categories"]] == [(1, "soil"), (2, "plant")]
    for name, labels in images.items():
        found = read_outlines(tmp_path / "coco.json", Path(name).name)
        assert np.array_equal(found.values, labels)
        assert found.names == {1: "soil", 2: "plant"}
    first = [a for a in content["annotations"] if a["image_id"] == 1]
    assert [(a["category_id"], a["area"]) for a in first] == [(2, 350), (1, 24), (1, 1)]
    assert first[0]["bbox"] == [5, 0, 25, 20] and first[0]["segmentation"]["size"] == [30, 40]
    larger = write_coco(tmp_path / "larger.json", images, least_area=24)
    assert sum(a["image_id"] == 1 for a in larger["annotations"]) == 2


def test_coco_is_read_by_its_own_library(tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    labels = two_tone(48, 64, 1)[1].astype(np.uint8)
    labels[10:20, 10:20] = 2
    write_coco(tmp_path / "coco.json", {"x.jpg": labels})
    read = coco.COCO(str(tmp_path / "coco.json"))
    found = np.zeros_like(labels)
    for annotation in read.loadAnns(read.getAnnIds()):
        found[read.annToMask(annotation) == 1] = annotation["category_id"]
    # It draws polygons on a grid of its own, so that pixels at an outline may differ.
    assert (found == labels).mean() > 0.95


def test_geojson_without_a_place_is_in_pixels_as_regions_are(tmp_path: Path) -> None:
    write_geojson(tmp_path / "x.geojson", ring(), CLASSES)
    content = json.loads((tmp_path / "x.geojson").read_text("utf-8"))
    assert "crs" not in content
    about = [feature["properties"] for feature in content["features"]]
    assert about[0] == {"class": "plant", "label": 2, "area_px": 350, "fill": "#009e73"}
    assert np.array_equal(taken_back(tmp_path / "x.geojson", (30, 40)), ring())


def taken_back(path: Path, shape: tuple[int, int], image: Path | None = None) -> np.ndarray:
    """Labels (H, W) of the pieces in a file, by what is measured in its regions."""
    features = json.loads(path.read_text("utf-8"))["features"]
    regions = read_regions(path).in_pixels(None if image is None else georeference_of(image))
    found = np.zeros(shape, np.uint8)
    for number, region in region_masks(regions, shape).items():
        found[region.window][region.mask] = features[int(number) - 1]["properties"]["label"]
    return found


@pytest.mark.parametrize("raster_type", [1, 2], ids=["area", "point"])
@pytest.mark.parametrize("tags", [(SCALE, TIE), (MATRIX,)], ids=["scale", "matrix"])
def test_geojson_of_a_geotiff_lies_where_the_image_lies(
    tmp_path: Path, tags: tuple[Any, ...], raster_type: int
) -> None:
    path = geotiff(tmp_path / "x.tif", *tags, raster_type=raster_type)
    labels = np.zeros((40, 48), np.uint8)
    labels[10:20, 5:30] = 2
    labels[12:15, 8:12] = 0
    write_geojson(tmp_path / "x.geojson", labels, CLASSES, georeference_of(path))
    content = json.loads((tmp_path / "x.geojson").read_text("utf-8"))
    assert content["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::25832"
    [feature] = content["features"]
    outline, hole = (np.array(ring) for ring in feature["geometry"]["coordinates"])
    # The corners of the rectangle are cut by half a pixel.
    for corner in ((10, 5.5), (10, 29.5), (20, 5.5), (19.5, 30), (10.5, 5)):
        assert np.abs(outline - position(path, *corner)).sum(1).min() < 1e-6
    assert area_of(outline) > 0 > area_of(hole)  # as RFC 7946 wants them to turn
    assert np.array_equal(taken_back(tmp_path / "x.geojson", labels.shape, path), labels)
    features = pytest.importorskip("rasterio.features", reason="rasterio is not installed")
    with features.rasterio.open(path) as file:
        transform = file.transform
    assert np.array_equal(
        features.rasterize([(feature["geometry"], 2)], labels.shape, transform=transform), labels
    )


def area_of(ring: np.ndarray) -> float:
    """Area of a ring (N, 2), which is negative where it turns from y to x."""
    x, y = (ring - ring[0]).T
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2)


def test_a_system_of_ones_own_and_single_points_have_no_number(tmp_path: Path) -> None:
    assert Georeference({34735: (3, (1, 1, 0, 1, 3072, 0, 1, 32767))}).epsg is None
    assert Georeference({33922: (12, (0.0,) * 12)}).matrix() is None
