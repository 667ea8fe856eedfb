"""What may be wrong with a prototype, in words: what it means and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from scipy.stats import chi2

from napari_gaussproto.core.base.config import TrainingConfig
from napari_gaussproto.core.model.segmentation import Prototype
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter

Kind = Literal["dead", "duplicate", "off the data", "impure"]

# The end of a training prunes and merges by the same limits; edits may go beyond them.
_LEAST_USAGE = TrainingConfig().min_usage
_LEAST_HELLINGER = TrainingConfig().min_hellinger
_LEAST_PURITY = 0.8


@dataclass(frozen=True)
class Mark:
    """One finding about a prototype.

    Attributes
    ----------
    kind : {"dead", "duplicate", "off the data", "impure"}
    title : str
        A few words.
    meaning, advice : str
        A sentence each: what it means, and what to do.
    """

    kind: Kind
    title: str
    meaning: str
    advice: str


def health(model: PrototypeSegmenter) -> list[list[Mark]]:
    """Marks of every prototype of a model, in the order of the prototypes.

    What was never measured, as before training, is not held against a prototype.
    """
    twins = _duplicates(model)
    return [
        [
            mark
            for mark in (
                _dead(prototype),
                _duplicate(model, twins.get(m)),
                _off_the_data(prototype, model.layer.dim),
                _impure(model, prototype),
            )
            if mark is not None
        ]
        for m, prototype in enumerate(model.prototypes)
    ]


@torch.no_grad()
def similar_siblings(model: PrototypeSegmenter, m: int) -> list[int]:
    """Active prototypes of the same class, by Hellinger distance, the most similar first."""
    layer = model.layer
    overlap = layer.log_bhattacharyya()[m]
    same = (layer.class_index == layer.class_index[m]) & layer.active
    others = [int(i) for i in same.nonzero().flatten() if int(i) != m]
    return sorted(others, key=lambda i: -float(overlap[i]))


def _dead(prototype: Prototype) -> Mark | None:
    if not prototype.usage < _LEAST_USAGE:
        return None
    return Mark(
        "dead",
        "hardly used",
        f"It explains {prototype.usage:.1%} of the training cells of its class.",
        "Delete it, or train again with fewer prototypes per class.",
    )


@torch.no_grad()
def _duplicates(model: PrototypeSegmenter) -> dict[int, int]:
    """For a prototype that is nearly the same as a sibling, that sibling."""
    pairs = model.layer.siblings()
    if not len(pairs):
        return {}
    distance = 1 - model.layer.log_bhattacharyya()[pairs[:, 0], pairs[:, 1]].exp()
    twins: dict[int, int] = {}
    for row in distance.argsort().tolist():
        if float(distance[row]) >= _LEAST_HELLINGER:
            break
        a, b = pairs[row].tolist()
        twins.setdefault(a, b)
        twins.setdefault(b, a)
    return twins


def _duplicate(model: PrototypeSegmenter, twin: int | None) -> Mark | None:
    if twin is None:
        return None
    name = model.prototypes[twin].name
    return Mark(
        "duplicate",
        f"duplicate of {name}",
        f"It covers nearly the same part of the latent space as “{name}”.",
        "Merge the two; nothing will be lost.",
    )


def _off_the_data(prototype: Prototype, dim: int) -> Mark | None:
    """Not one of its own cells lies in the inner half of the Gaussian.

    Of cells drawn from a Gaussian in D dimensions, half have a squared Mahalanobis distance
    below the median of the chi-squared distribution with D degrees of freedom.
    """
    distances = prototype.distance_quantiles
    if not len(distances) or distances[0] <= _median_distance(dim):
        return None
    return Mark(
        "off the data",
        "off the data",
        "No training cell lies near its middle: it stands beside what it explains.",
        "Look at its patches; delete it, or replace it by one added from a painted region.",
    )


@lru_cache
def _median_distance(dim: int) -> float:
    """Median squared Mahalanobis distance of cells drawn from a Gaussian."""
    return float(chi2.median(dim))


def _impure(model: PrototypeSegmenter, prototype: Prototype) -> Mark | None:
    labels = prototype.patch_labels
    if not len(labels):
        return None
    counts = np.bincount(labels, minlength=len(model.classes))
    other = int(counts.argmax())
    own = model.classes[prototype.class_index].name
    if other != prototype.class_index:
        name = model.classes[other].name
        return Mark(
            "impure",
            f"its patches are {name}",
            f"{counts[other]} of its {len(labels)} nearest training patches are labelled "
            f"“{name}”, not “{own}”.",
            f"If the patches show {name}, give it to that class or turn it off.",
        )
    if counts[other] / len(labels) >= _LEAST_PURITY:
        return None
    rest = len(labels) - int(counts[other])
    return Mark(
        "impure",
        "mixed patches",
        f"{rest} of its {len(labels)} nearest training patches do not carry the label “{own}”.",
        "Split it, or turn it off and see what changes.",
    )
