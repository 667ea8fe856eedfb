"""Channels are told from planes by the shape, where it tells."""

from __future__ import annotations

import pytest

from napari_gaussproto.core.imaging.axes import guess_channels


@pytest.mark.parametrize(
    ("shape", "guess"),
    [
        ((120, 160, 5), "last"),
        ((720, 960, 12), "last"),
        ((120, 160, 2), "last"),
        ((5, 120, 160), "first"),
        ((12, 120, 160), "first"),
        ((13, 120, 160), "neither"),
        ((1, 120, 160), "neither"),
        ((120, 160, 13), "neither"),
        ((5, 120, 5), "neither"),
        ((120, 160), "neither"),
        ((3, 5, 120, 160), "neither"),
    ],
)
def test_small_axes_are_channels(shape: tuple[int, ...], guess: str) -> None:
    assert guess_channels(shape) == guess
