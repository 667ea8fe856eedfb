"""Classes that a model does not know yet: their prototypes wait until something is labelled."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.mixture import placement, surgery
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter


def unfitted(model: PrototypeSegmenter) -> list[int]:
    """Prototypes that no fit has placed yet.

    One that a person switched off was placed before, so its mean is not the origin.
    """
    layer = model.layer
    blank = ~layer.active & (layer.mean == 0).all(1)
    return [
        m
        for m in blank.nonzero().flatten().tolist()
        if not len(model.prototypes[m].distance_quantiles) and not len(model.prototypes[m].patches)
    ]


def unknown_classes(model: PrototypeSegmenter) -> list[int]:
    """Classes with unfitted prototypes only: nothing becomes one before it is labelled."""
    blank, owner = set(unfitted(model)), model.layer.class_index.tolist()
    known = {owner[m] for m in range(len(owner)) if m not in blank}
    return [c for c in range(len(model.classes)) if c not in known]


def waiting_classes(model: PrototypeSegmenter, labelled: Sequence[int]) -> list[int]:
    """Those labelled classes that have unfitted prototypes only, and so wait to be placed.

    Raises
    ------
    LabelError
        When all prototypes of a labelled class were switched off by a person: no fit can
        learn such a class, and none switches them on.
    """
    layer = model.layer
    alive = set(layer.class_index[layer.active].tolist())
    blank = {int(layer.class_index[m]) for m in unfitted(model)}
    waiting = [c for c in labelled if c not in alive]
    for c in waiting:
        if c not in blank:
            raise LabelError(
                f"“{model.classes[c].name}” is labelled, but all its prototypes are switched "
                "off: turn one on, or start a new model."
            )
    return waiting


@torch.no_grad()
def place_unfitted(
    model: PrototypeSegmenter, waiting: Sequence[int], z: Tensor, target: Tensor, seed: int
) -> None:
    """Place the unfitted prototypes of some classes by k-means++ and switch them on.

    All other prototypes stay as they are. A placed class gets the average prior.

    Parameters
    ----------
    model : PrototypeSegmenter
        Changed in place.
    waiting : sequence of int
        See `waiting_classes`.
    z : (N, D) Tensor
        Latents of labelled cells.
    target : (N, C) Tensor
        Their soft labels.
    seed : int
    """
    layer = model.layer
    blank = unfitted(model)
    for c in waiting:
        mostly = target.argmax(1) == c
        # Thin strokes may fill no cell by half.
        own = z[mostly if bool(mostly.any()) else target[:, c] > 0]
        rows = [m for m in blank if int(layer.class_index[m]) == c]
        if not len(own):
            continue
        part = surgery.select(layer, rows)
        placement.place_by_kmeans(part, own, torch.full((len(own),), c), seed)
        layer.mean[rows], layer.raw_weight[rows] = part.mean, part.raw_weight
        # Few cells say where a class is and not how wide: it is as wide as the others. The first
        # of a model that knows none is as wide as its cells are.
        first = not bool(layer.active.any())
        for name in ("raw_scale", "off_diagonal"):
            values = getattr(layer, name)
            values[rows] = getattr(part, name) if first else values[layer.active].mean(0)
        if not first:
            layer.raw_prior.copy_(surgery.with_average_prior(layer, c))
        layer.active[rows] = True
