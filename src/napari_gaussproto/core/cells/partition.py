"""How an image is cut into cells, and the way back.

A partition knows both directions: features and labels from pixels to cells, and scores from
cells to pixels. Everything else in the package works on cells and never asks which
partition they came from. ``partitioner.py`` is the one place that chooses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

Places = npt.NDArray[np.int64]

# Pixels painted at a time: bounds the memory of a full-resolution, many-channel map.
PAINT_PIXELS = 1 << 21
# Squares between cells interpolated at a time: what fits into a cache.
_BLOCK = 1 << 10
# A cell belongs to a mask when at least this share of it lies inside.
_INSIDE = 0.5


class Partition(ABC):
    """A cut of one image into cells.

    Attributes
    ----------
    shape : tuple of int
        (H, W) of the image in pixels.
    n_cells : int
        N.
    map_pixel_size : int
        Side of one element of `to_map`, in pixels.
    """

    shape: tuple[int, int]
    n_cells: int
    map_pixel_size: int

    @property
    @abstractmethod
    def areas(self) -> Tensor:
        """(N,) float32: pixels of the image that each cell covers; they sum to H * W."""

    @property
    @abstractmethod
    def guide(self) -> Tensor:
        """What a training crop must carry along to be cut the same way.

        (G, h, w) integers at the resolution that the backbone sees, warped like labels; G is
        0 where the shape of a crop says everything.
        """

    @abstractmethod
    def features(self, features: Tensor) -> Tensor:
        """Features (N, F) of the cells of a map (F, h', w') at the latent stride; differentiable.

        The map may overhang the image at the bottom and right.
        """

    def latents(self, latents: Tensor) -> Tensor:
        """As `features`, cells (N, D) of a latent map (D, h', w'), normalised as its positions."""
        return self.features(latents)

    @abstractmethod
    def targets(self, labels: Tensor, n_classes: int) -> tuple[Tensor, Tensor]:
        """Soft labels (N, C) and weights (N,) of a label image (H, W).

        Labels are 0 for "not labelled", else class index + 1. The soft label is the share of
        each class among a cell's labelled pixels; the weight is the labelled area over the
        nominal area of a cell, so a cell without labels weighs 0 and a large one more.
        """

    @abstractmethod
    def to_map(self, values: Tensor) -> Tensor:
        """Values (N, K) as maps (K, h, w) at the partition's own resolution."""

    def to_pixels(self, values: Tensor) -> Tensor:
        """Values (N, K) as maps (K, H, W) at the image's resolution."""
        return torch.cat([band for _, band in self.pixel_rows(values)], dim=1)

    @abstractmethod
    def pixel_rows(self, values: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Bands of `to_pixels` of values (N, K): (first row, maps (K, rows, W))."""

    @abstractmethod
    def largest(self, values: Tensor) -> Tensor:
        """Which of K values (N, K) is the largest at every pixel, (H, W) uint8.

        The same as asking `to_pixels`, for less.
        """

    @abstractmethod
    def cells_at(self, y: Places, x: Places) -> Places:
        """Indices (K,) of the cells that hold some pixels, given by rows (K,) and columns (K,)."""

    def cell_at(self, y: int, x: int) -> int:
        """Index of the cell that holds a pixel."""
        return int(self.cells_at(np.array([y]), np.array([x]))[0])

    @abstractmethod
    def center(self, cell: int) -> tuple[int, int]:
        """Pixel (y, x) at or nearest to the middle of a cell."""

    @abstractmethod
    def cell_mask(self, cell: int) -> tuple[int, int, npt.NDArray[np.bool_]]:
        """Pixels of a cell: first row and column, and a mask (H, W) bool over its bounding box."""

    @abstractmethod
    def outlines(self) -> npt.NDArray[np.bool_]:
        """(H, W): whether a pixel lies at the border of its cell."""

    @abstractmethod
    def window(self, y0: int, x0: int, y1: int, x1: int) -> Partition:
        """The cells of a window, numbered anew; its origin is one that tiles may have."""

    def _areas_of_map(self, size: tuple[int, ...]) -> Tensor:
        """Pixels of the image in each element of `to_map`; the last ones may overhang it."""
        sides = [torch.full((count,), float(self.map_pixel_size)) for count in size]
        for side, length in zip(sides, self.shape, strict=True):
            side[-1] -= len(side) * self.map_pixel_size - length
        return torch.outer(*sides).flatten()


class Grid(Partition):
    """One cell per square of ``cell_size`` pixels, numbered row by row.

    The last row and column of cells may overhang the image.
    """

    def __init__(self, height: int, width: int, cell_size: int) -> None:
        self.shape = (height, width)
        self.cell_size = self.map_pixel_size = cell_size
        self.grid_shape = (-(-height // cell_size), -(-width // cell_size))
        self.n_cells = self.grid_shape[0] * self.grid_shape[1]

    @property
    def areas(self) -> Tensor:
        """(N,): whole squares, but for those that overhang the image."""
        return self._areas_of_map(self.grid_shape)

    @property
    def guide(self) -> Tensor:
        """(0, 1, 1): a crop needs nothing."""
        return torch.zeros(0, 1, 1, dtype=torch.int32)

    def features(self, features: Tensor) -> Tensor:
        """Features (N, F) of a map (F, h', w'); overhang from padding is cut off."""
        rows, columns = self.grid_shape
        return features[:, :rows, :columns].permute(1, 2, 0).reshape(self.n_cells, -1)

    def targets(self, labels: Tensor, n_classes: int) -> tuple[Tensor, Tensor]:
        """See `Partition.targets`."""
        height, width = self.shape
        rows, columns = self.grid_shape
        overhang = (0, columns * self.cell_size - width, 0, rows * self.cell_size - height)
        padded = F.pad(labels, overhang)
        shares = [
            F.avg_pool2d((padded == c + 1).float()[None, None], self.cell_size).flatten()
            for c in range(n_classes)
        ]
        histogram = torch.stack(shares, dim=1)
        weight = histogram.sum(1)
        return histogram / weight.clamp_min(1e-12)[:, None], weight

    def to_map(self, values: Tensor) -> Tensor:
        """Values (N, K) as (K, h, w), an element per cell."""
        return values.T.reshape(-1, *self.grid_shape)

    def pixel_rows(self, values: Tensor) -> Iterator[tuple[int, Tensor]]:
        """See `Partition.pixel_rows`; bilinear between the centres of cells."""
        height, width = self.shape
        rows, columns = self.grid_shape
        maps = self.to_map(values)
        k = self.cell_size
        step = max(1, PAINT_PIXELS // max(1, width * k))
        for first in range(0, rows, step):
            last = min(first + step, rows)
            # A cell of margin on either side makes a band equal to its part of the whole.
            above, below = max(first - 1, 0), min(last + 1, rows)
            size = ((below - above) * k, columns * k)
            band = F.interpolate(maps[None, :, above:below], size=size, mode="bilinear")[0]
            top = (first - above) * k
            count = min(last * k, height) - first * k
            yield first * k, band[:, top : top + count, :width]

    def largest(self, values: Tensor) -> Tensor:
        """See `Partition.largest`."""
        return largest_between(self.to_map(values), self.cell_size, *self.shape)

    def cells_at(self, y: Places, x: Places) -> Places:
        """See `Partition.cells_at`."""
        return (y // self.cell_size) * self.grid_shape[1] + x // self.cell_size

    def center(self, cell: int) -> tuple[int, int]:
        """Pixel (y, x) in the middle of a cell, inside the image."""
        row, column = divmod(cell, self.grid_shape[1])
        k, (height, width) = self.cell_size, self.shape
        return min(row * k + k // 2, height - 1), min(column * k + k // 2, width - 1)

    def cell_mask(self, cell: int) -> tuple[int, int, npt.NDArray[np.bool_]]:
        """First row and column of a cell, and its mask (H, W): a square, cut off with the image."""
        row, column = divmod(cell, self.grid_shape[1])
        top, left = row * self.cell_size, column * self.cell_size
        height, width = self.shape
        size = (min(self.cell_size, height - top), min(self.cell_size, width - left))
        return top, left, np.ones(size, dtype=bool)

    def outlines(self) -> npt.NDArray[np.bool_]:
        """(H, W): whether a pixel lies in the first row or column of its cell."""
        lines = np.zeros(self.shape, bool)
        lines[:: self.cell_size] = True
        lines[:, :: self.cell_size] = True
        return lines

    def window(self, y0: int, x0: int, y1: int, x1: int) -> Grid:
        """See `Partition.window`."""
        return Grid(y1 - y0, x1 - x0, self.cell_size)


def cell_weights(partition: Partition, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Share of a mask (H, W) that each cell holds, (N,); sums to 1 for one that is not empty."""
    inside, area = _inside_and_area(partition, mask)
    weight = inside * area
    return weight / (weight.sum() or 1)


def cells_inside(partition: Partition, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Indices (K,) of the cells that lie mostly inside a mask (H, W).

    A mask smaller than a cell has the one cell that holds most of it.
    """
    inside, area = _inside_and_area(partition, mask)
    chosen = np.flatnonzero(inside >= _INSIDE)
    if not len(chosen) and inside.any():
        chosen = np.array([int((inside * area).argmax())])
    return chosen


def share_inside(partition: Partition, mask: npt.NDArray[np.bool_]) -> Tensor:
    """Share of each cell that lies inside a mask (H, W), (N,) float32."""
    return torch.from_numpy(_inside_and_area(partition, mask)[0]).float()


def _inside_and_area(
    partition: Partition, mask: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Share of each cell that lies inside, and area of each cell up to a factor."""
    # Labels that cover the whole image make a partition tell both: the soft label of a cell
    # is the share inside, its weight its area.
    labels = torch.from_numpy(np.where(mask, 1, 2))
    target, weight = partition.targets(labels, 2)
    return target[:, 0].cpu().double().numpy(), weight.cpu().double().numpy()


def largest_between(maps: Tensor, k: int, height: int, width: int) -> Tensor:
    """Index of the largest of K maps (K, h, w) at every pixel, (height, width) uint8.

    Maps have one element for every k x k pixels, so height and width are at most h k and w k; K is
    below 256. The result is that of maps that are interpolated bilinearly between the centres of
    their elements, and constant beyond the outer ones.

    Notes
    -----
    Four neighbouring centres are the corners of a square of k x k pixels. Where one map is the
    largest at all four, it is so in between: an interpolated value is a mean with the same
    weights for every map. Only the other squares, those on outlines, need interpolation.
    """
    padded = F.pad(maps[None], (1, 1, 1, 1), mode="replicate")[0]
    best = largest_of(padded)
    corner = best[:-1, :-1]
    mixed = (corner != best[:-1, 1:]) | (corner != best[1:, :-1]) | (corner != best[1:, 1:])
    # Along rows first: the other way round takes five times as long.
    pixels = corner.repeat_interleave(k, 1).repeat_interleave(k, 0)
    wide = pixels.shape[1]
    inside = square_places(k, wide).to(maps.device)
    where = mixed.nonzero()
    for row, column in (part.T for part in where.split(_BLOCK) if len(part)):
        at = k * (wide * row + column) + inside
        pixels.view(-1).scatter_(0, at.view(-1), _interpolated(padded, row, column, k).view(-1))
    # The first centre lies k // 2 pixels inside the image, and the first square before it.
    start = k - k // 2
    return pixels[start : start + height, start : start + width]


def square_places(k: int, width: int) -> Tensor:
    """Where a square of k x k places lies in a flat map of some width.

    Returns
    -------
    (K, 1) Tensor
        Of all K = k * k places, counted from the first.
    """
    side = torch.arange(k)
    return (width * side[:, None] + side).view(-1, 1)


def largest_of(maps: Tensor | Sequence[Tensor]) -> Tensor:
    """Index of the largest of a few maps (K, ...), the first of equal ones, (...) uint8.

    Faster than `argmax`, whose inner loop goes over them.
    """
    best, index = maps[0], torch.zeros_like(maps[0], dtype=torch.uint8)
    for number, values in enumerate(maps[1:], start=1):
        larger = (values > best).view(torch.uint8)
        index = larger if number == 1 else torch.maximum(index, larger.mul_(number))
        best = torch.maximum(best, values)
    return index


def _interpolated(padded: Tensor, row: Tensor, column: Tensor, k: int) -> Tensor:
    """Index of the largest map at the pixels of M squares, (k, k, M) uint8."""
    # From a centre to the next; with an odd k, the first pixel is the centre itself.
    share = (torch.arange(k, device=padded.device) + (0.0 if k % 2 else 0.5)) / k
    right = share.to(padded.dtype)[:, None]
    down = right[:, None]
    wide, flat = padded.shape[2], padded.flatten(1)
    corners = [
        flat.index_select(1, wide * (row + y) + column + x)[:, None] for y in (0, 1) for x in (0, 1)
    ]
    above, below = (a * (1 - right) + b * right for a, b in (corners[:2], corners[2:]))
    return largest_of(above[:, None] * (1 - down) + below[:, None] * down)
