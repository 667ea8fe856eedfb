"""Where prototypes start, and where dead ones start again."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer

# k-means on more cells than this costs time and moves no centre.
_MOST_CELLS = 5000
# Of a class, with a label that is nearly its alone, so that a prototype may move to some of them.
_FEWEST_PURE = 16
# What a step counts in the average of shares.
_FRESH = 0.1


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
    rng = np.random.default_rng(seed)
    for c in range(layer.n_classes):
        members = (layer.class_index == c).nonzero().flatten()
        cells = z[class_index == c].float().cpu().numpy()
        if not len(cells) or not len(members):
            continue
        if len(cells) > _MOST_CELLS:
            cells = cells[rng.choice(len(cells), _MOST_CELLS, replace=False)]
        cluster = _clusters(cells, len(members), seed)
        count = int(cluster.max()) + 1
        for j, m in enumerate(members.tolist()):
            own = cells[cluster == j % count]
            mean = torch.from_numpy(own.mean(0))
            if j >= count:  # fewer cells than prototypes: copies, told apart by a little noise
                mean += torch.from_numpy(rng.normal(0, 0.1, layer.dim).astype(np.float32))
            spread = own.std(0) if len(own) > 1 else np.full(layer.dim, 2 * layer.scale_floor)
            scale = _factor(layer, torch.from_numpy(spread.astype(np.float32)))
            weight = torch.tensor(len(own) / len(cells))
            layer.set_parameters(mean, scale, weight, which=m)


def _clusters(cells: npt.NDArray[np.float32], count: int, seed: int) -> npt.NDArray[np.int64]:
    """Number (N,) of each cell's cluster, from 0 without gaps; fewer where cells are alike."""
    count = min(count, len(np.unique(cells, axis=0)))
    found = KMeans(count, init="k-means++", n_init=3, random_state=seed).fit(cells)
    # Cells that differ by rounding alone may leave a cluster empty.
    return np.unique(found.labels_, return_inverse=True)[1]


def _factor(layer: GaussianPrototypeLayer, scale: Tensor) -> Tensor:
    """Standard deviations (D,), or the whole Cholesky factor (D, D) where the layer has one."""
    return torch.diag(scale) if layer.covariance == "full" else scale


@torch.no_grad()
def usage(layer: GaussianPrototypeLayer, z: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Share of its class' labelled cells that each prototype is responsible for, (M,).

    Of cells (N, D), their soft labels (N, C) and weights (N,). Responsibility among the
    prototypes of one class only; shares sum to 1 in every class that has labelled cells, and are
    nan in the others. Prototypes that are off have none.
    """
    joint = layer.scores(z).log_likelihood + layer.log_weight
    shares = torch.zeros(layer.n_prototypes, device=z.device)
    for c, members in enumerate(layer.members()):
        mass = (target[:, c] * weight)[:, None]
        within = joint[:, members].softmax(1) * mass
        shares[members] = within.sum(0) / mass.sum()
    return shares


def averaged(former: Tensor | None, usage: Tensor) -> Tensor:
    """The average of shares over steps, (M,), after one more; it stays where that says nothing.

    Parameters
    ----------
    former : (M,) Tensor, optional
        After the steps before; nan where there was none.
    usage : (M,) Tensor
        Of this step, nan for classes that its crops lack.
    """
    if former is None:
        return usage
    known = torch.where(former.isnan(), usage, (1 - _FRESH) * former + _FRESH * usage)
    return torch.where(usage.isnan(), former, known)


@torch.no_grad()
def reseed(
    layer: GaussianPrototypeLayer, dead: Tensor, z: Tensor, target: Tensor, weight: Tensor
) -> Tensor:
    """Move dead prototypes to the worst-explained cells of their class, one after the other.

    Parameters
    ----------
    dead : (K,) Tensor
        Indices of active prototypes.
    z, target, weight : (N, D), (N, C), (N,) Tensor
        Labelled cells.

    Returns
    -------
    (L,) Tensor
        Indices of the prototypes that moved: those whose class has 16 pure cells in ``z``.
    """
    scale = layer.scale_tril if layer.covariance == "full" else layer.scale
    moved = []
    for m in dead.tolist():
        c = int(layer.class_index[m])
        own = ((target[:, c] > 0.9) & (weight > 0)).nonzero().flatten()
        if len(own) < _FEWEST_PURE:
            continue
        # Asked anew each time: what the last one went to is explained now.
        log_class = layer.scores(z[own]).class_log_likelihood[:, c]
        # A small group, not one cell: the single worst one is often a labelling error.
        worst = own[log_class.argsort()[: max(8, len(own) // 50)]]
        siblings = layer.members()[c]
        even = (layer.raw_weight[siblings].logsumexp(0) - math.log(len(siblings))).exp()
        layer.set_parameters(z[worst].mean(0), scale[siblings].mean(0), even, which=m)
        moved.append(m)
    return torch.tensor(moved, dtype=torch.long, device=z.device)
