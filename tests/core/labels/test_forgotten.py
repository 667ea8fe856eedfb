"""What a change of the class table forgets of labels, kept as runs of one value."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from napari_gaussproto.core.base.config import DEFAULT_COLORS, SegmentationClass
from napari_gaussproto.core.imaging.orientation import upright
from napari_gaussproto.core.labels.class_table import (
    Relabelling,
    TableChange,
    WayBack,
    merge_classes,
    remove_class,
)
from napari_gaussproto.core.labels.corrections import Corrections
from napari_gaussproto.core.labels.forgotten import Forgotten, Runs

TABLE = tuple(
    SegmentationClass(name=name, color=color)
    for name, color in zip(("soil", "plant", "weed"), DEFAULT_COLORS, strict=False)
)
# Rows of which several strips are needed, and runs that go on from one row to the next.
LABELS = np.random.default_rng(0).integers(0, 4, (75, 100), np.uint8).repeat(8, 0).repeat(7, 1)
SAME = np.arange(256, dtype=np.uint8)


@pytest.mark.parametrize("change", [remove_class(TABLE, 0), merge_classes(TABLE, 2, 1)])
def test_labels_of_many_strips_come_back(change: TableChange) -> None:
    there, forgotten = change.apply(LABELS)
    assert np.array_equal(there, np.take(np.array(change.mapping, np.uint8), LABELS))
    assert np.array_equal(change.revert(there, forgotten), LABELS)
    assert set(forgotten.values) == {1 if change.mapping[1] == 0 else 3}
    there[100:200] = 1  # which somebody drew
    expected = np.where(there == 1, np.uint8(change.value_of(1, back=True)), LABELS)
    assert np.array_equal(change.revert(there, forgotten)[100:200], expected[100:200])
    assert np.array_equal(change.revert(there, forgotten)[200:], LABELS[200:])


def test_a_stack_comes_back() -> None:
    stack = np.stack([LABELS, LABELS[::-1], np.zeros_like(LABELS)])
    change = remove_class(TABLE, 1)
    there, forgotten = change.apply(stack)
    assert np.array_equal(change.revert(there, forgotten), stack)


def test_runs_of_several_values_are_in_order() -> None:
    runs = Runs(np.array([3, 1], np.uint8))
    runs.add(np.array([[1, 1, 2], [3, 1, 0]], np.uint8))
    runs.add(np.array([[3, 3, 1]], np.uint8))
    found = runs.forgotten
    assert found.starts.tolist() == [0, 3, 4, 6, 8] and found.ends.tolist() == [2, 4, 5, 8, 9]
    assert found.values.tolist() == [1, 3, 1, 3, 1] and len(found) == 5
    assert found.between(0, 9).tolist() == [1, 1, 0, 3, 1, 0, 3, 3, 1]
    assert found.between(1, 7).tolist() == [1, 0, 3, 1, 0, 3]
    assert not len(Forgotten()) and Forgotten().between(2, 4).tolist() == [0, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_was_forgotten_turns_with_the_photograph(orientation: int) -> None:
    change = remove_class(TABLE, 2)
    there, forgotten = change.apply(LABELS)
    turned = np.ascontiguousarray(upright(there, orientation))
    back = change.revert(turned, forgotten.turned(LABELS.shape, orientation))
    assert np.array_equal(back, upright(LABELS, orientation))


def test_labels_change_in_place_and_the_prediction_with_them() -> None:
    record, change = Corrections(LABELS[::-1], LABELS), remove_class(TABLE, 0)
    codes, step = record.codes, Relabelling(change)
    names = np.zeros(256, np.uint8)
    names[: len(change.mapping)] = change.mapping
    record.change_classes(step, LABELS[::-1], names)
    there, forgotten = change.apply(LABELS)
    assert record.codes is codes and np.array_equal(record.labels, there)
    assert np.array_equal(record.prediction, np.take(names, LABELS[::-1]))
    assert np.array_equal(record.codes, Corrections(record.prediction, there).codes)
    record.change_classes(WayBack(change, step.forgotten), LABELS[::-1], SAME)
    assert np.array_equal(record.codes, Corrections(LABELS[::-1], LABELS).codes)
    assert len(forgotten) == len(step.forgotten)


def test_a_class_of_a_whole_photograph_goes_without_memory_of_its_size() -> None:
    record, change = Corrections(np.zeros((1500, 2000), np.uint8)), remove_class(TABLE, 0)
    record.codes[...] = 1
    tracemalloc.start()
    step = Relabelling(change)
    record.change_classes(step, None, SAME)
    record.change_classes(WayBack(change, step.forgotten), None, SAME)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (record.codes == 1).all() and most < record.codes.size / 2
