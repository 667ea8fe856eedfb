"""Patches show a cell with its surroundings, at a size that shows the plant."""

from __future__ import annotations

import numpy as np
import pytest

from napari_gaussproto.core.imaging.patches import PATCH_PIXELS, Miniature, cut_patch, shrinking
from napari_gaussproto.core.imaging.source import ImageSource


def source_of(height: int, width: int, channels: int = 3) -> ImageSource:
    rows, columns = np.mgrid[:height, :width]
    values = np.stack([(rows // 7 + (c + 1) * columns // 5) % 256 for c in range(channels)], axis=2)
    return ImageSource.from_array(values.astype(np.uint8), channels)


@pytest.mark.parametrize(
    ("size", "pixels"), [((966, 1296), 96), ((2448, 3264), 240), ((20_000, 20_000), 384)]
)
def test_a_patch_of_a_larger_photograph_shows_more_of_it(
    size: tuple[int, int], pixels: int
) -> None:
    image = ImageSource.from_array(np.broadcast_to(np.uint8(3), (*size, 3)), 3)
    assert shrinking(image, 8) * PATCH_PIXELS == pixels


def test_a_patch_never_shows_less_than_twelve_cells() -> None:
    assert shrinking(source_of(100, 100), 16) * PATCH_PIXELS == 12 * 16


@pytest.mark.parametrize("at", [(500, 400), (0, 0), (966, 700), (40, 699)])
def test_a_miniature_gives_the_patches_of_its_image(at: tuple[int, int]) -> None:
    image = source_of(967, 701)
    y, x = min(at[0], 966), min(at[1], 700)
    small = Miniature.of(image, 8)
    cut = small.cut(y, x)
    assert cut.shape == (PATCH_PIXELS, PATCH_PIXELS, 3) and cut.dtype == np.uint8
    k = small.shrunk
    top = max(0, min(y // k - 24, small.pixels.shape[0] - 48)) * k
    left = max(0, min(x // k - 24, small.pixels.shape[1] - 48)) * k
    stored = np.asarray(image.array)[top : top + 48 * k, left : left + 48 * k].astype(float)
    rows, columns = stored.shape[0] // k, stored.shape[1] // k
    means = stored[: rows * k, : columns * k].reshape(rows, k, columns, k, 3).mean((1, 3))
    assert np.abs(cut[:rows, :columns] - means).max() <= 0.51


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_an_image_smaller_than_a_patch_fills_it(channels: int) -> None:
    image = source_of(30, 20, channels)
    for patch in (Miniature.of(image, 4).cut(15, 10), cut_patch(image, 15, 10, 4)):
        assert patch.shape == (PATCH_PIXELS, PATCH_PIXELS, 3)
        assert len(np.unique(patch)) > 3
