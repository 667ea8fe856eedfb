"""Small pictures of cells with their surroundings, which stand for a prototype."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from napari_gaussproto.core.imaging.source import ImageSource

Patches = npt.NDArray[np.uint8]

# A patch shows a cell with its surroundings: this many latent positions across.
_PATCH_CELLS = 12
PATCH_PIXELS = 48


def cut_patch(source: ImageSource, y: int, x: int, cell_size: int) -> Patches:
    """The surroundings of a pixel as an RGB picture, (S, S, 3) uint8.

    Near the border of the image the middle is moved inwards.
    """
    half = _PATCH_CELLS * cell_size // 2
    height, width = source.height, source.width
    top = max(0, min(y - half, height - 2 * half))
    left = max(0, min(x - half, width - 2 * half))
    window = source.read(top, left, min(top + 2 * half, height), min(left + 2 * half, width))
    if window.shape[0] != 3:
        window = window[:1].expand(3, -1, -1)
    size = (PATCH_PIXELS, PATCH_PIXELS)
    small = F.interpolate(window[None], size=size, mode="bilinear", antialias=True)[0]
    return (small.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def no_patches() -> Patches:
    """An empty set of patches, (0, S, S, 3)."""
    return np.zeros((0, PATCH_PIXELS, PATCH_PIXELS, 3), np.uint8)
