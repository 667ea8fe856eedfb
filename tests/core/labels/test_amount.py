"""How much is labelled, and what is said before a fine-tune."""

from __future__ import annotations

import numpy as np

from napari_gaussproto.core.labels.amount import DENSE_PAYS, Amount
from napari_gaussproto.core.labels.strokes import hold_out


def painted(*rows: int) -> np.ndarray:
    """A photograph (100, 100) with a stroke of the first class in each of these rows."""
    labels = np.zeros((100, 100), np.uint8)
    labels[list(rows), 10:30] = 1
    return labels


def full(value: int = 1) -> np.ndarray:
    labels = np.full((100, 100), value, np.uint8)
    labels[:, :20] = 2
    return labels


def test_what_there_is() -> None:
    half = np.ones((10, 10), np.uint8)
    half[5:] = 0
    assert Amount.of([painted(3, 9, 50), half, painted(7), np.zeros((5, 5))]) == Amount(1, 4)
    assert Amount.of([]) == Amount() == Amount(0, 0) + Amount()
    assert Amount(1, 2) + Amount(3, 4) == Amount(4, 6)


def test_advice_is_given_before_it_pays_and_not_after() -> None:
    said = Amount(0, 12).advice()
    assert said.startswith("With 12 strokes a quick fit is mostly as good")
    assert f"{DENSE_PAYS} photographs that are labelled densely" in said
    assert "1 dense photograph and 1 stroke a" in Amount(1, 1).advice()
    enough = Amount(DENSE_PAYS, 3)
    assert enough.pays and not enough.advice()
    assert not Amount().advice()  # the dock says already what is missing


def test_of_dense_photographs_whole_ones_are_set_aside() -> None:
    labels = [full(), painted(3, 9), full(), full()]
    kept, held_out = hold_out(labels, seed=1)
    assert held_out is not None
    aside = [number for number, mask in enumerate(held_out) if mask.any()]
    assert len(aside) == 1 and aside[0] != 1
    for number, mask in enumerate(labels):
        assert np.array_equal(kept[number] + held_out[number], mask)
        assert kept[number].any() == (number not in aside)


def test_a_class_that_one_photograph_alone_shows_stays() -> None:
    for seed in range(5):
        kept, held_out = hold_out([full(3), full(), full()], seed=seed)
        assert kept[0].any() and held_out is not None
        assert sum(mask.any() for mask in held_out) == 1


def test_strokes_are_set_aside_where_there_is_one_dense_photograph() -> None:
    kept, held_out = hold_out([full(), painted(3, 9, 12, 40)])
    assert held_out is not None
    assert all(mask.any() for mask in kept)
    assert held_out[1].any()


def test_what_holds_most_of_a_class_teaches() -> None:
    labels = np.zeros((100, 100), np.uint8)
    labels[10:40, 10:90] = labels[60, 5:8] = labels[70, 5:8] = 1
    for seed in range(6):
        kept, held_out = hold_out([labels], seed=seed)
        assert held_out is not None and kept[0][20, 20] == 1
        assert 0 < np.count_nonzero(held_out[0]) < 10
