"""Strips of large arrays: all of them, in place, with no memory to speak of."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_gaussproto.core.base.strips import (
    is_same,
    looked_up,
    n_strips,
    numbered_strips,
    strips,
    strips_at,
    strips_with,
    values_in,
)

SHAPES = arrays.array_shapes(min_dims=2, max_dims=4, max_side=9)


@given(st.data(), SHAPES)
@settings(deadline=None)
def test_they_say_what_numpy_says(data: Any, shape: tuple[int, ...]) -> None:
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16]))
    values = data.draw(arrays.arrays(dtype, shape))
    assert values_in(values) == np.unique(values).tolist()
    assert is_same(values, values.copy())
    other = values.copy()
    other.flat[data.draw(st.integers(0, values.size - 1))] ^= 1
    assert not is_same(values, other)
    table = np.random.default_rng(0).integers(0, 9, 256).astype(np.uint16)
    indices = values.astype(np.uint8)
    assert np.array_equal(looked_up(table, indices), table[indices])


@pytest.mark.parametrize("shape", [(1000, 130), (3, 700, 200), (2, 3, 90, 1000), (2, 70_000)])
def test_they_are_found_by_their_numbers(shape: tuple[int, ...]) -> None:
    whole = np.arange(np.prod(shape)).reshape(shape)
    each = [strip for (strip,) in strips(whole)]
    assert n_strips(shape) == len(each) > 1
    for number, strip in numbered_strips([len(each) - 1, 0], whole):
        assert np.array_equal(strip, each[number])
    assert [number for number, _ in numbered_strips(None, whole)] == list(range(len(each)))
    rng = np.random.default_rng(0)
    mask = np.zeros(shape, bool)
    mask.flat[rng.integers(0, mask.size, 3)] = True
    wanted = {n for n, (strip,) in enumerate(strips(mask)) if strip.any()}
    assert strips_with(mask) == strips_at(shape, *np.nonzero(mask)[:-1]) == wanted


@pytest.mark.parametrize("shape", [(1000, 130), (3, 700, 200), (2, 70_000), (0, 5)])
def test_what_is_written_into_them_is_written_into_their_array(shape: tuple[int, ...]) -> None:
    whole = np.zeros(shape, np.int32)
    for (strip,) in strips(whole):
        strip += 1
    assert (whole == 1).all()


def test_arrays_of_other_shapes_are_not_the_same() -> None:
    assert not is_same(np.zeros((2, 3)), np.zeros((3, 2)))


def test_looking_takes_no_memory_of_the_size_of_the_array() -> None:
    photo: npt.NDArray[np.uint16] = np.zeros((1500, 2000), np.uint16)
    photo[::7] = 3
    other = photo.copy()
    tracemalloc.start()
    assert is_same(photo, other) and values_in(photo) == [0, 3]
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < photo.nbytes / 10
