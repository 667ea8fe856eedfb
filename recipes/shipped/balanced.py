"""Prototypes that share the cells of their class evenly, by expectation and maximisation.

Gradients through a classifier leave prototypes where they separate classes, which is beside the
cells, and one of them with most of its class. Here they are what a mixture finds in the cells of
a class, each with the same share, and the network learns to tell classes apart by them (after
Zhou et al. 2022, "Rethinking semantic segmentation", whose prototypes are means alone, and Liang
et al. 2022, "GMMSeg").
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from napari_gaussproto.core.mixture import placement
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer

# Rounds of Sinkhorn's balancing; how much a cell's own preference counts before it, which is the
# inverse of a temperature: log-likelihoods of many dimensions are otherwise yes or no.
_ROUNDS, _SHARPNESS = 4, 0.25
_STEPS = 10
# Share of its class from which a cell counts for a prototype: mixed ones lie between the classes.
PURE = 0.9


@torch.no_grad()
def place(layer: GaussianPrototypeLayer, z: Tensor, target: Tensor, seed: int) -> None:
    """Place the prototypes of every class on its pure cells (N, D), target (N, C)."""
    pure = target.max(1).values > PURE
    placement.place_by_kmeans(layer, z[pure], target[pure].argmax(1), seed)
    settle(layer, z, target)


def settle(layer: GaussianPrototypeLayer, z: Tensor, target: Tensor) -> None:
    """Take steps of expectation and maximisation from where the prototypes are."""
    for _ in range(_STEPS):
        update(layer, z, target, 0.0)


@torch.no_grad()
def update(layer: GaussianPrototypeLayer, z: Tensor, target: Tensor, inertia: float) -> None:
    """One step of expectation and maximisation; ``inertia`` of the former mixture is kept."""
    scores = layer.scores(z).log_likelihood
    mean, variance = layer.mean.clone(), layer.scale.square().clone()
    for c in range(layer.n_classes):
        members = (layer.class_index == c).nonzero().flatten()
        own = target[:, c] > PURE
        if int(own.sum()) < 2 * len(members):
            continue
        cells = z[own]
        share = even_shares(scores[own][:, members] * _SHARPNESS)
        mass = share.sum(0).clamp_min(1e-6)[:, None]
        centre = share.T @ cells / mass
        spread = (share.T @ cells.square() / mass - centre.square()).clamp_min(0)
        mean[members] = torch.lerp(centre, mean[members], inertia)
        variance[members] = torch.lerp(spread, variance[members], inertia)
    layer.set_parameters(mean, variance.sqrt(), torch.ones(layer.n_prototypes))


def even_shares(logits: Tensor) -> Tensor:
    """Shares (N, K) of prototypes in cells, of equal sums over the cells (Sinkhorn 1967)."""
    log_share = logits.log_softmax(1)
    level = math.log(len(logits) / logits.shape[1])
    for _ in range(_ROUNDS):
        log_share = log_share - log_share.logsumexp(0) + level
        log_share = log_share.log_softmax(1)
    return log_share.exp()
