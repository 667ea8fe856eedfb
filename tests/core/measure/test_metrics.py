"""Overlap and calibration against other implementations and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, jaccard_score

from napari_gaussproto.core.measure.metrics import (
    CalibrationError,
    accuracy,
    confusion_matrix,
    iou,
    mean_iou,
)


def test_iou_matches_scikit_learn_on_labelled_pixels() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 4, (40, 50)), rng.integers(1, 4, (40, 50))
    counts = confusion_matrix(predicted, truth, 3)
    known = truth > 0
    expected = jaccard_score(truth[known], predicted[known], average=None, labels=[1, 2, 3])
    np.testing.assert_allclose(iou(counts), expected)
    assert mean_iou(counts) == pytest.approx(expected.mean())
    assert accuracy(counts) == pytest.approx(accuracy_score(truth[known], predicted[known]))


def test_absent_classes_do_not_count() -> None:
    truth = np.ones((3, 3), int)
    values = iou(confusion_matrix(truth, truth, 3))
    assert values[0] == 1 and np.isnan(values[1:]).all()
    assert mean_iou(confusion_matrix(truth, truth, 3)) == 1
    assert np.isnan(mean_iou(np.zeros((3, 3), np.int64)))


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        confusion_matrix(np.ones((2, 2), int), np.ones((2, 3), int), 2)


def test_calibration_error_of_known_confidences() -> None:
    truth = np.array([[1] * 8 + [2] * 2 + [0] * 5])
    confident = np.zeros((2, 1, 15))
    confident[0], confident[1] = 0.9, 0.1
    error = CalibrationError()
    error.add(confident, truth)  # 80% right at 90% confidence; the unlabelled do not count
    assert error.value == pytest.approx(0.1)


def test_pixels_without_data_do_not_count() -> None:
    error = CalibrationError()
    right = np.stack([np.ones((4, 4)), np.zeros((4, 4))])
    right[:, :2] = 0
    error.add(right, np.ones((4, 4), int))
    assert error.value == 0


def test_perfect_confidence_has_no_error_and_none_is_nan() -> None:
    error = CalibrationError()
    assert np.isnan(error.value)
    probabilities = np.stack([np.ones((4, 4)), np.zeros((4, 4))])
    error.add(probabilities, np.ones((4, 4), int))
    assert error.value == 0
