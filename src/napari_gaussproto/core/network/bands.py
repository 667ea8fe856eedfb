"""Blocks of a network a few rows at a time, so that their wide maps stay in a cache.

The map in the middle of an inverted residual is several times as large as those before and after
it. At fine strides most of a network's time goes into bringing it to memory and back.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import Any, NamedTuple

import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn
from torch.nn import functional as F

# Values of a wide map that are computed at a time, for each of up to so many threads: what fits
# into a cache. More threads share it.
BAND = 1 << 19
_MOST_THREADS = 4
# A wide map of fewer bands is computed as a whole: it fits into a larger cache.
_LEAST_BANDS = 4
# Side of the image on which bands are compared with the whole, and what they may differ by,
# relative to the largest value.
_SIDE, _TOLERANCE = 12, 1e-3


class _Nowhere(nn.Module):
    """Stands for a kind of block that another version of timm does not have: none is one."""


def _kind(module: str, name: str) -> Any:
    """A class of timm's inside, which may change; without it blocks are computed as a whole."""
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError):
        return _Nowhere


InvertedResidual = _kind("timm.models._efficientnet_blocks", "InvertedResidual")
DepthwiseSeparableConv = _kind("timm.models._efficientnet_blocks", "DepthwiseSeparableConv")
EfficientNetFeatures = _kind("timm.models.efficientnet", "EfficientNetFeatures")


