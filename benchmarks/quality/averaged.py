"""A network whose coarse levels see the mean colours of regions in the place of the image."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from napari_gaussproto.core.base.config import ModelConfig
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.cells.slic import SlicSettings, region_map_steps
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.network.extractor import Extractor
from recipes.start.network import Trunk

# The coarsest level that sees the image itself.
FINE = 8


class AveragedExtractor(Extractor):
    """An extractor of which the levels above `FINE` see an averaged image.

    Attributes
    ----------
    settings : SlicSettings
        Of the regions, in pixels of the shrunk image.
    """

    settings: SlicSettings

    @classmethod
    def of(cls, extractor: Extractor, config: ModelConfig) -> AveragedExtractor:
        """One with the weights of another, which are shared."""
        other = copy.copy(extractor)
        other.__class__ = cls
        assert isinstance(other, cls)
        size = max(2, round(config.region_size / config.downsample))
        other.settings = SlicSettings(size, config.compactness, 1)
        return other

    def _features(self, image: Tensor) -> list[Tensor]:
        fine, coarse = super()._features(image), super()._features(averaged(image, self.settings))
        return either(fine, coarse, self.strides)


class AveragedTrunk(Trunk):
    """The same in training; see `Trunk`."""

    def __init__(self, extractor: Extractor) -> None:
        super().__init__(extractor)
        assert isinstance(extractor, AveragedExtractor)
        self.settings = extractor.settings

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """See `Trunk.pyramid`."""
        fine, coarse = super().pyramid(images), super().pyramid(averaged(images, self.settings))
        return either(fine, coarse, self.extractor.strides)


def either(
    fine: Sequence[Tensor], coarse: Sequence[Tensor], strides: Sequence[int]
) -> list[Tensor]:
    """Levels of two pyramids: of the second one those above `FINE`."""
    triples = zip(fine, coarse, strides, strict=True)
    return [second if stride > FINE else first for first, second, stride in triples]


def averaged(images: Tensor, settings: SlicSettings) -> Tensor:
    """Images (B, C, H, W) whose regions, which are cut anew, have their mean colour."""
    return torch.stack([_averaged(image, settings) for image in images])


def _averaged(image: Tensor, settings: SlicSettings) -> Tensor:
    source = ImageSource.from_array(
        image.detach().permute(1, 2, 0).numpy(), len(image), 2, (0.0, 1.0)
    )
    regions = torch.from_numpy(run(region_map_steps(source, settings))).long().flatten()
    sums = image.new_zeros(len(image), int(regions.max()) + 1)
    sums.index_add_(1, regions, image.flatten(1))
    return (sums / regions.bincount())[:, regions].view_as(image)
