"""Strokes: the connected pieces of what a person drew; and what is set aside of all labels."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage import measure

# Share of a photograph that is labelled from which on it counts as dense.
_DENSE = 0.5

# Which pixels (H, W) of an image hold data.
Data = npt.NDArray[np.bool_]


def count_strokes(labels: npt.NDArray[Any]) -> int:
    """Number of connected pieces of one class each, in an image (H, W) of labels."""
    _, count = measure.label(labels, background=0, connectivity=2, return_num=True)
    return int(count)


def is_dense(labels: npt.NDArray[Any], data: Data | None = None) -> bool:
    """Whether at least half of a photograph, of labels (H, W), is labelled.

    Where it is known which pixels (H, W) hold ``data``, half of those.
    """
    known = labels if data is None else labels[data]
    return bool(known.any() and np.count_nonzero(known) >= _DENSE * known.size)


def hold_out(
    labels: Sequence[npt.NDArray[Any]],
    share: float = 0.25,
    seed: int = 0,
    data: Sequence[Data | None] | None = None,
) -> tuple[list[npt.NDArray[Any]], list[npt.NDArray[Any]] | None]:
    """Set labels aside: whole photographs where two or more are dense, strokes otherwise.

    A piece of a dense photograph says little of others, for the model has seen all around it.

    Parameters
    ----------
    labels : sequence of (H, W) ndarray of integers
        0 not labelled.
    share : float
        Of the dense photographs, rounded down, but at least one; each class stays labelled. Of
        strokes as in `hold_out_strokes`.
    seed : int
    data : sequence of (H, W) ndarray of bool or None, optional
        Which pixels hold data; where none hold any there should be no label.

    Returns
    -------
    kept : list of (H, W) ndarray
    held_out : list of (H, W) ndarray or None
        See `hold_out_strokes`.
    """
    known = data or [None] * len(labels)
    pairs = zip(labels, known, strict=True)
    dense = [number for number, (mask, there) in enumerate(pairs) if is_dense(mask, there)]
    holding = {number: set(np.unique(mask)) - {0} for number, mask in enumerate(labels)}
    aside: list[int] = []
    for number in np.random.default_rng(seed).permutation(dense).tolist():
        others = (own for other, own in holding.items() if other not in (number, *aside))
        if len(aside) < max(1, int(share * len(dense))) and holding[number] <= set().union(*others):
            aside.append(number)
    if len(dense) < 2 or not aside:
        return hold_out_strokes(labels, share, seed)
    nothing = [np.zeros_like(mask) for mask in labels]
    both = list(enumerate(zip(labels, nothing, strict=True)))
    kept = [empty if n in aside else mask.copy() for n, (mask, empty) in both]
    return kept, [mask.copy() if n in aside else empty for n, (mask, empty) in both]


def hold_out_strokes(
    labels: Sequence[npt.NDArray[Any]], share: float = 0.25, seed: int = 0
) -> tuple[list[npt.NDArray[Any]], list[npt.NDArray[Any]] | None]:
    """Set some strokes aside, whole ones, so that a validation figure means something.

    Neighbouring pixels of one stroke are alike: held out by pixel they would tell nothing.

    Parameters
    ----------
    labels : sequence of (H, W) ndarray of integers
        0 not labelled.
    share : float
        Of the strokes of each class, rounded down, but at least one where there are two. One that
        holds most of its class stays.

    Returns
    -------
    kept : list of (H, W) ndarray
    held_out : list of (H, W) ndarray or None
        None when no class has two strokes: then there are too few to hold any out.
    """
    rng = np.random.default_rng(seed)
    by_class: dict[int, list[tuple[int, npt.NDArray[np.intp]]]] = {}
    for image, mask in enumerate(labels):
        for places in strokes_of(mask):
            by_class.setdefault(int(mask.flat[places[0]]), []).append((image, places))
    kept = [mask.copy() for mask in labels]
    held_out = [np.zeros_like(mask) for mask in labels]
    for value, choice in sorted(by_class.items(), key=itemgetter(0)):
        count = max(1, int(share * len(choice))) if len(choice) > 1 else 0
        half = sum(len(places) for _, places in choice) / 2
        # What holds most of a class stays: a filled region beside specks, for example.
        small = [n for n in rng.permutation(len(choice)).tolist() if len(choice[n][1]) <= half]
        for position in small[:count]:
            image, places = choice[position]
            kept[image].flat[places] = 0
            held_out[image].flat[places] = value
    return kept, held_out if any(mask.any() for mask in held_out) else None


def strokes_of(mask: npt.NDArray[Any]) -> list[npt.NDArray[np.intp]]:
    """Flat places (K,) of each stroke of a label image (H, W), of which few pixels are labelled."""
    places = np.flatnonzero(mask)
    if not len(places):
        return []
    columns = places % mask.shape[1]
    box = (
        slice(places[0] // mask.shape[1], places[-1] // mask.shape[1] + 1),
        slice(columns.min(), columns.max() + 1),
    )
    numbers = np.zeros(mask.shape, np.int32)
    numbers[box] = measure.label(mask[box], background=0, connectivity=2)
    numbers = numbers.ravel()[places]
    order = np.argsort(numbers, kind="stable")
    ends = np.flatnonzero(np.diff(numbers[order])) + 1
    return np.split(places[order], ends)