class InBands(nn.Module):
    """A convolution, a depthwise one of what it gives, and a projection of what that gives.

    Parameters
    ----------
    whole : nn.Module
        All of it, which computes whole maps: for batches, small images and other devices.
    first : nn.Conv2d
    activation : nn.Module
        Of the first convolution.
    depthwise : nn.Conv2d
    last : nn.Module
        What follows, at every position alone: an activation, a 1x1 convolution, and another one.
    has_skip : bool
        Whether the input is added to the output.
    """

    def __init__(
        self,
        whole: nn.Module,
        first: nn.Conv2d,
        activation: nn.Module,
        depthwise: nn.Conv2d,
        last: nn.Module,
        has_skip: bool,
    ) -> None:
        super().__init__()
        self.whole, self.first, self.activation = whole, first, activation
        self.depthwise, self.last, self.has_skip = depthwise, last, has_skip

    def forward(self, image: Tensor) -> Tensor:
        """Output (B, F, h, w) of an input (B, C, H, W)."""
        band = BAND * min(_MOST_THREADS, torch.get_num_threads())
        height, width = (_along(self.first, length).after for length in image.shape[-2:])
        is_large = self.first.out_channels * height * width >= _LEAST_BANDS * band
        if is_large and len(image) == 1 and image.device.type == "cpu" and not _exports():
            return self.in_bands(image, band)
        whole: Tensor = self.whole(image)
        return whole

    def in_bands(self, image: Tensor, band: int) -> Tensor:
        """As `forward` of one image (1, C, H, W), with so many values of the wide map at a time."""
        span, stride = self.depthwise.kernel_size[0], self.depthwise.stride[0]
        height, width = (_along(self.first, length).after for length in image.shape[-2:])
        down, across = _along(self.depthwise, height), _along(self.depthwise, width)
        channels = self.first.out_channels
        step = min(down.after, max(1, band // (channels * across.seen * stride)))
        # Rows of the wide map between zeros. The last ones of a band are the first of the next.
        room = image.new_zeros(1, (step - 1) * stride + span, across.seen, channels)
        room = room.permute(0, 3, 1, 2)
        own = slice(across.before, across.before + width)
        parts, known, made = [], down.before, 0
        for begin in range(0, down.after, step):
            count = (min(step, down.after - begin) - 1) * stride + span
            end = min(height, made + count - known)
            if made < end:
                rows = _rows(self.first, image, made, end)
                self._activate(rows, room[:, :, known : known + end - made, own])
            room[:, :, known + end - made : count] = 0
            parts.append(self.last(_convolved(self.depthwise, room[:, :, :count])))
            known, made = span - stride, end
            room[:, :, :known] = room[:, :, count - known : count].clone()
        out = torch.cat(parts, 2)
        return out.add_(image) if self.has_skip else out

    def _activate(self, values: Tensor, room: Tensor) -> None:
        """Write the activations of some values to where they are wanted."""
        if isinstance(self.activation, nn.Hardtanh):  # such as ReLU6
            torch.clamp(values, self.activation.min_val, self.activation.max_val, out=room)
        else:
            room.copy_(self.activation(values))


class _Along(NamedTuple):
    """Of a convolution along an axis: zeros before it, pixels that it sees, and that it makes."""

    before: int
    seen: int
    after: int


def _along(convolution: nn.Conv2d, length: int) -> _Along:
    """What a convolution does along an axis of some length."""
    span, stride = convolution.kernel_size[0], convolution.stride[0]
    if isinstance(convolution, Conv2dSame):
        after = -(-length // stride)
        before = max((after - 1) * stride + span - length, 0) // 2
    else:
        before = int(convolution.padding[0])
        after = (length + 2 * before - span) // stride + 1
    return _Along(before, max((after - 1) * stride + span, before + length), after)


def _rows(convolution: nn.Conv2d, image: Tensor, first: int, last: int) -> Tensor:
    """Some rows of what a convolution makes of an image (1, C, H, W)."""
    span, stride = convolution.kernel_size[0], convolution.stride[0]
    height, width = image.shape[-2:]
    down, across = _along(convolution, height), _along(convolution, width)
    start, stop = first * stride - down.before, (last - 1) * stride + span - down.before
    right = across.seen - across.before - width
    beyond = (across.before, right, max(0, -start), max(0, stop - height))
    part = image[:, :, max(0, start) : stop]
    return _convolved(convolution, F.pad(part, beyond) if any(beyond) else part)


def _convolved(convolution: nn.Conv2d, image: Tensor) -> Tensor:
    """What a convolution makes of an image (B, C, H, W) without zeros around it."""
    weight, bias, stride = convolution.weight, convolution.bias, convolution.stride[0]
    return F.conv2d(image, weight, bias, stride, groups=convolution.groups)


def _exports() -> bool:
    """Whether the network is turned into a file, for images of any size."""
    return torch.onnx.is_in_onnx_export()


@torch.no_grad()
def put_in_bands(network: nn.Module) -> int:
    """Put, in place, blocks of a folded network into bands where they can be, and count them."""
    count = 0
    for parent in list(network.modules()):
        if isinstance(parent, EfficientNetFeatures):
            with suppress(AttributeError):  # of parts with other names
                count += _stem_in_bands(parent)
        for name, block in list(parent._modules.items()):
            if isinstance(block, InvertedResidual):
                with suppress(AttributeError):
                    part = _residual(block)
                    if _agrees(part):
                        parent._modules[name] = part
                        count += 1
    return count


def _residual(block: Any) -> InBands:
    last = nn.Sequential(block.bn2, block.conv_pwl, block.bn3)
    return InBands(block, block.conv_pw, block.bn1, block.conv_dw, last, block.has_skip)


def _stem_in_bands(network: Any) -> int:
    """As `put_in_bands`: the first convolution of a network and its first block as one."""
    block = network.blocks[0][0]
    if not isinstance(block, DepthwiseSeparableConv) or 0 in network._stage_out_idx:
        return 0
    first, activation = network.conv_stem, network.bn1
    last = nn.Sequential(block.bn1, block.conv_pw, block.bn2)
    whole = nn.Sequential(first, activation, block)
    part = InBands(whole, first, activation, block.conv_dw, last, has_skip=False)
    if not _agrees(part):
        return 0
    network.conv_stem, network.bn1, network.blocks[0][0] = nn.Identity(), nn.Identity(), part
    return 1


def _agrees(part: InBands) -> bool:
    """Whether bands give what the whole does; not of a block with parts that see whole maps."""
    if not all(isinstance(c, nn.Conv2d) for c in (part.first, part.depthwise)):
        return False
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, part.first.in_channels, _SIDE, _SIDE, generator=generator)
    image = image.to(part.first.weight)
    try:
        whole, bands = part.whole(image), part.in_bands(image, 1)
    except RuntimeError:  # of other shapes
        return False
    same = whole.shape == bands.shape
    return same and bool((whole - bands).abs().max() <= _TOLERANCE * whole.abs().max())
