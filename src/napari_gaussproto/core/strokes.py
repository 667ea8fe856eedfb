"""Strokes: the connected pieces of what a person drew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.measure import label as connected

Labels = npt.NDArray[Any]


def count_strokes(labels: Labels) -> int:
    """Number of connected pieces of one class each, in an image (H, W) of labels."""
    _, count = connected(labels, background=0, connectivity=2, return_num=True)
    return int(count)


def hold_out_strokes(
    labels: Sequence[Labels], share: float = 0.25, seed: int = 0
) -> tuple[list[Labels], list[Labels] | None]:
    """Set some strokes aside, whole ones, so that a validation figure means something.

    Neighbouring pixels of one stroke are alike: held out by pixel they would tell nothing.

    Parameters
    ----------
    labels : sequence of array
        Integers of each image's (H, W), 0 not labelled.
    share : float
        Of the strokes of each class, rounded down, but at least one where there are two.

    Returns
    -------
    kept : list of array
    held_out : list of array or None
        None when no class has two strokes: then there are too few to hold any out.
    """
    rng = np.random.default_rng(seed)
    strokes = [connected(mask, background=0, connectivity=2) for mask in labels]
    by_class: dict[int, list[tuple[int, int]]] = {}
    for image, (mask, numbered) in enumerate(zip(labels, strokes, strict=True)):
        numbers, first = np.unique(numbered, return_index=True)
        for number, at in zip(numbers.tolist(), first.tolist(), strict=True):
            if number:
                by_class.setdefault(int(mask.flat[at]), []).append((image, number))
    kept = [mask.copy() for mask in labels]
    held_out = [np.zeros_like(mask) for mask in labels]
    found = False
    for value in sorted(by_class):
        own = by_class[value]
        count = max(1, int(share * len(own))) if len(own) > 1 else 0
        for position in rng.permutation(len(own))[:count].tolist():
            image, number = own[position]
            inside = strokes[image] == number
            kept[image][inside] = 0
            held_out[image][inside] = value
            found = True
    return kept, held_out if found else None
