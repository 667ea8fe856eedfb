"""Before and after an edit."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_gaussproto.core.compare import compare
from napari_gaussproto.core.config import ModelConfig
from napari_gaussproto.core.errors import LabelError

CLASSES = ModelConfig(classes=["soil", "crop", "weed"]).classes


def labelled(rows: list[list[int]]) -> SimpleNamespace:
    return SimpleNamespace(labels=np.array(rows, np.uint8), classes=CLASSES)


BEFORE = labelled([[1, 1, 2, 2], [1, 3, 3, 2]])
AFTER = labelled([[1, 2, 2, 2], [1, 1, 1, 2]])


def test_counts_what_moved_between_classes() -> None:
    found = compare(BEFORE, AFTER)
    np.testing.assert_array_equal(found.changed, [[0, 1, 0, 0], [0, 1, 1, 0]])
    np.testing.assert_array_equal(found.moved, [[2, 1, 0], [0, 3, 0], [2, 0, 0]])
    assert found.pixels_changed == 3 and found.share_changed == pytest.approx(3 / 8)
    assert found.moves() == [(2, 0, 2), (0, 1, 1)]
    assert found.summary(CLASSES) == (
        "37.5% of the pixels changed: weed → soil 25.0%, soil → crop 12.5%."
    )
    assert compare(BEFORE, BEFORE).summary(CLASSES) == "No pixel changed its class."


def test_measures_both_against_the_truth() -> None:
    truth = np.array([[1, 1, 2, 0], [1, 1, 1, 0]])
    found = compare(BEFORE, AFTER, truth)
    np.testing.assert_allclose(found.iou_before, [3 / 5, 1, 0])
    np.testing.assert_allclose(found.iou_after, [4 / 5, 1 / 2, np.nan])
    assert found.miou_before == pytest.approx((3 / 5 + 1 + 0) / 3)
    assert "Mean IoU 0.533 → 0.650" in found.summary(CLASSES)
    with pytest.raises(LabelError, match="label layer of this image"):
        compare(BEFORE, AFTER, truth[:1])
