"""Whether a trained model still says what its start was sure of.

Strokes are drawn where a model was wrong, so those that are set aside speak against it and for
any other: a training may be far better on them and worse on the rest of the same photographs.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np

from napari_gaussproto.core.labels.check import Labels
from napari_gaussproto.core.measure.evaluation import validation_steps
from napari_gaussproto.core.model.segmentation import Segmentation

# Probability from which on a place counts, and the mean IoU of both there. After eight rounds of
# corrections a fit is right there (.92 of mean IoU or more); a training that gained .09 on other
# photographs had .95, one that lost .22 had .76 (docs/decisions/strokes-as-judges.md).
SURE, ALIKE = 0.8, 0.93

Judge = Callable[[Any, Any], Generator[int, None, float]]


def sure_labels(segmentation: Segmentation) -> Labels:
    """Class index + 1 (H, W) where a segmentation is sure, 0 elsewhere."""
    largest = np.asarray(segmentation.class_probabilities()).max(0)
    return np.where(largest >= SURE, segmentation.labels, 0).astype(np.uint8)


def faithful(judge: Judge, sure: Sequence[Labels]) -> Judge:
    """A judge to whom a model is worth nothing that changed too much of what was sure.

    Parameters
    ----------
    judge : callable
        As `validation_steps`.
    sure : sequence of (H, W) ndarray
        Of each image that is judged by; see `sure_labels`.
    """

    def steps(model: Any, pairs: Any) -> Generator[int, None, float]:
        known = list(pairs)
        score = yield from judge(model, known)
        images = [image for image, _ in known]
        alike = yield from validation_steps(model, list(zip(images, sure, strict=True)))
        return score if alike >= ALIKE else 0.0

    return steps
