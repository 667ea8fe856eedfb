"""From an image to its latent map: backbone, then neck."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_gaussproto.core.base.config import ModelConfig
from napari_gaussproto.core.network.backbone import Backbone
from napari_gaussproto.core.network.folding import folded_copy_of
from napari_gaussproto.core.network.local import colours_in, local_features, width_of_local
from napari_gaussproto.core.network.neck import Neck, SideBySide
from napari_gaussproto.core.network.stride import shrink


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
        """All levels of images (B, C, H, W) in [0, 1] or uint8 at full resolution."""
        return self._features(shrink(image, self.downsample))

    def forward(self, image: Tensor) -> Tensor:
        """Latent map (B, D, H / cell_size, W / cell_size) of images (B, C, H, W) in [0, 1]."""
        return self.at_working_resolution(shrink(image, self.downsample))

    def maps(self, image: Tensor) -> list[Tensor]:
        """Latent map (B, D, h, w) of images (B, C, H, W), and colours (B, C, h, w).

        Images are in [0, 1] or uint8. Without local features there are no colours.
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
