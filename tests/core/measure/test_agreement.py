"""A judge to whom a model is worth nothing that changed what its start was sure of."""

from __future__ import annotations

from collections.abc import Generator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_gaussproto import quick_fit, segment
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.measure.agreement import ALIKE, SURE, agreement, faithful, sure_labels
from tests.core.builders import tiny_model, two_tone

START = np.repeat(np.uint8([[1], [2], [1], [2]]), 50, axis=1)
SURE_OF = np.where(np.arange(50) < 40, START, 0).astype(np.uint8)


def changed(rows: slice, columns: slice, value: int) -> np.ndarray:
    labels = START.copy()
    labels[rows, columns] = value
    return labels


def test_changes_where_nothing_was_sure_are_free_and_others_are_not() -> None:
    assert agreement([START], [SURE_OF], 2) == 1.0
    assert agreement([changed(np.s_[:], np.s_[40:], 1)], [SURE_OF], 2) == 1.0
    assert agreement([changed(np.s_[2:3], np.s_[20:40], 2)], [SURE_OF], 2) < ALIKE


def test_classes_of_which_nothing_is_sure_do_not_count() -> None:
    one = np.ones((4, 50), np.uint8)
    assert agreement([changed(np.s_[:], np.s_[:], 1)], [one], 3) == 1.0
    few = one.copy()
    few[0, :2] = 3
    assert agreement([few], [one], 3) == pytest.approx(0.99)
    assert np.isnan(agreement([START], [np.zeros_like(START)], 2))


@pytest.mark.parametrize(
    ("found", "sure", "expected"),
    [
        (START, SURE_OF, 0.7),
        (changed(np.s_[2:3], np.s_[20:40], 2), SURE_OF, 0.0),
        (START, np.zeros_like(START), 0.7),
    ],
    ids=["as it was", "changed", "nothing sure"],
)
def test_a_judge_keeps_its_score_or_gives_none(
    found: np.ndarray, sure: np.ndarray, expected: float
) -> None:
    def judge(model: Any, pairs: Any) -> Generator[int, None, float]:
        yield 1
        return 0.7

    shown = SimpleNamespace(labels=found)
    model: Any = SimpleNamespace(classes=["a", "b"], decode=lambda cells: shown)
    assert run(faithful(judge, [sure])(model, [(None, START)])) == expected


def test_sure_labels_are_those_of_likely_classes_where_nobody_painted() -> None:
    photo, mask = two_tone(70, 101)
    found = segment(photo, quick_fit(photo, mask, tiny_model()))
    painted = np.zeros_like(mask)
    painted[:20] = mask[:20]
    sure = sure_labels(found, painted)
    likely = (found.class_probabilities().max(0) >= SURE) & (painted == 0)
    assert likely.any() and np.array_equal(sure > 0, likely & (found.labels > 0))
    assert np.array_equal(sure[likely], found.labels[likely])
