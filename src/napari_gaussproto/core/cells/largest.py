"""Which of several interpolated maps is the largest at every pixel, without painting them all."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Squares between cells interpolated at a time: bounds the memory.
_BLOCK = 1 << 11


def largest_between(maps: Tensor, k: int, height: int, width: int) -> Tensor:
    """Index of the largest of K maps at every pixel.

    Parameters
    ----------
    maps : Tensor
        (K, h, w), one element for every k x k pixels, with K below 256.
    k : int
    height, width : int
        Of the result in pixels; at most h k and w k.

    Returns
    -------
    Tensor
        (height, width) uint8. As of maps that are interpolated bilinearly between the centres
        of their elements, and constant beyond the outer ones.

    Notes
    -----
    Four neighbouring centres are the corners of a square of k x k pixels. Where one map is the
    largest at all four, it is so in between: an interpolated value is a mean with the same
    weights for every map. Only the other squares, those on outlines, need interpolation.
    """
    padded = F.pad(maps[None], (1, 1, 1, 1), mode="replicate")[0]
    best = padded.max(0).indices.to(torch.uint8)
    corner = best[:-1, :-1]
    mixed = (corner != best[:-1, 1:]) | (corner != best[1:, :-1]) | (corner != best[1:, 1:])
    rows, columns = corner.shape
    pixels = corner.repeat_interleave(k, 0).repeat_interleave(k, 1)
    squares = pixels.view(rows, k, columns, k)
    where = mixed.nonzero()
    for chosen in where.split(_BLOCK) if len(where) else ():
        row, column = chosen.T
        squares[row, :, column, :] = _interpolated(padded, row, column, k)
    # The first centre lies k // 2 pixels inside the image, and the first square before it.
    start = k - k // 2
    return pixels[start : start + height, start : start + width]


def _interpolated(padded: Tensor, row: Tensor, column: Tensor, k: int) -> Tensor:
    """Index of the largest map at the pixels of some squares, (M, k, k) uint8."""
    # From a centre to the next; with an odd k, the first pixel is the centre itself.
    share = (torch.arange(k, device=padded.device) + (0.0 if k % 2 else 0.5)) / k
    share = share.to(padded.dtype)
    above = _lerp(padded[:, row, column], padded[:, row, column + 1], share)
    below = _lerp(padded[:, row + 1, column], padded[:, row + 1, column + 1], share)
    between = above[:, :, None] * (1 - share)[:, None] + below[:, :, None] * share[:, None]
    return between.max(0).indices.to(torch.uint8)


def _lerp(left: Tensor, right: Tensor, share: Tensor) -> Tensor:
    """Between two columns of corners (K, M), at k places, (K, M, k)."""
    return left[..., None] * (1 - share) + right[..., None] * share
