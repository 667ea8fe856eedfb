"""How far answers look, on a drawing with a tiny model."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.quality.locality import look, markdown, share_beyond, share_outside
from napari_gaussproto import segment
from napari_gaussproto.core.explain.dependence import Dependence
from recipes.shipped.reach import places_in
from tests.core.builders import tiny_model, two_tone


def found(share: np.ndarray) -> Dependence:
    """What a cell in the middle of 96 x 96 pixels depends on, by elements of 4 pixels."""
    return Dependence(46, 46, 0, share.astype(np.float32), 4, 0, 0)


def test_shares_of_a_known_map() -> None:
    segmentation = segment(two_tone(96, 96)[0], tiny_model())
    own = np.zeros((24, 24))
    own[11, 11] = 1  # the cell itself
    assert share_outside(found(own), segmentation) == pytest.approx(0)
    assert share_beyond(found(own), 8) == 0
    far = own * 0.25
    far[11, 20] = 0.75  # 36 pixels to the right
    assert share_outside(found(far), segmentation) == pytest.approx(0.75)
    assert share_beyond(found(far), 30) == pytest.approx(0.75, abs=0.02)
    assert share_beyond(found(far), 40) == 0


def test_places_are_of_every_class_and_the_same_again() -> None:
    _, labels = two_tone()
    labels[:4] = 0
    places = places_in(labels, 3, np.random.default_rng(1))
    assert [int(labels[place]) for place in places] == [1, 1, 1, 2, 2, 2]
    assert places == places_in(labels, 3, np.random.default_rng(1))


def test_a_row_of_the_table() -> None:
    image, labels = two_tone()
    row = look(tiny_model(), [image], [labels], 1)
    assert row["places"] == 2 and 0 < row["half"] <= row["most"] and 0 <= row["far"] <= 1
    assert "| tiny | 0.500 |" in markdown({"tiny": row | {"miou": 0.5}})
