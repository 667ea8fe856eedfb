"""The record of corrections: against a brute-force model, and inside napari's own undo."""

from __future__ import annotations

import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Labels
from skimage.measure import label as components

from napari_gaussproto.core.base.errors import EditError, LabelError
from napari_gaussproto.core.labels.codes import (
    PREDICTED,
    Snapshot,
    label_value_of,
    labels_of,
    painted_classes,
)
from napari_gaussproto.core.labels.corrections import Corrections

SHAPE = (9, 11)
CLASSES = 3

positions = st.tuples(st.integers(0, SHAPE[0] - 1), st.integers(0, SHAPE[1] - 1))
values = st.integers(0, CLASSES)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("paint"), positions, values),
        st.tuples(st.just("fill"), positions, values),
        st.tuples(st.just("accept region"), positions),
        st.tuples(st.just("accept plane")),
        st.tuples(st.just("predict"), st.integers(0, 5)),
        st.tuples(st.just("undo")),
        st.tuples(st.just("redo")),
    ),
    max_size=25,
)


def prediction(seed: int = 0) -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(1, CLASSES + 1, (3, 4), dtype=np.uint8)
    return coarse.repeat(3, axis=0).repeat(3, axis=1)[:, : SHAPE[1]]


def brush(y: int, x: int) -> npt.NDArray[np.bool_]:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= 1.5**2


class Model:
    """Brute force: what is labelled, as whole snapshots."""

    def __init__(self) -> None:
        self.prediction = prediction()
        self.past: list[npt.NDArray[np.uint8]] = []
        self.now = np.zeros(SHAPE, np.uint8)
        self.future: list[npt.NDArray[np.uint8]] = []

    def shown(self) -> npt.NDArray[np.int64]:
        return np.where(self.now > 0, self.now.astype(int), self.prediction.astype(int) + PREDICTED)

    def set(self, mask: npt.NDArray[np.bool_], label: object) -> None:
        self.past.append(self.now)
        self.now = np.where(mask, label, self.now).astype(np.uint8)
        self.future = []

    def region(
        self, image: npt.NDArray[np.int64], y: int, x: int, connectivity: int
    ) -> npt.NDArray[np.bool_]:
        marked = components(image + 1, connectivity=connectivity)
        return marked == marked[y, x]

    def undo(self) -> None:
        if self.past:
            self.future.append(self.now)
            self.now = self.past.pop()

    def redo(self) -> None:
        if self.future:
            self.past.append(self.now)
            self.now = self.future.pop()


@settings(max_examples=100, deadline=None)
@given(actions)
def test_labels_and_napari_s_undo_never_disagree(sequence: list[tuple]) -> None:
    model, record = Model(), Corrections(prediction())
    layer = Labels(record.codes)
    layer.brush_size = 3
    last = Snapshot.of(record.codes)
    for action, *arguments in sequence:
        steps = len(layer._undo_history)
        if action == "paint":
            (y, x), label = arguments
            layer.paint((y, x), label)
            expected = brush(y, x), label
        elif action == "fill":
            (y, x), label = arguments
            expected = model.region(model.shown(), y, x, 1), label
            layer.fill((y, x), label)
        elif action.startswith("accept"):
            mask = np.ones(SHAPE, bool)
            if action == "accept region":
                mask = model.region(model.prediction.astype(int), *arguments[0], 2)
                edit = record.accept_component(*arguments[0])
            else:
                edit = record.accept_plane()
            layer.data_setitem(np.nonzero(edit.mask), edit.new)
            expected = mask & (model.now == 0), model.prediction
        elif action == "predict":
            model.prediction = prediction(arguments[0])
            record.update(model.prediction)
        else:
            getattr(model, action)()
            getattr(layer, action)()
        if action not in ("predict", "undo", "redo") and len(layer._undo_history) > steps:
            model.set(*expected)
        _, now = record.settle(last, CLASSES)
        assert (now is last) == np.array_equal(record.codes, last.codes)
        last = now
        assert np.array_equal(record.codes, last.codes)
        assert layer.data is record.codes
        assert np.array_equal(record.labels, model.now)
        assert np.array_equal(record.codes, model.shown())


def test_labels_of_no_class_go_and_what_is_predicted_shows_again() -> None:
    record = Corrections(prediction())
    last = Snapshot.of(record.codes)
    record.codes[0, :2] = (CLASSES, CLASSES + 1)
    corrected, now = record.settle(last, CLASSES)
    assert corrected and now is not last
    assert record.labels[0, :2].tolist() == [CLASSES, 0]
    assert record.codes[0, 1] == PREDICTED + int(prediction()[0, 1])
    assert record.settle(now, CLASSES) == (False, now)
    # With fewer classes, what did not change since is looked at, too.
    corrected, fewer = record.settle(now, CLASSES - 1)
    assert corrected and fewer is not now
    assert not record.labels.any() and not fewer.painted


def test_other_classes_begin_with_other_labels_over_another_prediction() -> None:
    record = Corrections(prediction(), 3 * brush(4, 4))
    codes, labels = record.codes, np.where(brush(2, 2), 2, 0).astype(np.uint8)
    same = np.arange(256, dtype=np.uint8)

    def become(rows: np.ndarray) -> np.ndarray:
        assert np.array_equal(rows, 3 * brush(4, 4))  # small enough for all rows at once
        return labels

    record.change_classes(become, prediction(1), same)
    assert record.codes is codes and np.array_equal(record.labels, labels)
    assert np.array_equal(record.prediction, prediction(1))
    record.change_classes(lambda rows: rows, None, same)
    assert np.array_equal(record.codes, labels) and not record.prediction.any()
    record.apply(record.clear())
    assert not record.codes.any()


