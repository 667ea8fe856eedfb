"""Pixels of a GeoTIFF that hold no data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.io.images import nodata_of, read_image

RGB = np.random.default_rng(0).integers(0, 256, (22, 31, 3), np.uint8)
GREY = np.ascontiguousarray(RGB[..., 1])
GREY[:2] = [[0], [255]]


@pytest.mark.parametrize(
    ("value", "dtype"), [("-9999", "float32"), ("0 ", "uint8"), ("0", "int16")]
)
def test_the_value_without_data_of_a_geotiff_is_masked(
    tmp_path: Path, value: str, dtype: str
) -> None:
    image = (RGB.astype(dtype) + 1).clip(1).astype(dtype)
    image[:5] = float(value)
    image[10, 10, 0] = float(value)  # in one channel only
    path = tmp_path / "mosaic.tif"
    tag = (42113, "s", 0, value, True)
    tifffile.imwrite(path, image, photometric="rgb", extratags=[tag])
    assert nodata_of(path) == float(value)
    read = read_image(path)
    missing = np.ma.getmaskarray(read)
    assert missing[:5].all() and not missing[5:].any()
    assert np.array_equal(np.asarray(read), image)
    source = ImageSource.from_array(read, 3)
    assert source.data_mask is not None and np.array_equal(source.data_mask, ~missing.any(-1))


@pytest.mark.parametrize(("value", "stored"), [("0", 0), ("255", 255), ("-1", None)])
def test_no_data_of_grey_that_counts_from_white(
    tmp_path: Path, value: str, stored: int | None
) -> None:
    path = tmp_path / "white.tif"
    tag = (42113, "s", 0, value, True)
    tifffile.imwrite(path, GREY, photometric="miniswhite", extratags=[tag, (274, 3, 1, 6, True)])
    expected = np.zeros(GREY.shape, np.bool_) if stored is None else stored == GREY
    assert stored is None or expected.any()
    read = read_image(path)
    assert np.array_equal(np.ma.getmaskarray(read), np.rot90(expected, -1))
    light = None if stored is None else 255.0 - stored
    assert nodata_of(path) == light  # as in the pixels that napari shows


def test_no_data_of_a_palette_is_transparent(tmp_path: Path) -> None:
    path = tmp_path / "palette.tif"
    indices = np.tile(np.arange(30, dtype=np.uint8), (20, 1))
    colours = np.zeros((3, 256), np.uint16)
    colours[:, 7:] = 0x4242  # many indices have one colour
    tag = (42113, "s", 0, "3", True)
    tifffile.imwrite(path, indices, photometric="palette", colormap=colours, extratags=[tag])
    read = read_image(path)
    assert read.shape == (20, 30, 4) and np.array_equal(read[..., 3] == 0, indices == 3)
    source = ImageSource.from_array(read, 3)
    assert source.data_mask is not None and np.array_equal(source.data_mask, indices != 3)
    assert nodata_of(path) is None
    stack = np.stack([indices, indices + 4])
    tifffile.imwrite(path, stack, photometric="palette", colormap=colours, extratags=[tag])
    assert np.array_equal(read_image(path)[..., 3] == 0, stack == 3)


@pytest.mark.parametrize("value", ["nan", "none", None])
def test_a_tiff_that_says_nothing_of_use_stays_as_it_is(tmp_path: Path, value: str | None) -> None:
    tags = [] if value is None else [(42113, "s", 0, value, True)]
    tifffile.imwrite(tmp_path / "plain.tif", GREY, extratags=tags)
    assert nodata_of(tmp_path / "plain.tif") is None
    assert not isinstance(read_image(tmp_path / "plain.tif"), np.ma.MaskedArray)
    Image.fromarray(GREY).save(tmp_path / "grey.png")
    assert nodata_of(tmp_path / "grey.png") is None
    whole = (tmp_path / "plain.tif").read_bytes()
    for length in (0, 3, 7, 20):
        (tmp_path / "cut.tif").write_bytes(whole[:length])
        assert nodata_of(tmp_path / "cut.tif") is None
