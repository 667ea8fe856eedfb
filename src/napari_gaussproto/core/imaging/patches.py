"""Small pictures of cells with their surroundings, which stand for a prototype."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_gaussproto.core.imaging.source import ImageSource

Patches = npt.NDArray[np.uint8]

# Of a prototype, at most.
PATCHES = 8
PATCH_PIXELS = 48
# A patch shows a cell with its surroundings: this many latent positions across at least.
_PATCH_CELLS = 12
# Of a large photograph, which shows plants larger, a tenth of its height; but of a mosaic of
# many photographs no more than this many pixels for each one of the patch.
_SHARE, _MOST_SHRUNK = 10, 8
# Pixels of an image that are shrunk at a time.
_BAND = 1 << 22


def shrinking(source: ImageSource, cell_size: int) -> int:
    """Side in pixels of the square that becomes one pixel of a patch."""
    of_cells = round(_PATCH_CELLS * cell_size / PATCH_PIXELS)
    of_image = min(source.height, source.width) // (_SHARE * PATCH_PIXELS)
    return max(1, of_cells, min(of_image, _MOST_SHRUNK))


def cut_patch(source: ImageSource, y: int, x: int, cell_size: int) -> Patches:
    """The surroundings of a pixel as an RGB picture, (S, S, 3) uint8.

    Near the border of the image the middle is moved inwards.
    """
    side = PATCH_PIXELS * shrinking(source, cell_size)
    top, left = _corner(y, x, side, (source.height, source.width))
    bottom, right = min(top + side, source.height), min(left + side, source.width)
    window = _three_channels(source.read(top, left, bottom, right))
    size = (PATCH_PIXELS, PATCH_PIXELS)
    return _as_bytes(F.interpolate(window[None], size=size, mode="bilinear", antialias=True)[0])


def no_patches() -> Patches:
    """An empty set of patches, (0, S, S, 3)."""
    return np.zeros((0, PATCH_PIXELS, PATCH_PIXELS, 3), np.uint8)


@dataclass(frozen=True)
class Miniature:
    """An image in the size of its patches, which are cut from it in no time.

    Attributes
    ----------
    pixels : (h, w, 3) ndarray of uint8
    shrunk : int
        Side in pixels of the square of the image that is one of these pixels.
    """

    pixels: Patches
    shrunk: int

    @classmethod
    def of(cls, source: ImageSource, cell_size: int) -> Miniature:
        """Shrink an image, band by band."""
        k = shrinking(source, cell_size)
        rows = max(1, _BAND // (k * source.width)) * k
        bands = []
        for top in range(0, source.height, rows):
            bottom = min(top + rows, source.height)
            pixels = _three_channels(source.read(top, 0, bottom, source.width))
            bands.append(F.avg_pool2d(pixels, k, ceil_mode=True, count_include_pad=False))
        return cls(_as_bytes(torch.cat(bands, dim=1)), k)

    def cut(self, y: int, x: int) -> Patches:
        """As `cut_patch`, of a pixel of the image itself."""
        top, left = _corner(y // self.shrunk, x // self.shrunk, PATCH_PIXELS, self.pixels.shape[:2])
        window = self.pixels[top : top + PATCH_PIXELS, left : left + PATCH_PIXELS]
        if window.shape[:2] == (PATCH_PIXELS, PATCH_PIXELS):
            return window
        small = torch.from_numpy(window.copy()).permute(2, 0, 1)[None].float() / 255
        return _as_bytes(
            F.interpolate(small, size=(PATCH_PIXELS, PATCH_PIXELS), mode="bilinear")[0]
        )


def _corner(y: int, x: int, side: int, size: tuple[int, ...]) -> tuple[int, int]:
    """Top and left of a window around a pixel that lies inside the image."""
    return max(0, min(y - side // 2, size[0] - side)), max(0, min(x - side // 2, size[1] - side))


def _three_channels(window: Tensor) -> Tensor:
    return window if window.shape[0] == 3 else window[:1].expand(3, -1, -1)


def _as_bytes(picture: Tensor) -> Patches:
    """A picture (3, h, w) in [0, 1] as (h, w, 3) uint8."""
    return (picture.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
