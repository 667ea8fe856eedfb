"""Planning of tiles: which part of an image is computed with which surroundings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Window:
    """One tile: the core that is kept, and the window that is computed, both in pixels.

    The window lies in the image padded to the alignment; the core may overhang the image by
    that padding too.
    """

    core_y0: int
    core_x0: int
    core_y1: int
    core_x1: int
    y0: int
    x0: int
    y1: int
    x1: int


# y0, x0, y1, x1 in pixels.
Area = tuple[int, int, int, int]


def plan(
    height: int, width: int, side: int, halo: int, alignment: int, within: Area | None = None
) -> Iterator[Window]:
    """Cut an image, or an area of it whose origin is a multiple of the alignment, into tiles.

    The side of a core and its halo, the surroundings computed with it, are rounded up to the
    alignment; origins and sizes of all windows are multiples of it. A window is clipped at the
    edges of the padded image and never padded itself: so a tile at the border sees what the
    whole image would see there.
    """
    side, halo = round_up(side, alignment), round_up(halo, alignment)
    bottom, right = round_up(height, alignment), round_up(width, alignment)
    top, left, last_y, last_x = within or (0, 0, bottom, right)
    last_y, last_x = round_up(last_y, alignment), round_up(last_x, alignment)
    for y in range(top, last_y, side):
        for x in range(left, last_x, side):
            y1, x1 = min(y + side, last_y), min(x + side, last_x)
            start = (max(0, y - halo), max(0, x - halo))
            yield Window(y, x, y1, x1, *start, min(bottom, y1 + halo), min(right, x1 + halo))


def area_of(row: int, column: int, side: int, height: int, width: int) -> Area:
    """Pixels of a tile, by its row and column among tiles of one side that cover an image."""
    y0, x0 = row * side, column * side
    return y0, x0, min(y0 + side, height), min(x0 + side, width)


class Focus:
    """What a person looks at, which the GUI thread changes while another one reads it.

    Attributes
    ----------
    view : tuple of int and Area, or None
        Number of the plane in view, and the part of it that is.
    """

    def __init__(self) -> None:
        self.view: tuple[int, Area] | None = None

    def nearest(self, planes: Numbers, areas: Numbers) -> int:
        """Which of K tiles is in view, the nearest to its middle, or the next one to it.

        Parameters
        ----------
        planes : (K,) ndarray of int
        areas : (K, 4) ndarray of int
            y0, x0, y1, x1 of each.
        """
        view = self.view  # which may change meanwhile
        if view is None:
            return 0
        plane, (y0, x0, y1, x1) = view
        away = [np.abs(planes - plane)]
        for first, last, low, high in ((0, 2, y0, y1), (1, 3, x0, x1)):
            away.append(np.maximum(0, np.maximum(low - areas[:, last], areas[:, first] - high)))
        middle = (areas[:, :2] + areas[:, 2:] - (y0 + y1, x0 + x1)) / 2
        # By the plane, then by the distance to what is in view, then to its middle.
        beyond = np.hypot(away[1], away[2])
        return int(np.lexsort((np.hypot(*middle.T), beyond, away[0]))[0])


def round_up(value: int, multiple: int) -> int:
    """Smallest multiple not below a value, and at least one multiple for positive values."""
    return -(-value // multiple) * multiple
