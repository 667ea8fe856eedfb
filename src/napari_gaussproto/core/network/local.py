"""What a few pixels show without any training: colour at a few blurs, contrast and texture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from scipy.special import ive
from torch import Tensor
from torch.nn import functional as F

from napari_gaussproto.core.network.stride import shrink

# Standard deviations of the Gaussian blurs, in pixels that the backbone sees. Averaging over a
# position of the output counts as a part of them.
BLURS = (3.0, 6.0)
# Added to a variance before its root is taken, which has no finite slope at 0.
_LEAST_VARIANCE = 1e-6
# From linear sRGB to XYZ over that of the white point D65 (IEC 61966-2-1).
_TO_XYZ = (
    (0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883),
)
# CIE 15: L*, a* and b* of the roots of XYZ, without the offset of L*.
_TO_LAB = ((0.0, 116.0, 0.0), (500.0, -500.0, 0.0), (0.0, 200.0, -200.0))
_CUBIC = (6 / 29) ** 3
# Of sRGB, below which it is proportional to the light.
_STRAIGHT = 0.04045


def width_of_local(channels: int) -> int:
    """Number of local features of an image with so many channels."""
    return channels * (1 + len(BLURS)) + 3


def local_features(image: Tensor, stride: int) -> Tensor:
    """Local features (B, F, H / stride, W / stride) of images (B, C, H, W) in [0, 1].

    Of three channels CIE Lab over 100, of others the channels themselves: averaged over a
    position, and at the `BLURS`. Then the standard deviation of the lightness (the mean, where
    there is no Lab) at the first blur, that of all channels together at the last one, and
    the fine texture, the root of the mean squared difference of neighbouring pixels, at the
    last one.
    """
    # A variance is a difference of large numbers, of which half precision would leave little.
    with torch.autocast(image.device.type, enabled=False):
        return _local_features(image, stride)


def _local_features(image: Tensor, stride: int) -> Tensor:
    # Channel by channel, as they are used here.
    image, count = image.float().contiguous(), int(image.shape[1])
    # Two pixels are fine enough for colour, and Lab takes a quarter of the time.
    values = shrink(image, 2)
    values = lab(values) / 100 if count == 3 else values
    light = values[:, :1] if count == 3 else values.mean(1, keepdim=True)
    parts = [values, light, light.square(), values.square().sum(1, keepdim=True)]
    means = shrink(torch.cat(parts, 1), stride // 2)
    means = torch.cat([means, shrink(_steps(image.mean(1, keepdim=True)), stride)], 1)
    blurred = [_blurred(means, sigma, stride) for sigma in BLURS]
    near, far = blurred[0], blurred[-1]
    light_variance = near[:, count + 1] - near[:, count].square()
    variance = far[:, count + 2] - far[:, :count].square().sum(1)
    spreads = torch.stack([light_variance, variance, far[:, count + 3]], 1)
    spreads = (spreads.clamp_min(0) + _LEAST_VARIANCE).sqrt()
    return torch.cat([means[:, :count], *(part[:, :count] for part in blurred), spreads], 1)


def pixel_colours(image: Tensor) -> Tensor:
    """Colours (B, C, H, W) of images in [0, 1] or uint8 (B, C, H, W), as `colours_in` has them."""
    if image.shape[1] == 3:
        return lab(image).div_(100)
    return image.float() / 255 if image.dtype == torch.uint8 else image


def colours_in(pyramid: Sequence[Tensor], channels: int) -> Tensor:
    """Colours (B, C, h, w) of positions, in Lab over 100 where there are three channels.

    Of a pyramid whose last level are the local features, for images of so many channels.
    """
    return pyramid[-1][:, :channels]


def _steps(grey: Tensor) -> Tensor:
    """Squared differences (B, 1, H, W) to the pixels above and to the left of it."""
    down = (grey[..., 1:, :] - grey[..., :-1, :]).square()
    across = (grey[..., 1:] - grey[..., :-1]).square()
    return F.pad(down, (0, 0, 1, 0)) + F.pad(across, (1, 0))


def lab(image: Tensor, white: int | None = None) -> Tensor:
    """CIE Lab (B, 3, H, W) of sRGB images (B, 3, H, W) in [0, 1] or uint8, white point D65.

    Or in whole numbers from 0 to ``white``.
    """
    linear = _linear(image, 255 if image.dtype == torch.uint8 else white)
    xyz = F.conv2d(linear, linear.new_tensor(_TO_XYZ)[:, :, None, None])
    # A root above the cube of 6 / 29, below it a straight line. The two are added, and each is
    # constant where the other counts: `where` takes several times as long.
    roots = _power(xyz.clamp_min(_CUBIC), 1 / 3)
    roots = roots.add(xyz.clamp_max(_CUBIC).sub_(_CUBIC), alpha=841 / 108)
    weight, offset = linear.new_tensor(_TO_LAB), linear.new_tensor((-16.0, 0.0, 0.0))
    return F.conv2d(roots, weight[:, :, None, None], offset)


def _linear(image: Tensor, white: int | None) -> Tensor:
    """Linear light (B, 3, H, W) of sRGB images in [0, 1], or up to ``white``, in memory order."""
    if white is None:
        return _curve(image.clamp(0, 1))
    levels = _levels(white, image.device)
    return levels.index_select(0, image.int().flatten()).view(image.shape)


@cache
def _levels(white: int, device: torch.device) -> Tensor:
    """Linear light (white + 1,) of the levels of sRGB from 0 to ``white``."""
    return _curve(torch.arange(white + 1, device=device) / white)


def _curve(values: Tensor) -> Tensor:
    """Linear light of sRGB values in [0, 1]."""
    # As the roots in `lab`: a straight line, and above it a power.
    high = _power((values.clamp_min(_STRAIGHT) + 0.055) / 1.055, 2.4)
    return high.add(values.clamp_max(_STRAIGHT).sub_(_STRAIGHT), alpha=1 / 12.92)


def _power(values: Tensor, exponent: float) -> Tensor:
    """Powers of positive values, in three quarters of the time of torch's."""
    return values.log().mul_(exponent).exp_()


def _blurred(means: Tensor, sigma: float, stride: int) -> Tensor:
    """Gaussian blur of averages over positions; what lies outside continues the border.

    By the discrete analogue of the Gaussian, whose variance is right for narrow ones, too:
    Lindeberg (1990), "Scale-space for discrete signals".
    """
    variance = (sigma**2 - (stride**2 - 1) / 12) / stride**2
    reach = math.ceil(3.5 * variance**0.5)
    weights = ive(np.abs(np.arange(-reach, reach + 1)), variance)
    kernel = means.new_tensor(weights / weights.sum())
    count = int(means.shape[1])  # a number also while the network is traced
    padded = F.pad(means, (reach, reach, reach, reach), mode="replicate")
    rows = F.conv2d(padded, kernel.view(1, 1, -1, 1).expand(count, 1, -1, 1), groups=count)
    return F.conv2d(rows, kernel.view(1, 1, 1, -1).expand(count, 1, 1, -1), groups=count)
