"""What may be wrong with a prototype, in words: what it means and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
    """One finding about a prototype: a title, and what it means and what to do, a sentence each."""

    kind: Kind
    title: str
    meaning: str
    advice: str


def health(model: PrototypeSegmenter) -> list[list[Mark]]:
    """Marks of every prototype of a model, in the order of the prototypes.

    What was never measured, as before training, is not held against a prototype.
    """
    duplicates = _duplicates(model)
    # Of cells drawn from a Gaussian in D dimensions, half have a squared Mahalanobis distance
    # below the median of the chi-squared distribution with D degrees of freedom.
    median = float(chi2.median(model.layer.dim))
    return [list(_marks(model, m, duplicates, median)) for m in range(len(model.prototypes))]


@torch.no_grad()
def similar_siblings(model: PrototypeSegmenter, m: int) -> list[int]:
    """Active prototypes of the same class, by Hellinger distance, the most similar first."""
    layer = model.layer
    overlap = layer.log_bhattacharyya()[m]
    same = (layer.class_index == layer.class_index[m]) & layer.active
    others = [int(i) for i in same.nonzero().flatten() if int(i) != m]
    return sorted(others, key=lambda i: -float(overlap[i]))


def _marks(
    model: PrototypeSegmenter, m: int, duplicates: dict[int, int], median: float
) -> Iterator[Mark]:
    prototype = model.prototypes[m]
    if prototype.usage < _LEAST_USAGE:
        yield Mark(
            "dead",
            "hardly used",
            f"It explains {prototype.usage:.1%} of the training cells of its class.",
            "Delete it, or train again with fewer prototypes per class.",
        )
    if m in duplicates:
        name = model.prototypes[duplicates[m]].name
        yield Mark(
            "duplicate",
            f"duplicate of {name}",
            f"It covers nearly the same part of the latent space as “{name}”.",
            "Merge the two; nothing will be lost.",
        )
    # Not one of its own cells lies in the inner half of the Gaussian.
    if len(prototype.distance_quantiles) and prototype.distance_quantiles[0] > median:
        yield Mark(
            "off the data",
            "off the data",
            "No training cell lies near its middle: it stands beside what it explains.",
            "Look at its patches; delete it, or replace it by one added from a painted region.",
        )
    if len(prototype.patch_labels):
        yield from _impure(model, prototype)


@torch.no_grad()
def _duplicates(model: PrototypeSegmenter) -> dict[int, int]:
    """For a prototype that is nearly the same as a sibling, that sibling."""
    pairs, distance = model.layer.sibling_distances()
    duplicates: dict[int, int] = {}
    for row in distance.argsort().tolist():
        if float(distance[row]) >= _LEAST_HELLINGER:
            break
        a, b = pairs[row].tolist()
        duplicates.setdefault(a, b)
        duplicates.setdefault(b, a)
    return duplicates


def _impure(model: PrototypeSegmenter, prototype: Prototype) -> Iterator[Mark]:
    labels = prototype.patch_labels
    counts = np.bincount(labels, minlength=len(model.classes))
    other = int(counts.argmax())
    own = model.classes[prototype.class_index].name
    if other != prototype.class_index:
        name = model.classes[other].name
        yield Mark(
            "impure",
            f"its patches are {name}",
            f"{counts[other]} of its {len(labels)} nearest training patches "
            f"{'is' if counts[other] == 1 else 'are'} labelled "
            f"“{name}”, not “{own}”.",
            f"If the patches show {name}, give it to that class or turn it off.",
        )
    elif counts[other] / len(labels) < _LEAST_PURITY:
        rest = len(labels) - int(counts[other])
        yield Mark(
            "impure",
            "mixed patches",
            f"{rest} of its {len(labels)} nearest training patches "
            f"{'carries' if rest == 1 else 'carry'} another label than “{own}”.",
            "Split it, or turn it off and see what changes.",
        )
