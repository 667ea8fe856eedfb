"""Photographs, labels and points are turned alike, and back."""

from __future__ import annotations

import numpy as np
import pytest

from napari_gaussproto.core.imaging.orientation import (
    upright,
    upright_points,
    upright_shape,
    way_back,
)

ORIENTATIONS = range(1, 9)
STORED = np.arange(5 * 7).reshape(5, 7)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_points_lie_where_their_pixels_lie(orientation: int) -> None:
    turned = upright(STORED, orientation)
    assert turned.shape == upright_shape(STORED.shape, orientation)
    places = np.argwhere(STORED >= 0)
    y, x = upright_points(places, orientation, STORED.shape).astype(int).T
    assert np.array_equal(turned[y, x], STORED.ravel())


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_the_way_back_undoes_a_turn(orientation: int, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape)
    there = upright(array, orientation)
    assert np.array_equal(upright(there, way_back(orientation)), array)
    assert upright_shape(there.shape, way_back(orientation)) == shape


def test_corners_go_where_exif_says() -> None:
    # EXIF 2.32: the first row and the first column of the file are these sides of the scene.
    corner = STORED[0, 0]
    places = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0)}
    places |= {5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    for orientation, place in places.items():
        assert upright(STORED, orientation)[place] == corner
