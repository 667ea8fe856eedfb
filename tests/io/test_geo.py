"""What is made from a GeoTIFF lies where the GeoTIFF lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.io.geo import georeference_of
from napari_gaussproto.io.images import nodata_of
from napari_gaussproto.io.ome import read_labels, write_labels, write_maps

DOUBLE, SHORT, ASCII = 12, 3, 2
CLASSES = [SegmentationClass(name=n, color="#112233") for n in ("soil", "plant")]
# ETRS89 / UTM zone 32N, pixels of 2 cm.
SCALE = (33550, DOUBLE, 3, (0.02, 0.02, 0.0), True)
TIE = (33922, DOUBLE, 6, (0.0, 0.0, 0.0, 441000.5, 5712000.25, 0.0), True)
NAME = (34737, ASCII, None, "ETRS89 / UTM zone 32N|", True)


def keys(raster_type: int) -> tuple[Any, ...]:
    found = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, raster_type, 3072, 0, 1, 25832)
    return (34735, SHORT, len(found), found, True)


def geotiff(path: Path, *tags: Any, raster_type: int = 1, shape: Any = (40, 48, 3)) -> Path:
    pixels = np.random.default_rng(0).integers(1, 256, shape, np.uint8)
    tifffile.imwrite(path, pixels, photometric="rgb", extratags=[*tags, keys(raster_type), NAME])
    return path


def position(path: Path, row: float, column: float) -> np.ndarray:
    """Where a corner (row, column) of a raster lies, as GeoTIFF 1.1 says, in x and y."""
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        words = tags[34735].value
        point = any(words[i] == 1025 and words[i + 3] == 2 for i in range(4, len(words), 4))
        i, j = (column - 0.5, row - 0.5) if point else (column, row)
        if 34264 in tags:
            matrix = np.reshape(tags[34264].value, (4, 4))
            return (matrix @ (i, j, 0, 1))[:2]
        (sx, sy, _), tie = tags[33550].value, tags[33922].value
        return np.array([tie[3] + (i - tie[0]) * sx, tie[4] - (j - tie[1]) * sy])


MATRIX = (
    34264, DOUBLE, 16,
    (0.02, 0.001, 0.0, 441000.5, 0.001, -0.02, 0.0, 5712000.25, *(0.0,) * 4, *(0.0,) * 3, 1.0),
    True,
)  # fmt: skip


@pytest.mark.parametrize("raster_type", [1, 2], ids=["area", "point"])
@pytest.mark.parametrize("tags", [(SCALE, TIE), (MATRIX,)], ids=["scale", "matrix"])
@pytest.mark.parametrize("size", [1, 4, 8])
def test_labels_and_maps_lie_where_the_image_lies(
    tmp_path: Path, tags: tuple[Any, ...], raster_type: int, size: int
) -> None:
    path = geotiff(tmp_path / "field.tif", *tags, raster_type=raster_type)
    found = georeference_of(path)
    labels = np.ones((40, 48), np.uint8)
    made = write_labels(tmp_path / "labels.ome.tif", labels, CLASSES, None, found)
    maps = np.zeros((2, 40 // size, 48 // size), np.float32)
    coarse = write_maps(tmp_path / "maps.ome.tif", maps, ["a", "b"], size, found)
    for row, column in ((0, 0), (40, 0), (0, 48), (16, 24)):
        expected = position(path, row, column)
        assert np.allclose(position(made, row, column), expected, rtol=0, atol=1e-6)
        assert np.allclose(position(coarse, row / size, column / size), expected, rtol=0, atol=1e-6)
    for file in (made, coarse):
        with tifffile.TiffFile(file) as opened, tifffile.TiffFile(path) as source:
            for page in opened.pages:
                for code in (34735, 34737):
                    assert page.tags[code].value == source.pages[0].tags[code].value
    read, classes = read_labels(made)
    assert np.array_equal(read, labels) and classes == CLASSES
    assert nodata_of(made) == 0 and nodata_of(coarse) is None


def test_other_files_have_no_place(tmp_path: Path) -> None:
    plain, lying, torn = (tmp_path / name for name in ("plain.tif", "lying.tif", "torn.tif"))
    tifffile.imwrite(plain, np.zeros((4, 5), np.uint8))
    geotiff(lying, SCALE, TIE, (274, SHORT, 1, 6, True))
    torn.write_bytes(geotiff(tmp_path / "whole.tif", SCALE, TIE).read_bytes()[:60])
    for path in (plain, lying, torn, tmp_path / "none.tif", tmp_path / "a.png"):
        assert georeference_of(path) is None
