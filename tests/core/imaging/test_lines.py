"""Outlines as strips: a bright line with a dark halo."""

from __future__ import annotations

import numpy as np

from napari_gaussproto.core.imaging.masks import haloed_strips

SQUARE = np.array([[0, 0], [0, 8], [8, 8], [8, 0], [0, 0]], float)


def test_bright_strips_run_along_the_outlines_and_close_their_corners() -> None:
    strips, bright = haloed_strips([SQUARE, SQUARE + 20], 2.0)
    assert strips.shape == (24, 2, 2)
    start, way = strips[bright][0]
    # Half a width longer at both ends.
    np.testing.assert_allclose(start, [0, -1])
    np.testing.assert_allclose(way, [0, 10])
    assert not bright[:16].any() and bright[16:].all()  # what is drawn last lies on top


def test_dark_strips_touch_the_bright_ones_on_both_sides() -> None:
    strips, bright = haloed_strips([SQUARE], 2.0)
    start, end = strips[:, 0], strips.sum(1)
    top = ~bright & (start[:, 0] == end[:, 0]) & (np.abs(start[:, 0]) < 4)
    assert sorted(start[top, 0]) == [-2, 2]
    np.testing.assert_allclose(np.linalg.norm(end - start, axis=1)[top], 14)


def test_points_that_repeat_and_empty_outlines_give_no_strip() -> None:
    strips, bright = haloed_strips([np.zeros((3, 2))], 1.0)
    assert strips.shape == (0, 2, 2) and bright.shape == (0,)
    assert haloed_strips([], 1.0)[0].shape == (0, 2, 2)
