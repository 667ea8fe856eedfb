"""Strokes as people paint them: a few lines along the inside of a region."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy.ndimage import distance_transform_edt
from skimage.measure import label as connected

Labels = npt.NDArray[np.uint8]
_STEP = 4.0


def paint(
    labels: Labels,
    rng: np.random.Generator,
    most: int = 3,
    brush: tuple[int, int] = (3, 12),
    longest: int = 90,
) -> Labels:
    """One to ``most`` strokes of every class, none of which leaves its class.

    Parameters
    ----------
    labels : (H, W) array
        0 where nothing is known, else class index + 1.
    rng : Generator
    most : int
    brush : tuple of int
        Narrowest and widest, in pixels.
    longest : int
        In pixels.

    Returns
    -------
    array
        (H, W) as ``labels``, 0 where nothing is painted.
    """
    strokes = np.zeros_like(labels)
    count, width = int(rng.integers(1, most + 1)), int(rng.integers(brush[0], brush[1] + 1))
    for value in np.unique(labels[labels > 0]).tolist():
        mask = labels == value
        depth = _depth(mask)
        largest = _depth(_largest(mask)) if rng.random() < 0.5 else depth
        for number in range(count):
            weights = depth if number else largest
            strokes[_line(mask, weights, width, longest, rng)] = value
    return strokes


def _depth(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Distance to the border of the mask; the border of the picture is one, too."""
    return distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]


def _largest(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    parts = connected(mask, connectivity=1)
    return parts == 1 + int(np.bincount(parts.ravel())[1:].argmax())


def _line(
    mask: npt.NDArray[np.bool_],
    depth: npt.NDArray[np.float64],
    width: int,
    longest: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.bool_]:
    """A line that bends, from somewhere inside, both ways until it would leave the mask."""
    share = np.cumsum(np.square(np.minimum(depth, 12)).ravel())
    start = int(np.searchsorted(share, rng.random() * share[-1], side="right"))
    y, x = divmod(start, mask.shape[1])
    angle, bend = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.15)
    half = longest * rng.uniform(0.1, 0.5)
    ways = [_way(mask, (y, x), angle + turn, bend, half) for turn in (0.0, np.pi)]
    picture = Image.new("1", mask.shape[::-1])
    draw, radius = ImageDraw.Draw(picture), width / 2
    draw.line([*reversed(ways[0]), (x, y), *ways[1]], fill=1, width=width, joint="curve")
    for px, py in (ways[0][-1], ways[1][-1]):
        draw.ellipse((px - radius, py - radius, px + radius, py + radius), fill=1)
    return np.asarray(picture) & mask


def _way(
    mask: npt.NDArray[np.bool_], start: tuple[int, int], angle: float, bend: float, length: float
) -> list[tuple[float, float]]:
    """Points (x, y) of a path inside the mask, of that length at most."""
    steps = np.arange(0, length, _STEP)
    turned = angle + bend * steps / _STEP
    y = start[0] + np.cumsum(np.sin(turned)) * _STEP - np.sin(turned[:1]) * _STEP
    x = start[1] + np.cumsum(np.cos(turned)) * _STEP - np.cos(turned[:1]) * _STEP
    rows, columns = y.round().astype(int), x.round().astype(int)
    inside = (rows >= 0) & (rows < mask.shape[0]) & (columns >= 0) & (columns < mask.shape[1])
    inside[inside] = mask[rows[inside], columns[inside]]
    end = max(1, int(np.argmin(np.append(inside, False))))
    return list(zip(x[:end].tolist(), y[:end].tolist(), strict=True))
