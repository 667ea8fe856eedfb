"""Strokes are set aside before anything is fitted, and come back at the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_gaussproto.core import learn
from napari_gaussproto.core.fine_tune import fine_tuning
from napari_gaussproto.core.image import ImageSource
from napari_gaussproto.core.learn import learn_steps
from napari_gaussproto.core.quick import quick_fit_steps
from napari_gaussproto.core.steps import run
from tests.core.builders import tiny_model, two_tone


def strokes(rows: tuple[int, ...]) -> Any:
    truth = two_tone()[1]
    labels = np.zeros_like(truth)
    for row in rows:
        labels[row : row + 3] = truth[row : row + 3]
    return labels


def test_held_out_strokes_are_unseen_until_the_last_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watched(encoded: Any, labels: Any, *rest: Any, **options: Any) -> Any:
        seen.append(labels[0].copy())
        return quick_fit_steps(encoded, labels, *rest, **options)

    monkeypatch.setattr(learn, "quick_fit_steps", watched)
    labels = strokes((10, 30, 50, 70))
    source = ImageSource.from_array(two_tone()[0], 3)
    training = fine_tuning(steps=2, batch_size=2, crop_size=64, validate_every=1)
    learned = run(learn_steps(tiny_model(), [source], [labels], training=training))
    first, last = seen
    assert 0 < (first > 0).sum() < (labels > 0).sum()
    assert np.array_equal(last, labels)
    assert learned.held_out_miou is not None and 0 <= learned.held_out_miou <= 1
    assert learned.steps == 2


def test_one_stroke_a_class_gives_no_figure() -> None:
    labels = np.zeros((96, 128), np.uint8)
    labels[10:13, 10:40] = 1
    labels[60:63, 60:90] = 2
    source = ImageSource.from_array(two_tone()[0], 3)
    training = fine_tuning(steps=1, batch_size=2, crop_size=64)
    learned = run(learn_steps(tiny_model(), [source], [labels], training=training))
    assert learned.held_out_miou is None
