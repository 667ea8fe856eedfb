"""``napari-gaussproto train``: from a configuration to a model file."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.progress import Progress, TaskID

from napari_gaussproto.commands.results import console, progress_bar
from napari_gaussproto.core.evaluation import measure
from napari_gaussproto.core.model_file import save_model
from napari_gaussproto.core.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training import TrainingStep, fit
from napari_gaussproto.io.dataset import load_split, read_train_file


def run_train(
    config: Path,
    data: Path,
    out: Path,
    device: str,
    seed: int,
    minutes: float | None,
    checkpoint: Path | None,
    *,
    test: bool,
) -> Path:
    """Train on the split "train", choose by "val", measure, and write the model file."""
    file = read_train_file(config)
    images, labels = load_split(file.data, data, "train")
    splits = {"val": load_split(file.data, data, "val")}
    if test:
        splits["test"] = load_split(file.data, data, "test")
    with progress_bar() as bar, interruptible() as stop:
        model = fit(
            images,
            labels,
            file.model,
            training=file.training,
            validation=splits["val"],
            seed=seed,
            minutes=minutes,
            device=device,
            checkpoint=checkpoint,
            stop=stop.is_set,
            progress=_Stages(bar).show,
        )
    history = model.card.history
    model.card = file.card.model_copy(deep=True)
    model.card.history = history
    model.card.command = f"napari-gaussproto train --config {config} --data FOLDER --seed {seed}"
    for split, (photos, masks) in splits.items():
        model.card.measures[split] = measure(model, zip(photos, masks, strict=True))
    path = save_model(model, out)
    _report(model, path)
    return path


def _report(model: PrototypeSegmenter, path: Path) -> None:
    for split, values in model.card.measures.items():
        shares = "  ".join(f"{name} {v:.3f}" for name, v in values["iou"].items() if v is not None)
        console.print(f"{split}: mean IoU {values['miou']:.3f}  ({shares})  ECE {values['ece']}")
    size = path.stat().st_size / 1e6
    console.print(f"{len(model.prototypes)} prototypes, written to {path} ({size:.1f} MB)")


class _Stages:
    """A progress bar for each stage of a fit."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}

    def show(self, step: TrainingStep) -> None:
        if step.stage not in self._tasks:
            self._tasks[step.stage] = self._bar.add_task(step.stage)
        text = f"{step.stage} {step.step}/{step.total}"
        if step.losses:
            text += f"  loss {sum(step.losses.values()):.3f}"
        if step.best_miou is not None:
            text += f"  best val mIoU {step.best_miou:.3f}"
        self._bar.update(
            self._tasks[step.stage], completed=step.step, total=step.total, description=text
        )


class _Stop:
    def __init__(self) -> None:
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True


@contextmanager
def interruptible() -> Iterator[_Stop]:
    """Turn the first Ctrl-C into a polite request to stop; the second one interrupts."""
    stop = _Stop()
    former = signal.getsignal(signal.SIGINT)

    def ask(_signal: int, _frame: FrameType | None) -> None:
        console.print("stopping after this step; once more to give up")
        stop.set()
        signal.signal(signal.SIGINT, former)

    signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, former)
