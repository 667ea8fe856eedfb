"""Corrections move prototypes that are there: what is painted gets its class, the rest stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_gaussproto.core.mixture import surgery
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer

_ITERATIONS = 20
# Weight of what the layer said before over that of the labels, and of the way that means go.
_KEPT, _STIFFNESS = 8.0, 0.02
# How near to a wrong cell the layer isn't believed, over how far wrong cells are apart.
_NEAR = 0.5
# Parts in which strokes are held out, at most.
_FOLDS = 4


def corrected(
    layer: GaussianPrototypeLayer, z: Tensor, target: Tensor, stroke: Tensor, everywhere: Tensor
) -> GaussianPrototypeLayer:
    """A copy whose means moved so that labelled cells get their class, and others keep theirs.

    Without a stroke that it gets wrong it stays as it is. Each class that has some gets one more
    prototype, in the middle of their cells and as wide as the others are on average. Then the
    means minimise the cross-entropy of the class posterior at the labels, plus that to its own
    former posterior all over the photographs (distillation: Hinton et al. 2015, "Distilling
    the knowledge in a neural network"; as a memory, Li & Hoiem 2016, "Learning without
    forgetting"), plus a little of the squared way that they go, in units of their scales times
    the root of the temperature. Few corrections say where a model was wrong and nothing of where
    it is right, and without the second term they take that, too. It is left out where half of
    the strokes confirm the layer: these say where it is right.

    Parameters
    ----------
    layer : GaussianPrototypeLayer
    z : (N, D) Tensor
        Latents of labelled cells.
    target : (N, C) Tensor
        Their soft labels.
    stroke : (N,) Tensor of int
        The stroke that each belongs to.
    everywhere : (K, D) Tensor
        Cells from all over the photographs.
    """
    wrong = _wrong_strokes(layer, z, target, stroke)
    if not bool(wrong.any()):
        return surgery.duplicate(layer)
    mass = balanced_mass(target, stroke)
    with torch.no_grad():
        believed = everywhere[~_resembles(layer, z[wrong], target[wrong], everywhere)]
        # Where half of the strokes confirm the layer, they say themselves where it is right.
        weight = _KEPT * (float(mass[wrong].sum()) > 0.5)
        former = weight / max(1, len(believed)) * layer(believed).exp()
    return _moved(
        _with_more(layer, z[wrong], target[wrong]),
        torch.cat([z, believed]),
        torch.cat([mass, former]),
    )


def _wrong_strokes(
    layer: GaussianPrototypeLayer, z: Tensor, target: Tensor, stroke: Tensor
) -> Tensor:
    """Which cells (N,) lie in strokes that the layer gets wrong by more than half."""
    with torch.no_grad():
        wrong = (layer(z).argmax(1) != target.argmax(1)).to(z.dtype)
    share = torch.bincount(stroke, wrong) / torch.bincount(stroke).clamp_min(1)
    return share[stroke] > 0.5


def _with_more(layer: GaussianPrototypeLayer, z: Tensor, target: Tensor) -> GaussianPrototypeLayer:
    """A copy with one more prototype for each class of some cells."""
    truth, more = target.argmax(1), surgery.duplicate(layer)
    scale = layer.scale_tril if layer.covariance == "full" else layer.scale
    for c in truth.unique().tolist():
        more = surgery.append(more, c, z[truth == c].mean(0), scale[layer.active].mean(0))
    return more


def _resembles(
    layer: GaussianPrototypeLayer, z: Tensor, target: Tensor, everywhere: Tensor
) -> Tensor:
    """Which cells (K,) are as near to wrong ones as half of what these are apart in their class."""
    like = torch.zeros(len(everywhere), dtype=torch.bool, device=z.device)
    width, truth = layer.scale[layer.active].mean(0), target.argmax(1)
    for c in truth.unique().tolist():
        own = z[truth == c] / width
        apart = _usual_distance(own)
        like |= torch.cdist(everywhere / width, own).amin(1) <= _NEAR * apart
    return like


def _usual_distance(points: Tensor) -> float:
    """Median of the distances between points (N, D); 0 of a single one."""
    others = ~torch.eye(len(points), dtype=torch.bool, device=points.device)
    return float(torch.cdist(points, points)[others].median()) if len(points) > 1 else 0.0


def _moved(layer: GaussianPrototypeLayer, z: Tensor, wanted: Tensor) -> GaussianPrototypeLayer:
    """The same layer, its means where cells (N, D) get what is wanted, (N, C)."""
    start = layer.mean.detach().clone()
    # In the units of the posterior, whose temperature divides squared distances.
    scale = layer.scale.detach() * layer.temperature.detach().sqrt()
    learning = {name: value.requires_grad for name, value in layer.named_parameters()}
    layer.requires_grad_(False).mean.requires_grad_(True)  # no time for what stays
    optimizer = torch.optim.LBFGS(
        [layer.mean], max_iter=_ITERATIONS, history_size=10, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        layer.mean.grad = None
        moved = ((layer.mean - start) / scale)[layer.active].square().sum()
        value = -(wanted * layer(z)).sum() + _STIFFNESS / 2 * moved
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(objective)
    layer.mean.grad = None
    for name, value in layer.named_parameters():
        value.requires_grad_(learning[name])
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
class HeldOut:
    """What strokes say that were held out, one part of them after the other.

    Attributes
    ----------
    accuracy : float
        Share of their cells that got their class, over classes evenly.
    strokes : int
        How many they are.
    """

    accuracy: float
    strokes: int


def cross_validate(
    fit: Callable[[Tensor], GaussianPrototypeLayer], z: Tensor, target: Tensor, stroke: Tensor
) -> HeldOut | None:
    """Judge a way to fit by strokes held out; None where no class has two strokes.

    Parameters
    ----------
    fit : callable
        Makes a layer from the cells that are chosen by a (N,) mask.
    z : (N, D) Tensor
        Latents of labelled cells.
    target : (N, C) Tensor
        Their soft labels.
    stroke : (N,) Tensor of int
        The stroke that each belongs to.
    """
    fold = folds_of(target.argmax(1), stroke)
    judged = fold >= 0
    if not bool(judged.any()):
        return None
    said = torch.zeros_like(stroke)
    for number in range(int(fold.max()) + 1):
        out = fold == number
        said[out] = fit(~out)(z[out]).argmax(1)
    mass = balanced_mass(target[judged], stroke[judged])
    right = (said == target.argmax(1))[judged]
    accuracy = float((mass.sum(1) * right).sum() / mass.sum())
    return HeldOut(accuracy, len(stroke[judged].unique()))


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
