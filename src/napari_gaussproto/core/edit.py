"""Changes to the list of prototypes; each returns a new layer and leaves the old one alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from napari_gaussproto.core.gaussian import GaussianPrototypeLayer


@torch.no_grad()
def select(layer: GaussianPrototypeLayer, indices: Sequence[int]) -> GaussianPrototypeLayer:
    """Copy a layer with only some of its prototypes, in the given order."""
    rows = torch.as_tensor(list(indices), dtype=torch.long, device=layer.mean.device)
    chosen = GaussianPrototypeLayer(
        layer.dim,
        layer.class_index[rows].tolist(),
        layer.n_classes,
        covariance=layer.covariance,
        learned_scale=layer.raw_scale.requires_grad,
        scale_floor=layer.scale_floor,
    ).to(layer.mean.device)
    for name in ("mean", "raw_scale", "off_diagonal", "raw_weight"):
        getattr(chosen, name).copy_(getattr(layer, name)[rows])
    chosen.active.copy_(layer.active[rows])
    chosen.raw_prior.copy_(layer.raw_prior)
    chosen.log_temperature.copy_(layer.log_temperature)
    return chosen


@torch.no_grad()
def merge(layer: GaussianPrototypeLayer, a: int, b: int) -> GaussianPrototypeLayer:
    """Merge prototype ``b`` into ``a``; the others keep their order.

    Weight, mean and covariance of the result are those of the two-component mixture
    (moment matching; e.g. Runnalls 2007), the covariance within what the layer's kind of
    covariance and its floor can express.

    Raises
    ------
    ValueError
        When the two are of different classes or the same one.
    """
    if a == b or layer.class_index[a] != layer.class_index[b]:
        raise ValueError(f"prototypes {a} and {b} must be two of the same class")
    weight = layer.log_weight.exp()
    share = (weight[[a, b]] / weight[[a, b]].sum())[:, None]
    mean = (share * layer.mean[[a, b]]).sum(0)
    offset = layer.mean[[a, b]] - mean
    merged = select(layer, range(layer.n_prototypes))
    means, weights = layer.mean.clone(), weight.clone()
    means[a], weights[a] = mean, weight[a] + weight[b]
    if layer.covariance == "full":
        factors = layer.scale_tril
        covariance = factors[[a, b]] @ factors[[a, b]].mT
        outer = offset[:, :, None] * offset[:, None, :]
        scales = factors.clone()
        scales[a] = torch.linalg.cholesky((share[..., None] * (covariance + outer)).sum(0))
    else:
        scales = layer.scale.clone()
        scales[a] = (share * (layer.scale[[a, b]].square() + offset.square())).sum(0).sqrt()
    merged.set_parameters(means, scales, _positive(weights))
    return select(merged, [m for m in range(layer.n_prototypes) if m != b])


def _positive(weight: Tensor) -> Tensor:
    """Weights of inactive prototypes are 0; any positive value serves, it does not count."""
    return torch.where(weight > 0, weight, 1.0)
