"""Planning of tiles: which part of an image is computed with which surroundings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


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


def plan(height: int, width: int, side: int, halo: int, alignment: int) -> Iterator[Window]:
    """Cut an image into tiles.

    The side of a core and its halo, the surroundings computed with it, are rounded up to the
    alignment; origins and sizes of all windows are multiples of it. A window is clipped at the
    edges of the padded image and never padded itself: so a tile at the border sees what the
    whole image would see there.
    """
    side, halo = round_up(side, alignment), round_up(halo, alignment)
    bottom, right = round_up(height, alignment), round_up(width, alignment)
    for y in range(0, bottom, side):
        for x in range(0, right, side):
            y1, x1 = min(y + side, bottom), min(x + side, right)
            start = (max(0, y - halo), max(0, x - halo))
            yield Window(y, x, y1, x1, *start, min(bottom, y1 + halo), min(right, x1 + halo))


def round_up(value: int, multiple: int) -> int:
    """Smallest multiple not below a value, and at least one multiple for positive values."""
    return -(-value // multiple) * multiple
