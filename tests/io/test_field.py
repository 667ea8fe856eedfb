"""The procedural field: any window of it, of any size, is the same field."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_gaussproto.io.field import FIELD_CLASSES, synthetic_field, synthetic_field_dask

IMAGE, LABELS = synthetic_field(420, 500, seed=1)


def test_a_field_is_a_photograph_with_labels() -> None:
    assert IMAGE.shape == (420, 500, 3) and IMAGE.dtype == np.uint8
    assert LABELS.shape == (420, 500) and LABELS.dtype == np.uint8
    assert IMAGE.std() > 20


def test_all_three_classes_are_present_and_cover_a_fair_share() -> None:
    assert [entry.name for entry in FIELD_CLASSES] == ["soil", "crop", "weed"]
    assert set(np.unique(LABELS)) == {1, 2, 3}
    assert (np.bincount(LABELS.ravel())[1:] > 0.01 * LABELS.size).all()


def test_the_same_seed_gives_the_same_field_and_another_does_not() -> None:
    again, labels = synthetic_field(420, 500, seed=1)
    assert np.array_equal(again, IMAGE) and np.array_equal(labels, LABELS)
    other, other_labels = synthetic_field(420, 500, seed=2)
    assert (other != IMAGE).any(-1).mean() > 0.9
    assert (other_labels != LABELS).mean() > 0.05


@settings(max_examples=25)
@given(st.integers(0, 360), st.integers(0, 440), st.integers(1, 60), st.integers(1, 60))
def test_a_window_agrees_with_the_whole(y: int, x: int, height: int, width: int) -> None:
    image, labels = synthetic_field(height, width, 1, y, x)
    assert np.array_equal(labels, LABELS[y : y + height, x : x + width])
    assert np.array_equal(image, IMAGE[y : y + height, x : x + width])


@pytest.mark.parametrize(("y", "x"), [(-70, -90), (1_000_003, 500_009)])
def test_windows_agree_far_from_the_origin(y: int, x: int) -> None:
    image, labels = synthetic_field(150, 130, 0, y, x)
    part, part_labels = synthetic_field(60, 50, 0, y + 90, x + 80)
    assert np.array_equal(part, image[90:, 80:]) and np.array_equal(part_labels, labels[90:, 80:])


@pytest.mark.parametrize("step", [2, 3, 16])
def test_an_overview_is_every_so_many_th_pixel(step: int) -> None:
    image, labels = synthetic_field(-(-420 // step), -(-500 // step), 1, step=step)
    assert np.array_equal(image, IMAGE[::step, ::step])
    assert np.array_equal(labels, LABELS[::step, ::step])
    lazy, lazy_labels = synthetic_field_dask(420, 500, seed=1, chunk=60, step=step)
    assert np.array_equal(lazy.compute(), image) and np.array_equal(lazy_labels.compute(), labels)


def test_lazy_and_eager_fields_agree() -> None:
    image, labels = synthetic_field_dask(420, 500, seed=1, chunk=200)
    assert image.shape == (420, 500, 3) and labels.shape == (420, 500)
    assert image.chunks == ((200, 200, 20), (200, 200, 100), (3,))
    assert image.dtype == labels.dtype == np.uint8
    assert np.array_equal(labels.compute(), LABELS)
    assert np.array_equal(image.compute(), IMAGE)


def test_a_lazy_field_computes_only_what_is_looked_at() -> None:
    image, _ = synthetic_field_dask(30_000, 30_000, chunk=500)
    assert image[29_990:, :10].compute().shape == (10, 10, 3)


def test_labels_are_exact() -> None:
    # Leaves are green and soil is brown, but for the grain, to the very pixel.
    red, green, _ = IMAGE.astype(int).transpose(2, 0, 1)
    plant = LABELS > 1
    assert (green > red)[plant].mean() > 0.999
    assert (green < red)[~plant].mean() > 0.999
