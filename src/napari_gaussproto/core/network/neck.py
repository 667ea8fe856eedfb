"""From a feature pyramid to a latent map, and what stands there when no such neck is wanted."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_gaussproto.core.network.stride import shrink, to_stride

# Values between projection and head that are computed at a time: what fits into a cache.
BAND = 1 << 18
# Added to a variance before its root is taken.
_EPSILON = 1e-5


def normalise(latents: Tensor) -> Tensor:
    """LayerNorm over axis 1 of latents (N, D) or (B, D, h, w), in float32 (Ba et al. 2016).

    There are no affine parameters: mean is 0 and variance 1 along axis 1.
    """
    latents = latents if latents.dtype == torch.float64 else latents.float()
    centred = latents - latents.mean(1, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(1, keepdim=True) + _EPSILON)


class Neck(nn.Module):
    """Fuse a feature pyramid at one stride into a normalised latent space.

    Every level is projected, brought to the output stride and summed; what follows acts on
    each position alone. So a position's latent vector depends on the pyramid's values at
    that position only, and can be computed for a few positions as well as for all.

    Parameters
    ----------
    widths, strides : list of int
        Channels and stride of each level.
    output_stride, hidden, dim : int
        Stride of the fused map, its channels, and D.
    """

    def __init__(
        self, widths: list[int], strides: list[int], output_stride: int, hidden: int, dim: int
    ) -> None:
        super().__init__()
        self.widths = widths
        self.strides = strides
        self.output_stride = output_stride
        self.projections = nn.ModuleList(nn.Conv2d(width, hidden, 1) for width in widths)
        # Levels differ in magnitude by orders; without this the loudest one drowns the rest.
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.head = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(hidden, dim, 1))

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        """Latent map (B, D, h, w) of a pyramid; each position has mean 0 and variance 1."""
        first = pyramid[0]
        learns = self.training or torch.is_grad_enabled() or torch.onnx.is_in_onnx_export()
        if learns or len(first) > 1 or first.device.type != "cpu":
            return normalise(self.head(self._fuse(pyramid)))
        return self._in_bands(pyramid)

    def _fuse(self, pyramid: list[Tensor]) -> Tensor:
        height, width = self._size(pyramid)
        fused: Tensor | None = None
        for level, norm, project in zip(pyramid, self.norms, self.projections, strict=True):
            if level.shape[-2] > height:
                # Projecting is linear, so it may follow the averaging, where it is cheaper.
                value = project(norm(to_stride(level, (height, width))))
            else:
                value = to_stride(project(norm(level)), (height, width))
            fused = value if fused is None else fused.add_(value)
        if fused is None:
            raise ValueError("a pyramid needs at least one level")
        return fused

    def _size(self, pyramid: list[Tensor]) -> tuple[int, int]:
        """Rows and columns of the latent map."""
        height, width = (
            side * self.strides[0] // self.output_stride for side in pyramid[0].shape[-2:]
        )
        return height, width

    def _in_bands(self, pyramid: list[Tensor]) -> Tensor:
        """As `forward`, for one image on the CPU without gradients.

        Normalisation is a part of the projection, and a few rows are done at a time, so that what
        lies between stays in a cache: it is several times as large as the latent map.
        """
        height, width = self._size(pyramid)
        weights, bias = self._folded()
        weight, last_bias = self._centred()
        fine, fine_weights, coarse = [], [], []
        for level, own in zip(pyramid, weights, strict=True):
            if level.shape[-2] >= height:
                fine.append((level, level.shape[-2] // height))
                fine_weights.append(own)
            else:
                coarse.append((_widened(level, own, width), _shares(level, height)))
        joined = torch.cat([*fine_weights, bias.new_zeros(0, len(bias))])
        latents = bias.new_empty(height * width, weight.shape[1])
        step = min(height, max(1, BAND // (width * len(bias))))
        mean = bias.new_full((weight.shape[1], 1), 1 / weight.shape[1])
        room = bias.new_empty(step * width, len(bias))
        for top in range(0, height, step):
            bottom = min(top + step, height)
            fused = room[: (bottom - top) * width]
            # Levels side by side: what they give is summed in one product.
            rows = [_positions(shrink(level[:, :, top * k : bottom * k], k)) for level, k in fine]
            torch.addmm(bias, torch.cat([fused[:, :0], *rows], 1), joined, out=fused)
            for values, shares in coarse:
                # Most shares are 0: a row lies between two of the level.
                near = shares[top:bottom].any(0).nonzero()
                part = slice(int(near[0]), int(near[-1]) + 1)
                fused.view(bottom - top, -1).addmm_(shares[top:bottom, part], values[part])
            done = latents[top * width : bottom * width]
            torch.addmm(last_bias, fused.relu_(), weight, out=done)
            variance = done.square() @ mean
            done.mul_(variance.add_(_EPSILON).rsqrt_())
        return latents.view(1, height, width, -1).permute(0, 3, 1, 2)

    def _folded(self) -> tuple[list[Tensor], Tensor]:
        """Weights (F, hidden) for the features of each level as they are, and one bias (hidden,).

        A projection of what was normalised with fixed statistics is another projection.
        """
        weights, biases = [], []
        pairs: Any = zip(self.norms, self.projections, strict=True)
        for norm, project in pairs:
            scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
            weight = project.weight.flatten(1)
            weights.append((weight * scale).T)
            biases.append(project.bias + weight @ (norm.bias - scale * norm.running_mean))
        return weights, torch.stack(biases).sum(0)

    def _centred(self) -> tuple[Tensor, Tensor]:
        """Weights (hidden, D) and bias (D,) of the head, less their means over D.

        What they give has mean 0, as `normalise` wants it; only its variance is left to do.
        """
        last: Any = self.head[1]
        weight = last.weight.flatten(1).T
        return weight - weight.mean(1, keepdim=True), last.bias - last.bias.mean()

    def points(self, features: Tensor) -> Tensor:
        """Latents (N, D) of single positions, from their values at all levels side by side.

        Parameters
        ----------
        features : (N, sum of widths) Tensor
            Each level brought to the output stride beforehand.
        """
        levels = features.T[None, :, :, None].split(self.widths, dim=1)
        pairs = zip(levels, self.norms, self.projections, strict=True)
        fused = torch.stack([project(norm(level)) for level, norm, project in pairs]).sum(0)
        latents: Tensor = normalise(self.head(fused))
        return latents[0, :, :, 0].T


class SideBySide(nn.Module):
    """All levels at one stride side by side, each channel standardised: for want of a neck.

    Parameters
    ----------
    widths, strides : list of int
        Channels and stride of each level.
    output_stride : int
    """

    def __init__(self, widths: list[int], strides: list[int], output_stride: int) -> None:
        super().__init__()
        self.widths = widths
        self.strides = strides
        self.output_stride = output_stride
        self.norms = nn.ModuleList(nn.BatchNorm2d(width, affine=False) for width in widths)

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        """Latent map (B, D, h, w) of a pyramid."""
        first = pyramid[0]
        height = first.shape[-2] * self.strides[0] // self.output_stride
        width = first.shape[-1] * self.strides[0] // self.output_stride
        pairs = zip(pyramid, self.norms, strict=True)
        return torch.cat([to_stride(norm(level), (height, width)) for level, norm in pairs], 1)

    def points(self, features: Tensor) -> Tensor:
        """Latents (N, D) of single positions; see `Neck.points`."""
        levels = features.T[None, :, :, None].split(self.widths, dim=1)
        parts = [norm(level) for level, norm in zip(levels, self.norms, strict=True)]
        return torch.cat(parts, 1)[0, :, :, 0].T


def _positions(level: Tensor) -> Tensor:
    """Features (h * w, F) of the positions of a level (1, F, h, w)."""
    return level[0].permute(1, 2, 0).flatten(0, 1)


def _widened(level: Tensor, weight: Tensor, width: int) -> Tensor:
    """A level (1, F, h, w) projected and interpolated along its rows only, (h, width * hidden)."""
    _, _, rows, columns = level.shape
    projected = (_positions(level) @ weight).view(1, rows, columns, -1).permute(0, 3, 1, 2)
    wide = F.interpolate(projected, size=(rows, width), mode="bilinear", align_corners=False)
    return _positions(wide).view(rows, -1)


def _shares(level: Tensor, height: int) -> Tensor:
    """What the rows of a level (1, F, h, w) give to the rows of a finer map, (height, h)."""
    count = level.shape[-2]
    alone = torch.eye(count, dtype=level.dtype)[None, None]
    return F.interpolate(alone, size=(height, count), mode="bilinear", align_corners=False)[0, 0]
