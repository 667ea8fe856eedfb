"""How well an explanation points at what it names: measures on maps, masks and labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt
from skimage.segmentation import find_boundaries

Mask = npt.NDArray[np.bool_]


def most_activated(values: npt.NDArray[Any], count: int) -> Mask:
    """The ``count`` elements of a map with the greatest values, as a mask.

    At equal values the earlier element comes first, so that the area is exact and maps of
    different resolution can be compared at equal activated area.
    """
    mask = np.zeros(values.size, bool)
    mask[np.argsort(-values.ravel(), kind="stable")[:count]] = True
    return mask.reshape(values.shape)


def precision(activated: Mask, truth: Mask) -> float:
    """Share of the activated area that lies on the truth; nan without activated area."""
    return float((activated & truth).sum() / activated.sum()) if activated.any() else float("nan")


def mask_iou(first: Mask, second: Mask) -> float:
    """Intersection over union of two masks; 1 when both are empty."""
    union = (first | second).sum()
    return float((first & second).sum() / union) if union else 1.0


def inside_outside_contrast(values: npt.NDArray[Any], truth: Mask) -> float:
    """(mean inside - mean outside) over the greatest value, for values that are not negative.

    In [-1, 1]; nan when the truth is empty, is everything, or the map is 0 throughout.
    """
    if not truth.any() or truth.all() or not values.max() > 0:
        return float("nan")
    return float((values[truth].mean() - values[~truth].mean()) / values.max())


def boundary_recall(
    predicted: npt.NDArray[Any], truth: npt.NDArray[Any], tolerance: float = 2
) -> float:
    """Share of the true class borders that have a predicted border within ``tolerance`` pixels.

    After Martin et al. (2004); nan when the truth has one class only.
    """
    border = find_boundaries(truth, mode="inner")
    found = find_boundaries(predicted, mode="inner")
    if not border.any():
        return float("nan")
    if not found.any():
        return 0.0
    return float((distance_transform_edt(~found)[border] <= tolerance).mean())
