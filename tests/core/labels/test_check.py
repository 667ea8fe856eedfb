"""One sentence for each fault that labels can have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.labels.check import check_labels

LABELS = np.array([[0, 1, 2], [2, 2, 0]])


def test_labels_become_bytes() -> None:
    checked = check_labels(LABELS, (2, 3), 2)
    assert checked.dtype == np.uint8 and (checked == LABELS).all()
    assert check_labels(checked, (2, 3), 2) is checked
    assert check_labels(np.zeros((3, 0), np.int8)).shape == (3, 0)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (LABELS.astype(float), "whole numbers"),
        (LABELS > 0, "of type bool"),
        (LABELS[0], r"shape \(3,\)"),
        (LABELS[:1], "same height and width"),
        (LABELS + 1, "contain the value 3, but there are 2 classes"),
        (LABELS - 1, "contain the value -1, but there are 2 classes"),
    ],
)
def test_each_fault_is_one_sentence(labels: Any, sentence: str) -> None:
    with pytest.raises(LabelError, match=sentence) as caught:
        check_labels(labels, (2, 3), 2, "The labels of image 1")
    assert str(caught.value).startswith("The labels of image 1 ")
    assert str(caught.value).count(". ") == 0


def test_without_a_class_table_a_label_is_a_byte() -> None:
    assert check_labels(np.full((2, 2), 255)).max() == 255
    with pytest.raises(LabelError, match="value 256, which can be no class: use 0 to 255"):
        check_labels(np.full((2, 2), 256))
