"""Record the loop of strokes, fits and corrections, and the dock after a fine-tune.

    bash scripts/display.sh .venv/bin/python scripts/animation.py

writes docs/images/train-loop.webp and docs/images/train-dock.jpg. The strokes are drawn with
the layer's own brush into regions that the mask of the sample says are still wrong, as a
person would; everything that is seen is what the dock really does. The fine-tune is one that
pays: of densely labelled photographs, here of fields that were drawn.
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

from napari_gaussproto.io.field import synthetic_field

SAMPLE = "peanut_0286"
STROKE = 130
WIDTH = 900
QUALITY = 70
STEPS = 160
FIELDS, FIELD_SIZE = 5, (480, 640)
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
    """Strokes, a quick fit, two corrections where most is wrong with live fits, versions."""
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
    train.live.setChecked(True)
    for _ in range(2):
        wrong = {value: stage.wrong(value) for value in (1, 2, 3)}
        value = max(wrong, key=lambda v: distance_transform_edt(wrong[v]).max())
        for _ in stage.stroke(value, wrong[value]):
            recorder.take(180)
        stage.until(lambda: train.fits.busy)
        stage.wait()
        recorder.take(2200)
    train.live.setChecked(False)
    train.tabs.setCurrentIndex(1)
    recorder.take(3500)
    return recorder


def begin_classes(train: Any) -> None:
    """A new model with the sample's classes."""
    from napari_gaussproto.io.samples import SAMPLE_CLASSES

    train.annotations.set_table(SAMPLE_CLASSES)


def tune(stage: TrainStage) -> None:
    """Fine-tune on fields that were drawn, each with its mask as labels."""
    train, viewer = stage.train, stage.viewer
    viewer.layers.clear()
    stage.shot()
    train.autosave.begin()
    stage.wait()
    begin_classes(train)
    train.labelling.imports.ask = lambda dialog: True  # as it proposes
    for number in range(1, FIELDS + 1):
        photo, truth = synthetic_field(*FIELD_SIZE, seed=number)
        image = viewer.add_image(np.asarray(photo), name=f"field {number}")
        mask = viewer.add_labels(np.asarray(truth), name=f"mask {number}", visible=False)
        train.images.choose(image)
        train.labelling.use_layer(mask)
        stage.until(lambda: not train.autosave.queue.busy)
    train.quick.click()
    stage.wait()
    train.budget.unit.setCurrentText("steps")
    train.budget.amount.setValue(STEPS)
    train.budget.start.click()
    stage.until(lambda: train.fits.phase == "idle", 600)
    stage.wait()
    print(train.status.text(), flush=True)
    for annotation in train.annotations.open:
        annotation.layer.visible = False  # what is predicted is below the labels
    bar = train.verticalScrollBar()
    bar.setValue(bar.maximum())  # the curves are what the picture is for


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
        tune(stage)
        save("train-dock", stage.picture())
        stage.viewer.close()


if __name__ == "__main__":
    main()
