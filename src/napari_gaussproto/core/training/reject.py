"""Train a faulty prototype away: the others learn to do without it.

A person rejects a prototype, and the layer is fine-tuned without it, so that the accuracy on
labelled cells is held. The idea is that of interactive prototype revision (Gerstenberger et
al., arXiv 2203.10087); the procedure is ours.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from napari_gaussproto.core.base.config import LossWeights, TrainingConfig
from napari_gaussproto.core.base.errors import EditError
from napari_gaussproto.core.base.steps import TrainingStep
from napari_gaussproto.core.editing import edits
from napari_gaussproto.core.mixture import objective, surgery
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.descent import descend, trainable
from napari_gaussproto.core.training.describe import class_accuracy

_BATCH = 2048
_CHECK_EVERY = 10
# Medians of fewer cells than this are no guide.
_FEWEST_OWN = 20


@dataclass(frozen=True)
class Rejection:
    """The result.

    Attributes
    ----------
    model : PrototypeSegmenter
        Without the prototype.
    before, masked, after : float
        Mean accuracy of the classes on the labelled cells: of the model as it was, of the
        model with the prototype only masked, and of the result.
    """

    model: PrototypeSegmenter
    before: float
    masked: float
    after: float


def reject_steps(
    model: PrototypeSegmenter,
    m: int | str,
    cells: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    loss: LossWeights | None = None,
    steps: int = 100,
    learning_rate: float = 4e-3,
    seed: int = 0,
) -> Generator[TrainingStep, None, Rejection]:
    """Remove a prototype and fine-tune the remaining ones on cached latents.

    Only the layer learns; extractor and temperature stay. The best state by accuracy is kept,
    the start included, so the result is never worse on these cells than masking alone.

    Parameters
    ----------
    model : PrototypeSegmenter
    m : int or str
        The prototype to reject, by its index or name.
    cells, target : Tensor
        (N, D) latents and (N, C) soft labels, for example from `Partition.targets` of an
        annotation, or from `present_targets`.
    weight : (N,) Tensor, optional
        Cells with 0 do not count. By default 1.
    loss : LossWeights, optional
        Of the training objective; by default those of a fit.
    steps : int
    learning_rate : float
    seed : int

    Yields
    ------
    TrainingStep

    Raises
    ------
    EditError
        When no cell is labelled, or when it is the last active prototype of all.
    """
    rejected = edits.delete(model, m, "train away", steps=steps, seed=seed)
    weight = torch.ones(len(cells), device=cells.device) if weight is None else weight
    known = (weight > 0) & (target.sum(1) > 0)
    if not bool(known.any()):
        raise EditError("No cell is labelled: choose a label layer with strokes on this image.")
    cells, target = cells[known].detach(), target[known]
    before = class_accuracy(model.layer, cells, target)
    loss = loss or LossWeights()
    layer = surgery.unfreeze(surgery.duplicate(rejected.layer), model.config.learned_scale)
    layer.log_temperature.requires_grad_(False)
    masked = class_accuracy(layer, cells, target)
    best, best_layer = masked, surgery.duplicate(layer)
    generator = torch.Generator().manual_seed(seed)
    class_weight = objective.class_weights(target.sum(0), TrainingConfig().class_balance)
    even = torch.ones(min(_BATCH, len(cells)), device=cells.device)

    def of_batch() -> dict[str, Tensor]:
        rows = torch.randint(len(cells), (len(even),), generator=generator).to(cells.device)
        return objective.terms(layer, cells[rows], target[rows], even, class_weight, loss)

    optimizer = torch.optim.Adam(trainable(layer), lr=learning_rate)
    for taken in descend("train away", of_batch, optimizer, steps, falling=False, alone=True):
        if taken.step % _CHECK_EVERY == 0 or taken.step == steps:
            accuracy = class_accuracy(layer, cells, target)
            if accuracy > best:
                best, best_layer = accuracy, surgery.duplicate(layer)
        yield taken
    trained = _with_trained_layer(rejected, best_layer, cells, target)
    return Rejection(trained, before, masked, best)


@torch.no_grad()
def present_targets(model: PrototypeSegmenter, m: int, cells: Tensor) -> tuple[Tensor, Tensor]:
    """What the model says now, as labels, except where it says so because of prototype ``m``.

    Of cells (N, D): the most probable class (N, C), and a weight (N,) that is 0 where ``m`` is
    the most responsible prototype, else 1.
    """
    layer = model.layer
    scores = layer.scores(cells)
    predicted = scores.class_log_posterior.argmax(1)
    target = torch.nn.functional.one_hot(predicted, layer.n_classes).to(cells.dtype)
    weight = (scores.log_assignment.argmax(1) != m).to(cells.dtype)
    return target, weight


@torch.no_grad()
def _with_trained_layer(
    model: PrototypeSegmenter, layer: GaussianPrototypeLayer, cells: Tensor, target: Tensor
) -> PrototypeSegmenter:
    """Put a trained layer into a model and let what is known of training cells follow it.

    The training cells are not available. Their distances are assumed to change by the factor by
    which those of a prototype's own cells here do, and their log-densities by the same difference
    as here: p(z|c) by that of the cells of c, (N, C) soft labels.
    """
    old = model.layer
    before, after = old.scores(cells), layer.scores(cells)
    owner = before.log_assignment.argmax(1)
    prototypes = []
    for m, prototype in enumerate(model.prototypes):
        own = owner == m
        if len(prototype.distance_quantiles) and int(own.sum()) >= _FEWEST_OWN:
            far, near = (scores.mahalanobis[own, m].median() for scores in (after, before))
            if near > 0:
                quantiles = (prototype.distance_quantiles * float(far / near)).astype(np.float32)
                prototype = replace(prototype, distance_quantiles=quantiles)
        prototypes.append(prototype)
    trained = model.with_layer(layer, prototypes, model.card)
    shift = (after.log_density - before.log_density).median()
    trained.density_quantiles = (model.density_quantiles + float(shift)).astype(np.float32)
    if model.class_quantiles is not None:
        trained.class_quantiles = model.class_quantiles.copy()
        apart = after.class_log_likelihood - before.class_log_likelihood
        for c, known in enumerate(trained.class_quantiles):
            own = target.argmax(1) == c
            if int(own.sum()) >= _FEWEST_OWN:
                known += float(apart[own, c].median())
    return trained
