"""How long the GUI does not answer while a person works, and how much of that is our code.

    bash scripts/display.sh .venv/bin/python -m benchmarks.speed.gui

A photograph of 4000 x 3000 pixels in a real napari with all three docks. Each line is one thing
that a person does, until nothing is computed any more: the longest hold of the event loop, on the
clock and on the processor, and what of it was our own code, napari's that our code called, and
napari's and Qt's by itself (see `benchmarks.speed.holding`).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from benchmarks.measuring import save
from benchmarks.speed.holding import Hold, Holding, until
from napari_gaussproto.io.field import synthetic_field
from napari_gaussproto.widgets.prototypes.dock import PrototypesWidget
from napari_gaussproto.widgets.segment.dock import SegmentWidget
from napari_gaussproto.widgets.train.dock import TrainWidget

WANTED_MS = 100
MODEL = "peanut-grid"
# Seconds after which saving has begun.
_REST = 0.8
Step = tuple[str, Callable[[], object]]


def _viewer() -> Any:
    return napari.Viewer(show_welcome_screen=False)


class Work:
    """A viewer with the docks, and what a person does in it, step by step."""

    def __init__(
        self,
        height: int,
        width: int,
        model: str | Path = MODEL,
        new_viewer: Callable[[], Any] = _viewer,
    ) -> None:
        self._new_viewer = new_viewer
        self._photo, self._truth = synthetic_field(height, width)
        self._model = model
        self._docks: list[Any] = []
        self.viewer = self._new_viewer()
        self.viewer.add_image(self._photo, name="field")

    def steps(self) -> Iterator[Step]:
        """What is done, in this order; each is over when `rest` returns."""
        yield "the Segment dock is opened", lambda: self._open(SegmentWidget)
        yield "the Prototypes dock is opened", lambda: self._open(PrototypesWidget)
        yield "the Train dock is opened", lambda: self._open(TrainWidget)
        yield "Segment, the first time", self._segment
        yield "Likelihood, the first time", lambda: self._show(likelihood=True)
        yield "another prototype", lambda: self.segment.state.select_prototype(2)
        yield "Classes again", lambda: self._show(likelihood=False)
        yield "a prototype is switched off", lambda: self.prototypes.gallery.row(3).on.click()
        yield "Undo", self.prototypes.undo_button.click
        yield "Draw", self.train.labels.new.click
        yield "a stroke of one class", lambda: self._stroke(1)
        self.train.live.setChecked(True)
        yield "a stroke of another, with live ticked", lambda: self._stroke(2)
        yield "a third stroke, with live ticked", lambda: self._stroke(2, place=1)
        self.train.live.setChecked(False)
        yield "Show corrections", self.train.labels.corrections.click
        self.train.labels.corrections.click()
        yield "Use labels of a whole layer", self._use_labels
        yield "Ctrl+Z of that", lambda: self._annotation.layer.undo()
        yield "Quick fit", self.train.quick.click
        yield "Clear labels", self.train.labels.clear.click
        yield "Ctrl+Z of that", lambda: self._annotation.layer.undo()
        self._begin_again()
        yield "Bring it back, in another viewer", self._bring_back

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
    def _annotation(self) -> Any:
        return self.train.annotations.open[0]

    def _open(self, kind: Callable[[Any], Any]) -> None:
        dock = kind(self.viewer)
        self.viewer.window.add_dock_widget(dock, area="right", tabify=True)
        self._docks.append(dock)

    def _segment(self) -> None:
        if isinstance(self._model, Path):
            self.segment.models.choose_file(self._model)
        else:
            self.segment.choose(self._model, "cpu")
        self.segment.run()

    def _show(self, *, likelihood: bool) -> None:
        self.segment.state.show(likelihood=likelihood)

    def _stroke(self, value: int, place: int = 0) -> None:
        """A horizontal stroke of the brush, as long as an eighth of the photograph."""
        layer, truth = self._annotation.layer, self._truth
        spots = np.argwhere(truth == value)
        y, x = spots[(1 + place) * len(spots) // 3]
        with layer.block_history():
            for column in range(x, min(x + truth.shape[1] // 8, truth.shape[1]), 20):
                layer.paint((y, column), value)
                QApplication.processEvents()  # as between two moves of the mouse

    def _use_labels(self) -> None:
        layer = self.viewer.add_labels(self._truth, name="a mask", visible=False)
        imports = self.train.labelling.imports
        imports.ask = lambda dialog: True  # a person agrees with the first guess
        self.train.labelling.use_layer(layer)

    def _begin_again(self) -> None:
        """Close the docks, and open the photograph and the Train dock in another viewer."""
        self.close()
        self._docks.clear()
        self.viewer = self._new_viewer()
        self.viewer.add_image(self._photo, name="field")
        self._open(TrainWidget)
        until(lambda: not self.train.autosave.bar.offer.isHidden())

    def _bring_back(self) -> None:
        self.train.autosave.bar.restore.click()
        until(lambda: bool(self.train.annotations.open))

    def close(self) -> None:
        """End the work of the docks; what is drawn is saved."""
        for dock in self._docks:
            dock.close_work()


def measure(work: Work) -> dict[str, Hold]:
    """The longest hold of each step."""
    found: dict[str, Hold] = {}
    for name, step in work.steps():
        with Holding() as holding:
            step()
            work.rest()
        found[name if name not in found else f"{name}, too"] = holding.hold
        print(name, holding.hold, file=sys.stderr)
    work.close()
    return found


def table(found: dict[str, Hold]) -> str:
    """The holds as Markdown."""
    titles = ("what a person does", "ours", "asked", "drawn", "together", "clock")
    rows = [titles, ("---",) * len(titles)]
    for name, hold in found.items():
        times = (hold.ours, hold.asked, hold.drawn, hold.processor, hold.clock)
        rows.append((name, *(f"{milliseconds:.0f}" for milliseconds in times)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs=2, default=(3000, 4000), metavar=("H", "W"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_DATA_HOME"] = folder
        os.environ.setdefault("NAPARI_CONFIG", "")
        found = measure(Work(*options.size))
        napari.Viewer.close_all()
    height, width = options.size
    text = f"{width} x {height} pixels.\n\n{table(found)}"
    save("gui", "python -m benchmarks.speed.gui", {k: asdict(h) for k, h in found.items()}, text)


if __name__ == "__main__":
    main()
