"""A viewer with the docks, and what a person does in it, for `benchmarks.speed.gui`."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from benchmarks.speed.holding import until
from napari_gaussproto.io.field import synthetic_field
from napari_gaussproto.widgets.train.dock import TrainWidget

MODEL = "peanut-grid"
# Seconds after which saving has begun.
_REST = 0.8
Step = tuple[str, Callable[[], object]]


def _viewer() -> Any:
    return napari.Viewer(show_welcome_screen=False)


class Work(ABC):
    """A viewer with the docks, and what a person does in it, step by step."""

    def __init__(
        self,
        height: int,
        width: int,
        model: str | Path = MODEL,
        new_viewer: Callable[[], Any] = _viewer,
    ) -> None:
        self._new_viewer = new_viewer
        self._photo, self._truth = self._field(height, width)
        self._model = model
        self._docks: list[Any] = []
        self.viewer = self._new_viewer()
        self.viewer.add_image(self._photo, name="field")

    def _field(self, height: int, width: int) -> tuple[Any, Any]:
        """Pixels, and the class of each."""
        return synthetic_field(height, width)

    @abstractmethod
    def steps(self) -> Iterator[Step]:
        """What is done, in this order; each is over when `rest` returns."""

    def done(self, step: Callable[[], object]) -> None:
        """Do something that is not measured."""
        step()
        self.rest()

    def rest(self) -> None:
        """Wait until no dock computes or saves."""
        until(lambda: not any(dock.busy for dock in self._docks))
        begun = time.monotonic()
        until(lambda: time.monotonic() - begun > _REST)
        until(lambda: not any(dock.busy for dock in self._docks))

    @property
    def segment(self) -> Any:
        """The Segment dock."""
        return self._docks[0]

    @property
    def prototypes(self) -> Any:
        """The Prototypes dock."""
        return self._docks[1]

    @property
    def train(self) -> Any:
        """The Train dock, which was opened last."""
        return self._docks[-1]

    @property
    def annotation(self) -> Any:
        """What is drawn on the photograph."""
        return self.train.annotations.open[0]

    def open(self, kind: Callable[[Any], Any]) -> None:
        """Open a dock."""
        dock = kind(self.viewer)
        self.viewer.window.add_dock_widget(dock, area="right", tabify=True)
        self._docks.append(dock)

    def run(self) -> None:
        """Press Segment, with the model."""
        if isinstance(self._model, Path):
            self.segment.models.choose_file(self._model)
        else:
            self.segment.choose(self._model, "cpu")
        self.segment.run()

    def show(self, *, likelihood: bool) -> None:
        """Show the map of a prototype, or the classes."""
        self.segment.state.show(likelihood=likelihood)

    def stroke(self, value: int, place: int = 0) -> None:
        """A horizontal stroke of the brush, as long as an eighth of the photograph."""
        layer, truth = self.annotation.layer, self._truth
        plane = (0,) * (truth.ndim - 2)  # of a stack, the one that is in view
        truth = truth[plane]
        spots = np.argwhere(truth == value)
        y, x = spots[(1 + place) * len(spots) // 3]
        with layer.block_history():
            for column in range(x, min(x + truth.shape[1] // 8, truth.shape[1]), 20):
                layer.paint((*plane, y, column), value)
                QApplication.processEvents()  # as between two moves of the mouse

    def undo_labels(self) -> None:
        """Press Ctrl+Z on what is drawn."""
        self.annotation.layer.undo()

    def use_labels(self) -> None:
        """Take over the labels of a layer that has one for every pixel."""
        layer = self.viewer.add_labels(self._truth, name="a mask", visible=False)
        imports = self.train.labelling.imports
        imports.ask = lambda dialog: True  # a person agrees with the first guess
        self.train.labelling.use_layer(layer)

    def begin_again(self) -> None:
        """Close the docks, and open the photograph and the Train dock in another viewer."""
        self.close()
        self._docks.clear()
        self.viewer = self._new_viewer()
        self.viewer.add_image(self._photo, name="field")
        self.open(TrainWidget)
        until(lambda: not self.train.autosave.bar.offer.isHidden())

    def bring_back(self) -> None:
        """Press the button that brings labels of a former viewer back."""
        self.train.autosave.bar.restore.click()
        until(lambda: bool(self.train.annotations.open))

    def close(self) -> None:
        """End the work of the docks; what is drawn is saved."""
        for dock in self._docks:
            dock.close_work()
