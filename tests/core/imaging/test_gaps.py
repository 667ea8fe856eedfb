"""Pixels without data: how they are known, and that nothing that stands there is seen."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_gaussproto.core.imaging.source import ImageSource

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(1, 250, (40, 56, 3)).astype(np.uint8)
HOLE = np.zeros((40, 56), bool)
HOLE[:12] = HOLE[20:25, 30:44] = True


def with_hole(kind: str, rubbish: int) -> ImageSource:
    """The photograph with a hole in which ``rubbish`` stands, told in one of the ways."""
    image = np.where(HOLE[..., None], np.uint8(rubbish), PHOTO)
    if kind == "alpha":
        return ImageSource.from_array(
            np.dstack([image, np.where(HOLE, 0, 255)]).astype(np.uint8), 3
        )
    if kind == "mask":
        return ImageSource.from_array(np.ma.array(image, mask=np.dstack([HOLE] * 3)), 3)
    if kind == "nodata":
        return ImageSource.from_array(image.astype(np.int16), 3, nodata=rubbish)
    if kind == "channels first":
        return ImageSource.from_array(image.transpose(2, 0, 1).astype(np.int16), 3, nodata=rubbish)
    floats = image.astype(np.float32) / 255
    floats[HOLE] = np.nan if rubbish == 0 else np.inf
    if kind == "lazy":
        return ImageSource.from_array(da.from_array(floats, chunks=(16, 16, 3)), 3)
    return ImageSource.from_array(floats, 3)


KINDS = ("alpha", "mask", "nodata", "channels first", "not finite", "lazy")


@pytest.mark.parametrize("kind", KINDS)
def test_the_hole_is_known_and_nothing_of_it_is_seen(kind: str) -> None:
    sources = [with_hole(kind, rubbish) for rubbish in (0, 255)]
    seen = [source.read(0, 0, 40, 56).numpy() for source in sources]
    for source, pixels in zip(sources, seen, strict=True):
        assert source.data_mask is not None and np.array_equal(source.data_mask, ~HOLE)
        window = source.data_in(5, 20, 30, 100)
        assert window is not None and np.array_equal(window, ~HOLE[5:30, 20:])
        assert np.allclose(pixels[:, ~HOLE], PHOTO[~HOLE].T / np.float32(255), atol=1e-6)
    assert np.array_equal(*seen)
    # What is seen in its place stands right beside it.
    assert np.array_equal(seen[0][:, :12], np.repeat(seen[0][:, 12:13], 12, axis=1))


@pytest.mark.parametrize("nodata", [-32768, 32767])
def test_the_value_without_data_changes_no_brightness(nodata: int) -> None:
    plain = ImageSource.from_array((PHOTO.astype(np.int16) * 40), 3)
    image = np.where(HOLE[..., None], np.int16(nodata), PHOTO.astype(np.int16) * 40)
    source = ImageSource.from_array(image, 3, nodata=nodata)
    masked = ImageSource.from_array(np.ma.masked_equal(image, nodata), 3)
    expected = plain.read(0, 0, 40, 56)[:, ~HOLE]
    for other in (source, masked):
        assert np.allclose(other.read(0, 0, 40, 56)[:, ~HOLE], expected, atol=2e-2)


def test_a_whole_photograph_costs_no_look_and_a_dark_band_is_data() -> None:
    assert ImageSource.from_array(PHOTO, 3).data_mask is None
    dark = PHOTO.astype(np.int16)
    dark[5, 5, 1] = 0
    assert ImageSource.from_array(dark, 3, nodata=0).data_mask is None
    opaque = np.dstack([PHOTO, np.full((40, 56), 7, np.uint8)])
    assert ImageSource.from_array(opaque, 3).data_mask is None
    # A fourth band of a camera is no alpha for a model that was made for four.
    infrared = np.dstack([PHOTO, np.where(HOLE, 0, 255)]).astype(np.uint8)
    assert ImageSource.from_array(infrared, 4).data_mask is None


@pytest.mark.parametrize("value", [0, 131])
def test_one_value_throughout_is_no_data(value: int) -> None:
    flat = np.full((40, 56, 3), value, np.uint8)
    source = ImageSource.from_array(flat, 3)
    assert source.data_mask is not None and not source.data_mask.any()
    assert source.read(0, 0, 40, 56).numpy() == pytest.approx(value / 255)
    flat[-1, -1] += 1
    assert ImageSource.from_array(flat, 3).data_mask is None
