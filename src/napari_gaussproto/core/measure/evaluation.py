"""Measure a model on labelled images."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_gaussproto.core.base.steps import WithValue
from napari_gaussproto.core.measure.metrics import (
    CalibrationError,
    accuracy,
    confusion_matrix,
    iou,
    mean_iou,
)
from napari_gaussproto.core.model.encoding import Encoding
from napari_gaussproto.core.model.predict import segment, segment_steps
from napari_gaussproto.core.model.remarks import is_unlike
from napari_gaussproto.core.model.segmentation import Segmentation
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter

Pairs = Iterable[tuple[Any, npt.NDArray[Any]]]

# Share of the overlaps counted on former crops that is kept at every step of a training.
_MEMORY = 0.9


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
        ``iou`` by class name, ``miou``, ``accuracy``, ``ece``, the number of ``images``, and the
        share ``unlike`` of them that are called unlike the training photographs, None where the
        model cannot tell; JSON-able, as it goes into a model's card.
    """
    n = len(model.classes)
    confusion = np.zeros((n, n), np.int64)
    calibration = CalibrationError()
    novelties = []
    for image, labels in pairs:
        segmentation = segment(image, model)
        confusion += confusion_matrix(segmentation.labels, labels, n)
        calibration.add(segmentation.class_probabilities(), labels)
        novelties.append(segmentation.photo_novelty())
    told = [is_unlike(novelty) for novelty in novelties if novelty is not None]
    names = [c.name for c in model.classes]
    return {
        "images": len(novelties),
        "iou": {name: _rounded(v) for name, v in zip(names, iou(confusion), strict=True)},
        "miou": _rounded(mean_iou(confusion)),
        "accuracy": _rounded(accuracy(confusion)),
        "ece": _rounded(calibration.value),
        "unlike": _rounded(sum(told) / len(told)) if told else None,
    }


def validation_steps(model: PrototypeSegmenter, pairs: Pairs) -> Generator[int, None, float]:
    """Mean IoU alone, without the cost of probabilities, of images and labels (H, W).

    In the place of an image may be its cells, an `Encoding` by this model.

    Yields
    ------
    int
        Number of the image, from 1, after each of its tiles.
    """
    n = len(model.classes)
    confusion = np.zeros((n, n), np.int64)
    for number, (image, labels) in enumerate(pairs, start=1):
        for _ in (work := WithValue(_segmented(image, model))):
            yield number
        confusion += confusion_matrix(work.value.labels, labels, n)
    return mean_iou(confusion)


def _segmented(image: Any, model: PrototypeSegmenter) -> Generator[Any, None, Segmentation]:
    if isinstance(image, Encoding):
        yield
        return model.decode(image)
    return (yield from segment_steps(image, model))


class RunningOverlap:
    """Mean IoU over the labelled cells of the last training crops."""

    def __init__(self, n_classes: int) -> None:
        self._confusion = np.zeros((n_classes, n_classes))

    @torch.no_grad()
    def add(
        self, model: PrototypeSegmenter, z: torch.Tensor, target: torch.Tensor, weight: torch.Tensor
    ) -> None:
        """Count cells (N, D) with soft labels (N, C) and labelled areas (N,)."""
        labelled = weight > 0
        if not labelled.any():
            return
        n = len(self._confusion)
        found = model.layer(z[labelled]).argmax(1)
        pairs = target[labelled].argmax(1) * n + found
        # Counted on the CPU, and not in double precision, which some devices lack.
        counts = torch.bincount(pairs.cpu(), weights=weight[labelled].cpu(), minlength=n * n)
        self._confusion *= _MEMORY
        self._confusion += counts.reshape(n, n).numpy()

    @property
    def miou(self) -> float | None:
        """Mean IoU; None before anything was counted."""
        if not self._confusion.any():
            return None
        # Thousandths of a cell: overlaps are ratios of counts.
        return mean_iou((1000 * self._confusion).round().astype(np.int64))


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
