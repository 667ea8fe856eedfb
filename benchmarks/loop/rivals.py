"""Simple learners that every method here has to beat, on the same strokes and cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch.nn import functional as F

from benchmarks.loop import features
from benchmarks.loop.features import CELL, Features
from benchmarks.loop.photos import Image, Labels

Predict = Callable[[Image], Labels]
# From images (H, W, 3) and strokes (H, W; 0 where nothing is painted) to a prediction (H, W).
Method = Callable[[Sequence[Image], Sequence[Labels]], Predict]
Describe = Callable[[Image], Features]


def ridge(strength: float) -> Any:
    """Logistic regression with a quadratic penalty; the smaller the strength, the stiffer."""
    return LogisticRegression(C=strength, max_iter=300)


def forest() -> Any:
    return RandomForestClassifier(100, n_jobs=1, random_state=0)


class Nearest(KNeighborsClassifier):
    """Five nearest cells, or all there are; it knows no weights."""

    def fit(self, x: Any, y: Any, sample_weight: Any = None) -> Any:
        self.n_neighbors = min(5, len(x))
        return super().fit(x, y)


def on_cells(describe: Describe, make: Callable[[], Any]) -> Method:
    """A scikit-learn classifier on features of cells.

    Features are standardised over all cells of the images. A painted cell counts by the
    share that is painted, and all classes count the same. Probabilities are brought to pixels
    bilinearly, as those of a model on a grid.
    """

    def fit(images: Sequence[Image], strokes: Sequence[Labels]) -> Predict:
        described = [describe(image) for image in images]
        n_classes = max(int(labels.max()) for labels in strokes)
        shares = [features.cell_labels(labels, n_classes) for labels in strokes]
        every = np.concatenate([d.reshape(-1, d.shape[-1]) for d in described])
        mean, deviation = every.mean(0), every.std(0) + 1e-6
        share = np.concatenate([s.reshape(-1, n_classes) for s in shares])
        painted = share.any(1)
        x = (every[painted] - mean) / deviation
        classifier = _fitted(make(), x, share[painted].argmax(1), share[painted].sum(1))

        def predict(image: Image) -> Labels:
            found = describe(image)
            flat = (found.reshape(-1, found.shape[-1]) - mean) / deviation
            scores = classifier.predict_proba(flat).reshape(*found.shape[:2], -1)
            return _to_pixels(scores, classifier.classes_, image.shape[:2], CELL)

        return predict

    return fit


def on_pixels(describe: Describe, make: Callable[[], Any], step: int = 2) -> Method:
    """The same on features of every second pixel."""

    def fit(images: Sequence[Image], strokes: Sequence[Labels]) -> Predict:
        labels = [s[::step, ::step] for s in strokes]
        pairs = zip(images, labels, strict=True)
        x = np.concatenate([describe(image)[chosen > 0] for image, chosen in pairs])
        y = np.concatenate([chosen[chosen > 0] for chosen in labels])
        classifier = _fitted(make(), x, y.astype(int) - 1, np.ones(len(y)))

        def predict(image: Image) -> Labels:
            found = describe(image)
            scores = classifier.predict_proba(found.reshape(-1, found.shape[-1]))
            scores = scores.reshape(*found.shape[:2], -1)
            return _to_pixels(scores, classifier.classes_, image.shape[:2], step)

        return predict

    return fit


def _fitted(classifier: Any, x: Any, y: Any, weight: Any) -> Any:
    """All classes count the same, and samples one on average: a penalty depends on their sum."""
    totals = np.bincount(y, weight)
    weight = weight / totals[y]
    return classifier.fit(x, y, sample_weight=weight * (len(y) / weight.sum()))


def _to_pixels(scores: Any, classes: Any, shape: tuple[int, int], step: int) -> Labels:
    """Labels (H, W) of the classes (C) that are likeliest, from scores (h, w, C)."""
    maps = torch.from_numpy(np.ascontiguousarray(scores, dtype=np.float32)).permute(2, 0, 1)[None]
    large = F.interpolate(maps, scale_factor=step, mode="bilinear", align_corners=False)
    largest = large[0].argmax(0).numpy()[: shape[0], : shape[1]]
    return (classes[largest] + 1).astype(np.uint8)


def _all_strides(image: Image) -> Features:
    return features.strides(image, 32)


RIVALS: dict[str, Method] = {
    "Lab, ridge": on_cells(features.lab, lambda: ridge(1.0)),
    "strides 2-8 + Lab, ridge .01": on_cells(features.strides_and_lab, lambda: ridge(0.01)),
    "strides 2-8 + Lab, ridge .001": on_cells(features.strides_and_lab, lambda: ridge(0.001)),
    "strides 2-8 + Lab, forest": on_cells(features.strides_and_lab, forest),
    "strides 2-8 + Lab, nearest": on_cells(features.strides_and_lab, Nearest),
    "strides 2-32, forest": on_cells(_all_strides, forest),
    "filters, forest": on_pixels(features.filters, forest),
}
