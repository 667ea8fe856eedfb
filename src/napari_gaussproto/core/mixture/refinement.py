"""Few strokes move prototypes only as far as they must: discriminative means with a stiff prior."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from napari_gaussproto.core.mixture import surgery
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer

_ITERATIONS = 8
Option = TypeVar("Option")
# Parts in which strokes are held out, at most.
_FOLDS = 4
# Share by which the cross-entropy of strokes held out must fall, to be less stiff.
_GAIN = 0.03
_TEMPERATURES = [0.5 * 1.25**power for power in range(24)]


def refine_means(
    layer: GaussianPrototypeLayer, z: Tensor, mass: Tensor, stiffness: float
) -> GaussianPrototypeLayer:
    """Move the means of a layer so that labelled cells get their class, and no further.

    Minimises the cross-entropy of the class posterior, plus ``stiffness`` / 2 times the squared
    distances by which the means moved, in units of their scales: the posterior mode under a
    Gaussian prior around where they were (ridge, where each class has one Gaussian and all
    share a covariance, because such a mixture is a softmax of linear functions).

    Parameters
    ----------
    layer : GaussianPrototypeLayer
        Changed in place.
    z : (N, D) Tensor
        Latents of labelled cells.
    mass : (N, C) Tensor
        What each cell counts for each class; it sums to 1.
    stiffness : float
        0 lets the means go wherever the cross-entropy is least.

    Returns
    -------
    GaussianPrototypeLayer
        The same one.
    """
    start, scale = layer.mean.detach().clone(), layer.scale.detach()
    optimizer = torch.optim.LBFGS(
        [layer.mean], max_iter=_ITERATIONS, history_size=10, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        optimizer.zero_grad()
        moved = ((layer.mean - start) / scale)[layer.active].square().sum()
        value = -(mass * layer(z)).sum() + stiffness / 2 * moved
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(objective)
    layer.mean.grad = None
    return layer


def balanced_mass(target: Tensor, stroke: Tensor) -> Tensor:
    """What labelled cells count for each class (N, C), so that it sums to 1 over all.

    Every class counts alike, and a stroke counts by the root of its cells: the cells of one
    stroke are alike, so that a long one says little more than a short one.

    Parameters
    ----------
    target : (N, C) Tensor
        Soft labels.
    stroke : (N,) Tensor of int
        Number of the stroke that each cell belongs to.
    """
    size = torch.bincount(stroke).clamp_min(1).to(target.dtype)
    mass = target / size[stroke].sqrt()[:, None]
    total = mass.sum(0)
    return mass * torch.where(total > 0, 1 / total.clamp_min(1e-12), 0) / (total > 0).sum()


@dataclass(frozen=True)
class HeldOut(Generic[Option]):
    """What strokes say that were held out, one part of them after the other.

    Attributes
    ----------
    option : Option
        With which they were told best.
    temperature : float
        That makes the probabilities fit them.
    accuracy : float
        Share of their cells that got their class, over classes evenly.
    strokes : int
        How many they are.
    """

    option: Option
    temperature: float
    accuracy: float
    strokes: int


def hold_out(
    fit: Callable[[Tensor, Option], GaussianPrototypeLayer],
    z: Tensor,
    target: Tensor,
    stroke: Tensor,
    options: Sequence[Option],
) -> HeldOut[Option] | None:
    """Choose how to fit by strokes held out; None where no class has two strokes.

    Parameters
    ----------
    fit : callable
        Makes a layer from the cells that are chosen by a (N,) mask, by an option.
    z : (N, D) Tensor
        Latents of labelled cells.
    target : (N, C) Tensor
        Their soft labels.
    stroke : (N,) Tensor of int
        The stroke that each belongs to.
    options : sequence
        From the stiffest on; a less stiff one is taken only where it is clearly better.
    """
    fold = folds_of(target.argmax(1), stroke)
    judged = fold >= 0
    if not bool(judged.any()):
        return None
    mass = balanced_mass(target[judged], stroke[judged])
    best: tuple[float, HeldOut[Option]] | None = None
    for option in options:
        joint = torch.zeros_like(target)
        for number in range(int(fold.max()) + 1):
            out = fold == number
            layer = fit(~out, option)
            scores = layer.scores(z[out])
            joint[out] = (scores.class_log_likelihood + layer.log_prior).detach()
        temperature, loss = _calibrated(joint[judged], mass)
        if best is None or loss < best[0] * (1 - _GAIN):
            right = joint[judged].argmax(1) == target[judged].argmax(1)
            accuracy = float((mass.sum(1) * right).sum() / mass.sum())
            best = loss, HeldOut(option, temperature, accuracy, len(stroke[judged].unique()))
    return None if best is None else best[1]


def with_unexplained(
    layer: GaussianPrototypeLayer, z: Tensor, target: Tensor, stroke: Tensor
) -> GaussianPrototypeLayer:
    """A copy with one more prototype for each class some of whose strokes it gets wrong.

    It stands in the middle of these strokes' cells and is as wide as the others are on average.

    Parameters
    ----------
    layer : GaussianPrototypeLayer
    z : (N, D) Tensor
        Latents of labelled cells.
    target : (N, C) Tensor
        Their soft labels.
    stroke : (N,) Tensor of int
    """
    truth, more = target.argmax(1), surgery.duplicate(layer)
    wrong = (layer(z).argmax(1) != truth).to(z.dtype)
    size = torch.bincount(stroke).clamp_min(1)
    share = torch.bincount(stroke, wrong) / size
    spread = surgery.select(layer, layer.active.nonzero().flatten().tolist())
    for c in truth.unique().tolist():
        own = (truth == c) & (share[stroke] > 0.5)
        if bool(own.any()):
            scale = spread.scale_tril if layer.covariance == "full" else spread.scale
            more = surgery.append(more, c, z[own].mean(0), scale.mean(0))
    return more


def folds_of(majority: Tensor, stroke: Tensor) -> Tensor:
    """Part (N,) in which each cell is held out, whole strokes together; -1 for never.

    Of cells with their classes (N,) and strokes (N,). A class with one stroke keeps it: without it
    nothing would be known of the class.
    """
    fold = torch.full_like(stroke, -1)
    for c in majority.unique().tolist():
        own = stroke[majority == c].unique()
        if len(own) > 1:
            count = min(len(own), _FOLDS)
            for place, number in enumerate(own.tolist()):
                fold[(stroke == number) & (majority == c)] = place % count
    return fold


def _calibrated(joint: Tensor, mass: Tensor) -> tuple[float, float]:
    """Temperature that gives the least cross-entropy of joint log-densities (N, C), and that."""

    def loss(temperature: float) -> float:
        return float(-(mass * (joint / temperature).log_softmax(1)).sum())

    best = min(_TEMPERATURES, key=loss)
    return best, loss(best)
