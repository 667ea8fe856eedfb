"""How good a prediction is: IoU of every class, over some photographs together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.loop.photos import Labels, Photo
from benchmarks.loop.rivals import Predict
from napari_gaussproto.core.measure.metrics import confusion_matrix, iou, mean_iou

Row = dict[str, Any]


def judge(
    predict: Predict,
    photos: Sequence[Photo],
    n_classes: int,
    painted: Sequence[Labels] | None = None,
) -> Row:
    """See `score`."""
    return score([predict(photo.image) for photo in photos], photos, n_classes, painted)


def score(
    predictions: Sequence[Labels],
    photos: Sequence[Photo],
    n_classes: int,
    painted: Sequence[Labels] | None = None,
) -> Row:
    """IoU by class and its mean, over all pixels that were not painted."""
    confusion = np.zeros((n_classes, n_classes), np.int64)
    for index, (predicted, photo) in enumerate(zip(predictions, photos, strict=True)):
        if not predicted.all():
            raise ValueError("a method must give every pixel a class")
        truth = photo.truth if painted is None else np.where(painted[index], 0, photo.truth)
        confusion += confusion_matrix(predicted, truth, n_classes)
    values = [round(float(v), 4) if np.isfinite(v) else None for v in iou(confusion)]
    return {"miou": round(mean_iou(confusion), 4), "iou": values}
