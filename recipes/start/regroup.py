"""Which species are one class: another grouping in every episode, for a person may want any."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.uint8]
# Pixels that a class needs in the picture that is painted on, and below which a species is none.
_ENOUGH, _ANY = 150, 40


def regroup(first: Labels, second: Labels, rng: np.random.Generator) -> list[Labels] | None:
    """Labels of two pictures by classes at random, from their species.

    Parameters
    ----------
    first, second : (H, W) array
        0 soil, else the number of a species; strokes will be painted on the first.
    rng : Generator

    Returns
    -------
    list of array, optional
        Of both, (H, W): 0 where a pixel belongs to no class, else class index + 1. None where
        the first picture does not hold enough of two classes.
    """
    present = [s for s in np.unique(first).tolist() if s and (first == s).sum() >= _ANY]
    if not present:
        return None
    groups = _groups([int(s) for s in rng.permutation(present)], rng)
    table = np.zeros(256, np.uint8)
    for index, group in enumerate(groups, start=1):
        table[group] = index
    labels = [table[first], table[second]]
    counts = np.bincount(labels[0].ravel(), minlength=len(groups) + 1)[1:]
    return labels if len(groups) > 1 and counts.min() >= _ENOUGH else None


def _groups(present: list[int], rng: np.random.Generator) -> list[list[int]]:
    """Species of each class; soil is 0. What the first picture does not show is in none."""
    if len(present) == 1:
        return [[0], present]
    kind = rng.random()
    if kind < 0.45:
        return [[0], present[:1], present[1:]]
    if kind < 0.65:
        return [[0], present]
    if kind < 0.8:
        return [present[:1], present[1:2]]
    return [[0], *([s] for s in present[:3])]
