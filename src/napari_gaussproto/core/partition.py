"""How an image is cut into cells, and the way back.

A partition knows both directions: features and labels from pixels to cells, and scores from
cells to pixels. Everything else in the package works on cells and never asks which
partition they came from. ``make_partition`` is the one place that chooses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_gaussproto.core.config import ModelConfig
from napari_gaussproto.core.errors import ConfigError

# Pixels painted at a time: bounds the memory of a full-resolution, many-channel map.
_PAINT_PIXELS = 1 << 21


class CellPool(Protocol):
    """Collects latent maps, tile by tile, into cells."""

    def add(self, latents: Tensor, row: int, column: int) -> None:
        """Take latents (D, h, w) whose first element lies at this latent position."""

    def cells(self) -> Tensor:
        """Latents of all cells, (N, D)."""


class Partition(Protocol):
    """A cut of one image of ``shape`` (H, W) into ``n_cells`` cells."""

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the image in pixels."""

    @property
    def n_cells(self) -> int:
        """N."""

    @property
    def map_pixel_size(self) -> int:
        """Side of one element of ``to_map``, in pixels."""

    def pool(self, dim: int) -> CellPool:
        """Start collecting latents of dimension ``dim``."""

    def latents(self, latents: Tensor) -> Tensor:
        """Cells (N, D) of a latent map (D, h, w) of the whole image; differentiable."""

    def targets(self, labels: Tensor, n_classes: int) -> tuple[Tensor, Tensor]:
        """Soft labels (N, C) and weights (N,) of a label image (H, W).

        Labels are 0 for "not labelled", else class index + 1. The soft label is the share of
        each class among a cell's labelled pixels; the weight is the share of the image's
        cell area that is labelled, so a cell without labels weighs 0.
        """

    def to_map(self, values: Tensor) -> Tensor:
        """Values (N, K) as maps (K, h, w) at the partition's own resolution."""

    def to_pixels(self, values: Tensor) -> Tensor:
        """Values (N, K) as maps (K, H, W) at the image's resolution."""

    def pixel_rows(self, values: Tensor) -> Iterator[tuple[int, Tensor]]:
        """As ``to_pixels``, in bands: (first row, maps (K, rows, W))."""

    def cell_at(self, y: int, x: int) -> int:
        """Index of the cell that holds a pixel."""

    def center(self, cell: int) -> tuple[int, int]:
        """Pixel (y, x) at or nearest to the middle of a cell."""

    def cell_mask(self, cell: int) -> tuple[int, int, npt.NDArray[np.bool_]]:
        """Pixels of a cell: first row, first column, and a mask over its bounding box."""


class Grid:
    """One cell per square of ``cell_size`` pixels, numbered row by row.

    Parameters
    ----------
    height, width : int
        Image size in pixels; the last row and column of cells may overhang it.
    cell_size : int
    """

    def __init__(self, height: int, width: int, cell_size: int) -> None:
        self.shape = (height, width)
        self.cell_size = cell_size
        self.grid_shape = (-(-height // cell_size), -(-width // cell_size))

    @property
    def n_cells(self) -> int:
        """N."""
        return self.grid_shape[0] * self.grid_shape[1]

    @property
    def map_pixel_size(self) -> int:
        """Side of a cell in pixels."""
        return self.cell_size

    def pool(self, dim: int) -> CellPool:
        """Start collecting latents; see `Partition.pool`."""
        return _GridPool(self.grid_shape, dim)

    def latents(self, latents: Tensor) -> Tensor:
        """Cells (N, D) of a latent map (D, h, w); overhang from padding is cut off."""
        rows, columns = self.grid_shape
        return latents[:, :rows, :columns].permute(1, 2, 0).reshape(self.n_cells, -1)

    def targets(self, labels: Tensor, n_classes: int) -> tuple[Tensor, Tensor]:
        """Soft labels (N, C) and weights (N,); see `Partition.targets`."""
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

    def to_pixels(self, values: Tensor) -> Tensor:
        """Values (N, K) as (K, H, W), bilinear between the centres of cells."""
        return torch.cat([band for _, band in self.pixel_rows(values)], dim=1)

    def pixel_rows(self, values: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Bands of `to_pixels`, a few rows of cells each."""
        height, width = self.shape
        rows, columns = self.grid_shape
        maps = self.to_map(values)
        k = self.cell_size
        step = max(1, _PAINT_PIXELS // max(1, width * k))
        for first in range(0, rows, step):
            last = min(first + step, rows)
            # A cell of margin on either side makes a band equal to its part of the whole.
            above, below = max(first - 1, 0), min(last + 1, rows)
            size = ((below - above) * k, columns * k)
            band = F.interpolate(maps[None, :, above:below], size=size, mode="bilinear")[0]
            top = (first - above) * k
            count = min(last * k, height) - first * k
            yield first * k, band[:, top : top + count, :width]

    def cell_at(self, y: int, x: int) -> int:
        """Index of the cell that holds a pixel."""
        return (y // self.cell_size) * self.grid_shape[1] + x // self.cell_size

    def center(self, cell: int) -> tuple[int, int]:
        """Pixel (y, x) in the middle of a cell, inside the image."""
        row, column = divmod(cell, self.grid_shape[1])
        half = self.cell_size // 2
        height, width = self.shape
        return (
            min(row * self.cell_size + half, height - 1),
            min(column * self.cell_size + half, width - 1),
        )

    def cell_mask(self, cell: int) -> tuple[int, int, npt.NDArray[np.bool_]]:
        """Pixels of a cell: a square, cut off where it overhangs the image."""
        row, column = divmod(cell, self.grid_shape[1])
        top, left = row * self.cell_size, column * self.cell_size
        height, width = self.shape
        size = (min(self.cell_size, height - top), min(self.cell_size, width - left))
        return top, left, np.ones(size, dtype=bool)


class _GridPool:
    """Latents of a grid, filled in tile by tile."""

    def __init__(self, grid_shape: tuple[int, int], dim: int) -> None:
        self._shape = grid_shape
        self._dim = dim
        self._filled: Tensor | None = None

    def add(self, latents: Tensor, row: int, column: int) -> None:
        rows, columns = self._shape
        if self._filled is None:
            self._filled = latents.new_zeros((rows, columns, self._dim))
        part = latents.permute(1, 2, 0)[: rows - row, : columns - column]
        self._filled[row : row + part.shape[0], column : column + part.shape[1]] = part

    def cells(self) -> Tensor:
        if self._filled is None:
            raise ValueError("no tile was added")
        return self._filled.reshape(-1, self._dim)


def make_partition(config: ModelConfig, shape: tuple[int, int], downsample: int) -> Partition:
    """Cut an image as a model's configuration says.

    Parameters
    ----------
    config : ModelConfig
    shape : tuple of int
        (H, W) in pixels.
    downsample : int
        Pixels of that image per pixel that the backbone sees.

    Raises
    ------
    ConfigError
        For a partition that this version does not know.
    """
    if config.partition == "grid":
        return Grid(*shape, downsample * config.output_stride)
    raise ConfigError(
        f"This version cannot run “{config.partition}” models yet: choose a grid model."
    )
