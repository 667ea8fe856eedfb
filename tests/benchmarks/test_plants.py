"""Soil against plants: the rival by colour, the camera with grey soil, the table."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.loop.photos import Photo
from benchmarks.quality.plants import EYES, excess_green, grey_soil, markdown, measure


def photo(seed: int = 0) -> Photo:
    """A green square on brown."""
    rng = np.random.default_rng(seed)
    truth = np.ones((60, 80), np.uint8)
    truth[20:40, 20:50] = 2
    image = np.where(truth[..., None] == 2, (60, 150, 50), (130, 100, 70))
    noisy = image + rng.integers(-8, 9, image.shape)
    return Photo(noisy.astype(np.uint8), truth, "here")


@pytest.mark.parametrize("chromatic", [False, True])
def test_greenness_finds_green_and_nothing_in_grey(chromatic: bool) -> None:
    seen = photo()
    found = excess_green(seen.image, chromatic=chromatic)
    assert (found == (seen.truth == 2)).mean() > 0.98
    assert not excess_green(np.full((8, 8, 3), 90, np.uint8), chromatic=chromatic).any()


def test_two_bands_show_soil_in_grey() -> None:
    seen = grey_soil(photo())
    soil = seen.image[seen.truth == 1].mean(0)
    assert np.ptp(soil) < 1 and np.ptp(seen.image[seen.truth == 2].mean(0)) > 50
    np.testing.assert_array_equal(seen.image[..., 0], seen.image[..., 2])


def test_the_table_has_a_row_for_every_eye() -> None:
    methods = {"greenness": excess_green, "all": lambda image: np.ones(image.shape[:2], bool)}
    found = measure({"drawn": [photo, lambda: photo(1)]}, methods, fewer=2)
    assert list(found) == [f"drawn, {eye}" for eye in EYES]
    assert found["drawn, as it is"]["greenness"] > 0.95
    assert found["drawn, as it is"]["all"] == pytest.approx(600 / 4800)
    best = found["drawn, as it is"]["greenness"]
    assert f"| drawn, as it is | **{best:.3f}** | 0.125 |" in markdown(found)
