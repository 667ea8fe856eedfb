"""Masks of an image: connected components, boxes, outlines and the lines that show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage import measure, segmentation

Mask = npt.NDArray[np.bool_]
Polygon = npt.NDArray[np.float64]

# Outlines may leave the true border by this many pixels; fewer corners draw faster.
_TOLERANCE = 0.75
# Masks up to this size, in pixels, keep every corner.
_SMALL = 64


def component_at(labels: npt.NDArray[Any], y: int, x: int) -> Mask:
    """Mask of the connected pixels that have the same label as a pixel, (H, W).

    Pixels that touch at a corner are connected, so that thin leaves stay in one piece.
    """
    mask: Mask = segmentation.flood(labels, (y, x), connectivity=2)
    return mask


def outline(mask: Mask, top: int = 0, left: int = 0) -> list[Polygon]:
    """Closed outlines of a mask along the edges of its pixels.

    Parameters
    ----------
    mask : (H, W) ndarray of bool
    top, left : int
        Where its first pixel lies in the image.

    Returns
    -------
    list of (K, 2) ndarray
        (y, x) in pixels of the image, where pixel centres are whole numbers.
    """
    # Pixels are squares: doubling them puts the contour close to their edges, from where it
    # snaps onto them.
    fine = np.pad(mask, 1).astype(np.float32).repeat(2, axis=0).repeat(2, axis=1)
    tolerance = _TOLERANCE if max(mask.shape) > _SMALL else 0.1
    offset = np.array([top - 0.5, left - 0.5])
    return [
        measure.approximate_polygon(np.floor((contour - 0.5) / 2) + offset, tolerance)
        for contour in measure.find_contours(fine, 0.5)
    ]


def bounding_box(mask: Mask) -> tuple[slice, slice]:
    """The smallest box that holds a mask (H, W) with at least one pixel."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def haloed_strips(
    polygons: Sequence[Polygon], width: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Cut outlines into strips: a bright one along every side, and a dark one on each side of it.

    All strips have one width, so that one layer of vectors can draw them; the line with its halo
    is three times as wide. Strips are longer than their side, so that corners have no gap.

    Parameters
    ----------
    polygons : sequence of (K, 2) ndarray
        Closed outlines.

    Returns
    -------
    strips : (N, 2, 2) ndarray
        Start of each strip, and the way from there to its end. The dark ones come
        first, to be drawn below.
    bright : (N,) ndarray of bool
    """
    starts = np.concatenate([np.empty((0, 2)), *(p[:-1] for p in polygons)])
    ends = np.concatenate([np.empty((0, 2)), *(p[1:] for p in polygons)])
    length = np.linalg.norm(ends - starts, axis=1, keepdims=True)
    kept = length[:, 0] > 0
    starts, ends, length = starts[kept], ends[kept], length[kept]
    along = (ends - starts) / length * width
    across = along[:, ::-1] * (1, -1)
    strips = []
    for side, more in ((-1, 1.5 * along), (1, 1.5 * along), (0, 0.5 * along)):
        first, last = starts + side * across, ends + side * across
        strips.append(np.stack([first - more, last - first + 2 * more], axis=1))
    return np.concatenate(strips), np.arange(3 * len(starts)) >= 2 * len(starts)
