"""Outlines along the photograph's own edges: between cells by a random walk, then to pixels.

Both leave alone what is certain and clear; they move the border of a class by a cell or two, to
where colour or latents change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import coo_array
from torch import Tensor
from torch.nn import functional as F

# How far a walk goes, what difference of colours stops it (a variance), and what a deviation of
# all latents together counts beside one of the colour.
_STRENGTH, _VARIANCE, _LATENT = 50.0, 0.18, 1.7
# The walk ends when no more than this share of the start is unsolved.
_TOLERANCE, _MOST_STEPS = 3e-3, 100
# Cells around one that its colours are compared with, and the variance of colour, over that of
# the photograph, below which nothing is an edge.
_REACH, _FLAT = 1, 0.005
# Pixels brought from cells at a time: bounds the memory.
_BAND_PIXELS = 1 << 20


@dataclass(frozen=True)
class Edges:
    """Which cells touch.

    Attributes
    ----------
    first, second : (E,) ndarray of int64
        Every pair once.
    length : (E,) ndarray of float32
        Of the border that they share, over the side of a nominal cell.
    """

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    length: npt.NDArray[np.float32]


def grid_edges(rows: int, columns: int) -> Edges:
    """The 8 neighbours of every cell of a grid that is numbered row by row."""
    index = np.arange(rows * columns).reshape(rows, columns)
    pairs = [
        (index[:, :-1], index[:, 1:]),
        (index[:-1], index[1:]),
        (index[:-1, :-1], index[1:, 1:]),
        (index[:-1, 1:], index[1:, :-1]),
    ]
    first, second = (np.concatenate([pair[k].ravel() for pair in pairs]) for k in (0, 1))
    return Edges(first, second, np.ones(len(first), np.float32))


def region_edges(regions: npt.NDArray[np.integer], side: int) -> Edges:
    """Regions (h, w) that share a border, its length in pixels over ``side``."""
    pairs = [
        np.stack([a[a != b], b[a != b]])
        for a, b in ((regions[:, :-1], regions[:, 1:]), (regions[:-1], regions[1:]))
    ]
    ordered = np.sort(np.concatenate(pairs, axis=1), axis=0).astype(np.int64)
    both, count = np.unique(ordered, axis=1, return_counts=True)
    return Edges(both[0], both[1], (count / side).astype(np.float32))


def walk(posterior: Tensor, colours: Tensor, latents: Tensor | None, edges: Edges) -> Tensor:
    """Class probabilities after a random walk that seldom crosses an edge of the photograph.

    Solves ``(I + k L) x = p`` for every class, with L the Laplacian of the graph of cells, whose
    weights are ``length * exp(-|difference|^2 / v)`` (after Grady 2006, "Random walks for image
    segmentation"; the posterior takes the place of the seeds, as in his paper of 2005 on
    prior models).

    Parameters
    ----------
    posterior : (N, C) Tensor
        Sums to 1 for every cell.
    colours : (N, K) Tensor
        Lab of the cells, or their channels.
    latents : (N, D) Tensor or None
        With them differences that are no matter of colour count a little, too.
    edges : Edges

    Returns
    -------
    (N, C) Tensor
        Not negative; sums to 1 for every cell.
    """
    values = [colours / colours.std(0, correction=0).max().clamp_min(1e-6)]
    if latents is not None:
        share = _LATENT / latents.shape[1] ** 0.5
        values.append(latents / latents.std(0, correction=0).clamp_min(1e-6) * share)
    points = torch.cat(values, 1).float().cpu().numpy()
    distance = np.square(points[edges.first] - points[edges.second]).sum(1)
    weight = _STRENGTH * edges.length * np.exp(-distance / _VARIANCE)
    start = posterior.float().cpu().numpy()
    solved = torch.from_numpy(_solve(weight, edges, start)).to(posterior)
    solved = solved.clamp_min(0)
    return solved / solved.sum(1, keepdim=True)


def _solve(
    weight: npt.NDArray[np.float32], edges: Edges, start: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Conjugate gradients with the diagonal as preconditioner, for all classes (N, C) at once."""
    count = len(start)
    pairs = (edges.first, edges.second)
    half = coo_array((weight, pairs), shape=(count, count)).tocsr()
    linked = (half + half.T).tocsr()
    diagonal = (1 + linked.sum(1)).astype(np.float32)[:, None]
    x = start.copy()
    rest = start - (diagonal * x - linked @ x)
    scaled = rest / diagonal
    step, power = scaled, (rest * scaled).sum(0)
    enough = _TOLERANCE**2 * np.square(start).sum(0)
    for _ in range(_MOST_STEPS):
        if (np.square(rest).sum(0) <= enough).all():
            break
        image = diagonal * step - linked @ step
        length = power / np.maximum((step * image).sum(0), 1e-30)
        x = x + length * step
        rest = rest - length * image
        scaled = rest / diagonal
        before, power = power, (rest * scaled).sum(0)
        step = scaled + power / np.maximum(before, 1e-30) * step
    return x.astype(np.float32)


