"""The last stage of a fit: calibrate, prune, and describe every prototype by its data."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from napari_gaussproto.core.base.config import TrainingConfig
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.imaging.patches import Patches, cut_patch
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.mixture import placement, surgery
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer
from napari_gaussproto.core.model.encode import encode_steps
from napari_gaussproto.core.model.segmentation import quantiles_of
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter, name_prototypes
from napari_gaussproto.core.network.receptive import effective_radius
from napari_gaussproto.core.training.samples import TrainingImage

# Labelled cells drawn from an image; enough for percentiles over a whole data set.
_CELLS_PER_IMAGE = 2000
_PATCHES = 8
_PATCHES_PER_IMAGE = 2


@dataclass
class LabelledCells:
    """A sample of labelled cells of several images.

    Attributes
    ----------
    z, target : Tensor
        (N, D) latents and (N, C) soft labels.
    image, cell : Tensor
        (N,) where each came from.
    """

    z: Tensor
    target: Tensor
    image: Tensor
    cell: Tensor

    @property
    def weight(self) -> Tensor:
        """(N,) ones."""
        return torch.ones(len(self.z), device=self.z.device)


def finish_steps(
    model: PrototypeSegmenter,
    data: Sequence[TrainingImage],
    validation: Sequence[TrainingImage],
    config: TrainingConfig,
    seed: int,
) -> Iterator[int]:
    """Calibrate on validation cells, prune and merge, and fill `model.prototypes`.

    Changes the model in place; yields the number of images done, per set.
    """
    if validation:
        calibrate_temperature(model, sample_cells(model, validation, seed))
        yield len(validation)
    cells = yield from sample_cells_steps(model, data, seed)
    tidy(model, cells, config)
    describe(model, cells, data)
    model.receptive_radius = effective_radius(
        model.extract, model.config.channels, model.alignment, model.device
    )


def sample_cells(
    model: PrototypeSegmenter, images: Sequence[TrainingImage], seed: int
) -> LabelledCells:
    """Draw labelled cells of every image, at random over its labelled area."""
    return run(sample_cells_steps(model, images, seed))


def sample_cells_steps(
    model: PrototypeSegmenter, images: Sequence[TrainingImage], seed: int
) -> Generator[int, None, LabelledCells]:
    """As `sample_cells`; yields the number of images done."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for index, image in enumerate(images):
        parts.append(_sample(model, image, index, generator))
        yield index + 1
    return LabelledCells(
        torch.cat([p.z for p in parts]),
        torch.cat([p.target for p in parts]),
        torch.cat([p.image for p in parts]),
        torch.cat([p.cell for p in parts]),
    )


@torch.no_grad()
def _sample(
    model: PrototypeSegmenter, image: TrainingImage, index: int, generator: torch.Generator
) -> LabelledCells:
    encoding = run(encode_steps(image.source, model))
    target, weight = encoding.partition.targets(image.full_labels, len(model.classes))
    labelled = weight.nonzero().flatten()
    drawn = labelled[torch.randperm(len(labelled), generator=generator)[:_CELLS_PER_IMAGE]]
    device = encoding.latents.device
    return LabelledCells(
        encoding.latents[drawn.to(device)],
        target[drawn].to(device),
        torch.full((len(drawn),), index),
        drawn,
    )


@torch.no_grad()
def calibrate_temperature(model: PrototypeSegmenter, cells: LabelledCells) -> None:
    """Set T to minimise the cross-entropy on held-out cells (Guo et al. 2017).

    T rescales every class alike, so no cell changes its class.
    """
    layer = model.layer
    log_likelihood = layer.log_likelihood(cells.z)

    def cross_entropy(log_temperature: float) -> float:
        layer.log_temperature.fill_(log_temperature)
        return float(-(cells.target * layer.class_log_posterior(log_likelihood)).sum(1).mean())

    found = minimize_scalar(cross_entropy, bounds=(math.log(0.1), math.log(200)), method="bounded")
    layer.log_temperature.fill_(float(found.x))


