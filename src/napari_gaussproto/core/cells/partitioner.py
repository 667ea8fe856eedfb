"""How a model cuts images into cells: the one place that tells grid from superpixels."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

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
# y0, x0, y1, x1 in pixels of the image.
PixelWindow = tuple[int, int, int, int]


class Partitioner:
    """Cuts images as one configuration says; regions are computed once and kept with the image."""

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        size = max(2, round(config.region_size / config.downsample))
        self._settings = SlicSettings(size, config.compactness, config.downsample)

    def steps(
        self, source: ImageSource, window: PixelWindow | None = None
    ) -> Generator[Block, None, Partition]:
        """Cut an image, or the window (y0, x0, y1, x1) of it, one generator step a block.

        The window's origin is a multiple of the model's alignment. The cut of a window
        agrees with that of the whole image, but for cells that reach over its border.
        """
        y0, x0, y1, x1 = window or (0, 0, source.height, source.width)
        shape = min(y1, source.height) - y0, min(x1, source.width) - x0
        if not self._config.has_regions:
            return Grid(*shape, self._config.cell_size)
        regions = source.memo.get(self._settings) if window is None else None
        if regions is None:
            regions = yield from region_map_steps(source, self._settings, window)
        if window is None:
            source.memo[self._settings] = regions
        return self._superpixels(shape, regions, self._config.downsample)

    def crop(self, shape: tuple[int, int], guide: Tensor) -> Partition:
        """Cut a training crop of (h, w) shrunk pixels.

        Parameters
        ----------
        guide : (G, h, w) Tensor
            `Partition.guide` of the whole image, warped as the crop was; 0 lies outside it.
        """
        if not self._config.has_regions:
            return Grid(*shape, self._config.output_stride)
        regions = consecutive(guide[0].cpu().numpy().astype(np.int64))
        return self._superpixels(shape, regions, 1)

    def _superpixels(self, shape: tuple[int, int], regions: RegionMap, shrink: int) -> Superpixels:
        return Superpixels(
            shape,
            regions,
            shrink=shrink,
            stride=self._config.output_stride,
            region_size=self._settings.size,
            pooling=self._config.pooling,
        )


@dataclass(frozen=True)
class CellPreview:
    """The cells of a window.

    Attributes
    ----------
    y0, x0 : int
        Its first pixel.
    outlines : (H, W) ndarray of bool
    n_cells : int
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
    window: PixelWindow,
    channel_axis: int | None = None,
    nodata: float | None = None,
) -> Generator[Block, None, CellPreview]:
    """Cut a window of an image into the cells of a model; see `ImageSource.from_array`.

    The window is cut to the image and to `LARGEST_SIDE` around its middle.

    Raises
    ------
    ImageError
        When the image does not suit the model.
    """
    source = ImageSource.from_array(image, config.channels, channel_axis, nodata=nodata)
    y0, y1 = _clipped(window[0], window[2], source.height, config.cell_size)
    x0, x1 = _clipped(window[1], window[3], source.width, config.cell_size)
    cut = yield from Partitioner(config).steps(source, (y0, x0, y1, x1))
    share = (y1 - y0) * (x1 - x0) / (source.height * source.width)
    return CellPreview(y0, x0, cut.outlines(), cut.n_cells, round(cut.n_cells / share))


def _clipped(first: int, last: int, length: int, multiple: int) -> tuple[int, int]:
    """A range inside [0, length), not too long; its start a multiple."""
    first, last = max(0, min(first, length - 1)), min(max(last, 1), length)
    if last - first > LARGEST_SIDE:
        first = (first + last - LARGEST_SIDE) // 2
        last = first + LARGEST_SIDE
    first = first // multiple * multiple
    return first, max(last, first + 1)
