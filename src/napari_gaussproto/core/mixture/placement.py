"""Where prototypes start, and where dead ones start again."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer

# k-means on more cells than this costs time and moves no centre.
_MOST_CELLS = 5000


@torch.no_grad()
def place_by_kmeans(
    layer: GaussianPrototypeLayer, z: Tensor, class_index: Tensor, seed: int
) -> None:
    """Place each class' prototypes by k-means++ on that class' cells.

    Parameters
    ----------
    z : (N, D) Tensor
        Latents of labelled cells.
    class_index : (N,) Tensor
        Class of each. Classes without cells keep their prototypes where they are.
    """
    mean, scale = layer.mean.clone(), layer.scale.clone()
    weight = torch.ones(layer.n_prototypes, device=mean.device)
    rng = np.random.default_rng(seed)
    for c in range(layer.n_classes):
        members = (layer.class_index == c).nonzero().flatten()
        cells = z[class_index == c].float().cpu().numpy()
        if not len(cells) or not len(members):
            continue
        if len(cells) > _MOST_CELLS:
            cells = cells[rng.choice(len(cells), _MOST_CELLS, replace=False)]
        count = min(len(members), len(cells))
        clusters = KMeans(count, init="k-means++", n_init=3, random_state=seed).fit(cells)
        for j, m in enumerate(members.tolist()):
            own = cells[clusters.labels_ == j % count]
            mean[m] = torch.from_numpy(own.mean(0))
            if j >= count:  # fewer cells than prototypes: copies, told apart by a little noise
                mean[m] += torch.from_numpy(rng.normal(0, 0.1, layer.dim).astype(np.float32))
            spread = own.std(0) if len(own) > 1 else np.full(layer.dim, 2 * layer.scale_floor)
            scale[m] = torch.from_numpy(spread.astype(np.float32))
            weight[m] = len(own) / len(cells)
    layer.set_parameters(mean, scale, weight)


@torch.no_grad()
def usage(layer: GaussianPrototypeLayer, z: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Share of its class' labelled cells that each prototype is responsible for, (M,).

    Of cells (N, D), their soft labels (N, C) and weights (N,). Responsibility among the
    prototypes of one class only; shares sum to 1 in every class that has labelled cells.
    """
    joint = layer.scores(z).log_likelihood + layer.log_weight
    shares = torch.zeros(layer.n_prototypes, device=z.device)
    for c in range(layer.n_classes):
        members = ((layer.class_index == c) & layer.active).nonzero().flatten()
        if len(members):
            mass = (target[:, c] * weight)[:, None]
            within = joint[:, members].softmax(1) * mass
            shares[members] = within.sum(0) / mass.sum().clamp_min(1e-12)
    return shares


@torch.no_grad()
def reseed(
    layer: GaussianPrototypeLayer, dead: Tensor, z: Tensor, target: Tensor, weight: Tensor
) -> Tensor:
    """Move dead prototypes to the worst-explained cells of their class.

    Parameters
    ----------
    dead : (K,) Tensor
        Indices of prototypes.
    z, target, weight : (N, D), (N, C), (N,) Tensor
        Labelled cells.

    Returns
    -------
    (L,) Tensor
        Indices of the prototypes that moved: those whose class has pure cells in ``z``.
    """
    log_class = layer.scores(z).class_log_likelihood
    mean, scale = layer.mean.clone(), layer.scale.clone()
    share = layer.log_weight.exp()
    moved = []
    for m in dead.tolist():
        c = int(layer.class_index[m])
        own = ((target[:, c] > 0.9) & (weight > 0)).nonzero().flatten()
        if len(own) < 16:
            continue
        # A small group, not one cell: the single worst one is often a labelling error.
        worst = own[log_class[own, c].argsort()[: max(8, len(own) // 50)]]
        mean[m] = z[worst].mean(0)
        siblings = layer.class_index == c
        scale[m] = scale[siblings].mean(0)
        share[m] = 1 / int(siblings.sum())
        moved.append(m)
    if moved:
        layer.set_parameters(mean, scale, share)
    return torch.tensor(moved, dtype=torch.long, device=z.device)
