"""Where to look next: the most novel and the most uncertain places of an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.feature import peak_local_max

from napari_gaussproto.core.model.segmentation import Map, Segmentation

# Places lie at least this share of the image's longer side apart.
_APART = 1 / 12
# A place is more than one odd cell: values are averaged over this share of that distance.
_WINDOW = 1 / 6
# Share by which places of equal novelty are told apart.
_TIES = 0.01


@dataclass(frozen=True)
class Place:
    """A pixel worth a look, and the mean novelty or uncertainty around it, in [0, 1]."""

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
    density = segmentation.log_density(cells=True).astype(np.float64)
    order = (density.max() - density) / max(float(np.ptp(density)), 1e-12)
    score = (1 - _TIES) * segmentation.novelty(cells=True) + _TIES * order
    return [Place(y, x, value) for y, x, value in _peaks(segmentation, score, n, distance)]


def most_uncertain_places(
    segmentation: Segmentation, n: int = 5, distance: int | None = None
) -> list[Place]:
    """Places where the classes are the closest call; see `most_novel_places`."""
    peaks = _peaks(segmentation, segmentation.uncertainty(cells=True), n, distance)
    return [Place(y, x, score) for y, x, score in peaks]


def _peaks(
    segmentation: Segmentation, score: Map, n: int, distance: int | None
) -> list[tuple[int, int, float]]:
    """Highest local means of a score, with non-maximum suppression: y, x and the mean."""
    height, width = segmentation.shape
    if distance is None:
        distance = round(max(height, width) * _APART)
    size = segmentation.map_pixel_size
    apart = max(1, distance // size)
    smooth = gaussian_filter(score.astype(np.float64), apart * _WINDOW, mode="nearest")
    found = peak_local_max(smooth, min_distance=apart, exclude_border=False)
    shown = segmentation.encoding.data_map
    if shown is not None:
        found = found[shown[tuple(found.T)]]
    return [
        (
            min(row * size + size // 2, height - 1),
            min(column * size + size // 2, width - 1),
            float(smooth[row, column]),
        )
        for row, column in found[:n].tolist()
    ]
