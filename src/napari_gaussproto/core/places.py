"""Where to look next: the most novel and the most uncertain places of an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from skimage.feature import peak_local_max

from napari_gaussproto.core.segmenter import Map, Segmentation

# Places lie at least this share of the image's longer side apart.
_APART = 1 / 12
# A place is more than one odd cell: values are averaged over this share of that distance.
_WINDOW = 1 / 6


@dataclass(frozen=True)
class Place:
    """A place worth a look.

    Attributes
    ----------
    y, x : int
        Pixel of the image.
    value : float
        Novelty or uncertainty there, in [0, 1].
    """

    y: int
    x: int
    value: float


def most_novel_places(
    segmentation: Segmentation, n: int = 5, distance: int | None = None
) -> list[Place]:
    """Places that are least like anything in the training data, the most novel first.

    Parameters
    ----------
    segmentation : Segmentation
    n : int
        At most so many.
    distance : int, optional
        Pixels that places lie apart at least (along an axis); by default a twelfth of the
        image's longer side.
    """
    # Novelty is 1 wherever a cell is farther than every training cell; the density itself
    # still orders those.
    surprise = -segmentation.log_density(cells=True)
    return _peaks(segmentation, surprise, segmentation.novelty(cells=True), n, distance)


def most_uncertain_places(
    segmentation: Segmentation, n: int = 5, distance: int | None = None
) -> list[Place]:
    """Places where the classes are the closest call; see `most_novel_places`."""
    uncertainty = segmentation.uncertainty(cells=True)
    return _peaks(segmentation, uncertainty, uncertainty, n, distance)


def _peaks(
    segmentation: Segmentation, score: Map, value: Map, n: int, distance: int | None
) -> list[Place]:
    """Highest local means of a score, with non-maximum suppression."""
    height, width = segmentation.shape
    if distance is None:
        distance = round(max(height, width) * _APART)
    apart = max(1, distance // segmentation.map_pixel_size)
    smooth = gaussian_filter(score.astype(np.float64), apart * _WINDOW, mode="nearest")
    found: npt.NDArray[np.int64] = peak_local_max(
        smooth, min_distance=apart, num_peaks=n, exclude_border=False
    )
    return [_place(segmentation, value, row, column) for row, column in found]


def _place(segmentation: Segmentation, value: Map, row: int, column: int) -> Place:
    size = segmentation.map_pixel_size
    height, width = segmentation.shape
    y = min(int(row) * size + size // 2, height - 1)
    x = min(int(column) * size + size // 2, width - 1)
    return Place(y, x, float(value[row, column]))
