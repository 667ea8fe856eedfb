"""The last stage of a fit: calibrate, prune, and describe every prototype by its cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from napari_gaussproto.core.base.config import TrainingConfig
from napari_gaussproto.core.base.device import one_thread
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.imaging.patches import cut_patch
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.mixture import placement, surgery
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer
from napari_gaussproto.core.model.segmentation import Prototype, quantiles_of
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter, name_prototypes
from napari_gaussproto.core.network.receptive import effective_radius
from napari_gaussproto.core.training.cells import LabelledCells, sample_cells_steps
from napari_gaussproto.core.training.descent import fit_temperature
from napari_gaussproto.core.training.samples import TrainingImage

_PATCHES = 8
_PATCHES_PER_IMAGE = 2


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
        held_out = run(sample_cells_steps(model, validation, seed))
        fit_temperature(model.layer, held_out, exactly=True)
        yield len(validation)
    cells = yield from sample_cells_steps(model, data, seed)
    tidy(model, cells, config)
    describe(model, cells, [image.source for image in data])
    model.receptive_radius = effective_radius(
        model.extract, model.config.channels, model.alignment, model.device
    )


@torch.no_grad()
def tidy(model: PrototypeSegmenter, cells: LabelledCells, config: TrainingConfig) -> None:
    """Remove dead prototypes and merge duplicates; every class keeps at least one.

    With both limits 0 nothing happens: names and pictures stay, too.
    """
    if not (config.min_usage or config.min_hellinger):
        return
    layer = model.layer
    used = placement.usage(layer, cells.values, cells.target, cells.weight)
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
    model: PrototypeSegmenter, cells: LabelledCells, sources: Sequence[ImageSource] = ()
) -> None:
    """Usage, spread, patches and purity of every prototype, and the spread of log p(z).

    What the cells say nothing about stays as it was known.

    Parameters
    ----------
    model : PrototypeSegmenter
        Changed in place.
    cells : LabelledCells
        Latents.
    sources : sequence of ImageSource
        The images of the cells, to cut patches from; without them patches stay.
    """
    layer, majority = model.layer, cells.majority
    scores = layer.scores(cells.values)
    distance = scores.mahalanobis
    alive = set(layer.class_index[layer.active].tolist())
    if alive <= set(cells.labelled) or not len(model.density_quantiles):
        # Without the cells of some class, that class would look novel everywhere.
        model.density_quantiles = quantiles_of(scores.log_density)
    used = placement.usage(layer, cells.values, cells.target, cells.weight)
    # For every cell, the prototype of its own class that explains it best.
    joint = scores.log_likelihood + layer.log_weight
    owner = joint.masked_fill(layer.class_index[None] != majority[:, None], -torch.inf).argmax(1)
    for m, prototype in enumerate(model.prototypes):
        own = distance[owner == m, m]
        if len(own) and layer.active[m]:
            prototype.distance_quantiles = quantiles_of(own)
        if layer.active[m] and bool((majority == prototype.class_index).any()):
            prototype.usage = float(used[m])
        if len(sources):
            nearest = _nearest_cells(distance[:, m], cells.image)
            _add_patches(model, prototype, cells, nearest, sources)


def _add_patches(
    model: PrototypeSegmenter,
    prototype: Prototype,
    cells: LabelledCells,
    rows: list[int],
    sources: Sequence[ImageSource],
) -> None:
    """Pictures of some cells, their classes, and how many are of the most frequent one."""
    patches = []
    for i in rows:
        source = sources[int(cells.image[i])]
        y, x = model.partition(source).center(int(cells.cell[i]))
        patches.append(cut_patch(source, y, x, model.cell_size))
    prototype.patches = np.stack(patches)
    prototype.patch_labels = cells.majority[rows].cpu().numpy()
    counts = np.bincount(prototype.patch_labels, minlength=len(model.classes))
    prototype.purity = float(counts.max() / counts.sum())


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


@torch.no_grad()
def class_accuracy(layer: GaussianPrototypeLayer, z: Tensor, target: Tensor) -> float:
    """Mean over the classes that occur of the share of cells that get the right class.

    Of cells with latents (N, D) and soft labels (N, C).
    """
    with one_thread():
        truth, predicted = target.argmax(1), layer(z).argmax(1)
        shares = [(predicted[truth == c] == c).float().mean() for c in truth.unique().tolist()]
        return float(torch.stack(shares).mean())