def test_a_stroke_is_noticed_without_memory_of_the_size_of_the_photograph() -> None:
    record = Corrections(np.ones((1500, 2000), np.uint8))
    last = Snapshot.of(record.codes)
    assert last.painted == ()
    record.codes[700, 100:300] = 2
    tracemalloc.start()
    corrected, now = record.settle(last, 2)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not corrected and now.painted == (1,)
    assert most < record.codes.nbytes / 5


def test_a_stroke_that_only_confirms_is_a_label_and_can_be_undone() -> None:
    record = Corrections(np.full(SHAPE, 2, np.uint8))
    layer = Labels(record.codes)
    events = []
    layer.events.paint.connect(events.append)
    layer.brush_size = 3
    layer.paint((4, 4), 2)
    assert len(events) == 1
    assert np.array_equal(record.labels, 2 * brush(4, 4))
    assert not record.corrected.any()
    layer.undo()
    assert not record.touched.any()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["paint", "erase", "accept"]), positions, st.integers(1, 3)),
        max_size=12,
    ),
    st.data(),
)
def test_edits_are_exactly_invertible(sequence: list[tuple], data: st.DataObject) -> None:
    record = Corrections(prediction())
    states, edits = [record.codes.copy()], []
    for action, (y, x), label in sequence:
        mask = brush(y, x)
        edit = record.paint(mask, label) if action == "paint" else getattr(record, action)(mask)
        assert (edit.old != edit.new).all()
        record.apply(edit)
        edits.append(edit)
        states.append(record.codes.copy())
    depth = data.draw(st.integers(0, len(edits)))
    for edit in reversed(edits[len(edits) - depth :]):
        record.revert(edit)
    assert np.array_equal(record.codes, states[len(edits) - depth])
    for edit in edits[len(edits) - depth :]:
        record.apply(edit)
    assert np.array_equal(record.codes, states[-1])


def test_accepting_keeps_labels_and_erasing_shows_the_prediction() -> None:
    record = Corrections(np.full(SHAPE, 1, np.uint8))
    record.apply(record.paint(brush(2, 2), 3))
    record.apply(record.accept_plane())
    assert np.array_equal(record.labels, np.where(brush(2, 2), 3, 1))
    assert np.array_equal(record.corrected, brush(2, 2))
    record.apply(record.erase(brush(2, 2)))
    assert np.array_equal(record.labels, np.where(brush(2, 2), 0, 1))
    assert (record.codes[brush(2, 2)] == PREDICTED + 1).all()


def test_labels_can_be_loaded_again() -> None:
    first = Corrections(prediction())
    first.apply(first.paint(brush(5, 5), 2))
    again = Corrections(prediction(), first.labels)
    assert np.array_equal(again.codes, first.codes)
    assert np.array_equal(labels_of(first.codes), first.labels)


def test_codes_and_labels() -> None:
    assert [label_value_of(value) for value in (0, 2, PREDICTED + 2)] == [0, 2, 2]


def test_painted_classes_are_found_and_predicted_ones_are_not() -> None:
    codes = np.zeros((3, 40, 50), np.uint16)
    assert painted_classes(codes) == ()
    codes[1] = PREDICTED + 5
    codes[2, 3, 4] = 3
    assert painted_classes(codes) == (2,)
    codes[0, 0, 0] = 254
    assert painted_classes(codes) == (2, 253)


def test_without_a_prediction_codes_are_plain_labels() -> None:
    record = Corrections(np.zeros(SHAPE, np.uint8))
    record.apply(record.paint(brush(4, 4), 3))
    assert np.array_equal(record.codes, 3 * brush(4, 4))
    assert not record.corrected.any()
    with pytest.raises(EditError, match="fit or run a model"):
        record.accept_plane()
    with pytest.raises(EditError, match="fit or run a model"):
        record.accept_component(0, 0)


def test_planes_of_a_stack_are_accepted_one_by_one() -> None:
    record = Corrections(np.stack([prediction(), prediction(1)]))
    record.apply(record.accept_component(1, 0, 0))
    assert not record.labels[0].any() and record.labels[1].any()
    record.apply(record.accept_plane((1,)))
    assert not record.labels[0].any()
    assert np.array_equal(record.labels[1], prediction(1))


def test_all_labels_can_be_replaced_at_once() -> None:
    record = Corrections(prediction(), prediction(2))
    edit = record.replace(np.where(brush(4, 4), 3, 0))
    record.apply(edit)
    assert np.array_equal(record.labels, 3 * brush(4, 4))
    assert np.array_equal(
        record.codes[~brush(4, 4)], (prediction().astype(int) + PREDICTED)[~brush(4, 4)]
    )
    record.revert(edit)
    assert np.array_equal(record.labels, prediction(2))


def test_what_cannot_be_is_said() -> None:
    record = Corrections(prediction())
    with pytest.raises(EditError, match="outside the image"):
        record.accept_component(-1, 0)
    with pytest.raises(LabelError, match="belong to this image"):
        record.update(np.ones((3, 3), np.uint8))
    with pytest.raises(LabelError, match="whole numbers"):
        Corrections(np.ones(SHAPE, np.float32))
    with pytest.raises(LabelError, match="can be no class"):
        Corrections(np.full(SHAPE, 1001))
