"""A judge to whom a model is worth nothing that changed what its start was sure of."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import pytest

from napari_gaussproto import quick_fit, segment
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.measure import agreement
from napari_gaussproto.core.measure.agreement import SURE, faithful, sure_labels
from napari_gaussproto.core.measure.metrics import confusion_matrix, mean_iou
from tests.core.builders import tiny_model, two_tone

STROKES = np.zeros((4, 50), np.uint8)
STROKES[0, :5], STROKES[1, :5] = 1, 2


def judge(model: np.ndarray, pairs: Any) -> Generator[int, None, float]:
    """Of a "model" that is its labels."""
    total = np.zeros((2, 2), np.int64)
    for number, (_, labels) in enumerate(pairs):
        yield number
        total += confusion_matrix(model, labels, 2)
    return mean_iou(total)


@pytest.fixture(autouse=True)
def labels_for_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "validation_steps", judge)


def test_changes_where_nothing_was_sure_are_free_and_others_are_not() -> None:
    start = np.repeat(np.uint8([[1], [2], [1], [2]]), 50, axis=1)
    sure = np.where(np.arange(50) < 40, start, 0).astype(np.uint8)
    other = start.copy()
    other[:, 40:] = 1
    pairs = [(None, STROKES)]
    assert run(faithful(judge, [sure])(start, pairs)) == 1.0
    assert run(faithful(judge, [sure])(other, pairs)) == 1.0
    other[2, 20:40] = 2
    assert run(judge(other, pairs)) == 1.0
    assert run(faithful(judge, [sure])(other, pairs)) == 0.0


def test_sure_labels_are_those_of_likely_classes() -> None:
    photo, mask = two_tone(70, 101)
    found = segment(photo, quick_fit(photo, mask, tiny_model()))
    sure = sure_labels(found)
    likely = found.class_probabilities().max(0) >= SURE
    assert likely.any() and np.array_equal(sure > 0, likely & (found.labels > 0))
    assert np.array_equal(sure[likely], found.labels[likely])
