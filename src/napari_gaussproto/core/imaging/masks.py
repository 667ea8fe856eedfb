"""Regions of an image: from pixels to cells, connected components, outlines."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from skimage.measure import approximate_polygon, find_contours
from skimage.segmentation import flood

from napari_gaussproto.core.cells.partition import Partition

Mask = npt.NDArray[np.bool_]
Polygon = npt.NDArray[np.float64]

# A cell belongs to a region when at least this share of it lies inside.
_INSIDE = 0.5
# Outlines may leave the true border by this many pixels; fewer corners draw faster.
_TOLERANCE = 0.75
# Regions up to this size, in pixels, keep every corner.
_SMALL = 64


def component_at(labels: npt.NDArray[Any], y: int, x: int) -> Mask:
    """Mask of the connected pixels that have the same label as a pixel, (H, W).

    Pixels that touch at a corner are connected, so that thin leaves stay in one piece.
    """
    mask: Mask = flood(labels, (y, x), connectivity=2)
    return mask


def cell_weights(partition: Partition, mask: Mask) -> npt.NDArray[np.float64]:
    """How much of a region each cell holds, (N,); sums to 1 for a region that is not empty."""
    inside, area = _inside_and_area(partition, mask)
    weight = inside * area
    total = weight.sum()
    return weight / total if total else weight


def cells_inside(partition: Partition, mask: Mask) -> npt.NDArray[np.int64]:
    """Indices of the cells that lie mostly inside a region.

    A region smaller than a cell has the one cell that holds most of it.
    """
    inside, area = _inside_and_area(partition, mask)
    chosen = np.flatnonzero(inside >= _INSIDE)
    if not len(chosen) and inside.any():
        chosen = np.array([int((inside * area).argmax())])
    return chosen


def _inside_and_area(
    partition: Partition, mask: Mask
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Share of each cell that lies inside, and area of each cell up to a factor."""
    # Labels that cover the whole image make a partition tell both: the soft label of a cell
    # is the share inside, its weight its area.
    labels = torch.from_numpy(np.where(mask, 1, 2))
    target, weight = partition.targets(labels, 2)
    return target[:, 0].cpu().double().numpy(), weight.cpu().double().numpy()


def outline(mask: Mask, top: int = 0, left: int = 0) -> list[Polygon]:
    """Closed outlines of a mask along the edges of its pixels.

    Parameters
    ----------
    mask : ndarray
        (h, w) bool.
    top, left : int
        Where its first pixel lies in the image.

    Returns
    -------
    list of ndarray
        (K, 2) each, (y, x) in pixels of the image, where pixel centres are whole numbers.
    """
    # Pixels are squares: doubling them puts the contour close to their edges, from where it
    # snaps onto them.
    fine = np.pad(mask, 1).astype(np.float32).repeat(2, axis=0).repeat(2, axis=1)
    tolerance = _TOLERANCE if max(mask.shape) > _SMALL else 0.1
    offset = np.array([top - 0.5, left - 0.5])
    return [
        approximate_polygon(np.floor((contour - 0.5) / 2) + offset, tolerance)
        for contour in find_contours(fine, 0.5)
    ]


def bounding_box(mask: Mask) -> tuple[slice, slice]:
    """The smallest box that holds a mask with at least one pixel."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
