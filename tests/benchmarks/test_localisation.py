"""Measures of localisation on cases whose values are known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.quality.localisation import (
    boundary_recall,
    inside_outside_contrast,
    mask_iou,
    most_activated,
    precision,
)

LABELS = np.ones((20, 30), np.uint8)
LABELS[:, 12:] = 2


def test_activated_area_is_exact_also_with_ties() -> None:
    values = np.repeat(np.arange(5.0), 4).reshape(4, 5)
    for count in (0, 1, 7, 20):
        mask = most_activated(values, count)
        assert mask.sum() == count
    assert values[most_activated(values, 4)].min() == 4


def test_precision_and_overlap() -> None:
    left, right = LABELS == 1, LABELS == 2
    assert precision(left, left) == 1 and precision(left, right) == 0
    assert np.isnan(precision(np.zeros_like(left), left))
    assert mask_iou(left, left) == 1 and mask_iou(left, right) == 0
    assert mask_iou(left, left | right) == pytest.approx(12 / 30)


def test_contrast_is_bounded() -> None:
    truth = LABELS == 2
    assert inside_outside_contrast(truth.astype(float), truth) == 1
    assert inside_outside_contrast(0.3 * (~truth), truth) == pytest.approx(-1)
    assert np.isnan(inside_outside_contrast(truth * 1.0, np.ones_like(truth)))


@pytest.mark.parametrize(("shift", "recall"), [(0, 1), (2, 1), (6, 0)])
def test_boundary_recall_allows_the_tolerance(shift: int, recall: float) -> None:
    moved = np.roll(LABELS, shift, axis=1)
    moved[:, :5] = 1
    assert boundary_recall(moved, LABELS, tolerance=2) == pytest.approx(recall)
    assert boundary_recall(np.ones_like(LABELS), LABELS) == 0
