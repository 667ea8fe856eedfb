"""How a model cuts images into cells: the one place that tells grid from superpixels."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from napari_gaussproto.core.base.config import ModelConfig
from napari_gaussproto.core.cells.partition import Grid, Partition
from napari_gaussproto.core.cells.slic import (
    Block,
    RegionMap,
    SlicSettings,
    consecutive,
    region_map_steps,
)
from napari_gaussproto.core.cells.superpixels import Superpixels
from napari_gaussproto.core.imaging.source import ImageSource

# Sides of a window are cut to this many pixels around its middle, so that it is quick.
LARGEST_SIDE = 1600
PixelWindow = tuple[int, int, int, int]


class Partitioner(Protocol):
    """Cuts images as one configuration says."""

    def steps(
        self, source: ImageSource, window: PixelWindow | None = None
    ) -> Generator[Block, None, Partition]:
        """Cut an image, or the window (y0, x0, y1, x1) of it, one generator step a block.

        The window's origin is a multiple of the model's alignment. The cut of a window
        agrees with that of the whole image, but for cells that reach over its border.
        """

    def crop(self, shape: tuple[int, int], guide: Tensor) -> Partition:
        """Cut a training crop of (h, w) shrunk pixels.

        Parameters
        ----------
        shape : tuple of int
        guide : Tensor
            (G, h, w): `Partition.guide` of the whole image, warped as the crop was.
        """


class GridPartitioner:
    """A grid over every image."""

    def __init__(self, config: ModelConfig) -> None:
        self._config = config

    def steps(
        self, source: ImageSource, window: PixelWindow | None = None
    ) -> Generator[Block, None, Partition]:
        """See `Partitioner.steps`; there is nothing to wait for."""
        return Grid(*_shape(source, window), self._config.cell_size)
        yield

    def crop(self, shape: tuple[int, int], guide: Tensor) -> Partition:
        """See `Partitioner.crop`; the guide (0, h, w) says nothing."""
        return Grid(*shape, self._config.output_stride)


class SuperpixelPartitioner:
    """SLIC regions of every image, computed once and kept with it."""

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        size = max(2, round(config.region_size / config.downsample))
        self._settings = SlicSettings(size, config.compactness, config.downsample)

    def steps(
        self, source: ImageSource, window: PixelWindow | None = None
    ) -> Generator[Block, None, Partition]:
        """See `Partitioner.steps`; cells that reach over a window's border are cut there."""
        regions = source.memo.get(self._settings) if window is None else None
        if regions is None:
            regions = yield from region_map_steps(source, self._settings, window)
        if window is None:
            source.memo[self._settings] = regions
        return self._partition(_shape(source, window), regions, self._config.downsample)

    def crop(self, shape: tuple[int, int], guide: Tensor) -> Partition:
        """See `Partitioner.crop`; the guide (1, h, w) is 0 outside the image: unlabelled cells."""
        regions = consecutive(guide[0].cpu().numpy().astype(np.int64))
        return self._partition(shape, regions, 1)

    def _partition(self, shape: tuple[int, int], regions: RegionMap, shrink: int) -> Superpixels:
        return Superpixels(
            shape,
            regions,
            shrink=shrink,
            stride=self._config.output_stride,
            region_size=self._settings.size,
            pooling=self._config.pooling,
        )


def _shape(source: ImageSource, window: PixelWindow | None) -> tuple[int, int]:
    if window is None:
        return source.height, source.width
    y0, x0, y1, x1 = window
    return min(y1, source.height) - y0, min(x1, source.width) - x0


def make_partitioner(config: ModelConfig) -> Partitioner:
    """The partitioner that a model's configuration asks for."""
    if config.partition == "superpixel":
        return SuperpixelPartitioner(config)
    return GridPartitioner(config)


@dataclass(frozen=True)
class CellPreview:
    """The cells of a window.

    Attributes
    ----------
    y0, x0 : int
        Its first pixel.
    outlines : ndarray
        (H, W) bool, of the window.
    n_cells : int
        In the window.
    n_cells_image : int
        Estimate for the whole image, from the window's density.
    """

    y0: int
    x0: int
    outlines: npt.NDArray[np.bool_]
    n_cells: int
    n_cells_image: int


def preview_steps(
    image: Any,
    config: ModelConfig,
    window: tuple[int, int, int, int],
    channel_axis: int | None = None,
) -> Generator[Block, None, CellPreview]:
    """Cut a window (y0, x0, y1, x1) of an image into the cells of a model.

    Parameters
    ----------
    image : array
        See `ImageSource.from_array`.
    config : ModelConfig
    window : tuple of int
        In pixels; cut to the image and to `LARGEST_SIDE` around its middle.
    channel_axis : int, optional

    Raises
    ------
    ImageError
        When the image does not suit the model.
    """
    source = ImageSource.from_array(image, config.channels, channel_axis)
    y0, y1 = _clipped(window[0], window[2], source.height, config.cell_size)
    x0, x1 = _clipped(window[1], window[3], source.width, config.cell_size)
    partition = yield from make_partitioner(config).steps(source, (y0, x0, y1, x1))
    share = (y1 - y0) * (x1 - x0) / (source.height * source.width)
    return CellPreview(
        y0, x0, partition.outlines(), partition.n_cells, round(partition.n_cells / share)
    )


def _clipped(first: int, last: int, length: int, multiple: int) -> tuple[int, int]:
    """A range inside [0, length), not too long; its start a multiple."""
    first, last = max(0, min(first, length - 1)), min(max(last, 1), length)
    if last - first > LARGEST_SIDE:
        first = (first + last - LARGEST_SIDE) // 2
        last = first + LARGEST_SIDE
    first = first // multiple * multiple
    return first, max(last, first + 1)