def guided_rows(
    maps: Tensor, guide: Tensor, image: Tensor, cell_size: int
) -> Iterator[tuple[int, Tensor]]:
    """Bands of maps (K, h, w) of cells at the resolution of an image, along its edges.

    The guided filter of He et al. (2013), with the coefficients of the cells brought to pixels
    as in their "Fast guided filter" (2015): around each cell a map is a linear function of
    the colours.

    Parameters
    ----------
    maps : (K, h, w) Tensor
        Probabilities. Of log-posteriors the borders are as good, and less is certain.
    guide : (G, h, w) Tensor
        The image as cells: the mean of its pixels in each.
    image : (G, H, W) Tensor
        Colours such as Lab; H and W are at most h and w times ``cell_size``.
    cell_size : int

    Yields
    ------
    int, (K, rows, W) Tensor
        First row, and the maps from there on.
    """
    slope, offset = _coefficients(maps, guide)
    count, (height, width) = len(maps), image.shape[1:]
    both = torch.cat([slope.flatten(0, 1), offset])
    rows, columns = maps.shape[1:]
    step = max(1, _BAND_PIXELS // max(1, columns * cell_size**2))
    for first in range(0, rows, step):
        last = min(first + step, rows)
        above, below = max(first - 1, 0), min(last + 1, rows)
        size = ((below - above) * cell_size, columns * cell_size)
        fine = F.interpolate(both[None, :, above:below], size=size, mode="bilinear")[0]
        top = (first - above) * cell_size
        number = min(last * cell_size, height) - first * cell_size
        fine = fine[:, top : top + number, :width]
        band = image[:, first * cell_size : first * cell_size + number]
        slopes = fine[:-count].unflatten(0, (count, len(image)))
        yield first * cell_size, (slopes * band).sum(1) + fine[-count:]


def guided_labels(maps: Tensor, guide: Tensor, image: Tensor, cell_size: int) -> Tensor:
    """Index of the largest of maps at every pixel, (H, W) uint8; see `guided_rows`."""
    bands = guided_rows(maps, guide, image, cell_size)
    return torch.cat([band.argmax(0).to(torch.uint8) for _, band in bands])


def _coefficients(maps: Tensor, guide: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes (K, G, h, w) and offsets (K, h, w) of maps over the colours around each cell."""
    mean, mean_guide = _around(maps), _around(guide)
    cross = _around((maps[:, None] * guide[None]).flatten(0, 1)).unflatten(0, (len(maps), -1))
    cross = cross - mean[:, None] * mean_guide[None]
    square = _around((guide[:, None] * guide[None]).flatten(0, 1)).unflatten(0, (len(guide), -1))
    square = square - mean_guide[:, None] * mean_guide[None]
    flat = _FLAT * guide.flatten(1).var(1).mean().clamp_min(1e-8)
    square = square.permute(2, 3, 0, 1) + flat * torch.eye(len(guide)).to(guide)
    slope = torch.linalg.solve(square, cross.permute(2, 3, 1, 0)).permute(3, 2, 0, 1)
    offset = mean - (slope * mean_guide).sum(1)
    return _around(slope.flatten(0, 1)).unflatten(0, slope.shape[:2]), _around(offset)


def _around(values: Tensor) -> Tensor:
    """Means of maps (K, h, w) over the cells around each."""
    side = 2 * _REACH + 1
    padded = F.pad(values[None], (_REACH,) * 4, mode="replicate")
    return F.avg_pool2d(padded, side, stride=1)[0]
