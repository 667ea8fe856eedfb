"""The rivals of novelty, and its table."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.quality.novelty import MEASURES, doubts, linear_head, markdown


@pytest.mark.parametrize("classes", [2, 3])
def test_a_linear_head_doubts_as_its_softmax_says(classes: int) -> None:
    rng = np.random.default_rng(0)
    given = np.arange(60) % classes
    values = rng.normal(0, 0.5, (60, classes)) + np.eye(classes)[given]
    head = linear_head(values, given)
    found = doubts(head, values)
    likeliest = head.predict_proba(values).max(1)
    assert found["max softmax"] == pytest.approx(-likeliest)
    # Far along a logit the energy is low, and between the classes it is high.
    middle, far = values.mean(0, keepdims=True), 9 * np.eye(classes)[:1]
    assert doubts(head, far)["energy"] < doubts(head, middle)["energy"]


def test_the_table_tells_what_is_called_unlike() -> None:
    like, unlike = (dict.fromkeys(MEASURES, value) for value in (0.1, 0.97))
    shares = {"with temperature": [1.5, 2.0], "without": [1.0, 1.0]}
    text = markdown({"val": [like, like], "moon": [unlike, like]}, [shares])
    assert "| val | 2 |  |  |  |  | 0% |" in text
    assert "| moon | 2 | 0.750 | 0.750 | 0.750 | 0.750 | 50% |" in text
    assert "with temperature: 1.50, where classes compete 2.00." in text
