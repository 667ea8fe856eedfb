"""What a quick fit learns from: the labelled cells of encoded images, drawn and checked."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.mixture import placement
from napari_gaussproto.core.model.segmentation import Encoding, quantiles_of
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.pyramid import EncodedImage


@dataclass
class StrokeCells:
    """Labelled cells of all images; ``image`` and ``cell`` say where each is."""

    features: Tensor
    target: Tensor
    image: Tensor
    cell: Tensor

    @property
    def class_weight(self) -> Tensor:
        """(C,) so that every class that has cells counts alike; 0 for the others."""
        mass = self.target.sum(0)
        even = torch.where(mass > 0, 1 / mass.clamp_min(1e-12), 0)
        return even * mass.sum() / (mass > 0).sum()

    @property
    def weight(self) -> Tensor:
        """(N,) ones: cells were drawn evenly over the classes, not by area."""
        return torch.ones(len(self.target), device=self.target.device)

    @property
    def labelled(self) -> list[int]:
        """Classes that have cells."""
        return (self.target.sum(0) > 0).nonzero().flatten().tolist()


# -- what can be wrong --------------------------------------------------------------------------


def check(
    images: Sequence[EncodedImage],
    labels: Sequence[npt.NDArray[Any]],
    model: PrototypeSegmenter,
    classes: Sequence[SegmentationClass] | None,
) -> None:
    """Refuse what cannot be fitted, with a sentence that says what to do."""
    names = [c.name for c in model.classes]
    if classes is not None and [c.name for c in classes] != names:
        raise LabelError(
            f"The strokes are of the classes {_listed([c.name for c in classes])}, the model "
            f"knows {_listed(names)}: start a new model, or make the class table the same."
        )
    if len(images) != len(labels):
        raise LabelError(
            f"There are {len(images)} images and {len(labels)} label images: "
            "give one label image for every image."
        )
    found: set[int] = set()
    for image, mask in zip(images, labels, strict=True):
        if image.backbone is not model.extractor.backbone:
            raise LabelError(
                "The image was encoded by another backbone than the model's: encode it again."
            )
        found |= _values(mask, image.shape, len(names))
    present = sorted(found - {0})
    if not present:
        raise LabelError("Nothing is labelled yet: draw a stroke of each of two classes.")
    if len(present) == 1:
        raise LabelError(
            f"Only “{names[present[0] - 1]}” is labelled: draw a stroke of another class, too."
        )


def _values(mask: npt.NDArray[Any], shape: tuple[int, int], n_classes: int) -> set[int]:
    if not np.issubdtype(mask.dtype, np.integer) or mask.shape != shape:
        raise LabelError(
            f"The labels are of type {mask.dtype} and shape {mask.shape}, the image is {shape} "
            "pixels: give whole numbers of the same height and width."
        )
    low, high = int(mask.min()), int(mask.max())
    if low < 0 or high > n_classes:
        raise LabelError(
            f"The labels contain the value {high if high > n_classes else low}, but the model "
            f"has {n_classes} classes: use 0 to {n_classes}, or start a new model."
        )
    counts = np.bincount(mask.ravel(), minlength=n_classes + 1)
    return set(np.flatnonzero(counts).tolist())


def _listed(names: list[str]) -> str:
    return ", ".join(f"“{name}”" for name in names) or "none"


# -- cells --------------------------------------------------------------------------------------


def cells_steps(
    images: Sequence[EncodedImage],
    labels: Sequence[npt.NDArray[Any]],
    model: PrototypeSegmenter,
    per_class: int,
    seed: int,
) -> Generator[int, None, StrokeCells]:
    """Features of labelled cells; yields the number of images done."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for index, (image, mask) in enumerate(zip(images, labels, strict=True)):
        if mask.any():
            pixels = torch.from_numpy(np.ascontiguousarray(mask, dtype=np.uint8))
            target, weight = image.partition.targets(pixels, len(model.classes))
            chosen = _draw(target, weight, per_class, generator)
            features = image.features(chosen, model.config.output_stride)
            parts.append((features, target[chosen], torch.full((len(chosen),), index), chosen))
        yield index + 1
    features, target, image_index, cell = (torch.cat(p) for p in zip(*parts, strict=True))
    return StrokeCells(features, target.to(features.device), image_index, cell)


def _draw(target: Tensor, weight: Tensor, per_class: int, generator: torch.Generator) -> Tensor:
    """Labelled cells, at most ``per_class`` of each class by majority, in ascending order."""
    majority = torch.where(weight > 0, target.argmax(1), -1)
    chosen = []
    for c in range(target.shape[1]):
        own = (majority == c).nonzero().flatten()
        chosen.append(own[torch.randperm(len(own), generator=generator)[:per_class]])
    return torch.cat(chosen).sort().values


def latents_at(encodings: Sequence[Encoding], cells: StrokeCells) -> Tensor:
    """Latents (N, D) of the labelled cells, as the model itself will see them."""
    parts = [
        encoding.latents[cells.cell[cells.image == index].to(encoding.latents.device)]
        for index, encoding in enumerate(encodings)
    ]
    return torch.cat(parts)


# -- what is known afterwards ------------------------------------------------------------------


@torch.no_grad()
def describe(model: PrototypeSegmenter, latents: Tensor, cells: StrokeCells) -> float:
    """Statistics that typicality and novelty compare with; the accuracy on labelled cells."""
    layer = model.layer
    distance = layer.mahalanobis(latents)
    log_likelihood = layer.log_likelihood_from(distance)
    if set(layer.class_index[layer.active].tolist()) <= set(cells.labelled):
        # Else the cells of some class are missing: it would look novel everywhere.
        model.density_quantiles = quantiles_of(layer.log_density(log_likelihood))
    used = placement.usage(layer, latents, cells.target, cells.weight)
    majority = cells.target.argmax(1)
    joint = log_likelihood + layer.log_weight
    owner = joint.masked_fill(layer.class_index[None] != majority[:, None], -torch.inf).argmax(1)
    for m, prototype in enumerate(model.prototypes):
        own = distance[owner == m, m]
        if len(own) and layer.active[m]:
            prototype.distance_quantiles = quantiles_of(own)
        if layer.active[m] and bool((majority == prototype.class_index).any()):
            prototype.usage = float(used[m])
    right = layer.class_log_posterior(log_likelihood).argmax(1) == majority
    shares = [right[majority == c].float().mean() for c in majority.unique().tolist()]
    return float(torch.stack(shares).mean())
