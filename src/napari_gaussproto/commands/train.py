"""``napari-gaussproto train``: from a configuration to a model file."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from types import FrameType

from rich.progress import Progress, TaskID

from napari_gaussproto.commands.results import progress_bar, say
from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.base.steps import TrainingStep
from napari_gaussproto.core.measure.evaluation import measure
from napari_gaussproto.core.model.model_file import save_model
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.full_fit import fit
from napari_gaussproto.io.batch.outputs import make_folder
from napari_gaussproto.io.dataset import load_split, read_train_file


def run_train(
    config: Path,
    data: Path,
    out: Path,
    device: str,
    seed: int,
    minutes: float | None,
    checkpoint: Path | None,
    ignore: Sequence[int] = (),
    *,
    test: bool,
) -> Path:
    """Train on the split "train", choose by "val", measure, and write the model file.

    Raises
    ------
    GaussProtoError
        When the configuration, the data, the device or the place of the file cannot be used.
    """
    check_place(out)
    file = read_train_file(config)
    settings, classes = file.data, file.model.classes
    if ignore:
        settings = settings.model_copy(update={"ignore": [*settings.ignore, *ignore]})
    images, labels = load_split(settings, data, "train", classes)
    splits = {name: load_split(settings, data, name, classes) for name in ("val", *["test"] * test)}
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
            progress=partial(_show, bar, {}),
        )
    history = model.card.history
    model.card = file.card.model_copy(deep=True)
    model.card.history = history
    model.card.command = f"napari-gaussproto train --config {config} --data FOLDER --seed {seed}"
    model.card.command += "".join(f" --ignore {value}" for value in ignore)
    if minutes is not None:
        model.card.command += f" --minutes {minutes:g}"
    for split, (photos, masks) in splits.items():
        model.card.measures[split] = measure(model, zip(photos, masks, strict=True))
    path = save_model(model, out)
    _report(model, path)
    return path


def _report(model: PrototypeSegmenter, path: Path) -> None:
    for event in model.card.history:
        if "astray" in event:
            say(str(event["astray"]))
    for split, values in model.card.measures.items():
        shares = "  ".join(f"{name} {_number(v)}" for name, v in values["iou"].items())
        miou, ece = _number(values["miou"]), _number(values["ece"])
        say(f"{split}: mean IoU {miou}  ({shares})  ECE {ece}")
    size = path.stat().st_size / 1e6
    say(f"{len(model.prototypes)} prototypes, written to {path} ({size:.1f} MB)")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def check_place(path: Path) -> None:
    """Make sure, before hours of training, that a file can be written at its end.

    Raises
    ------
    ConfigError
    """
    make_folder(path.parent)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ConfigError(f"“{path}” cannot be written: choose another file with --out.")


def _show(bar: Progress, tasks: dict[str, TaskID], step: TrainingStep) -> None:
    """Show a step of a fit; every stage has a line."""
    if step.stage not in tasks:
        tasks[step.stage] = bar.add_task(step.stage)
    text = f"{step.stage} {step.step}/{step.total}"
    if step.losses:
        text += f"  loss {sum(step.losses.values()):.3f}"
    if step.best_miou is not None:
        text += f"  best val mIoU {step.best_miou:.3f}"
    bar.update(tasks[step.stage], completed=step.step, total=step.total, description=text)


@contextmanager
def interruptible() -> Iterator[Event]:
    """Turn the first Ctrl-C into a polite request to stop; the second one interrupts."""
    stop = Event()
    former = signal.getsignal(signal.SIGINT)

    def ask(_signal: int, _frame: FrameType | None) -> None:
        say("stopping after this step; once more to give up")
        stop.set()
        # Not the former handler: a job in the background starts with SIGINT ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, former)
