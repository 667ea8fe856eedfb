"""Maps at other strides: averages over squares, and what lies between."""

from __future__ import annotations

import operator
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional as F

# Rows of what is shrunk that are made at a time, of images in bytes.
_ROWS = 64


def to_stride(level: Tensor, size: tuple[int, int]) -> Tensor:
    """A level (B, F, h, w) at another size (H, W): averaged when finer, bilinear when coarser."""
    if level.shape[-2:] == size:
        return level
    if level.shape[-2] > size[0]:
        # While torch writes a graph this is no plain number, which older ones refuse.
        return F.avg_pool2d(level, int(level.shape[-2] // size[0]))
    return F.interpolate(level, size=size, mode="bilinear", align_corners=False)


def shrink(image: Tensor, factor: int) -> Tensor:
    """Average images (B, C, H, W) over squares of side ``factor``; uint8 ones become [0, 1]."""
    if image.dtype == torch.uint8:
        return _shrunk_levels(image, factor)
    if factor == 1:
        return image
    height, width = (n // factor * factor for n in image.shape[-2:])
    return sums(image[..., :height, :width], factor).div_(factor**2)


def _shrunk_levels(levels: Tensor, factor: int) -> Tensor:
    """As `shrink` of uint8 images, some rows at a time: what lies between stays in a cache."""
    if factor == 1:
        return levels.float().div_(255)
    batch, channels, height, width = levels.shape
    height, width = height // factor, width // factor
    out = torch.empty(batch, height, width, channels, device=levels.device).permute(0, 3, 1, 2)
    for top in range(0, height, _ROWS):
        last = min(top + _ROWS, height)
        rows = levels[:, :, top * factor : last * factor, : width * factor]
        torch.div(sums(rows, factor), factor**2 * 255, out=out[:, :, top:last])
    return out


def sums(image: Tensor, factor: int) -> Tensor:
    """Sums (B, C, h, w), in floats, over squares of images (B, C, H, W) whose sides they divide."""
    # Strided sums: avg_pool2d takes several times as long for the few channels of an image.
    return _strided_sum(_strided_sum(image, factor, -2), factor, -1)


def _strided_sum(values: Tensor, factor: int, axis: int) -> Tensor:
    """Sums of ``factor`` neighbours along one of the last two axes."""
    parts = (
        values[..., i::factor, :] if axis == -2 else values[..., i::factor] for i in range(factor)
    )
    first = next(parts)
    # Only sums are floats: bytes are read faster, and a large photograph would be a new array.
    return reduce(operator.add, parts, first.float() if first.dtype == torch.uint8 else first)
