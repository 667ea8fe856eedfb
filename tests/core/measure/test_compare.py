"""Before and after an edit."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_gaussproto.core.base.config import ModelConfig
from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.measure.compare import compare
from napari_gaussproto.core.model.predict import segment
from tests.core.builders import tiny_model, two_tone

CLASSES = ModelConfig(classes=["soil", "crop", "weed"]).classes


def labelled(rows: list[list[int]], names: list[str] | None = None) -> SimpleNamespace:
    classes = ModelConfig(classes=names).classes if names else CLASSES
    return SimpleNamespace(labels=np.array(rows, np.uint8), classes=classes)


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


def test_pixels_that_lost_their_data_did_not_stay() -> None:
    found = compare(labelled([[1, 1, 0, 2]]), labelled([[1, 0, 2, 1]]))
    np.testing.assert_array_equal(found.moved, [[1, 0, 0], [1, 0, 0], [0, 0, 0]])
    assert found.summary() == (
        "75.0% of the pixels changed: crop → soil 25.0%, with data only once 50.0%."
    )


def test_measures_both_against_the_truth() -> None:
    truth = np.array([[1, 1, 2, 0], [1, 1, 1, 0]])
    found = compare(BEFORE, AFTER, truth)
    np.testing.assert_allclose(found.iou_before, [3 / 5, 1, 0])
    np.testing.assert_allclose(found.iou_after, [4 / 5, 1 / 2, np.nan])
    assert found.miou_before == pytest.approx((3 / 5 + 1 + 0) / 3)
    assert "Mean IoU 0.533 → 0.650" in found.summary(CLASSES)
    with pytest.raises(LabelError, match="belong to this image"):
        compare(BEFORE, AFTER, truth[:1])


def test_classes_are_matched_by_name() -> None:
    after = labelled([[3, 3, 1, 1], [3, 2, 4, 1]], ["crop", "weed", "soil", "stone"])
    found = compare(BEFORE, after)
    np.testing.assert_array_equal(found.changed, [[0, 0, 0, 0], [0, 0, 1, 0]])
    assert [c.name for c in found.classes] == ["soil", "crop", "weed", "stone"]
    assert found.moves() == [(2, 3, 1)] and found.moved.sum() == 8
    assert found.summary() == "12.5% of the pixels changed: weed → stone 12.5%."
    back = compare(after, BEFORE)
    assert back.summary() == "12.5% of the pixels changed: stone → weed 12.5%."
    assert compare(after, after).summary() == "No pixel changed its class."


def test_the_truth_may_have_a_table_of_its_own() -> None:
    after = labelled([[1, 1, 1, 1], [1, 2, 2, 1]], ["crop", "weed"])
    truth = np.array([[1, 1, 1, 0], [2, 2, 2, 0]])
    table = ModelConfig(classes=["crop", "weed"]).classes
    found = compare(BEFORE, after, truth, table)
    np.testing.assert_allclose(found.iou_after, [np.nan, 3 / 4, 2 / 3])
    np.testing.assert_allclose(found.iou_before, [0, 1 / 3, 2 / 3])
    with pytest.raises(LabelError, match="value 3, but there are 2 classes"):
        compare(BEFORE, after, truth + 1, table)


def test_results_of_two_images_are_refused() -> None:
    with pytest.raises(LabelError, match="same image"):
        compare(BEFORE, labelled([[1, 2]]))


def test_models_with_other_networks_and_cells_are_compared_by_pixels() -> None:
    image, labels = two_tone()
    first = tiny_model()
    other = tiny_model(backbone="mobilenetv3_small_075", output_stride=8, classes=["plant", "soil"])
    before, after = (segment(image, model) for model in (first, other))
    found = compare(before, after, labels)
    expected = before.labels != 3 - after.labels
    np.testing.assert_array_equal(found.changed, expected)
    assert 0 < found.pixels_changed < labels.size
    assert found.moved.sum() == labels.size
    off_diagonal = found.moved.sum() - np.trace(found.moved)
    assert sum(n for _, _, n in found.moves()) == off_diagonal == found.pixels_changed
    assert found.miou_after == pytest.approx(compare(after, before, 3 - labels).miou_before)


def test_a_small_change_is_a_sentence_too() -> None:
    before, after = (labelled(np.ones((40, 40), int).tolist()) for _ in range(2))
    after.labels[0, 0] = 2
    text = compare(before, after).summary(CLASSES)
    assert text == "Less than 0.1% of the pixels changed: soil → crop less than 0.1%."
