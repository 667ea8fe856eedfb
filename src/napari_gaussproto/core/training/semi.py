"""What unlabelled cells can teach: the terms of semi-supervised learning, one function each.

Cells (N, D) come with weights (N,), their area; a cell is unlabelled where its labelled area
is 0. Every term returns a scalar that is not yet multiplied by its weight in the settings,
and 0 (not nan) when it has no cell to act on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from napari_gaussproto.core.base.config import TERM_WEIGHTS, USED_BY_DEFAULT, Settings
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer

# A cell counts for the statistics of a class when at least this share of it is labelled so.
_PURE = 0.9


def _default(name: str) -> float:
    return TERM_WEIGHTS[name] if name in USED_BY_DEFAULT else 0.0


class SemiSettings(Settings):
    """Weights of the semi-supervised terms and their thresholds; a weight of 0 switches off.

    None is on by default: with the start that new models have now none is better than a quick
    fit from three strokes on three unlike tasks, and from eight rounds of strokes none changes
    more than .01 of mean IoU but affinity, which loses on textures
    (``benchmarks/results/fine-tune-terms.md``, by ``python -m benchmarks.loop --mode fine-tune
    --terms``, weights as in ``core/base/config.py``). Density brought nothing on any.

    Attributes
    ----------
    density, soft_labels, pseudo_labels, affinity, anchoring : float
        Weights of the functions of this module.
    tau : float
        Posterior that a pseudo-label needs.
    density_level : float
        Share of a class' labelled cells that are less dense than a pseudo-label may be.
    affinity_cosine : float
        Cosine to a class mean above which a cell belongs to it.
    affinity_temperature : float
        In units of the cosine; the smaller, the nearer to the nearest mean alone.
    ramp_up : float
        Share of the training over which the weights of teacher-made terms rise from 0:
        an early teacher is mostly wrong.
    """

    density: float = Field(_default("density"), ge=0)
    soft_labels: float = Field(_default("soft_labels"), ge=0)
    pseudo_labels: float = Field(_default("pseudo_labels"), ge=0)
    affinity: float = Field(_default("affinity"), ge=0)
    anchoring: float = Field(_default("anchoring"), ge=0)
    tau: float = Field(0.95, gt=0, lt=1)
    density_level: float = Field(0.05, ge=0, lt=1)
    affinity_cosine: float = Field(0.7, gt=-1, lt=1)
    affinity_temperature: float = Field(0.1, gt=0)
    ramp_up: float = Field(0.2, ge=0, le=1)

    @classmethod
    def only(cls, **weights: float) -> SemiSettings:
        """These terms and no others, whatever is on by default."""
        return cls(**(dict.fromkeys(TERM_WEIGHTS, 0.0) | weights))

    @property
    def needs_teacher(self) -> bool:
        """Whether a term asks the teacher."""
        return bool(self.soft_labels or self.pseudo_labels)


def density(layer: GaussianPrototypeLayer, z: Tensor, weight: Tensor) -> Tensor:
    """Mean negative log p(z) per latent dimension, a scalar: prototypes cover the whole field.

    The cells (N, D) of areas (N,) are unlabelled. ``z`` is detached here: through a trainable
    encoder the term has no lower bound, latents and scales would shrink together. It moves
    prototypes only.
    """
    return _mean(-layer.scores(z.detach()).log_density, weight) / layer.dim


def soft_labels(log_assignment: Tensor, teacher_assignment: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of a student's assignments (N, M) with a teacher's, a scalar.

    The expectation step of EM is the teacher's, on a weakly changed view; the student takes
    it over on a strongly changed one. Both know the same prototypes, one by one. Weights are
    (N,); no gradient flows into the teacher's assignments.
    """
    return _mean(-(teacher_assignment.detach() * log_assignment).sum(1), weight)


def class_density_quantiles(
    layer: GaussianPrototypeLayer, z: Tensor, target: Tensor, weight: Tensor, level: float
) -> Tensor:
    """Quantile, at a level in [0, 1], of log p(z) over the labelled cells of each class, (C,).

    Of cells (N, D), (N, C), (N,). It is infinity for a class without labelled cells: nothing
    passes its gate.
    """
    with torch.no_grad():
        log_density = layer.scores(z).log_density
        limits = torch.full((layer.n_classes,), torch.inf, device=z.device)
        for c in range(layer.n_classes):
            own = log_density[(target[:, c] >= _PURE) & (weight > 0)]
            if len(own):
                limits[c] = own.float().quantile(level)
    return limits


@dataclass(frozen=True)
class Gate:
    """Which cells get a pseudo-label, and which.

    Attributes
    ----------
    label : (N,) Tensor of class indices
        Means something where ``passed`` only.
    passed : (N,) Tensor of bool
        Sure and familiar.
    """

    label: Tensor
    passed: Tensor

    def share(self, weight: Tensor) -> float:
        """Share of the area that passes, for cells of areas (N,)."""
        return float(_mean(self.passed.to(weight.dtype), weight))


