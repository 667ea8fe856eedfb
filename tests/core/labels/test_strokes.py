"""Strokes are connected pieces of one class, and are held out whole."""

from __future__ import annotations

import numpy as np

from napari_gaussproto.core.labels.strokes import count_strokes, hold_out_strokes


def test_strokes_are_connected_pieces_of_one_class() -> None:
    labels = np.zeros((10, 20), np.uint8)
    labels[2, 2:6] = labels[3, 6:9] = 1  # touch at a corner
    labels[2, 9:12] = 2  # touches the first, but is of another class
    labels[8, 2:6] = 1
    assert count_strokes(labels) == 3


def test_whole_strokes_are_held_out() -> None:
    first, second = np.zeros((2, 30, 40), np.uint8)
    for number in range(5):
        first[6 * number : 6 * number + 3, 2:20] = 1
    second[3:6, 3:30] = 2
    second[20:23, 3:30] = 2
    kept, held_out = hold_out_strokes([first, second], share=0.4)
    assert held_out is not None
    for given, left, out in zip((first, second), kept, held_out, strict=True):
        assert np.array_equal(left + out, given)
        assert not (left.astype(bool) & out.astype(bool)).any()
    assert (
        sum(held_out[0][6 * n].any() and (held_out[0][6 * n, 2:20] == 1).all() for n in range(5))
        == 2
    )
    assert (held_out[1] == 2).sum() == 3 * 27
    one = np.where(second[:10] > 0, 2, 0).astype(np.uint8)
    assert hold_out_strokes([one])[1] is None
