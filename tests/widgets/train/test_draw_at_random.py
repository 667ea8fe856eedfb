"""Whatever is done to labels, in whatever order, they are those of a plain array."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from qtpy.QtCore import QCoreApplication, QObject

from napari_gaussproto.core.base import strips
from napari_gaussproto.core.imaging.orientation import upright
from napari_gaussproto.core.labels.class_table import first_table
from napari_gaussproto.core.labels.codes import PREDICTED, labels_of
from napari_gaussproto.widgets.shared.workarounds import reset_undo
from napari_gaussproto.widgets.train.annotation import annotation_layer
from napari_gaussproto.widgets.train.annotation.annotation_layer import AnnotationLayer

N_CLASSES = len(first_table())
STEPS = 40
Values = npt.NDArray[np.uint8]


class Drawing:
    """Labels as a person means them, beside those of an annotation layer."""

    def __init__(self, viewer: Any, shape: tuple[int, ...], seed: int, owner: QObject) -> None:
        self.random, self.shape = Random(seed), shape
        self.viewer = viewer
        image = viewer.add_image(np.zeros(shape, np.float32), name="image")
        self.annotation = AnnotationLayer(viewer, image, first_table(), owner)
        self.annotation.edited.connect(self.save)
        self.annotation.show()
        self.labels, self.predicted = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        self.saved = self.labels.copy()
        self.held: list[tuple[Any, Any]] = []
        # What each step of napari's undo changed: a mask, and labels before and after.
        self.done: list[tuple[Any, Values, Values]] = []
        self.undone: list[tuple[Any, Values, Values]] = []

    def save(self) -> None:
        self.saved = self.annotation.snapshot.labels

    @property
    def layer(self) -> Any:
        return self.annotation.show()

    def place(self) -> tuple[int, ...]:
        return tuple(self.random.randrange(n) for n in self.shape)

    def value(self) -> int:
        return self.random.randrange(N_CLASSES + 1)

    def edit(self, do: Callable[[Any], object]) -> None:
        before = self.layer.data.copy()
        do(self.layer)
        after = self.layer.data
        mask = before != after
        if mask.any():
            old, new = labels_of(before)[mask], labels_of(after)[mask]
            self.labels[mask] = new
            self.done.append((mask, old, new))
            self.undone.clear()

    # -- what a person, or a model, does ------------------------------------------------------

    def paint(self) -> None:
        self.layer.brush_size = self.random.randrange(1, 12)
        self.layer.n_edit_dimensions = self.random.choice([2, len(self.shape)])
        self.edit(lambda layer: layer.paint(self.place(), self.value()))

    def fill(self) -> None:
        self.edit(lambda layer: layer.fill(self.place(), self.value()))

    def undo(self) -> None:
        self.layer.undo()
        if self.done:
            mask, old, _ = step = self.done.pop()
            self.labels[mask] = old
            self.undone.append(step)

    def redo(self) -> None:
        self.layer.redo()
        if self.undone:
            mask, _, new = step = self.undone.pop()
            self.labels[mask] = new
            self.done.append(step)

    def predict(self) -> None:
        values = [self.value() for _ in range(self.labels.size)]
        self.predicted = np.array(values, np.uint8).reshape(self.shape)
        self.annotation.set_prediction(self.predicted)

    def accept(self) -> None:
        self.annotation.settle()
        plane = self.place()[:-2]
        if self.predicted[plane].any():
            edit = self.annotation.record.accept_plane(plane)
            self.edit(lambda layer: self.annotation.apply(edit, later=True))

    def replace(self) -> None:
        data = self.layer.data.astype(np.int64)
        data[self.place()] = 1
        self.labels[data == 1] = 1
        self.layer.data = data
        self._forget()

    def remove(self) -> None:
        self.viewer.layers.remove(self.layer)
        self._forget()

    def change_classes(self) -> None:
        self.annotation.settle()
        assert np.array_equal(self.saved, self.labels)
        became = np.zeros(256, np.uint8)
        became[1 : N_CLASSES + 1] = [self.value() for _ in range(N_CLASSES)]
        below = self.predicted, became
        self.annotation.change_classes(first_table(), lambda old: became[old], None, below)
        self.labels, self.predicted = became[self.labels], became[self.predicted]
        self._forget()
        self.save()

    def hold(self) -> None:
        self.held.append((self.annotation.snapshot, self.annotation.snapshot.codes))

    def look(self) -> None:
        self.viewer.dims.set_current_step(0, self.random.randrange(self.shape[0]))

    def turn(self) -> None:
        self.look()
        self.viewer.dims.roll()

    def _forget(self) -> None:
        self.done.clear()
        self.undone.clear()
        reset_undo(self.annotation.layer)

    # -- what must be true at rest ------------------------------------------------------------

    def check(self) -> None:
        assert np.array_equal(self.saved, self.labels)
        snapshot, found = self.annotation.snapshot, self.annotation.record.codes
        below = np.where(self.predicted > 0, self.predicted + np.uint16(PREDICTED), 0)
        assert np.array_equal(found, np.where(self.labels > 0, self.labels, below))
        assert np.array_equal(snapshot.codes, found)
        assert np.array_equal(snapshot.labels, self.labels)
        assert snapshot.painted == tuple(int(v) - 1 for v in np.unique(self.labels) if v)
        assert self.layer.data is self.annotation.record.codes
        assert all(np.array_equal(kept.codes, codes) for kept, codes in self.held)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("shape", [(5, 20, 24), (40, 30)], ids=["stack", "photograph"])
def test_no_order_of_actions_loses_labels(
    make_napari_viewer: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    qtbot: Any,
    shape: tuple[int, ...],
    seed: int,
) -> None:
    monkeypatch.setattr(strips, "PIXELS", 128)
    monkeypatch.setattr(annotation_layer, "AT_ONCE", 3)
    owner = QObject()
    drawing = Drawing(make_napari_viewer(show=True), shape, seed, owner)
    actions = [drawing.paint] * 4 + [drawing.undo, drawing.redo, drawing.predict] * 2
    actions += [drawing.fill, drawing.accept, drawing.replace, drawing.remove, drawing.hold]
    actions += [drawing.change_classes, drawing.look, drawing.turn]
    for step in range(STEPS):
        drawing.random.choice(actions)()
        if step % 4 == 0:
            qtbot.waitUntil(drawing.check)
        if drawing.random.random() < 0.3:
            QCoreApplication.processEvents()
    qtbot.waitUntil(drawing.check)
    drawing.annotation.close()


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_labels_whose_layer_was_removed_turn_for_good(
    make_napari_viewer: Callable[..., Any], orientation: int
) -> None:
    owner = QObject()
    drawing = Drawing(make_napari_viewer(show=True), (40, 40), 0, owner)
    annotation = drawing.annotation
    drawing.edit(lambda layer: layer.paint((5, 30), 1))
    drawing.viewer.layers.remove(annotation.layer)
    annotation.turn(orientation)
    annotation.settle()
    drawing.labels = np.ascontiguousarray(upright(drawing.labels, orientation))
    assert drawing.saved.any() and np.array_equal(annotation.snapshot.labels, drawing.labels)
    assert annotation.show().data is annotation.record.codes
    annotation.close()
