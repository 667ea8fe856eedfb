"""From an image to its latent map: backbone, then neck."""

from __future__ import annotations

import copy
import math
import operator
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_gaussproto.core.base.config import ModelConfig
from napari_gaussproto.core.network.backbone import Backbone
from napari_gaussproto.core.network.folding import folded_copy_of
from napari_gaussproto.core.network.local import colours_in, local_features, width_of_local


def normalise(latents: Tensor) -> Tensor:
    """LayerNorm over axis 1 of latents (N, D) or (B, D, h, w), in float32 (Ba et al. 2016).

    There are no affine parameters: mean is 0 and variance 1 along axis 1.
    """
    latents = latents if latents.dtype == torch.float64 else latents.float()
    centred = latents - latents.mean(1, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(1, keepdim=True) + 1e-5)


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
        return normalise(self.head(self._fuse(pyramid)))

    def _fuse(self, pyramid: list[Tensor]) -> Tensor:
        height = pyramid[0].shape[-2] * self.strides[0] // self.output_stride
        width = pyramid[0].shape[-1] * self.strides[0] // self.output_stride
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


def to_stride(level: Tensor, size: tuple[int, int]) -> Tensor:
    """A level (B, F, h, w) at another size (H, W): averaged when finer, bilinear when coarser."""
    if level.shape[-2:] == size:
        return level
    if level.shape[-2] > size[0]:
        return F.avg_pool2d(level, level.shape[-2] // size[0])
    return F.interpolate(level, size=size, mode="bilinear", align_corners=False)


class Extractor(nn.Module):
    """Backbone, local features if the configuration says so, and neck.

    Parameters
    ----------
    pretrained : bool
        Start the backbone from ImageNet weights.
    backbone : Backbone, optional
        One to share, of the name, channels and strides in the configuration; by default a
        new one.

    Attributes
    ----------
    widths, strides : list of int
        Channels and stride of each level of the pyramid: those of the backbone, then the local
        features at the output stride.
    context_level : int
        The backbone's level by which photographs are told apart as wholes: the one whose stride
        is nearest to 8. Finer ones see hardly more than colour, coarser ones hardly any of it.
    """

    def __init__(
        self, config: ModelConfig, pretrained: bool, backbone: Backbone | None = None
    ) -> None:
        super().__init__()
        self.downsample = config.downsample
        if backbone is None:
            backbone = Backbone(config.backbone, config.channels, pretrained, config.strides)
        self.backbone = backbone
        self.widths, self.strides = list(backbone.widths), list(backbone.strides)
        self.context_level = int(
            min(range(len(self.strides)), key=lambda i: abs(math.log2(self.strides[i] / 8)))
        )
        self.has_local = config.local_features
        if self.has_local:
            self.widths.append(width_of_local(config.channels))
            self.strides.append(config.output_stride)
        self.neck = self.new_neck(config)
        self.folded = folded_copy_of(backbone, config.channels, 2 * backbone.alignment)

    def new_neck(self, config: ModelConfig) -> Neck | SideBySide:
        """A neck for these levels, with random weights."""
        if config.neck == "none":
            return SideBySide(self.widths, self.strides, config.output_stride)
        return Neck(
            self.widths,
            self.strides,
            config.output_stride,
            config.neck_channels,
            config.latent_dim,
        )

    def downsampling(self, downsample: int) -> Extractor:
        """Same extractor that averages over squares of another side first; weights are shared."""
        if downsample == self.downsample:
            return self
        other = copy.copy(self)
        other.downsample = downsample
        return other

    @property
    def alignment(self) -> int:
        """Pixels of the original image that an input's sides must be multiples of."""
        return math.lcm(self.backbone.alignment, self.neck.output_stride) * self.downsample

    def pyramid(self, image: Tensor) -> list[Tensor]:
        """All levels of images (B, C, H, W) in [0, 1] at full resolution."""
        return self._features(shrink(image, self.downsample))

    def forward(self, image: Tensor) -> Tensor:
        """Latent map (B, D, H / cell_size, W / cell_size) of images (B, C, H, W) in [0, 1]."""
        return self.at_working_resolution(shrink(image, self.downsample))

    def maps(self, image: Tensor) -> list[Tensor]:
        """Latent map (B, D, h, w) of images (B, C, H, W) in [0, 1], and colours (B, C, h, w).

        Without local features there are no colours.
        """
        return self.maps_and_context(image)[:-1]

    def maps_and_context(self, image: Tensor) -> list[Tensor]:
        """As `maps`, and last the level of the context (B, F, h', w')."""
        pyramid = self.pyramid(image)
        latents: Tensor = self.neck(pyramid)
        colours = [colours_in(pyramid, image.shape[1])] if self.has_local else []
        return [latents, *colours, pyramid[self.context_level]]

    def traceable(self) -> nn.Module:
        """The same for prediction, `forward`, as a module in which nothing is looked up."""
        return _Traceable(self)

    @property
    def context_stride(self) -> int:
        """Pixels of the original image per position of the context."""
        return self.strides[self.context_level] * self.downsample

    def at_working_resolution(self, image: Tensor) -> Tensor:
        """Latent map (B, D, h, w) of images that are shrunk already."""
        stride, (height, width) = self.neck.output_stride, image.shape[-2:]
        latents: Tensor = self.neck(self._features(self._filled(image)))
        return latents[..., : height // stride, : width // stride]

    def _filled(self, image: Tensor) -> Tensor:
        """An image continued to a size that the backbone takes, as a crop may need it."""
        beyond = [-side % self.backbone.alignment for side in image.shape[-2:]]
        if not any(beyond):
            return image
        return F.pad(image, (0, beyond[1], 0, beyond[0]), mode="replicate")

    def _features(self, image: Tensor) -> list[Tensor]:
        """Pyramid of images that are shrunk already; for prediction by the folded backbone."""
        predicts = not (self.training or torch.is_grad_enabled())
        levels: list[Tensor] = (self.folded.get() if predicts else self.backbone)(image)
        if self.has_local:
            levels = [*levels, local_features(image, self.neck.output_stride)]
        return levels


class _Traceable(nn.Module):
    def __init__(self, extractor: Extractor) -> None:
        super().__init__()
        self.backbone = extractor.folded.get()
        self.neck, self.downsample = extractor.neck, extractor.downsample
        self.has_local = extractor.has_local

    def forward(self, image: Tensor) -> Tensor:
        image = shrink(image, self.downsample)
        levels: list[Tensor] = self.backbone(image)
        if self.has_local:
            levels = [*levels, local_features(image, self.neck.output_stride)]
        latents: Tensor = self.neck(levels)
        return latents


def shrink(image: Tensor, factor: int) -> Tensor:
    """Average images (B, C, H, W) over squares of side ``factor``."""
    if factor == 1:
        return image
    height, width = (n // factor * factor for n in image.shape[-2:])
    # Strided sums: avg_pool2d takes several times as long for the few channels of an image.
    rows = _strided_sum(image[..., :height, :width], factor, -2)
    return _strided_sum(rows, factor, -1).div_(factor**2)


def _strided_sum(values: Tensor, factor: int, axis: int) -> Tensor:
    """Sums of ``factor`` neighbours along one of the last two axes."""
    parts = (
        values[..., i::factor, :] if axis == -2 else values[..., i::factor] for i in range(factor)
    )
    return reduce(operator.add, parts)
