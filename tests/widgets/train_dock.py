"""What tests of the Train dock share: what a person does with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from qtpy.QtTest import QTest

from napari_gaussproto.widgets.train.dock import TrainWidget
from tests.core.builders import TINY_BACKBONE, two_tone
from tests.widgets.docks import LEFT

WAIT = 120_000


def open_train(viewer: Any) -> TrainWidget:
    """The Train dock of a viewer, set to a tiny new model."""
    widget = TrainWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Train", area="right")
    widget.start.pretrained = False
    widget.start.backbone.setCurrentText(TINY_BACKBONE)
    widget.start.detail.setCurrentText("fine")
    return widget


def click(button: Any) -> None:
    QTest.mouseClick(button, LEFT)


def stroke(train: Any, value: int, seed: int = 0, length: int = 30) -> None:
    """A horizontal stroke of a class where it really is, through the layer's brush."""
    annotation = train.annotations.open[0]
    truth = two_tone()[1]
    rng = np.random.default_rng(seed)
    spots = np.argwhere(truth == value)
    y, x = spots[rng.integers(len(spots))]
    layer = annotation.layer
    layer.brush_size = 5
    with layer.block_history():
        for column in range(x, min(x + length, truth.shape[1])):
            if truth[y, column] == value:
                layer.paint((y, column), value)
    annotation.settle()


def draw(train: Any, strokes: int = 2) -> Any:
    """Press Draw and paint strokes of both classes; returns the layer."""
    click(train.labels.new)
    for seed in range(strokes):
        stroke(train, 1, seed)
        stroke(train, 2, seed)
    return train.annotations.open[0].layer


def fitted(train: Any, qtbot: Any, press: Any) -> None:
    """Do something and wait for the fit that follows."""
    with qtbot.waitSignal(train.fits.fitted, timeout=WAIT):
        press()
    qtbot.waitUntil(lambda: train.fits.phase == "idle", timeout=WAIT)


def settled(train: Any, qtbot: Any) -> None:
    """Wait until everything is saved."""
    train.versions.flush()
    train.autosave.save_now()
    qtbot.waitUntil(lambda: not train.autosave.busy, timeout=WAIT)


def quick(train: Any, qtbot: Any) -> None:
    fitted(train, qtbot, lambda: click(train.quick))


def tune(train: Any, qtbot: Any, steps: int = 4) -> None:
    train.budget.unit.setCurrentText("steps")
    train.budget.amount.setValue(steps)
    fitted(train, qtbot, lambda: click(train.budget.start))


def judge_by(monkeypatch: Any, figures: Iterator[float]) -> None:
    """Let these be the figures on the strokes that are set aside, and nothing else be asked."""
    measure = "napari_gaussproto.core.measure"
    monkeypatch.setattr(f"{measure}.evaluation.mean_iou", lambda confusion: next(figures))
    monkeypatch.setattr(f"{measure}.agreement.ALIKE", 0.0)
