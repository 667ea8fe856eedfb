"""How good a segmentation is: overlap and calibration.

Label images hold 0 for "not labelled" and class index + 1 elsewhere; pixels that the truth
does not label are never counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_BINS = 15


def confusion_matrix(
    predicted: npt.NDArray[Any], truth: npt.NDArray[Any], n_classes: int
) -> Counts:
    """Count pixels by true class (rows) and predicted class (columns).

    Parameters
    ----------
    predicted, truth : ndarray of one shape
        Label images; pixels that are 0 in either are not counted.
    n_classes : int

    Returns
    -------
    (C, C) ndarray of int

    Raises
    ------
    ValueError
        When the shapes differ.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"prediction {predicted.shape} and truth {truth.shape} differ in shape")
    known = (truth > 0) & (predicted > 0)
    index = (truth[known].astype(np.int64) - 1) * n_classes + predicted[known].astype(np.int64) - 1
    return np.bincount(index, minlength=n_classes**2).reshape(n_classes, n_classes)


def iou(confusion: Counts) -> Floats:
    """Intersection over union of each class (Jaccard 1912), (C,); nan for absent classes."""
    hit = np.diag(confusion).astype(np.float64)
    union = confusion.sum(0) + confusion.sum(1) - hit
    return np.divide(hit, union, out=np.full_like(hit, np.nan), where=union > 0)


def mean_iou(confusion: Counts) -> float:
    """Mean of `iou` of a matrix (C, C) over the classes that occur; nan when none does."""
    values = iou(confusion)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def accuracy(confusion: Counts) -> float:
    """Share of the pixels counted in a matrix (C, C) that have the right class."""
    total = confusion.sum()
    return float(np.trace(confusion) / total) if total else float("nan")


class CalibrationError:
    """Expected calibration error of the predicted class, gathered image by image.

    The mean over bins of confidence of |accuracy - mean confidence|, weighted by the number
    of pixels (Naeini et al. 2015; Guo et al. 2017), over bins of equal width in [0, 1].
    """

    def __init__(self) -> None:
        # Pixels, those that are right, and the sum of confidences, of each bin.
        self._sums = np.zeros((3, _BINS))

    def add(self, probabilities: npt.NDArray[Any], truth: npt.NDArray[Any]) -> None:
        """Count an image: class probabilities (C, H, W) and its label image (H, W).

        The class that is judged is the most probable one; labels that follow edges may differ.
        Pixels without data, whose probabilities are all 0, are not counted.
        """
        known = (truth > 0) & probabilities.any(0)
        chosen = probabilities[:, known]
        confidence = chosen.max(0).astype(np.float64)
        correct = chosen.argmax(0) + 1 == truth[known]
        index = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
        for own, weights in zip(self._sums, (None, correct, confidence), strict=True):
            own += np.bincount(index, weights=weights, minlength=_BINS)

    @property
    def value(self) -> float:
        """The error, in [0, 1]; nan before anything was counted."""
        count, correct, confidence = self._sums
        total = count.sum()
        return float(np.abs(correct - confidence).sum() / total) if total else float("nan")
