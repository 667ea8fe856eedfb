"""The cells of a part of an image, to look at before anything is computed from them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.config import ModelConfig
from napari_gaussproto.core.cells.partitioner import make_partitioner
from napari_gaussproto.core.cells.slic import Block
from napari_gaussproto.core.imaging.source import ImageSource

# Sides of a window are cut to this many pixels around its middle, so that it is quick.
LARGEST_SIDE = 1600


@dataclass(frozen=True)
class CellPreview:
    """The cells of a window.

    Attributes
    ----------
    y0, x0 : int
        Its first pixel.
    outlines : ndarray
        (h, w) bool.
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
