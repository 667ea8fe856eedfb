"""Outlines along the photograph's own edges: class probabilities of cells, brought to pixels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_gaussproto.core.cells.partition import largest_of, square_places
from napari_gaussproto.core.network.local import pixel_colours

# Pixels (C, rows, W) of some rows of an image in [0, 1], from one row up to another.
Rows = Callable[[int, int], Tensor]

# Variance of colour, over that of the photograph, below which nothing is an edge.
_FLAT = 0.005
# Cells refined at a time, and rows of cells whose pixels are read at a time: bound the memory.
_CELLS, _BAND = 1 << 11, 64


def refine_outlines(labels: Tensor, maps: Tensor, guide: Tensor, rows: Rows, k: int) -> None:
    """Move the borders of classes to the edges of the photograph, in place.

    The guided filter of He et al. (2013) on the cells, its coefficients brought to pixels as in
    their "Fast guided filter" (2015): around each cell a map is a linear function of the
    colours. Only cells with another class beside them are looked at.

    Parameters
    ----------
    labels : (H, W) Tensor of uint8
        Index of the class of every pixel; changed.
    maps : (K, h, w) Tensor
        Class probabilities of the cells of a grid.
    guide : (C, h, w) Tensor
        Colours of the cells.
    rows : callable
        Gives pixels, whose colours are those of `pixel_colours`.
    k : int
        Pixels along the side of a cell.
    """
    best = largest_of(maps)[None].float()
    around = F.pad(best[None], (1, 1, 1, 1), mode="replicate")
    mixed = F.max_pool2d(around, 3, 1)[0, 0] != -F.max_pool2d(-around, 3, 1)[0, 0]
    if not bool(mixed.any()):
        return
    coefficients = F.pad(_coefficients(maps, guide)[None], (1, 1, 1, 1), mode="replicate")[0]
    share = _shares(k).to(maps)
    for first in range(0, mixed.shape[0], _BAND):
        where = mixed[first : first + _BAND].nonzero()
        if len(where):
            _refine_band(labels[first * k :], coefficients[:, first:], where, rows, share, first)


def _refine_band(
    labels: Tensor, coefficients: Tensor, where: Tensor, rows: Rows, share: Tensor, first: int
) -> None:
    """Cells at places (M, 2) of a band of cells, whose first row of cells is given."""
    k = len(share)
    height, width = int(where[:, 0].max() + 1) * k, coefficients.shape[2] * k - 2 * k
    cut = labels[:height]
    pixels = rows(first * k, first * k + len(cut))
    overhang = (0, width - cut.shape[1], 0, height - len(cut))
    squares = F.pad(pixels[None], overhang, mode="replicate")[0].flatten(1)
    refined, flat = F.pad(cut, overhang), coefficients.flatten(1)
    weights = torch.einsum("ia,jb->ijab", share, share).reshape(k * k, -1)
    inside, around = (
        square_places(k, width).to(where),
        square_places(3, coefficients.shape[2]).to(where),
    )
    for row, column in (part.T for part in where.split(_CELLS)):
        near = flat[:, around + coefficients.shape[2] * row + column]
        fine = torch.einsum("pa,nam->npm", weights, near)
        at = inside + k * (width * row + column)
        colours = pixel_colours(squares[:, at][None])[0]
        slopes = fine.unflatten(0, (-1, len(pixels) + 1))
        values = (slopes[:, :-1] * colours).sum(1) + slopes[:, -1]
        refined.view(-1).scatter_(0, at.flatten(), largest_of(values).flatten())
    cut.copy_(refined[: len(cut), : cut.shape[1]])


def _shares(k: int) -> Tensor:
    """Weights (k, 3) of a cell and its two neighbours at its pixels along one axis, linear."""
    place = (torch.arange(k) + 0.5) / k - 0.5
    return torch.stack([(-place).clamp_min(0), 1 - place.abs(), place.clamp_min(0)], 1)


def _coefficients(maps: Tensor, guide: Tensor) -> Tensor:
    """Slopes over the colours and an offset of every map, (K * (C + 1), h, w)."""
    mean, mean_guide = _around(maps), _around(guide)
    cross = _around((maps[:, None] * guide[None]).flatten(0, 1)).unflatten(0, (len(maps), -1))
    cross = cross - mean[:, None] * mean_guide[None]
    square = _around((guide[:, None] * guide[None]).flatten(0, 1)).unflatten(0, (len(guide), -1))
    square = square - mean_guide[:, None] * mean_guide[None]
    flat = _FLAT * guide.flatten(1).var(1).mean().clamp_min(1e-8)
    square = square.permute(2, 3, 0, 1) + flat * torch.eye(len(guide)).to(guide)
    slope = torch.linalg.solve(square, cross.permute(2, 3, 1, 0)).permute(3, 2, 0, 1)
    offset = mean - (slope * mean_guide).sum(1)
    return _around(torch.cat([slope, offset[:, None]], 1).flatten(0, 1))


def _around(values: Tensor) -> Tensor:
    """Means of maps (K, h, w) over the nine cells around each."""
    # Sums of shifted maps: avg_pool2d takes ten times as long.
    padded = F.pad(values[None], (1, 1, 1, 1), mode="replicate")[0]
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return (rows[..., :-2] + rows[..., 1:-1]).add_(rows[..., 2:]).div_(9)
