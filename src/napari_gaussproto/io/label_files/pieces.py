"""The connected pieces of a label image and their outlines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from contourpy import FillType, contour_generator
from scipy.ndimage import find_objects

from napari_gaussproto.core.labels.pieces import components

Ring = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Piece:
    """Pixels of one class that touch.

    Attributes
    ----------
    value : int
        Class index + 1.
    top, left : int
        Where ``mask`` begins in the image.
    mask : (h, w) ndarray of bool
    """

    value: int
    top: int
    left: int
    mask: npt.NDArray[np.bool_]

    @property
    def area(self) -> int:
        """Pixels."""
        return int(self.mask.sum())

    def polygons(self) -> list[list[Ring]]:
        """Outlines: the parts, each of them its outer ring and those of its holes.

        A ring is (N, 2), x and y, and closed; 0 is the corner of the image's first pixel. Outer
        rings turn from x to y, holes the other way. Centres of just the piece's pixels lie
        inside; corners are cut by half a pixel.
        """
        padded = np.pad(self.mask, 1).astype(np.float64)
        lines = contour_generator(z=padded, fill_type=FillType.OuterOffset)
        found: list[list[Ring]] = []
        for points, offsets in zip(*lines.filled(0.5, 2.0), strict=True):
            # The centre of the first pixel is at 1 there, and at half a pixel here.
            placed = points + np.array([self.left - 0.5, self.top - 0.5])
            found.append([_corners(r) for r in np.split(placed, offsets[1:-1].astype(int))])
        return found


def pieces_of(labels: npt.NDArray[Any], least_area: int = 1) -> Iterator[Piece]:
    """The pieces of labels (H, W) that have at least so many pixels, from the top left on."""
    numbers = components(labels, least_area)
    for number, (rows, columns) in enumerate(find_objects(numbers), start=1):
        mask = numbers[rows, columns] == number
        value = int(labels[rows, columns][mask][0])
        yield Piece(value, rows.start, columns.start, mask)


def _corners(ring: Ring) -> Ring:
    """A closed ring (N, 2) without the points in the middle of straight lines."""
    steps = np.diff(ring, axis=0)
    before = np.roll(steps, 1, axis=0)
    turns = steps[:, 0] * before[:, 1] != steps[:, 1] * before[:, 0]
    corners = ring[:-1][turns]
    return np.concatenate([corners, corners[:1]])
