"""Codes at one moment: against plain copies, and that strips which did not change are shared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_gaussproto.core.base import strips as strips_module
from napari_gaussproto.core.labels.codes import PREDICTED, Snapshot, labels_of, painted_classes

SHAPES = arrays.array_shapes(min_dims=2, max_dims=4, max_side=7)
CODES = st.sampled_from([0, 0, 0, 1, 2, 7, PREDICTED + 1, PREDICTED + 2])


@given(st.data(), SHAPES, st.integers(1, 20))
@settings(deadline=None)
def test_a_moment_says_what_a_copy_says(data: Any, shape: tuple[int, ...], pixels: int) -> None:
    codes = data.draw(arrays.arrays(np.uint16, shape, elements=CODES))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strips_module, "PIXELS", pixels)
        found = Snapshot.of(codes)
        then = codes.copy()
        codes[...] = 9
        assert np.array_equal(found.codes, then) and found.shape == shape
        labels = labels_of(then)
        assert np.array_equal(found.labels, labels)
        assert found.painted == painted_classes(then)
        planes = labels.reshape(-1, *shape[-2:])
        wanted = [(n, plane) for n, plane in enumerate(planes) if plane.any()]
        assert [n for n, _ in found.labelled_planes] == [n for n, _ in wanted]
        for (_, plane), (_, known) in zip(found.labelled_planes, wanted, strict=True):
            assert np.array_equal(plane, known)


def test_nothing_takes_no_memory() -> None:
    blank = Snapshot.blank((4, 100_000, 500))
    assert blank.painted == () and blank.labelled_planes == []
    assert not any(any(piece.strides) for piece in blank.pieces)  # all of it is one number


def test_what_did_not_change_is_shared_with_the_moment_before() -> None:
    codes = np.zeros((5, 300, 400), np.uint16)
    codes[4] = 3
    before = Snapshot.of(codes)
    changed = codes[0, :163].copy()
    changed[5, 5] = 2
    after = before.with_strips({0: changed})
    changed[6, 6] = 1
    assert after.painted == (1, 2) and before.painted == (2,)
    same = [a is b for a, b in zip(after.pieces, before.pieces, strict=True)]
    assert same == [False] + [True] * (len(same) - 1)


def test_memory_of_a_moment_is_used_again_where_nobody_else_has_it() -> None:
    codes = np.zeros((5, 300, 400), np.uint16)
    first = Snapshot.of(codes)
    former = first.with_strips({1: first.pieces[1], 2: first.pieces[2]})
    part, spare = former.pieces[1][3:], id(former.pieces[2])
    codes += 1
    later = Snapshot.of(codes, (0,), former)
    assert later.painted == (0,) and np.array_equal(later.codes, codes)
    assert not first.codes.any() and not part.any()
    assert id(later.pieces[2]) == spare
    assert np.array_equal(Snapshot.of(codes, None, Snapshot.blank(codes.shape)).codes, codes)
