"""A window of a large image, to paint in and to learn from."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.imaging.tiles import Area
from napari_gaussproto.jobs.train_image import Stage, TrainImage

# Side of a window in pixels. Models that suit themselves to photographs see one of this size as
# closely as a large image (`ModelConfig.photo_pixels`).
SIDE = 1536


@dataclass(frozen=True)
class CutWindow:
    """Pixels of a window.

    Attributes
    ----------
    pixels : (h, w) or (h, w, C) ndarray
    area : Area
    is_stored : bool
        Whether they are as in the image, and not scaled.
    """

    pixels: npt.NDArray[Any]
    area: Area
    is_stored: bool


def window_around(y: int, x: int, height: int, width: int) -> Area:
    """The window that holds a pixel of an image, of those that cover it.

    It depends on the place alone, so that who comes back finds what was drawn there. At the lower
    and the right border windows are moved inwards, and overlap their neighbours.
    """
    (y0, y1), (x0, x1) = (
        (max(0, start), min(start + SIDE, length))
        for place, length in ((y, height), (x, width))
        for start in (min(min(max(place, 0), length - 1) // SIDE * SIDE, length - SIDE),)
    )
    return y0, x0, y1, x1


def window_job(image: TrainImage, area: Area) -> Generator[Stage, None, CutWindow]:
    """Read a window of an image (H, W) or, for colours, (H, W, C).

    Values of more than 8 bits that would mean something else by themselves, because models scale
    an image by its largest ones, become floats from 0 to 1; see `ImageSource.window`.

    Raises
    ------
    ImageError
        When it cannot be read.
    """
    yield Stage("Reading the window", keep=True)
    axis = 2 if image.rgb else None
    source = ImageSource.from_array(image.pixels, channel_axis=axis, nodata=image.nodata)
    pixels, is_stored = source.window(*area)
    return CutWindow(np.ascontiguousarray(pixels), area, is_stored)
