"""Planning of tiles: which part of an image is computed with which surroundings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F


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

    Parameters
    ----------
    height, width : int
        Of the image.
    side, halo : int
        Side of a core, and the surroundings computed with it; both are rounded up to the
        alignment.
    alignment : int
        Origins and sizes of all windows are multiples of it.

    Notes
    -----
    A window is clipped at the edges of the padded image and never padded itself: so a tile
    at the border sees what the whole image would see there.
    """
    side, halo = round_up(side, alignment), round_up(halo, alignment)
    bottom, right = round_up(height, alignment), round_up(width, alignment)
    for y in range(0, bottom, side):
        for x in range(0, right, side):
            y1, x1 = min(y + side, bottom), min(x + side, right)
            yield Window(
                y,
                x,
                y1,
                x1,
                max(0, y - halo),
                max(0, x - halo),
                min(bottom, y1 + halo),
                min(right, x1 + halo),
            )


def round_up(value: int, multiple: int) -> int:
    """Smallest multiple not below a value, and at least one multiple for positive values."""
    return -(-value // multiple) * multiple


def pad_to(image: Tensor, height: int, width: int) -> Tensor:
    """Extend images (B, C, h, w) at the bottom and right, mirrored as far as that goes.

    Mirroring continues texture; a border repeated or black would be an edge that is not in
    the photograph.
    """
    while (missing := (height - image.shape[-2], width - image.shape[-1])) != (0, 0):
        down = min(missing[0], image.shape[-2] - 1)
        across = min(missing[1], image.shape[-1] - 1)
        if down == across == 0:
            return F.pad(image, (0, missing[1], 0, missing[0]), mode="replicate")
        image = F.pad(image, (0, across, 0, down), mode="reflect")
    return image


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """`pad_to` the next multiples of an alignment, images (B, C, H, W)."""
    height, width = image.shape[-2:]
    return pad_to(image, round_up(height, multiple), round_up(width, multiple))
