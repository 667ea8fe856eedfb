"""What a person does in the docks, for `benchmarks.speed.gui`, in scenes that begin anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.speed.work import Step, Work
from napari_gaussproto.core.labels.class_table import (
    TableChange,
    merge_classes,
    remove_class,
    rename_class,
    reorder_classes,
)
from napari_gaussproto.io.field import synthetic_field
from napari_gaussproto.widgets.prototypes.dock import PrototypesWidget
from napari_gaussproto.widgets.segment.dock import SegmentWidget
from napari_gaussproto.widgets.train.dock import TrainWidget

# Of a stack.
PLANES = 6


class Everyday(Work):
    """From opening the docks to labels that are brought back."""

    def steps(self) -> Iterator[Step]:
        """What is done, in this order; each is over when `rest` returns."""
        yield "the Segment dock is opened", lambda: self.open(SegmentWidget)
        yield "the Prototypes dock is opened", lambda: self.open(PrototypesWidget)
        yield "the Train dock is opened", lambda: self.open(TrainWidget)
        yield "Segment, the first time", self.run
        yield "Likelihood, the first time", lambda: self.show(likelihood=True)
        yield "another prototype", lambda: self.segment.state.select_prototype(2)
        yield "Classes again", lambda: self.show(likelihood=False)
        yield "a prototype is switched off", lambda: self.prototypes.gallery.row(3).on.click()
        yield "Undo", self.prototypes.undo_button.click
        yield "Draw", self.train.labels.new.click
        yield "a stroke of one class", lambda: self.stroke(1)
        self.train.live.setChecked(True)
        yield "a stroke of another, with live ticked", lambda: self.stroke(2)
        yield "a third stroke, with live ticked", lambda: self.stroke(2, place=1)
        self.train.live.setChecked(False)
        yield "Show corrections", self.train.labels.corrections.click
        self.train.labels.corrections.click()
        yield "Use labels of a whole layer", self.use_labels
        yield "Ctrl+Z of that", self.undo_labels
        yield "Quick fit", self.train.quick.click
        yield "Clear labels", self.train.labels.clear.click
        yield "Ctrl+Z of that", self.undo_labels
        self.begin_again()
        yield "Bring it back, in another viewer", self.bring_back


class Restoring(Work):
    """Labels of every pixel are brought back, ten times."""

    def steps(self) -> Iterator[Step]:
        """What is done; each is over when `rest` returns."""
        self.open(TrainWidget)
        self.done(self.use_labels)
        for number in range(1, 11):
            self.begin_again()
            yield f"Bring it back, in another viewer, {number}", self.bring_back


class Changes(Work):
    """A model is edited, a prediction is accepted, classes are changed, objects are measured."""

    def steps(self) -> Iterator[Step]:
        """What is done, in this order; each is over when `rest` returns."""
        yield from self._edits()
        self.done(self.use_labels)
        yield "Segment, over labels of every pixel", self.run
        yield from self.class_changes()

    def _edits(self) -> Iterator[Step]:
        """Edits of a model, and what follows from what it predicts."""
        for dock in (SegmentWidget, PrototypesWidget, TrainWidget):
            self.open(dock)
        self.done(self.run)
        panel, undo = self.prototypes.edit_panel, self.prototypes.undo_button.click
        panel.changes.setChecked(True)
        for name, click in (
            ("Split a prototype", panel.split_button.click),
            ("Merge it with another", panel.merge_button.click),
            ("Delete it", panel.delete_button.click),
        ):
            yield name, click
            yield f"Undo, of “{name}”", undo
        yield "Why? of a cell", lambda: self.prototypes.why.ask((), 5, 5)
        self.segment.measure.header.click()
        yield "Measure", self.segment.measure.run
        labels = self.train.labels
        yield "Draw, over a prediction", labels.new.click
        yield "Accept image", labels.accept_all.click
        yield "Ctrl+Z of that", self.undo_labels
        labels.accept.setChecked(True)
        yield "a click, with Accept region down", self._accept_region
        labels.accept.setChecked(False)

    def class_changes(self) -> Iterator[Step]:
        """Each change of the class table, and its undo."""
        for name, change in self._changes():
            yield name, partial(self.change_classes, change)
            yield f"its undo, of “{name}”", self.train.annotations.undo

    def change_classes(self, change: Callable[[], TableChange]) -> None:
        """Change the class table, as a button below the list does."""
        self.train.change_classes(change())

    def _accept_region(self) -> None:
        self.train.labelling.accept_tool.accept(self.annotation, (5, 5))

    def _changes(self) -> Iterator[tuple[str, Callable[[], TableChange]]]:
        classes = self.train.annotations.classes
        order = [1, 0, *range(2, len(classes))]
        yield "a class is renamed", lambda: rename_class(classes, 0, "another name")
        yield "a class is moved", lambda: reorder_classes(classes, order)
        yield "a class is merged into another", lambda: merge_classes(classes, 0, 1)
        yield "a class is removed", lambda: remove_class(classes, 0)


class Stack(Work):
    """Six photographs in one layer, with labels and a prediction of each."""

    def _field(self, height: int, width: int) -> tuple[Any, Any]:
        pixels, truth = synthetic_field(height, width)
        return np.stack([pixels] * PLANES), np.stack([truth] * PLANES)

    def steps(self) -> Iterator[Step]:
        """What is done, in this order; each is over when `rest` returns."""
        for dock in (SegmentWidget, PrototypesWidget, TrainWidget):
            self.open(dock)
        self.viewer.dims.current_step = (0, *self.viewer.dims.current_step[1:])
        labels = self.train.labels
        yield "Draw", labels.new.click
        yield "a stroke", lambda: self.stroke(1)
        yield "another stroke", lambda: self.stroke(2)
        yield "Ctrl+Z of that", self.undo_labels
        yield "another plane in view", lambda: self.viewer.dims.set_current_step(0, 1)
        self.viewer.dims.set_current_step(0, 0)
        yield "Segment", self.run
        yield "a stroke over the prediction", lambda: self.stroke(2, place=1)
        yield "Likelihood", lambda: self.show(likelihood=True)
        yield "Classes again", lambda: self.show(likelihood=False)
        yield "a prototype is switched off", lambda: self.prototypes.gallery.row(3).on.click()
        yield "Undo", self.prototypes.undo_button.click
        yield "Accept image", labels.accept_all.click
        yield "Ctrl+Z of that, too", self.undo_labels
        self.segment.measure.header.click()
        yield "Measure", self.segment.measure.run
        yield "Use labels of a whole layer", self.use_labels
        yield "Clear labels", labels.clear.click
        yield "Ctrl+Z of that, once more", self.undo_labels
        self.begin_again()
        yield "Bring it back, in another viewer", self.bring_back


class ManyImages(Changes):
    """Classes are changed while ten photographs are open, labelled in every pixel."""

    def steps(self) -> Iterator[Step]:
        """What is done, in this order; each is over when `rest` returns."""
        self.open(TrainWidget)
        self.done(self.use_labels)
        for number in range(2, 11):
            image = self.viewer.add_image(self._photo.copy(), name=f"field {number}")
            self.train.images.choose(image)
            self.done(self.use_labels)
        yield from self.class_changes()


SCENES: dict[str, Callable[..., Work]] = {
    "everyday": Everyday,
    "restoring": Restoring,
    "changes": Changes,
    "stack": Stack,
    "many-images": ManyImages,
}
