"""Outlines along the photograph's own edges: class probabilities of cells, brought to pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_gaussproto.core.cells.partition import largest_of
from napari_gaussproto.core.network.local import pixel_colours

# Pixels (C, rows, W) of some rows of an image, from one row up to another: in [0, 1], or uint8.
# Both may lie beyond the image, whose last squares overhang it: W is a multiple of their side.
Rows = Callable[[int, int], Tensor]

# Variance of colour, over that of the photograph, below which nothing is an edge.
_FLAT = 0.005
# Variance that a photograph has at least: of what varies less, sums in floats say nothing.
_LEAST_VARIANCE = 2e-4
# Pixels refined at a time: what they need stays in a cache. Rows of cells whose pixels are read at
# a time: bound the memory.
_PIXELS, _BAND = 1 << 16, 64


def labels_along_edges(maps: Tensor, guide: Tensor, rows: Rows, k: int) -> Tensor:
    """Index of the class of every pixel, with borders at the edges of the photograph.

    The guided filter of He et al. (2013) on the cells, its coefficients brought to pixels as in
    their "Fast guided filter" (2015): around each cell a map is a linear function of the
    colours. Only cells with another class beside them are looked at; the others are of one class.

    Parameters
    ----------
    maps : (K, h, w) Tensor
        Class probabilities of the cells of a grid, which sum to 1.
    guide : (C, h, w) Tensor
        Colours of the cells.
    rows : callable
        Gives pixels, whose colours are those of `pixel_colours`.
    k : int
        Pixels along the side of a cell.

    Returns
    -------
    (H, W) Tensor of uint8
        Of whole cells: h k and w k, which may overhang the image.
    """
    best = largest_of(maps)
    labels = best.repeat_interleave(k, 1).repeat_interleave(k, 0)
    around = F.pad(best[None, None].float(), (1, 1, 1, 1), mode="replicate")
    mixed = F.max_pool2d(around, 3, 1)[0, 0] != -F.max_pool2d(-around, 3, 1)[0, 0]
    if not bool(mixed.any()):
        return labels
    # Less the last map: their filtered values sum to 1, too, so one of them says nothing.
    coefficients = _coefficients(maps[:-1] - maps[-1], guide)
    coefficients = F.pad(coefficients[None], (1, 1, 1, 1), mode="replicate")[0]
    weights = _weights(k).to(maps)
    for first in range(0, len(mixed), _BAND):
        where = mixed[first : first + _BAND].nonzero()
        if len(where):
            last = first + int(where[-1, 0]) + 1
            pixels = rows(first * k, last * k)
            band = labels[first * k : last * k]
            _refine_band(band, coefficients[:, first : last + 2], where, pixels, weights)
    return labels


def _refine_band(
    labels: Tensor, coefficients: Tensor, where: Tensor, pixels: Tensor, weights: Tensor
) -> None:
    """Cells at places (M, 2) of a band of cells, whose labels (h k, w k) are changed."""
    channels, height, width = pixels.shape
    area = len(weights)
    k = int(area**0.5)
    columns = width // k
    # A row of pixels of a cell lies together in memory, and is copied as a whole.
    squares = pixels.permute(1, 2, 0).contiguous().view(height * columns, k * channels)
    refined = labels.view(height * columns, k)
    flat = coefficients.flatten(1)
    across = torch.arange(3, device=where.device)
    around = (coefficients.shape[2] * across[:, None] + across).flatten()
    down = columns * torch.arange(k, device=where.device)
    for row, column in (part.T for part in where.split(max(1, _PIXELS // area))):
        at = ((row * k * columns + column)[:, None] + down).flatten()
        own = squares.index_select(0, at).view(1, -1, area, channels).permute(0, 3, 1, 2)
        near = (coefficients.shape[2] * row + column)[:, None] + around
        fine = flat.index_select(1, near.flatten()).view(-1, len(around)) @ weights.T
        slopes = fine.view(-1, channels + 1, len(row), area)
        values = slopes[:, -1]
        for slope, colour in zip(slopes.unbind(1), pixel_colours(own)[0], strict=False):
            values.addcmul_(slope, colour)
        best = largest_of([*values, torch.zeros_like(values[0])])
        refined.index_copy_(0, at, best.view(-1, k))


def _weights(k: int) -> Tensor:
    """Weights (k * k, 9) of a cell and its eight neighbours at its pixels, bilinear."""
    place = (torch.arange(k) + 0.5) / k - 0.5
    share = torch.stack([(-place).clamp_min(0), 1 - place.abs(), place.clamp_min(0)], 1)
    return torch.einsum("ia,jb->ijab", share, share).reshape(k * k, -1)


def _coefficients(maps: Tensor, guide: Tensor) -> Tensor:
    """Slopes over the colours and an offset of every map, (K * (C + 1), h, w)."""
    count = len(guide)
    own, other = torch.tril_indices(count, count)
    cross = (maps[:, None] * guide).flatten(0, 1)
    means = _around(torch.cat([maps, guide, cross, guide[own] * guide[other]]))
    mean, mean_guide, cross, square = means.split([len(maps), count, len(cross), len(own)])
    cross = cross.unflatten(0, (len(maps), count)) - mean[:, None] * mean_guide
    square = square - mean_guide[own] * mean_guide[other]
    flat = _FLAT * guide.flatten(1).var(1).mean().clamp_min(_LEAST_VARIANCE)
    square[own == other] += flat
    slope = torch.stack(_solved(square, cross.unbind(1), flat), 1)
    offset = mean - (slope * mean_guide).sum(1)
    return _around(torch.cat([slope, offset[:, None]], 1).flatten(0, 1))


def _solved(square: Tensor, right: Sequence[Tensor], least: Tensor) -> list[Tensor]:
    """Solutions, C of any shape (..., h, w), of systems whose eigenvalues are ``least`` or more.

    Of the matrices the lower triangle is given, row by row, (C (C + 1) / 2, h, w). By Cholesky,
    for all places at once: LAPACK's, one place after the other, takes several times as long.
    """
    count, entries = len(right), iter(square)
    lower: list[list[Tensor]] = []
    for i in range(count):
        row: list[Tensor] = []
        for j in range(i + 1):
            known = lower[j] if j < i else row
            rest = next(entries) - sum(row[n] * known[n] for n in range(j))
            # Rounding can take what is left of a diagonal below that bound, and below 0.
            row.append(rest.clamp_min(least).sqrt() if i == j else rest / known[j])
        lower.append(row)
    solved = list(right)
    for i in range(count):
        solved[i] = (solved[i] - sum(lower[i][n] * solved[n] for n in range(i))) / lower[i][i]
    for i in reversed(range(count)):
        beyond = sum(lower[n][i] * solved[n] for n in range(i + 1, count))
        solved[i] = (solved[i] - beyond) / lower[i][i]
    return solved


def _around(values: Tensor) -> Tensor:
    """Means of maps (K, h, w) over the nine cells around each."""
    # Sums of shifted maps: avg_pool2d takes ten times as long.
    padded = F.pad(values[None], (1, 1, 1, 1), mode="replicate")[0]
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return (rows[..., :-2] + rows[..., 1:-1]).add_(rows[..., 2:]).div_(9)
