"""A viewer that is closed while its docks compute; run as a process of its own.

python -m tests.widgets.closing run,batch,tune MODEL FOLDER
"""

from __future__ import annotations

import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import napari
import numpy as np
from packaging.version import Version
from qtpy.QtCore import QThreadPool, QTimer

from napari_gaussproto.io.field import synthetic_field
from napari_gaussproto.widgets.segment.dock import SegmentWidget
from napari_gaussproto.widgets.train.dock import TrainWidget

_SIZE, _SETTLED = (900, 1200), 300  # pixels; milliseconds of work before it is closed


class Work:
    """A viewer in which jobs are begun, and which is closed when all of them are under way."""

    def __init__(self, kinds: list[str], model: Path, folder: Path) -> None:
        self._kinds, self._waits = kinds, set(kinds)
        self._model, self._folder = model, folder
        self.viewer = napari.Viewer()
        self._photo, self._truth = synthetic_field(*_SIZE)
        self.viewer.add_image(self._photo, name="field")
        self.segment, self.train = SegmentWidget(self.viewer), TrainWidget(self.viewer)
        for dock in (self.segment, self.train):
            self.viewer.window.add_dock_widget(dock, name=type(dock).__name__, area="right")
        # When it was closed, and the seconds of the processor that were used by then.
        self.closed = (0.0, 0.0)

    def begin(self) -> None:
        """Press the buttons when the docks are ready."""
        if self.segment.busy or self.train.busy:
            QTimer.singleShot(100, self.begin)
            return
        for kind in self._kinds:
            getattr(self, kind)()
        if not self._kinds:
            self.close()

    def run(self) -> None:
        """Segment the photograph."""
        self.segment.models.choose_file(self._model)
        self._follow("run", self.segment.runner)
        self.segment.run_button.click()

    def batch(self) -> None:
        """Segment copies of it."""
        self._folder.mkdir()
        np.save(self._folder / "0.npy", self._photo)
        for number in range(1, 50):
            (self._folder / f"{number}.npy").hardlink_to(self._folder / "0.npy")
        self.segment.models.choose_file(self._model)
        panel = self.segment.batch
        panel.what.setCurrentText("a folder")
        panel.folder.setText(str(self._folder))
        panel.out.setText(str(self._folder.with_name("out")))
        self._follow("batch", panel.runner)
        panel.run_button.click()

    def quick(self) -> None:
        """A quick fit to many labels."""
        self._label()
        self._follow("quick", self.train.fits.runner)
        self.train.quick.click()

    def tune(self) -> None:
        """A fine-tune that would take long."""
        self._label()
        self.train.budget.unit.setCurrentText("steps")
        self.train.budget.amount.setValue(500)
        self._follow("tune", self.train.fits.runner)
        self.train.budget.start.click()

    def _label(self) -> None:
        self.train.labels.new.click()
        annotation = self.train.annotations.open[0]
        stripes = np.arange(_SIZE[1]) % 7 == 0
        labels = np.where(stripes, np.minimum(self._truth, 2), 0).astype(np.uint8)
        annotation.apply(annotation.record.replace(labels))

    def _follow(self, kind: str, runner: Any) -> None:
        runner.progressed.connect(lambda step: self._on_step(kind))

    def _on_step(self, kind: str) -> None:
        if kind in self._waits:
            self._waits.remove(kind)
            if not self._waits:
                QTimer.singleShot(_SETTLED, self.close)

    def close(self) -> None:
        """Close the viewer, as a person does."""
        assert bool(self._kinds) == (self.segment.busy or self.train.busy)
        begun = time.time(), time.process_time()
        self.viewer.close()
        if Version(version("napari")) < Version("0.7"):
            # It makes all overlays anew for each layer that goes: seconds that are napari's own.
            begun = time.time(), time.process_time()
        self.closed = begun


def main(kinds: str, model: str, folder: str) -> None:
    """Print when it was closed, on the clock and the processor's, and what runs after that."""
    work = Work([kind for kind in kinds.split(",") if kind], Path(model), Path(folder))
    QTimer.singleShot(0, work.begin)
    napari.run()
    print(*work.closed, QThreadPool.globalInstance().activeThreadCount())


if __name__ == "__main__":
    main(*sys.argv[1:])
