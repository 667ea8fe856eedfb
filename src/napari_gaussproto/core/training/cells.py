"""Labelled cells: what every fit learns from, drawn from whole images or from crops."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from napari_gaussproto.core.base.steps import WithValue
from napari_gaussproto.core.cells.partition import Partition
from napari_gaussproto.core.model.encode import encode_steps
from napari_gaussproto.core.model.encoding import Encoding
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.pyramid import EncodedImage
from napari_gaussproto.core.training.samples import Crops, TrainingImage

# Labelled cells drawn from an image; enough for percentiles over a whole data set.
_CELLS_PER_IMAGE = 2000


@dataclass(frozen=True)
class LabelledCells:
    """Cells of several images or crops, with their labels.

    Attributes
    ----------
    values : (N, D) Tensor
        Latents, or backbone features, the levels of the pyramid side by side.
    target : (N, C) Tensor
        Soft labels: the share of each class in a cell's labelled area.
    weight : (N,) Tensor
        Labelled area in units of a nominal cell, 0 without labels; 1 for cells that were drawn.
    image, cell : (N,) Tensor of int
        Where each cell is; on the CPU.
    """

    values: Tensor
    target: Tensor
    weight: Tensor
    image: Tensor
    cell: Tensor

    def __len__(self) -> int:
        """N."""
        return len(self.target)

    @classmethod
    def joined(cls, parts: Sequence[LabelledCells]) -> LabelledCells:
        """All cells of several images, in their order."""
        columns = (part.__dict__.values() for part in parts)
        return cls(*map(torch.cat, zip(*columns, strict=True)))

    def with_values(self, values: Tensor) -> LabelledCells:
        """The same cells with other values (N, D)."""
        return replace(self, values=values)

    @property
    def majority(self) -> Tensor:
        """(N,) index of the class with the largest share."""
        return self.target.argmax(1)

    @property
    def labelled(self) -> list[int]:
        """Classes that have cells."""
        return (self.target.sum(0) > 0).nonzero().flatten().tolist()


def draw_cells(
    image: EncodedImage,
    labels: Tensor,
    model: PrototypeSegmenter,
    per_class: int,
    generator: torch.Generator,
    index: int,
) -> LabelledCells:
    """Draw labelled cells of an image with their features, as many of each class if there are.

    Parameters
    ----------
    image : EncodedImage
    labels : (H, W) Tensor of uint8
        0 not labelled, else class index + 1.
    model : PrototypeSegmenter
    per_class : int
        At most; a cell counts for the class with the largest share.
    generator : torch.Generator
    index : int
        Number of the image.
    """
    target, drawn = _chosen(image.partition, labels, len(model.classes), per_class, generator)
    features = image.features(drawn, model.config.output_stride)
    return _drawn(features, target, drawn, index)


def draw_latents(
    encoding: Encoding,
    labels: Tensor,
    n_classes: int,
    per_class: int,
    generator: torch.Generator,
    index: int,
) -> LabelledCells:
    """Draw labelled cells of an image with their latents, as many of each class if there are.

    Parameters
    ----------
    encoding : Encoding
    labels : (H, W) Tensor of uint8
        0 not labelled, else class index + 1.
    n_classes : int
    per_class : int
        At most; a cell counts for the class with the largest share.
    generator : torch.Generator
    index : int
        Number of the image.
    """
    target, drawn = _chosen(encoding.partition, labels, n_classes, per_class, generator)
    drawn, latents = drawn.sort().values, encoding.latents
    return _drawn(latents[drawn.to(latents.device)], target, drawn, index)


def _chosen(
    partition: Partition,
    labels: Tensor,
    n_classes: int,
    per_class: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Soft labels of all cells, and the cells that are drawn, class by class."""
    target, weight = partition.targets(labels, n_classes)
    majority = torch.where(weight > 0, target.argmax(1), -1)
    chosen = []
    for c in range(n_classes):
        own = (majority == c).nonzero().flatten()
        chosen.append(own[torch.randperm(len(own), generator=generator)[:per_class]])
    return target, torch.cat(chosen)


def _drawn(values: Tensor, target: Tensor, drawn: Tensor, index: int) -> LabelledCells:
    own, even = target[drawn].to(values.device), torch.ones(len(drawn), device=values.device)
    return LabelledCells(values, own, even, torch.full((len(drawn),), index), drawn)


def sample_cells_steps(
    model: PrototypeSegmenter, images: Sequence[TrainingImage], seed: int
) -> Generator[int, None, LabelledCells]:
    """Latents of labelled cells of every image, drawn at random over its labelled area.

    Yields the number of images done, after every tile.
    """
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for index, image in enumerate(images):
        for _ in (work := WithValue(encode_steps(image.source, model))):
            yield index
        encoding = work.value
        target, weight = encoding.partition.targets(image.full_labels, len(model.classes))
        labelled = weight.nonzero().flatten()
        drawn = labelled[torch.randperm(len(labelled), generator=generator)[:_CELLS_PER_IMAGE]]
        latents = encoding.latents
        parts.append(_drawn(latents[drawn.to(latents.device)], target, drawn, index))
        yield index + 1
    return LabelledCells.joined(parts)


def cells_of_crops(crops: Crops, model: PrototypeSegmenter) -> LabelledCells:
    """Latents of all cells of some crops, by a model in the mode that it is in."""
    device = model.device
    images = crops.images.to(device, memory_format=torch.channels_last)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        latents = model.extractor.at_working_resolution(images)
    parts = []
    marked = zip(latents, crops.labels.to(device), crops.guides, strict=True)
    for index, (latent, label, guide) in enumerate(marked):
        partition = model.partitioner.crop((label.shape[0], label.shape[1]), guide)
        target, weight = partition.targets(label, len(model.classes))
        z = model.cells_of(latent, partition)
        every = torch.arange(len(z))
        parts.append(LabelledCells(z, target, weight, torch.full_like(every, index), every))
    return LabelledCells.joined(parts)


def areas_of_crops(crops: Crops, model: PrototypeSegmenter) -> Tensor:
    """Area (N,) of all cells of some crops, in the unit of their weights."""
    areas = []
    for label, guide in zip(crops.labels.to(model.device), crops.guides, strict=True):
        partition = model.partitioner.crop((label.shape[0], label.shape[1]), guide)
        areas.append(partition.targets(torch.ones_like(label), 1)[1])
    return torch.cat(areas)
