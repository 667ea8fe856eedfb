"""The network that is trained: the package's own extractor, its first stages fixed."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from napari_gaussproto.core.base.config import ModelConfig
from napari_gaussproto.core.base.seeds import seeded
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.network.extractor import Extractor
from napari_gaussproto.core.network.folding import fold
from napari_gaussproto.core.network.local import local_features

# Stages of EfficientNet-Lite0 that end at stride 4: what they see is general, and most of the time
# of a step would go into them.
_FIXED = 2
CONFIG = ModelConfig(
    classes=["soil", "plant"],
    strides=(2, 4, 8, 16),
    local_features=True,
    downsample=2,
    neck_channels=128,
    latent_dim=64,
    prototypes_per_class=1,
)


def new_model(seed: int = 0, former: PrototypeSegmenter | None = None) -> PrototypeSegmenter:
    """A model with ImageNet's weights and a new neck, or with those of a former start.

    Parameters
    ----------
    seed : int
        Of what is new.
    former : PrototypeSegmenter, optional
        Of the same levels and no more latents; where it has fewer, the others are new.
    """
    with seeded(seed):
        model = PrototypeSegmenter(CONFIG, pretrained=former is None)
    if former is not None:
        own = model.extractor.state_dict()
        for name, value in former.extractor.state_dict().items():
            own[name][tuple(slice(n) for n in value.shape)] = value
        model.extractor.load_state_dict(own)
    return model.eval()


class Trunk(nn.Module):
    """An extractor in two parts; statistics of normalisation stay as they are.

    Parameters
    ----------
    extractor : Extractor
        Its later stages and its neck learn.
    """

    def __init__(self, extractor: Extractor) -> None:
        super().__init__()
        self.extractor = extractor.eval()
        network: Any = extractor.backbone.network
        self.later = network.blocks[_FIXED:]
        extractor.requires_grad_(False)
        self.later.requires_grad_(True)
        extractor.neck.requires_grad_(True)
        early = copy.deepcopy(network)
        early.blocks = early.blocks[:_FIXED]
        fold(early)
        # In a tuple, for it is no part of what is stored.
        self._early = (early.requires_grad_(False).to(memory_format=torch.channels_last),)
        self.to(memory_format=torch.channels_last)

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """All levels (B, width, h, w) of images (B, 3, S, S) in [0, 1]."""
        backbone = self.extractor.backbone
        early, levels = self._early[0], []
        with torch.no_grad():
            local = local_features(images, self.extractor.neck.output_stride)
            x = (images - backbone.mean) / backbone.std
            x = early.bn1(early.conv_stem(x.contiguous(memory_format=torch.channels_last)))
            for stage in early.blocks:
                x = stage(x)
                levels.append(x)
        for stage in self.later:
            x = stage(x)
            levels.append(x)
        by_stride = {images.shape[-1] // level.shape[-1]: level for level in levels}
        return [*(by_stride[stride] for stride in backbone.strides), local]

    def forward(self, images: Tensor) -> Tensor:
        """Latents (B, D, h, w) of images (B, 3, S, S) in [0, 1]."""
        latents: Tensor = self.extractor.neck(self.pyramid(images))
        return latents

    @torch.no_grad()
    def set_statistics(self, batches: Iterable[Tensor]) -> None:
        """Normalise every level over some batches of images (B, 3, S, S)."""
        norms = [cast(nn.BatchNorm2d, norm) for norm in self.extractor.neck.norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean of all batches
            norm.train()
        for images in batches:
            for norm, level in zip(norms, self.pyramid(images), strict=True):
                norm(level)
        for norm in norms:
            norm.momentum = 0.1
            norm.eval()
