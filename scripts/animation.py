"""Record the loop of strokes, fit, correction and fine-tune from the real viewer.

    bash scripts/display.sh .venv/bin/python scripts/animation.py

writes docs/images/train-loop.webp and docs/images/train-dock.jpg. The strokes are drawn with
the layer's own brush into regions that the mask of the sample says are still wrong, as a
person would; everything that is seen is what the dock really does.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
os.environ["NAPARI_CONFIG"] = ""

import numpy as np
import numpy.typing as npt
from PIL import Image
from qtpy.QtCore import QSettings
from scipy.ndimage import distance_transform_edt
from screenshots import FOLDER, PLUGIN, WINDOW, Stage, save

SAMPLE = "peanut_0286"
CLASSES = ("soil", "crop", "weed")
STROKE = 130
WIDTH = 900
QUALITY = 70
STEPS = 24
LARGEST = 3_500_000
Labels = npt.NDArray[np.uint8]


class Recorder:
    """Frames of the window, and how long each is shown, in milliseconds."""

    def __init__(self, stage: TrainStage) -> None:
        self._stage = stage
        self.frames: list[Image.Image] = []
        self.durations: list[int] = []

    def take(self, milliseconds: int) -> None:
        """Add the window as it is now."""
        shot = Image.fromarray(self._stage.shot())
        height = round(shot.height * WIDTH / shot.width)
        self.frames.append(shot.resize((WIDTH, height), Image.Resampling.LANCZOS))
        self.durations.append(milliseconds)

    def save(self, path: Path) -> None:
        """Write the animation."""
        first, *others = self.frames
        first.save(
            path,
            save_all=True,
            append_images=others,
            duration=self.durations,
            loop=0,
            optimize=True,
        )
        size = path.stat().st_size
        print(f"{path.name}: {len(self.frames)} frames, {size / 1e6:.1f} MB", flush=True)
        if size > LARGEST:
            raise SystemExit(f"{path.name} is larger than {LARGEST / 1e6} MB")


class TrainStage(Stage):
    """A viewer with the Train dock beside a sample photograph."""

    def __init__(self) -> None:
        import napari

        self.viewer = napari.Viewer()
        self.viewer.window.resize(*WINDOW)
        self.viewer.open_sample(PLUGIN, SAMPLE)
        self.truth: Labels = np.asarray(self.viewer.layers[1].data)
        _, self.train = self.viewer.window.add_plugin_dock_widget(PLUGIN, "Train")
        self.until(lambda: not self.train.busy)

    def shot(self) -> npt.NDArray[np.uint8]:
        """The window at once."""
        from qtpy.QtWidgets import QApplication

        QApplication.processEvents()
        picture: npt.NDArray[np.uint8] = self.viewer.screenshot(canvas_only=False, flash=False)
        return picture[..., :3]

    def wait(self) -> None:
        """Until the fit is shown and everything is saved."""
        self.until(lambda: self.train.fits.phase == "idle")
        self.train.versions.flush()
        self.until(lambda: not self.train.autosave.queue.busy)

    def stroke(self, value: int, inside: npt.NDArray[np.bool_]) -> Iterator[None]:
        """Draw along the row of the deepest place of a region, yielding now and then."""
        depth = distance_transform_edt(inside)
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        row = inside[y]
        left, right = x, x
        while left > max(0, x - STROKE // 2) and row[left - 1]:
            left -= 1
        while right < min(row.size - 1, x + STROKE // 2) and row[right + 1]:
            right += 1
        layer = self.train.annotations.open[0].layer
        self.train.classes.select(value - 1)
        layer.brush_size = 10
        with layer.block_history():
            for place, column in enumerate(range(int(left), int(right) + 1, 4)):
                layer.paint((int(y), column), value)
                if place % 6 == 5:
                    yield
        yield

    def wrong(self, value: int) -> npt.NDArray[np.bool_]:
        """Where a class is, and something else is predicted."""
        annotation = self.train.annotations.open[0]
        labelled = annotation.labels > 0
        return (self.truth == value) & (annotation.record.prediction != value) & ~labelled


def record(stage: TrainStage) -> Recorder:
    """Strokes, quick fit, corrections with a live fit, and a fine-tune."""
    train, recorder = stage.train, Recorder(stage)
    begin_classes(train)
    recorder.take(1200)
    train.labels.new.click()
    for value in (1, 2, 3):
        for _ in stage.stroke(value, stage.truth == value):
            recorder.take(180)
    recorder.take(600)
    train.quick.click()
    stage.wait()
    recorder.take(2200)
    for value in (2, 3, 1):
        for _ in stage.stroke(value, stage.wrong(value)):
            recorder.take(180)
    train.live.setChecked(True)
    for _ in stage.stroke(3, stage.wrong(3)):
        recorder.take(180)
    stage.until(lambda: train.fits.busy)
    stage.wait()
    train.live.setChecked(False)
    recorder.take(2200)
    tune(stage, recorder)
    bar = train.verticalScrollBar()
    bar.setValue(bar.maximum())  # the curves are what the picture is for
    save("train-dock", stage.picture())
    bar.setValue(0)
    train.tabs.setCurrentIndex(1)
    recorder.take(3500)
    return recorder


def begin_classes(train: Any) -> None:
    """A new model with the sample's classes."""
    from napari_gaussproto.core.base.config import SegmentationClass

    colors = ("#999999", "#009e73", "#d55e00")
    train.annotations.set_table(
        [SegmentationClass(name=n, color=c) for n, c in zip(CLASSES, colors, strict=True)]
    )


def tune(stage: TrainStage, recorder: Recorder) -> None:
    """Fine-tune for some steps; a frame for every fifth."""
    train = stage.train
    seen: list[Any] = []
    train.fits.progressed.connect(
        lambda step: seen.append(step) if getattr(step, "stage", "") in ("trial", "final") else None
    )
    train.budget.unit.setCurrentText("steps")
    train.budget.amount.setValue(STEPS)
    train.budget.start.click()
    while train.fits.phase != "idle":
        stage.until(lambda: train.fits.phase == "idle" or len(seen) >= 5)
        seen.clear()
        recorder.take(350)
    stage.wait()
    recorder.take(2500)


def main() -> None:
    """Record and save."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_DATA_HOME"] = home
        for scope in (QSettings.Scope.UserScope, QSettings.Scope.SystemScope):
            QSettings.setPath(QSettings.Format.IniFormat, scope, home)
        stage = TrainStage()
        recorder = record(stage)
        recorder.save(FOLDER / "train-loop.webp")
        stage.viewer.close()


if __name__ == "__main__":
    main()
