"""Maps at other strides: averages over squares, and what lies between."""

from __future__ import annotations

import operator
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional as F


def to_stride(level: Tensor, size: tuple[int, int]) -> Tensor:
    """A level (B, F, h, w) at another size (H, W): averaged when finer, bilinear when coarser."""
    if level.shape[-2:] == size:
        return level
    if level.shape[-2] > size[0]:
        return F.avg_pool2d(level, level.shape[-2] // size[0])
    return F.interpolate(level, size=size, mode="bilinear", align_corners=False)


def shrink(image: Tensor, factor: int) -> Tensor:
    """Average images (B, C, H, W) over squares of side ``factor``; uint8 ones become [0, 1]."""
    white = 255 if image.dtype == torch.uint8 else 1
    if factor == 1:
        return image.float().div_(white) if white > 1 else image
    height, width = (n // factor * factor for n in image.shape[-2:])
    # Strided sums: avg_pool2d takes several times as long for the few channels of an image.
    rows = _strided_sum(image[..., :height, :width], factor, -2)
    return _strided_sum(rows, factor, -1).div_(factor**2 * white)


def _strided_sum(values: Tensor, factor: int, axis: int) -> Tensor:
    """Sums of ``factor`` neighbours along one of the last two axes."""
    parts = (
        values[..., i::factor, :] if axis == -2 else values[..., i::factor] for i in range(factor)
    )
    first = next(parts)
    # Only sums are floats: bytes are read faster, and a large photograph would be a new array.
    return reduce(operator.add, parts, first.float() if first.dtype == torch.uint8 else first)
