"""Whether a trained model still says what its start was sure of.

Strokes are drawn where a model was wrong, so those that are set aside speak against it and for
any other: a training may be far better on them and worse on the rest of the same photographs.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np

from napari_gaussproto.core.labels.check import Labels
from napari_gaussproto.core.measure.metrics import confusion_matrix, iou
from napari_gaussproto.core.model.segmentation import Segmentation
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter

# Probability from which on a place counts, and the mean IoU of both there. After eight rounds of
# corrections a fit is right there (.92 of mean IoU or more); a training that gained .09 on other
# photographs had .95, one that lost .22 had .76 (docs/decisions/strokes-as-judges.md).
SURE, ALIKE = 0.8, 0.93

Judge = Callable[[Any, Any], Generator[int, None, float]]


def sure_labels(segmentation: Segmentation, painted: Labels) -> Labels:
    """Class index + 1 (H, W) where a segmentation is sure and nobody painted, 0 elsewhere."""
    largest = np.asarray(segmentation.class_probabilities()).max(0)
    return np.where((largest >= SURE) & (painted == 0), segmentation.labels, 0).astype(np.uint8)


def agreement(found: Sequence[Labels], sure: Sequence[Labels], n_classes: int) -> float:
    """Mean IoU of labels with what was sure, over classes of which anything was.

    Parameters
    ----------
    found, sure : sequence of (H, W) ndarray
        Class index + 1 of every pixel, of one image each; 0 where nothing was sure.
    n_classes : int

    Returns
    -------
    float
        Classes of which nothing was sure don't count: a few pixels that change to one would have
        an IoU of 0. It is nan where nothing was sure at all.
    """
    pairs = zip(found, sure, strict=True)
    confusion = sum(
        (confusion_matrix(labels, mask, n_classes) for labels, mask in pairs),
        np.zeros((n_classes, n_classes), np.int64),
    )
    known = iou(confusion)[confusion.sum(1) > 0]
    return float(known.mean()) if len(known) else float("nan")


def faithful(judge: Judge, sure: Sequence[Labels]) -> Judge:
    """A judge to whom a model is worth nothing that changed too much of what was sure.

    Parameters
    ----------
    judge : callable
        As `validation_steps`, of images as cells.
    sure : sequence of (H, W) ndarray
        Of each image that is judged by; see `sure_labels`. Where nothing is, the judge alone
        decides.
    """

    def steps(model: PrototypeSegmenter, pairs: Any) -> Generator[int, None, float]:
        known = list(pairs)
        score = yield from judge(model, known)
        found = [model.decode(cells).labels for cells, _ in known]
        return 0.0 if agreement(found, sure, len(model.classes)) < ALIKE else score

    return steps
