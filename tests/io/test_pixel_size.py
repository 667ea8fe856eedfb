"""Sizes of pixels in files: what they say, and what is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_gaussproto.core.measure.units import PixelSize
from napari_gaussproto.io.pixel_size import pixel_size_of

PIXELS = np.zeros((8, 9), np.uint8)


def geo(path: Path, x: float, y: float, *keys: int) -> PixelSize | None:
    entries = [keys[at : at + 2] for at in range(0, len(keys), 2)]
    numbers = [1, 1, 0, len(entries)] + [n for key, value in entries for n in (key, 0, 1, value)]
    tags = [(33550, "d", 3, (x, y, 0.0), True), (34735, "H", len(numbers), numbers, True)]
    tifffile.imwrite(path, PIXELS, extratags=tags)
    return pixel_size_of(path)


def ome(path: Path, **metadata: Any) -> PixelSize | None:
    tifffile.imwrite(path, PIXELS, ome=True, metadata={"axes": "YX", **metadata})
    return pixel_size_of(path)


def test_a_geotiff_in_metres_says_it(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    assert geo(path, 0.02, 0.02, 1024, 1, 3076, 9001) == PixelSize(0.02, "m")
    assert geo(path, 0.02, 0.02, 1024, 1, 3072, 32632) == PixelSize(0.02, "m")
    assert geo(path, 0.02, 0.02, 1024, 1, 3076, 9002) is None  # feet
    assert geo(path, 0.5, 0.5, 1024, 1, 3072, 2225) is None  # feet, by the system alone
    assert geo(path, 1e-5, 1e-5, 1024, 2) is None  # degrees
    assert geo(path, 0.02, 0.04, 1024, 1) is None  # not square


@pytest.mark.parametrize(
    ("unit", "side", "expected"), [("mm", 0.5, "mm"), ("µm", 2.0, "um"), (None, 3.0, "um")]
)
def test_an_ome_tiff_says_it(tmp_path: Path, unit: str | None, side: float, expected: str) -> None:
    sizes: dict[str, Any] = {"PhysicalSizeX": side, "PhysicalSizeY": side}
    if unit is not None:
        sizes |= {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    assert ome(tmp_path / "x.ome.tif", **sizes) == PixelSize(side, expected)


def test_other_files_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.ome.tif"
    assert ome(path) is None
    sizes = {"PhysicalSizeX": 4, "PhysicalSizeY": 4}
    units = {"PhysicalSizeXUnit": "pixel", "PhysicalSizeYUnit": "pixel"}
    assert ome(path, **sizes, **units) is None  # as our maps say how they lie over a photograph
    tifffile.imwrite(tmp_path / "plain.tif", PIXELS)
    (tmp_path / "torn.tif").write_bytes(b"II*\0torn")
    for name in ("plain.tif", "torn.tif", "none.tif", "photo.jpg"):
        assert pixel_size_of(tmp_path / name) is None


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ((0.5, 0, 0, -0.5), PixelSize(0.5, "m")),
        ((0.3, 0.4, 0.4, -0.3), PixelSize(0.5, "m")),  # turned
        ((0.5, 0.5, 0, -0.5), None),  # sheared
        ((0.5, 0, 0, -0.25), None),
    ],
)
def test_a_geotiff_may_say_it_by_a_matrix(
    tmp_path: Path, rows: tuple[float, ...], expected: PixelSize | None
) -> None:
    a, b, c, d = rows
    matrix = (a, b, 0.0, 9.0, c, d, 0.0, 9.0, *(0.0,) * 4, 0.0, 0.0, 0.0, 1.0)
    keys = (1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 32632)
    tags = [(34264, "d", 16, matrix, True), (34735, "H", len(keys), keys, True)]
    tifffile.imwrite(tmp_path / "x.data", PIXELS, extratags=tags)  # names may lie
    assert pixel_size_of(tmp_path / "x.data") == expected


def test_broken_descriptions_say_nothing(tmp_path: Path) -> None:
    about = '<?xml version="1.0"?><OME><bad></OME>'
    tifffile.imwrite(tmp_path / "x.ome.tif", PIXELS, description=about, metadata=None)
    assert pixel_size_of(tmp_path / "x.ome.tif") is None
