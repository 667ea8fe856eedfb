"""Windows of large images: which there are, and what their values mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.jobs.large.window import SIDE, window_around, window_job
from napari_gaussproto.jobs.train_image import TrainImage


@pytest.mark.parametrize(
    ("place", "area"),
    [
        ((0, 0), (0, 0, SIDE, SIDE)),
        ((SIDE - 1, SIDE), (0, SIDE, SIDE, 2 * SIDE)),
        ((-50, 4999), (0, 5000 - SIDE, SIDE, 5000)),
        ((9000, 0), (6000 - SIDE, 0, 6000, SIDE)),
    ],
)
def test_windows_cover_the_image_and_depend_on_the_place_alone(
    place: tuple[int, int], area: tuple[int, int, int, int]
) -> None:
    assert window_around(*place, 6000, 5000) == area


def test_a_narrow_image_is_as_wide_as_it_is() -> None:
    assert window_around(4000, 10, 9000, 300) == (2 * SIDE, 0, 3 * SIDE, 300)


def cut(pixels: Any, rgb: bool) -> Any:
    image = TrainImage("a", pixels, rgb, name="a", file=None)
    return run(window_job(image, (10, 20, 42, 60)))


def test_bytes_stay_as_they_are() -> None:
    pixels = np.random.default_rng(0).integers(0, 9, (100, 90, 3), np.uint8)
    found = cut(pixels, True)
    np.testing.assert_array_equal(found.pixels, pixels[10:42, 20:60])
    assert found.area == (10, 20, 42, 60)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_dark_window_means_what_it_means_in_the_whole(dtype: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 900, (100, 90)).astype(dtype)
    pixels[80:] *= 40
    found = cut(pixels, False)
    whole = ImageSource.from_array(pixels, 1).read(10, 20, 42, 60)
    own = ImageSource.from_array(found.pixels, 1).read(0, 0, 32, 40)
    np.testing.assert_allclose(own.numpy(), whole.numpy(), atol=1e-6)


def test_values_that_mean_the_same_stay_those_of_the_file() -> None:
    pixels = np.random.default_rng(0).integers(0, 900, (100, 90)).astype(np.uint16)
    found = cut(pixels, False)
    np.testing.assert_array_equal(found.pixels, pixels[10:42, 20:60])
    assert found.pixels.dtype == np.uint16
