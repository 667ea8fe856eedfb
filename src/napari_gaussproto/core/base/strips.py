"""Large arrays strip by strip.

What is computed on the way stays in the cache of the processor and takes no fresh memory, whose
first touch can be the longest part of it: in a virtual machine 2 ms for each MB were seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# So many pixels are a strip, or one row if that is longer.
PIXELS = 1 << 16


def strips(*arrays: npt.NDArray[Any]) -> Iterator[tuple[npt.NDArray[Any], ...]]:
    """Some rows (n, W) of each of several arrays (..., H, W) at a time, from first to last.

    The arrays have one shape. What is written into a strip is written into its array.
    """
    *leading, height, width = arrays[0].shape
    rows = _rows(width)
    for plane in np.ndindex(*leading):
        for top in range(0, height, rows):
            yield tuple(array[plane][top : top + rows] for array in arrays)


def n_strips(shape: Sequence[int]) -> int:
    """How many strips an array (..., H, W) has."""
    *leading, height, width = shape
    return math.prod(leading) * -(-height // _rows(width))


def numbered_strips(
    numbers: Iterable[int] | None, *arrays: npt.NDArray[Any]
) -> Iterator[tuple[Any, ...]]:
    """Some strips of arrays (..., H, W), or with None all, each with its number before it."""
    if numbers is None:
        for number, found in enumerate(strips(*arrays)):
            yield number, *found
        return
    *leading, height, width = arrays[0].shape
    rows = _rows(width)
    each = -(-height // rows)
    for number in numbers:
        plane, top = np.unravel_index(number // each, leading), number % each * rows
        yield number, *(array[plane][top : top + rows] for array in arrays)


def strips_at(shape: Sequence[int], *places: npt.NDArray[np.integer[Any]]) -> set[int]:
    """Numbers of the strips of an array (..., H, W) that hold pixels.

    Parameters
    ----------
    *places : ndarray of int
        The places of pixels along all axes but the last, of shapes that fit each other.
    """
    *leading, height, width = shape
    rows = _rows(width)
    plane = np.ravel_multi_index(places[:-1], leading) if leading else 0
    return set(np.unique(plane * -(-height // rows) + places[-1] // rows).tolist())


def strips_with(mask: npt.NDArray[np.bool_]) -> set[int]:
    """Numbers of the strips in which any pixel of a mask (..., H, W) is."""
    return {number for number, (strip,) in enumerate(strips(mask)) if strip.any()}


def _rows(width: int) -> int:
    return max(1, PIXELS // max(1, width))


def is_same(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> bool:
    """Whether two arrays (..., H, W) are equal, in shape and in each value."""
    return first.shape == second.shape and all(
        np.array_equal(a, b) for a, b in strips(first, second)
    )


def values_in(array: npt.NDArray[Any]) -> list[int]:
    """The values that an array (..., H, W) of uint8 or uint16 holds, ascending."""
    seen = np.zeros(np.iinfo(array.dtype).max + 1, bool)
    for (strip,) in strips(array):
        seen[strip[:, :1]] = True
        # Labels lie in runs of one value, so it is enough to look where another one begins.
        begins = strip[:, 1:] != strip[:, :-1]
        seen[strip[:, 1:][begins]] = True
    return [int(value) for value in np.flatnonzero(seen)]


def looked_up(table: npt.NDArray[Any], values: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    """Entries of a table (K,) for values (..., H, W), each less than K."""
    found = np.empty(values.shape, table.dtype)
    for out, strip in strips(found, values):
        np.take(table, strip, out=out, mode="clip")  # which needs no copy to be safe
    return found
