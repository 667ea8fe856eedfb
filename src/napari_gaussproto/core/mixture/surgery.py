"""Changes to a layer's list of Gaussians; each returns a new layer and leaves the old one alone.

Only the rows that an edit is about change; all others keep their parameters to the bit, but for
`with_class`, which writes the weights and priors of the two classes in another form. So does
`append` with the priors, where a class without active prototypes gets one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer

_ROWS = ("mean", "raw_scale", "off_diagonal", "raw_weight")
# Prior of a class without prototypes that are known: it counts for nothing, but stays finite.
EMPTY_PRIOR = 1e-6
# A Gaussian cut at its mean has halves with means at +- sqrt(2 / pi) standard deviations
# and a share 1 - 2 / pi of the variance (moments of the half-normal distribution).
_HALF_MEAN = math.sqrt(2 / math.pi)
# The share of a variance that parts may take up by what they lie apart; the rest is their own.
_MOST_BETWEEN = 0.9
# Clusters of fewer cells than this say nothing about a spread.
FEWEST_CELLS = 4


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
    for name in _ROWS:
        getattr(chosen, name).copy_(getattr(layer, name)[rows])
    chosen.active.copy_(layer.active[rows])
    chosen.raw_prior.copy_(layer.raw_prior)
    chosen.log_temperature.copy_(layer.log_temperature)
    return chosen


def duplicate(layer: GaussianPrototypeLayer) -> GaussianPrototypeLayer:
    """Copy a layer."""
    return select(layer, range(layer.n_prototypes))


def unfreeze(layer: GaussianPrototypeLayer, learned_scale: bool) -> GaussianPrototypeLayer:
    """The same layer, which learns all that it may; shapes only if ``learned_scale``."""
    layer.requires_grad_(True)
    for shape in (layer.raw_scale, layer.off_diagonal):
        shape.requires_grad_(learned_scale)
    return layer


def with_active(layer: GaussianPrototypeLayer, m: int, active: bool) -> GaussianPrototypeLayer:
    """Switch a prototype on or off; its parameters stay, so that off and on changes nothing."""
    changed = duplicate(layer)
    changed.active[m] = active
    return changed


@torch.no_grad()
def with_class(layer: GaussianPrototypeLayer, m: int, class_index: int) -> GaussianPrototypeLayer:
    """Give a prototype to another class.

    The mixture over the latent space stays as it is: prior times weight of every active
    prototype is kept, so p(z) and all assignments are unchanged, and only the class that
    the prototype counts for is another. If that class had no active prototype before, p(z) is
    unchanged but for one factor, the same everywhere: the prior of that class counts again.
    """
    joint = log_joint(layer)
    changed = duplicate(layer)
    changed.class_index[m] = class_index
    changed.raw_prior.copy_(layer.log_prior)
    for c in {int(layer.class_index[m]), class_index}:
        members, counted = _members(changed, c)
        # Weights are only compared within a class, so the joint logarithms serve as raw ones.
        changed.raw_weight[members] = joint[members]
        mass = joint[counted].exp().sum()
        changed.raw_prior[c] = mass.clamp_min(EMPTY_PRIOR).log()
    return changed


def _members(layer: GaussianPrototypeLayer, c: int) -> tuple[Tensor, Tensor]:
    """Whether each prototype is of a class, and whether it counts: if any is active, those."""
    members = layer.class_index == c
    active = members & layer.active
    return members, active if bool(active.any()) else members


def log_joint(layer: GaussianPrototypeLayer) -> Tensor:
    """Log of prior times weight, (M,); of prototypes that are off relative to the others."""
    joint = layer.raw_weight.clone()
    for c in range(layer.n_classes):
        members, counted = _members(layer, c)
        if bool(counted.any()):
            joint[members] += layer.log_prior[c] - layer.raw_weight[counted].logsumexp(0)
    return joint


@torch.no_grad()
def merge(layer: GaussianPrototypeLayer, a: int, b: int) -> GaussianPrototypeLayer:
    """Merge prototype ``b`` into ``a``; the others keep their order.

    Weight, mean and covariance of the result are those of the two-component mixture
    (moment matching; e.g. Runnalls 2007), the covariance within what the layer's kind of
    covariance and its floor can express.

    Raises
    ------
    ValueError
        When the two are not two active ones of the same class.
    """
    if a == b or layer.class_index[a] != layer.class_index[b]:
        raise ValueError(f"prototypes {a} and {b} must be two of the same class")
    pair = [a, b]
    if not bool(layer.active[pair].all()):
        raise ValueError(f"prototypes {a} and {b} must both be active")
    share = layer.raw_weight[pair].softmax(0)[:, None]
    mean = (share * layer.mean[pair]).sum(0)
    offset = layer.mean[pair] - mean
    if layer.covariance == "full":
        factors = layer.scale_tril[pair]
        outer = offset[:, :, None] * offset[:, None, :]
        second = (share[..., None] * (factors @ factors.mT + outer)).sum(0)
        scale = torch.linalg.cholesky(second)
    else:
        scale = (share * (layer.scale[pair].square() + offset.square())).sum(0).sqrt()
    merged = duplicate(layer)
    merged.set_parameters(mean, scale, which=a)
    merged.raw_weight[a] = layer.raw_weight[pair].logsumexp(0)
    return select(merged, [m for m in range(layer.n_prototypes) if m != b])


@torch.no_grad()
def split(layer: GaussianPrototypeLayer, m: int) -> GaussianPrototypeLayer:
    """Cut a prototype in two at its mean, across the direction of its largest spread.

    The parts take the place of ``m`` and of ``m + 1``. Each has half of the weight and the
    moments of its half of the Gaussian along that direction. So mean and covariance of the two
    together are those of ``m``, as far as the layer can express those of a part: a ``spherical``
    one spreads what is taken from that direction over all of them, which keeps the trace of
    the covariance only, and no scale is below the floor.
    """
    if layer.covariance == "full":
        covariance = layer.scale_tril[m] @ layer.scale_tril[m].T
        variances, directions = torch.linalg.eigh(covariance)
        step = _HALF_MEAN * variances[-1].sqrt() * directions[:, -1]
    else:
        scale = layer.scale[m]
        step = torch.zeros_like(scale)
        axis = int(scale.argmax())
        step[axis] = _HALF_MEAN * scale[axis]
    return _divided(layer, m, 2 * step, 0.5)


@torch.no_grad()
def split_by_cells(
    layer: GaussianPrototypeLayer, m: int, cells: Tensor
) -> tuple[GaussianPrototypeLayer, Tensor]:
    """Divide a prototype by 2-means of its cells (Lloyd 1982).

    The parts lie as far from each other as the clusters do. Mean and covariance of the two together
    stay those of the prototype, as `split` says: one that was fitted to strokes is as wide as
    its class is uncertain, and one that was fitted to many images knows more than these cells.

    Parameters
    ----------
    cells : (N, D) Tensor
        Those that the prototype is responsible for.

    Returns
    -------
    layer : GaussianPrototypeLayer
        The parts take the place of ``m`` and of ``m + 1``.
    part : (N,) Tensor
        0 or 1, the part that each cell belongs to.

    Raises
    ------
    ValueError
        When a part would have too few cells.
    """
    found = KMeans(2, n_init=3, random_state=0).fit(cells.float().cpu().numpy())
    part = torch.from_numpy(found.labels_.astype(np.int64)).to(cells.device)
    sizes = part.bincount(minlength=2)
    if int(sizes.min()) < FEWEST_CELLS:
        raise ValueError(f"{len(cells)} cells are too few or too alike for two prototypes")
    first, second = (cells[part == side].float().mean(0) for side in (0, 1))
    return _divided(layer, m, second - first, float(sizes[1] / len(cells))), part


def _divided(
    layer: GaussianPrototypeLayer, m: int, apart: Tensor, share: float
) -> GaussianPrototypeLayer:
    """Two prototypes of one covariance in the place of one, with its moments.

    With means m - s d and m + (1 - s) d, s the share of the second and d what they lie apart, the
    covariance of each is the whole one less s (1 - s) d d^T.

    Parameters
    ----------
    apart : (D,) Tensor
        From the first mean to the second, which is shortened where the whole is not wide enough.
    """
    spread = share * (1 - share)
    if layer.covariance == "full":
        factor = layer.scale_tril[m]
        even = torch.linalg.solve_triangular(factor, apart[:, None], upper=False)[:, 0]
        apart = apart * _limit(spread * even.square().sum())
        scale = torch.linalg.cholesky(factor @ factor.T - spread * torch.outer(apart, apart))
    else:
        scale = layer.scale[m]
        apart = apart * _limit(spread * (apart / scale).square())
        scale = (scale.square() - spread * apart.square()).sqrt()
    divided = select(layer, [*range(m + 1), *range(m, layer.n_prototypes)])
    for side, (step, part) in enumerate(((-share, 1 - share), (1 - share, share))):
        divided.set_parameters(layer.mean[m] + step * apart, scale, which=m + side)
        divided.raw_weight[m + side] = layer.raw_weight[m] + math.log(part)
    return divided


def _limit(between: Tensor) -> Tensor:
    """What a distance is multiplied with, so that enough of a variance of 1 is left within."""
    return (_MOST_BETWEEN / between.clamp_min(_MOST_BETWEEN)).sqrt()


@torch.no_grad()
def append(
    layer: GaussianPrototypeLayer, class_index: int, mean: Tensor, scale: Tensor
) -> GaussianPrototypeLayer:
    """Add a prototype at the end, as heavy as its siblings are on average.

    Parameters
    ----------
    class_index : int
        Of the new prototype. A class without active prototypes gets an average prior back.
    mean : (D,) Tensor
    scale : Tensor
        (D,) standard deviations, or (D, D) Cholesky factor for ``full``.
    """
    siblings = (layer.class_index == class_index) & layer.active
    longer = select(layer, [*range(layer.n_prototypes), 0])
    last = layer.n_prototypes
    longer.class_index[last] = class_index
    longer.active[last] = True
    longer.set_parameters(mean, scale, which=last)
    if bool(siblings.any()):
        weights = layer.raw_weight[siblings]
        longer.raw_weight[last] = weights.logsumexp(0) - math.log(len(weights))
    else:
        longer.raw_weight[last] = 0.0
        if bool(layer.active.any()):
            longer.raw_prior.copy_(with_average_prior(layer, class_index))
    return longer


def with_average_prior(layer: GaussianPrototypeLayer, class_index: int) -> Tensor:
    """Log of priors (C,), that of a class the average of those with active prototypes."""
    others = layer.class_index[layer.active].unique()
    log_prior = layer.log_prior.clone()
    log_prior[class_index] = layer.log_prior[others].logsumexp(0) - math.log(len(others))
    return log_prior


@torch.no_grad()
def moments_of(layer: GaussianPrototypeLayer, cells: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and scale of cells (N, D), in the form that the layer's covariance takes.

    A single cell has no spread; it gets the mean scale of the layer's prototypes. For
    ``full`` the covariance is the sample's plus the floor squared on the diagonal, which
    keeps it invertible for fewer cells than dimensions.
    """
    cells = cells.float()
    mean = cells.mean(0)
    if len(cells) < 2:
        scale = layer.scale.mean(0)
        return mean, torch.diag(scale) if layer.covariance == "full" else scale
    if layer.covariance == "full":
        covariance = torch.cov(cells.T, correction=0)
        floor = layer.scale_floor**2 * torch.eye(layer.dim, device=cells.device)
        return mean, torch.linalg.cholesky(covariance + floor)
    return mean, cells.std(0, correction=0)
