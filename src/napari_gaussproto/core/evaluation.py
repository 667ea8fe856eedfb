"""Measure a model on labelled images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.metrics import (
    CalibrationError,
    accuracy,
    confusion_matrix,
    iou,
    mean_iou,
)
from napari_gaussproto.core.predict import segment
from napari_gaussproto.core.segmenter import PrototypeSegmenter

Pairs = Iterable[tuple[Any, npt.NDArray[Any]]]


def measure(model: PrototypeSegmenter, pairs: Pairs) -> dict[str, Any]:
    """Overlap and calibration over all labelled pixels of some images.

    Parameters
    ----------
    model : PrototypeSegmenter
    pairs : iterable of (image, labels)
        Labels (H, W): 0 not labelled, else class index + 1.

    Returns
    -------
    dict
        ``iou`` by class name, ``miou``, ``accuracy``, ``ece`` and the number of ``images``;
        JSON-able, as it goes into a model's card.
    """
    n = len(model.classes)
    confusion = np.zeros((n, n), np.int64)
    calibration = CalibrationError()
    count = 0
    for image, labels in pairs:
        segmentation = segment(image, model)
        confusion += confusion_matrix(segmentation.labels, labels, n)
        calibration.add(segmentation.class_probabilities(), labels)
        count += 1
    names = [c.name for c in model.classes]
    return {
        "images": count,
        "iou": {name: _rounded(v) for name, v in zip(names, iou(confusion), strict=True)},
        "miou": _rounded(mean_iou(confusion)),
        "accuracy": _rounded(accuracy(confusion)),
        "ece": _rounded(calibration.value),
    }


def validation_miou(model: PrototypeSegmenter, pairs: Pairs) -> float:
    """Mean IoU alone, without the cost of probabilities."""
    n = len(model.classes)
    confusion = np.zeros((n, n), np.int64)
    for image, labels in pairs:
        confusion += confusion_matrix(segment(image, model).labels, labels, n)
    return mean_iou(confusion)


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
