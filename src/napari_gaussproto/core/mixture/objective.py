"""The terms of the training objective, one function each.

Targets are soft labels (N, C), the share of each class in a cell, with weights (N,) that are
zero for cells without labels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_gaussproto.core.base.config import LossWeights
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer


def classification(
    log_posterior: Tensor, target: Tensor, weight: Tensor, class_weight: Tensor
) -> Tensor:
    """Cross-entropy of class posteriors with soft labels (N, C), weighted by class.

    A scalar; 0 when no cell is labelled. Cells weigh (N,), classes (C,); see `class_weights`.
    """
    weighted = target * class_weight * weight[:, None]
    return -(weighted * log_posterior).sum() / weighted.sum().clamp_min(1e-12)


def density(layer: GaussianPrototypeLayer, z: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean negative log p(z|y) per latent dimension, a scalar: prototypes sit on their cells.

    Of latents (N, D), soft labels (N, C) and labelled areas (N,). ``z`` is detached here: through
    a trainable encoder this term has no lower bound, latents and scales would shrink together.
    """
    log_class = layer.scores(z.detach()).class_log_likelihood
    # A class whose prototypes are all inactive has no density to raise.
    alive = torch.zeros_like(target[0]).index_fill(0, layer.class_index[layer.active], 1)
    weighted = target * alive * weight[:, None]
    total = -(weighted * log_class).sum() / weighted.sum().clamp_min(1e-12)
    return total / layer.dim


def diversity(layer: GaussianPrototypeLayer) -> Tensor:
    """Mean overlap of sibling prototypes, a scalar: the Bhattacharyya coefficient per dimension.

    ``exp(log BC / D)`` instead of ``BC = 1 - Hellinger^2``, which vanishes together with its
    gradient as D grows; the root is our own. Of diagonal covariances it is the geometric mean of
    the coefficients along the axes. Scales are detached: siblings move apart, and do not narrow.
    """
    pairs = layer.siblings()
    if not len(pairs):
        return layer.mean.sum() * 0
    log_overlap = layer.log_bhattacharyya(detach_scale=True)
    return (log_overlap[pairs[:, 0], pairs[:, 1]] / layer.dim).exp().mean()


def class_weights(pixels: Tensor, balance: float) -> Tensor:
    """Class weights from labelled pixel counts (C,): frequency to the power -balance.

    Scaled so that the mean weight over labelled pixels is 1. A class without a pixel counts as one
    in a million of them, which no cell asks for.
    """
    frequency = (pixels / pixels.sum()).clamp_min(1e-6)
    weight = frequency.pow(-balance)
    return weight / (weight * frequency).sum()


def terms(
    layer: GaussianPrototypeLayer,
    z: Tensor,
    target: Tensor,
    weight: Tensor,
    class_weight: Tensor,
    weights: LossWeights,
) -> dict[str, Tensor]:
    """All supervised terms, scalars by name, each already times its weight.

    Of latents (N, D), soft labels (N, C) and labelled areas (N,) of cells; for weights (C,) of
    the classes see `class_weights`. A term of weight 0 is left out.
    """
    found: dict[str, Tensor] = {}
    if weights.classification:
        posterior = layer(z)
        found["classification"] = weights.classification * classification(
            posterior, target, weight, class_weight
        )
    if weights.density:
        found["density"] = weights.density * density(layer, z, target, weight)
    if weights.diversity:
        found["diversity"] = weights.diversity * diversity(layer)
    return found
