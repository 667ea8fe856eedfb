"""Connected pieces of label images."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.measure import label

Integers = npt.NDArray[np.int64]


def components(labels: npt.NDArray[Any], least_area: int = 1) -> Integers:
    """Connected pieces of one class each, numbered from 1, (H, W); 0 where there is none.

    Parameters
    ----------
    labels : (H, W) ndarray of int
        Class index + 1; 0 is nothing. Pixels that touch at a corner are connected.
    least_area : int
        Smaller pieces are left out, in pixels.
    """
    pieces = label(labels, background=0, connectivity=2)
    # Counted without sorting, which took six times as long as finding the pieces.
    kept = np.bincount(pieces.ravel()) >= least_area
    kept[0] = False
    return _numbered_anew(kept)[pieces]


def large_enough(pieces: npt.NDArray[Any], least_area: int) -> Integers:
    """Pieces (H, W) of at least so many pixels, numbered anew from 1."""
    # Numbers of instances may be large and far apart.
    values, inverse, areas = np.unique(pieces, return_inverse=True, return_counts=True)
    kept = (values > 0) & (areas >= least_area)
    return _numbered_anew(kept)[inverse].reshape(pieces.shape)


def without_gaps(pieces: npt.NDArray[Any]) -> tuple[Integers, Integers]:
    """Numbers (K,) above 0 that are there, ascending, and pieces (H, W) numbered by them from 1."""
    if pieces.max(initial=0) <= pieces.size:  # sorting takes several times as long
        there = np.bincount(np.maximum(pieces, 0).ravel(), minlength=1) > 0
        there[0] = False
        return np.flatnonzero(there), _numbered_anew(there)[np.maximum(pieces, 0)]
    numbers, inverse = np.unique(np.append(0, np.maximum(pieces, 0)), return_inverse=True)
    return numbers[1:], inverse[1:].reshape(pieces.shape)


def _numbered_anew(kept: npt.NDArray[np.bool_]) -> Integers:
    """New numbers (N,) from 1 of those that are kept, 0 of the others."""
    return np.where(kept, np.cumsum(kept), 0)