@torch.no_grad()
def tidy(model: PrototypeSegmenter, cells: LabelledCells, config: TrainingConfig) -> None:
    """Remove dead prototypes and merge duplicates; every class keeps at least one.

    With both limits 0 nothing happens: names and pictures stay, too.
    """
    if not (config.min_usage or config.min_hellinger):
        return
    layer = model.layer
    used = placement.usage(layer, cells.z, cells.target, cells.weight)
    keep = [
        m
        for m in range(layer.n_prototypes)
        if used[m] >= config.min_usage
        or used[m] == used[layer.class_index == layer.class_index[m]].max()
    ]
    layer = surgery.select(layer, keep)
    while (pair := _closest_siblings(layer, config.min_hellinger)) is not None:
        layer = surgery.merge(layer, *pair)
    model.layer = layer.requires_grad_(True)
    model.layer.raw_scale.requires_grad_(model.config.learned_scale)
    model.prototypes = name_prototypes(model.classes, layer.class_index.tolist())


def _closest_siblings(layer: GaussianPrototypeLayer, limit: float) -> tuple[int, int] | None:
    """The most similar pair of a class, if its squared Hellinger distance is below a limit."""
    pairs = layer.siblings()
    if not len(pairs):
        return None
    distance = 1 - layer.log_bhattacharyya()[pairs[:, 0], pairs[:, 1]].exp()
    nearest = int(distance.argmin())
    if float(distance[nearest]) >= limit:
        return None
    a, b = pairs[nearest].tolist()
    return a, b


@torch.no_grad()
def describe(
    model: PrototypeSegmenter, cells: LabelledCells, data: Sequence[TrainingImage]
) -> None:
    """Usage, spread, patches and purity of every prototype, and the spread of log p(z)."""
    layer = model.layer
    distance = layer.mahalanobis(cells.z)
    log_likelihood = layer.log_likelihood_from(distance)
    model.density_quantiles = quantiles_of(layer.log_density(log_likelihood))
    used = placement.usage(layer, cells.z, cells.target, cells.weight)
    owner = _owners(model, log_likelihood, cells.target)
    for m, prototype in enumerate(model.prototypes):
        own = distance[owner == m, m]
        if len(own):
            prototype.distance_quantiles = quantiles_of(own)
        prototype.usage = float(used[m])
        nearest = _nearest_cells(distance[:, m], cells.image)
        prototype.patches = np.stack(
            [_patch(model, data[int(cells.image[i])].source, int(cells.cell[i])) for i in nearest]
        )
        prototype.patch_labels = cells.target[nearest].argmax(1).cpu().numpy()
        counts = np.bincount(prototype.patch_labels, minlength=len(model.classes))
        prototype.purity = float(counts.max() / counts.sum())


def _owners(model: PrototypeSegmenter, log_likelihood: Tensor, target: Tensor) -> Tensor:
    """For every cell, the prototype of its own class that explains it best, (N,)."""
    joint = log_likelihood + model.layer.log_weight
    own_class = model.layer.class_index[None] == target.argmax(1)[:, None]
    return torch.where(own_class, joint, -torch.inf).argmax(1)


def _nearest_cells(distance: Tensor, image: Tensor) -> list[int]:
    """Nearest cells, few from any one image, so that the patches show variety."""
    taken: dict[int, int] = {}
    chosen: list[int] = []
    for i in distance.argsort().tolist():
        source = int(image[i])
        if taken.get(source, 0) < _PATCHES_PER_IMAGE:
            taken[source] = taken.get(source, 0) + 1
            chosen.append(i)
        if len(chosen) == _PATCHES:
            break
    return chosen


def _patch(model: PrototypeSegmenter, source: ImageSource, cell: int) -> Patches:
    y, x = model.partition(source).center(cell)
    return cut_patch(source, y, x, model.cell_size)
