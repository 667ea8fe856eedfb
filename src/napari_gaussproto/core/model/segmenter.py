"""The segmenter: the networks and the prototypes of a model, and cells to classes (`decode`)."""

from __future__ import annotations

import copy
import itertools
import math
from collections import defaultdict
from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from napari_gaussproto.core.base.config import ModelConfig, SegmentationClass
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.cells.partition import Partition
from napari_gaussproto.core.cells.partitioner import Partitioner
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer
from napari_gaussproto.core.model.card import ModelCard
from napari_gaussproto.core.model.encoding import Encoding
from napari_gaussproto.core.model.familiarity import Familiarity
from napari_gaussproto.core.model.segmentation import Prototype, Segmentation
from napari_gaussproto.core.network.backbone import Backbone
from napari_gaussproto.core.network.extractor import Extractor

M = TypeVar("M", bound=nn.Module)


class PrototypeSegmenter(nn.Module):
    """Extractor, partition and Gaussian prototype layer in a row.

    Parameters
    ----------
    config : ModelConfig
    pretrained : bool
        Start the backbone from ImageNet weights; files bring their own.
    class_index : list of int, optional
        Class of each prototype; by default ``prototypes_per_class`` for every class.
    backbone : Backbone, optional
        One to share with other models; by default a new one.

    Attributes
    ----------
    partitioner : Partitioner
        Cuts images into cells as the configuration says.
    prototypes : list of Prototype
        In the order of the layer's.
    receptive_radius : int
        Pixels of the original image beyond which the input hardly moves a latent vector.
    density_quantiles : (QUANTILES,) ndarray of float32
        Of log p(z) over training cells, ascending; empty before training.
    class_quantiles : (C, QUANTILES) ndarray of float32 or None
        Of log p(z|c) over the training cells of each class, ascending; nan where there are none.
    familiarity : Familiarity or None
        What the training photographs look like, if there were enough of them.
    """

    def __init__(
        self,
        config: ModelConfig,
        pretrained: bool = False,
        class_index: list[int] | None = None,
        backbone: Backbone | None = None,
    ) -> None:
        super().__init__()
        self.extractor = Extractor(config, pretrained, backbone)
        if config.neck == "none":
            config = config.model_copy(update={"latent_dim": sum(self.extractor.widths)})
        self.config = config
        self.partitioner = Partitioner(config)
        if class_index is None:
            class_index = [
                c for c in range(len(config.classes)) for _ in range(config.prototypes_per_class)
            ]
        self.layer = make_layer(config, class_index)
        self.prototypes = name_prototypes(config.classes, class_index)
        self.card = ModelCard()
        self.receptive_radius = 4 * self.extractor.alignment
        self.density_quantiles: npt.NDArray[np.float32] = np.zeros(0, np.float32)
        self.class_quantiles: npt.NDArray[np.float32] | None = None
        self.familiarity: Familiarity | None = None

    @property
    def classes(self) -> list[SegmentationClass]:
        """Classes, in order of their index."""
        return self.config.classes

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.layer.mean.device

    @property
    def alignment(self) -> int:
        """Pixels that the sides and origins of what `extract` gets are multiples of."""
        return self.extractor.alignment

    @property
    def cell_size(self) -> int:
        """Pixels of the original image per latent position."""
        return self.config.cell_size

    def extract(self, image: Tensor) -> Tensor:
        """Latent map (B, D, H / cell_size, W / cell_size) of images (B, C, H, W) in [0, 1].

        H and W must be multiples of `alignment`.
        """
        latents: Tensor = self.extractor(image)
        return latents

    def cells_of(self, latents: Tensor, partition: Partition) -> Tensor:
        """Latents (N, D) of the cells of a latent map (D, h, w), pooled as they were trained.

        The map may overhang the image at the bottom and right.
        """
        normalised = self.config.neck != "none"
        return partition.latents(latents) if normalised else partition.features(latents)

    def partition(self, source: ImageSource) -> Partition:
        """Cut an image into this model's cells."""
        return run(self.partitioner.steps(source))

    def decode(self, encoding: Encoding) -> Segmentation:
        """Classes and explanations of an encoded image; a few matrix products."""
        found = Segmentation(
            encoding,
            self.layer,
            self.classes,
            self.prototypes,
            self.density_quantiles,
            self.familiarity,
            self.class_quantiles,
        )
        found.learned_scales = self.card.full_scales
        return found

    def with_layer(
        self, layer: GaussianPrototypeLayer, prototypes: list[Prototype], card: ModelCard
    ) -> PrototypeSegmenter:
        """A model with other prototypes that shares this one's extractor, without a copy."""
        other = shallow_copy(self)
        other.layer = layer.train(self.training)
        other.prototypes = prototypes
        other.card = card
        return other

    def with_extractor(self, extractor: Extractor) -> PrototypeSegmenter:
        """The same prototypes behind a copy of the extractor, on the device of that copy."""
        device = next(extractor.parameters()).device
        layer = copy.deepcopy(self.layer).to(device)
        other = self.with_layer(layer, self.prototypes, self.card)
        other.extractor = extractor
        return other

    def on_device(self, device: torch.device | str) -> PrototypeSegmenter:
        """A copy of the model on a device; this one stays where it is."""
        return self.with_extractor(copy.deepcopy(self.extractor).to(device))

    def with_cells(self, size: int | None) -> PrototypeSegmenter:
        """Same model with cells of another nominal side in pixels; weights are shared.

        Those are superpixels, or the squares of a model that suits itself to photographs, which
        get the nearest size that they can have. None leaves the size to the model. The prototypes
        were learned from cells of the model's own size: far from it, expect worse results. Other
        models are returned as they are.

        Raises
        ------
        ConfigError
            For a size that cells cannot have.
        """
        return self if size is None else self._configured(self.config.with_cell_size(size))

    def as_for(self, segmentation: Segmentation) -> PrototypeSegmenter:
        """Same model with the cells that a segmentation of it has, whoever chose their size."""
        regions = self.config.has_regions
        return self if regions else self.with_cells(segmentation.map_pixel_size)

    def suited_to(self, pixels: int) -> PrototypeSegmenter:
        """Same model for an image of so many pixels; see `ModelConfig.suited_to`."""
        return self._configured(self.config.suited_to(pixels))

    def _configured(self, config: ModelConfig) -> PrototypeSegmenter:
        """Same model that cuts and downsamples otherwise."""
        if config is self.config:
            return self
        other = shallow_copy(self)
        other.config, other.partitioner = config, Partitioner(config)
        other.extractor = self.extractor.downsampling(config.downsample)
        more = config.downsample / self.config.downsample
        other.receptive_radius = math.ceil(self.receptive_radius * more)
        return other

    def __repr__(self) -> str:
        """The model in one line; the modules of the network would be hundreds."""
        names = ", ".join(entry.name for entry in self.classes)
        return (
            f"<PrototypeSegmenter “{self.card.name}” of {names}: {len(self.prototypes)} "
            f"prototypes, {self.config.latent_dim} latent dimensions>"
        )


def shallow_copy(module: M) -> M:
    """A module of the same parts, each of which may be replaced in one of the two alone."""
    other = copy.copy(module)
    other._modules = dict(module._modules)
    return other


def make_layer(config: ModelConfig, class_index: list[int]) -> GaussianPrototypeLayer:
    """Build the Gaussian prototype layer that a configuration describes."""
    return GaussianPrototypeLayer(
        config.latent_dim,
        class_index,
        len(config.classes),
        covariance=config.covariance,
        learned_scale=config.learned_scale,
        scale_floor=config.scale_floor,
    )


def name_prototypes(classes: list[SegmentationClass], class_index: list[int]) -> list[Prototype]:
    """Name prototypes after their class and their number in it: “weed 3”."""
    numbers = defaultdict[int, Iterator[int]](lambda: itertools.count(1))
    return [Prototype(f"{classes[c].name} {next(numbers[c])}", c) for c in class_index]
