"""Sums over the pixels of pieces, from which their sizes and shapes follow.

Sums of the parts of a piece, which lie in several tiles of an image, give those of the piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import coo_array

from napari_gaussproto.core.measure.regions import RegionMask
from napari_gaussproto.core.model.segmentation import Segmentation

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_NEIGHBOURS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
# Length of the border at a pixel, by its neighbours in the border: 2 for each along an axis, 10 for
# each along a diagonal, and 1. Benkrid, Crookes: "Design and FPGA implementation of a perimeter
# estimator" (2000), as scikit-image has it.
_LENGTHS = np.zeros(50)
_LENGTHS[[5, 7, 15, 17, 25, 27]] = 1
_LENGTHS[[21, 33]] = 2**0.5
_LENGTHS[[13, 23]] = (1 + 2**0.5) / 2


@dataclass(frozen=True)
class PieceSums:
    """Of K pieces, or parts of some.

    Attributes
    ----------
    first : (K,) ndarray of int
        Number of the first pixel in the image, counted row by row.
    area : (K,) ndarray of int
    centre : (K, 2) ndarray
        y and x of the centroid.
    spread : (K, 3) ndarray
        Second central moments yy, xx and yx, not divided by the area.
    perimeter : (K,) ndarray
    votes : (K, C + 1) ndarray of int
        Pixels of each label.
    inside : (K, R) ndarray of int
        Pixels in each region.
    said : (K, C + 2 M + 1) ndarray
        Sums of p(c|z), responsibility, typicality and novelty; (K, 0) without a model.
    """

    first: Integers
    area: Integers
    centre: Floats
    spread: Floats
    perimeter: Floats
    votes: Integers
    inside: Integers
    said: Floats

    def chosen(self, which: npt.NDArray[Any]) -> PieceSums:
        """Some of them, by a mask (K,) or numbers."""
        return PieceSums(*(getattr(self, field.name)[which] for field in fields(self)))


def sums_of(
    pieces: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    n_classes: int,
    segmentation: Segmentation | None = None,
    regions: Sequence[RegionMask] = (),
    *,
    at: tuple[int, int] = (0, 0),
    origin: tuple[int, int] = (0, 0),
    width: int | None = None,
) -> PieceSums:
    """Sums of the pieces of an image or of a tile, without their perimeters.

    Parameters
    ----------
    pieces : (H, W) ndarray of int
        Numbers from 1 to K, each there; 0 is none.
    labels : (H, W) ndarray of int
        Class index + 1.
    n_classes : int
    segmentation : Segmentation, optional
    regions : sequence of RegionMask
    at : tuple of int
        Where the first pixel is in the segmentation.
    origin : tuple of int
        Where it is in the image.
    width : int, optional
        Of the image.
    """
    y, x = np.nonzero(pieces)
    rows = pieces[y, x].astype(np.int64) - 1
    count = int(rows.max(initial=-1)) + 1

    def total(values: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        return np.bincount(rows, values, minlength=count)

    area = total()
    centre = np.stack([total(y), total(x)], 1) / area[:, None]
    dy, dx = y - centre[rows, 0], x - centre[rows, 1]
    first = np.zeros(count, np.int64)
    # Of several values for one place the last one stays.
    first[rows[::-1]] = ((y + origin[0]) * (width or pieces.shape[1]) + x + origin[1])[::-1]
    step = n_classes + 1
    votes = np.bincount(rows * step + labels[y, x], minlength=count * step).reshape(-1, step)
    inside = [np.bincount(own.of(pieces), minlength=count + 1)[1:] for own in regions]
    return PieceSums(
        first,
        area,
        centre + origin,
        np.stack([total(dy * dy), total(dx * dx), total(dy * dx)], 1),
        np.zeros(count),
        votes,
        np.array(inside, np.int64).reshape(len(inside), count).T,
        _said(y + at[0], x + at[1], rows, count, segmentation),
    )


def _said(
    y: Integers, x: Integers, rows: Integers, count: int, segmentation: Segmentation | None
) -> Floats:
    """What the model says of each piece: sums over its pixels of the values of their cells."""
    if segmentation is None:
        return np.zeros((count, 0))
    partition = segmentation.encoding.partition
    cells = np.asarray(partition.cells_at(y, x))
    # Pixels of a piece and a cell that follow each other are counted at once.
    differs = (rows[1:] != rows[:-1]) | (cells[1:] != cells[:-1])
    first = np.flatnonzero(np.append(True, differs)[: len(rows)])
    lengths = np.diff(np.append(first, len(rows))).astype(np.float64)
    about = (lengths, (rows[first], cells[first]))
    pixels = coo_array(about, shape=(count, partition.n_cells)).tocsr()
    known = segmentation.at(torch.arange(partition.n_cells))
    novelty = known.novelty[:, None]
    values = np.hstack([known.posterior, known.responsibility, known.typicality, novelty])
    return np.asarray(pixels @ values.astype(np.float64))


def joined(sums: PieceSums, group: npt.NDArray[Any]) -> PieceSums:
    """Sums of K groups of parts.

    Parameters
    ----------
    sums : PieceSums
    group : (N,) ndarray of int
        Number of the group of each part, from 0 to K - 1.
    """
    count = int(group.max(initial=-1)) + 1
    parts = (np.arange(len(group)), group)
    of_parts = coo_array((np.ones(len(group)), parts[::-1]), shape=(count, len(group))).tocsr()

    def total(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.asarray(of_parts @ values)

    first = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(first, group, sums.first)
    area = total(sums.area)
    centre = total(sums.centre * sums.area[:, None]) / area[:, None]
    # Steiner: about another centre, moments grow by the area times the distance squared.
    dy, dx = (sums.centre - centre[group]).T
    moved = np.stack([dy * dy, dx * dx, dy * dx], 1) * sums.area[:, None]
    return PieceSums(
        first,
        area.astype(np.int64),
        centre,
        total(sums.spread + moved),
        total(sums.perimeter),
        total(sums.votes).astype(np.int64),
        total(sums.inside).astype(np.int64),
        total(sums.said),
    )


def border_lengths(pieces: npt.NDArray[Any]) -> tuple[Integers, Integers, Floats]:
    """Where borders of pieces are, (N,) and (N,), and how much of their perimeters lies there.

    Parameters
    ----------
    pieces : (H + 4, W + 4) ndarray of int
        Numbers of pieces, 0 for none, with two more pixels on each side; y and x begin behind
        these.
    """
    inner = pieces[1:-1, 1:-1]
    sides = (pieces[:-2, 1:-1], pieces[2:, 1:-1], pieces[1:-1, :-2], pieces[1:-1, 2:])
    edge = np.zeros(pieces.shape, np.bool_)
    for side in sides:
        edge[1:-1, 1:-1] |= side != inner
    edge &= pieces > 0
    y, x = np.nonzero(edge[2:-2, 2:-2])
    own = pieces[y + 2, x + 2]
    code = np.ones(len(y), np.int64)
    for dy, dx in _NEIGHBOURS:
        near = (y + 2 + dy, x + 2 + dx)
        code += (edge[near] & (pieces[near] == own)) * (10 if dy and dx else 2)
    return y, x, _LENGTHS[code]
