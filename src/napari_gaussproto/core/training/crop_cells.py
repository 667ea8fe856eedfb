"""Cells of the crops that a training step sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_gaussproto.core.cells.partition import Partition
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.samples import Crops


@dataclass(frozen=True)
class CropCells:
    """Cells of one crop.

    Attributes
    ----------
    z, target, weight : Tensor
        (N, D) latents, (N, C) soft labels and (N,) labelled areas.
    partition : Partition
    """

    z: Tensor
    target: Tensor
    weight: Tensor
    partition: Partition


def joined(cells: Sequence[CropCells]) -> tuple[Tensor, Tensor, Tensor]:
    """Latents, soft labels and weights of all crops."""
    return (
        torch.cat([c.z for c in cells]),
        torch.cat([c.target for c in cells]),
        torch.cat([c.weight for c in cells]),
    )


def cells_of(crops: Crops, model: PrototypeSegmenter) -> list[CropCells]:
    """Cells of every crop, by a model in the mode that it is in."""
    device = model.device
    images = crops.images.to(device, memory_format=torch.channels_last)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        latents = model.extractor.at_working_resolution(images)
    labels = crops.labels.to(device)
    cells = []
    for latent, label, guide in zip(latents, labels, crops.guides, strict=True):
        partition = model.partitioner.crop((label.shape[0], label.shape[1]), guide)
        target, weight = partition.targets(label, len(model.classes))
        cells.append(CropCells(partition.latents(latent), target, weight, partition))
    return cells
