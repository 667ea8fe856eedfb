"""Images of every kind become float tensors in [0, 1]."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import torch
import zarr
from hypothesis import given
from hypothesis import strategies as st

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.model.stack import plane_sources
from tests.core.builders import tiny_model


def whole(array: object, channels: int | None = None, **options: object) -> torch.Tensor:
    source = ImageSource.from_array(array, channels, **options)
    return source.read(0, 0, source.height, source.width)


RAMP = np.linspace(0, 1, 12 * 10 * 3).reshape(12, 10, 3)


@pytest.mark.parametrize(
    ("array", "tolerance"),
    [
        ((RAMP * 255).astype(np.uint8), 0.004),
        ((RAMP * 65535).astype(np.uint16), 1e-4),
        ((RAMP * 4095).astype(np.uint16), 3e-4),
        ((RAMP * 1023).astype(np.int32), 1e-3),
        (RAMP.astype(np.float32), 1e-6),
        (RAMP.astype(np.float64), 1e-6),
        ((RAMP * 255).astype(np.float32), 1e-6),
        ((RAMP * 9000 - 50).astype(np.float32), 1e-6),
    ],
)
def test_every_type_is_scaled_to_one(array: np.ndarray, tolerance: float) -> None:
    pixels = whole(array, 3)
    assert pixels.dtype == torch.float32 and pixels.shape == (3, 12, 10)
    np.testing.assert_allclose(pixels.permute(1, 2, 0), RAMP, atol=tolerance)


def test_a_few_values_beyond_the_range_do_not_darken_an_image() -> None:
    photo = np.random.default_rng(0).random((64, 64, 3)).astype(np.float32)
    expected = whole(photo)
    sharpened = photo.copy()
    sharpened[0, 0] = (1.2, -0.1, 240.0)
    clipped = whole(sharpened)
    np.testing.assert_allclose(clipped[:, 0, 0], (1, 0, 1))
    assert torch.equal(clipped[:, 1:], expected[:, 1:])
    bright = photo * 255
    bright[0, 0, 0] = 260
    np.testing.assert_allclose(whole(bright)[:, 1:], expected[:, 1:], atol=1e-6)


def test_the_range_of_integers_in_memory_is_exact() -> None:
    image = np.full((3000, 2000), 200, np.uint16)
    image[1::2, 1::2] = 60000  # which every second row and column would miss
    assert float(whole(image).max()) == pytest.approx(60000 / 65535)


def test_the_range_of_integers_in_a_mapped_file_is_exact(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "values", np.uint16, "w+", shape=(2100, 1000))
    mapped[:], mapped[1001, 503] = 200, 4000
    assert ImageSource.from_array(mapped).full_scale == 4095


@pytest.mark.parametrize("lazy", [False, True])
def test_planes_of_a_stack_are_scaled_alike(lazy: bool) -> None:
    stack = np.stack([np.full((64, 64), value, np.uint16) for value in (1000, 1030)])
    source = plane_sources(da.from_array(stack) if lazy else stack, tiny_model(), rgb=False)
    brightness = [float(source(plane).read(0, 0, 1, 1)[0, 0, 0]) for plane in (0, 1)]
    assert brightness == pytest.approx([1000 / 4095, 1030 / 4095])


def test_memory_that_is_short_is_not_taken_for_a_lost_file() -> None:
    def too_much(block: np.ndarray) -> np.ndarray:
        raise MemoryError

    lazy = da.zeros((64, 64), dtype=np.uint8, chunks=64).map_blocks(too_much, dtype=np.uint8)
    with pytest.raises(MemoryError):
        ImageSource.from_array(lazy).read(0, 0, 64, 64)


def test_bool_becomes_zero_and_one() -> None:
    mask = RAMP[..., 0] > 0.5
    np.testing.assert_array_equal(whole(mask, 1)[0], mask)


def test_channels_are_adapted() -> None:
    grey = (RAMP[..., 0] * 255).astype(np.uint8)
    assert torch.equal(whole(grey, 3)[0], whole(grey, 3)[2])
    rgba = np.dstack([(RAMP * 255).astype(np.uint8), np.full((12, 10), 7, np.uint8)])
    assert torch.equal(whole(rgba, 3), whole(rgba[..., :3], 3))
    assert whole(rgba, 1).shape == (1, 12, 10)
    first = np.moveaxis(RAMP, -1, 0)
    assert torch.equal(whole(first, 3), whole(RAMP, 3))
    cube = np.random.default_rng(0).random((20, 30, 7))
    assert whole(cube, 7).shape == (7, 20, 30)
    assert whole(cube, 30, channel_axis=1).shape == (30, 20, 7)


@pytest.mark.parametrize(
    ("array", "channels", "sentence"),
    [
        (np.zeros((5, 6, 7, 8)), 3, "not one image"),
        (np.zeros(9), 3, "not one image"),
        (np.zeros((0, 5)), 3, "empty"),
        (np.zeros((5, 5), complex), 3, "complex"),
        (np.array([["a", "b"]]), 3, "cannot be segmented"),
        (np.zeros((50, 60, 7)), 3, "channels"),
        (np.zeros((50, 60, 3)), 5, "channels"),
        (np.zeros((50, 60)), 5, "1 channels, the model was made for 5"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(
    array: np.ndarray, channels: int, sentence: str
) -> None:
    with pytest.raises(ImageError, match=sentence) as caught:
        ImageSource.from_array(array, channels)
    assert ":" in str(caught.value) and str(caught.value).endswith(".")


def test_values_that_are_not_finite_become_finite() -> None:
    array = RAMP[..., 0].copy()
    array[0, 0], array[1, 1], array[2, 2] = np.nan, np.inf, -np.inf
    pixels = whole(array, 3)
    assert torch.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1


@given(st.integers(0, 11), st.integers(0, 9), st.integers(1, 12), st.integers(1, 10))
def test_a_window_is_a_part_of_the_whole(y: int, x: int, height: int, width: int) -> None:
    array = (RAMP * 3000).astype(np.uint16)
    source = ImageSource.from_array(array, 3)
    y1, x1 = min(12, y + height), min(10, x + width)
    full = source.read(0, 0, 12, 10)
    assert torch.equal(source.read(y, x, y1, x1), full[:, y:y1, x:x1])


def test_lazy_arrays_read_only_what_is_asked(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 4095, (3000, 2000), dtype=np.uint16)
    stored = zarr.create_array(
        store=str(tmp_path / "a.zarr"), shape=array.shape, chunks=(256, 256), dtype="uint16"
    )
    stored[:] = array
    expected = ImageSource.from_array(array, 3).read(100, 200, 180, 290)
    for lazy in (stored, da.from_zarr(stored)):
        source = ImageSource.from_array(lazy, 3)
        assert torch.equal(source.read(100, 200, 180, 290), expected)


def test_a_store_that_fails_is_a_sentence() -> None:
    def broken(block: np.ndarray) -> np.ndarray:
        raise OSError("disk gone")

    lazy = da.zeros((64, 64), dtype=np.uint8).map_blocks(broken, dtype=np.uint8)
    with pytest.raises(ImageError, match="disk gone"):
        ImageSource.from_array(lazy, 3).read(0, 0, 8, 8)


def mirrored(count: int, length: int) -> list[int]:
    """Indices 0, 1, … count - 1, … 1, 0, 1, …: to and fro without repeating the ends."""
    period = max(1, 2 * (count - 1))
    return [min(at % period, period - at % period) for at in range(length)]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 90), st.integers(0, 90))
def test_padding_mirrors_as_often_as_it_must(
    height: int, width: int, down: int, across: int
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    source = ImageSource.from_array(image, channel_axis=2)
    padded = source.read_padded(0, 0, height + down, width + across)
    rows, columns = mirrored(height, height + down), mirrored(width, width + across)
    expected = source.read(0, 0, height, width)[:, rows][:, :, columns]
    assert torch.equal(padded, expected)
    top, left = height // 2, width // 2
    window = source.read_padded(top, left, height - top, width - left)
    assert torch.equal(window, expected[:, top:height, left:width])