@torch.no_grad()
def double_gate(log_posterior: Tensor, log_density: Tensor, limits: Tensor, tau: float) -> Gate:
    """Cells whose class is sure, and which are as dense as labelled cells of that class.

    The second condition is what a mixture has and a softmax has not: far from all data a
    posterior is as sure as can be, but the density is low. Posteriors (N, C) and densities (N,)
    are the teacher's, the limits (C,) those of `class_density_quantiles`.
    """
    best, label = log_posterior.exp().max(1)
    return Gate(label, (best >= tau) & (log_density >= limits[label]))


def pseudo_labels(log_posterior: Tensor, gate: Gate, weight: Tensor) -> Tensor:
    """Cross-entropy, a scalar, of a student's posteriors (N, C) with labels that passed the gate.

    Averaged over all cells of areas (N,), passed or not (as FixMatch does, Sohn et al. 2020),
    so that a gate which few cells pass teaches little.
    """
    loss = F.nll_loss(log_posterior, gate.label, reduction="none")
    return _mean(loss * gate.passed, weight)


def affinity(
    z: Tensor,
    log_posterior: Tensor,
    target: Tensor,
    weight: Tensor,
    area: Tensor,
    image: Tensor,
    *,
    cosine: float,
    temperature: float,
) -> Tensor:
    """Unlabelled cells take the class of the strokes of their own image that they resemble.

    Per image, every class with strokes has a mean latent vector. A cell with a cosine above
    the threshold to the nearest of them gets soft labels from the cosines to all of them:
    ``q_c ~ exp(cos(z, m_c) / temperature)``, and the loss is the mean of ``-sum_c q_c log p(c|z)``
    over the area without labels.

    Parameters
    ----------
    z, log_posterior, target : Tensor
        All cells (N, D), (N, C), (N, C).
    weight, area : (N,) Tensor
        Labelled area of each cell, 0 for unlabelled ones, and whole area.
    image : (N,) Tensor of int
        The image (crop) of each cell.
    cosine, temperature : float

    Returns
    -------
    Tensor
        Scalar; 0 for images without strokes, exactly and with zero gradient.
    """
    total, norm = log_posterior.sum() * 0, area.sum().new_zeros(())
    for index in image.unique().tolist():
        inside = image == index
        free = inside & (weight == 0)
        norm = norm + area[free].sum()
        labels = _affine_labels(z[inside].detach(), target[inside], weight[inside], temperature)
        if labels is None or not free.any():
            continue
        soft, nearest = labels
        near = (nearest >= cosine) & (weight[inside] == 0)
        loss = -(soft * log_posterior[inside]).sum(1)
        total = total + (loss * area[inside])[near].sum()
    return total / norm.clamp_min(1e-12)


def _affine_labels(
    z: Tensor, target: Tensor, weight: Tensor, temperature: float
) -> tuple[Tensor, Tensor] | None:
    """Soft labels (N, C) and largest cosine (N,) from class means; None with no strokes."""
    mass = target * weight[:, None]
    present = (mass.sum(0) > 0).nonzero().flatten()
    if not len(present):
        return None
    means = mass[:, present].T @ z
    cosines = F.normalize(z, dim=1) @ F.normalize(means, dim=1).T
    soft = torch.zeros_like(target)
    soft[:, present] = (cosines / temperature).softmax(1).to(soft.dtype)
    return soft, cosines.max(1).values


def remember(model: nn.Module) -> dict[str, Tensor]:
    """Copies of a model's weights, in their shapes, to anchor it to."""
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def anchoring(model: nn.Module, former: Mapping[str, Tensor]) -> Tensor:
    """Half the squared distance of all weights to former ones (L2-SP; Li et al. 2018).

    Where rows were appended, for example prototypes of a new class, the former rows are
    held and the new ones are free. Other weights of another shape are free too.
    """
    total: Tensor | None = None
    for name, value in model.named_parameters():
        if not value.requires_grad or name not in former:
            continue
        held = former[name].to(value.device)
        same_rows = value.shape[1:] == held.shape[1:] and value.ndim == held.ndim
        if not same_rows or (value.ndim and len(value) < len(held)):
            continue
        kept = value[: len(held)] if value.ndim else value
        distance = (kept - held).square().sum()
        total = distance if total is None else total + distance
    return torch.zeros(()) if total is None else total / 2


def ramp(progress: float, ramp_up: float) -> float:
    """Factor of teacher-made terms at a progress in [0, 1] (Laine & Aila 2017)."""
    if progress >= ramp_up:
        return 1.0
    return float(torch.tensor(-5 * (1 - progress / ramp_up) ** 2).exp())


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean; 0 without cells."""
    return (values * weight).sum() / weight.sum().clamp_min(1e-12)
