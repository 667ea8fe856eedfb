"""Fit a segmenter; it can be shown, stopped and resumed at every step.

Stages: features of labelled cells are cached with the backbone as it comes; neck and a
throw-away linear head warm up on them; k-means++ places the prototypes; layer and neck
follow; then everything is trained end to end; at last the prototypes get their patches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_gaussproto.core.base.config import ModelConfig, TrainingConfig
from napari_gaussproto.core.base.device import resolve_device
from napari_gaussproto.core.base.errors import ConfigError, LabelError
from napari_gaussproto.core.base.seeds import seeded
from napari_gaussproto.core.base.steps import TrainingStep, run
from napari_gaussproto.core.model.labelled import most_pixels
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.descent import RunSettings
from napari_gaussproto.core.training.samples import TrainingImage, pixel_counts, prepare
from napari_gaussproto.core.training.trainer import Trainer

Pairs = tuple[Sequence[Any], Sequence[Any]]


def fit(
    images: Sequence[Any],
    labels: Sequence[Any],
    config: ModelConfig,
    *,
    training: TrainingConfig | None = None,
    validation: Pairs | None = None,
    seed: int = 0,
    steps: int | None = None,
    minutes: float | None = None,
    device: str = "auto",
    checkpoint: str | Path | None = None,
    stop: Callable[[], bool] | None = None,
    progress: Callable[[TrainingStep], None] | None = None,
) -> PrototypeSegmenter:
    """Train a segmenter to its end.

    Parameters
    ----------
    images : sequence of array
        See `ImageSource.from_array`.
    labels : sequence of array
        Integers of each image's (H, W): 0 not labelled, else class index + 1.
    config : ModelConfig
    training : TrainingConfig, optional
    validation : tuple of sequences, optional
        Images and labels to choose the best weights and the temperature by. Without them
        the last weights are kept and the temperature is the trained one.
    seed : int
        The same seed gives the same model on the same CPU and number of threads.
    steps : int, optional
        Joint steps; overrides the configuration.
    minutes : float, optional
        Budget of the joint stage, instead of a number of steps. The stages before and after it,
        features, warm-up and description, take their time besides.
    device : str
    checkpoint : path, optional
        Where to keep the state of the joint stage. If the file exists, training resumes,
        with the minutes that are left. Everything but the number of steps must be as it was.
    stop : callable, optional
        Asked after every joint step; True ends the stage early and finishes with the best
        weights so far.
    progress : callable, optional
        Called with every step; what it raises ends the training.

    Returns
    -------
    PrototypeSegmenter
        In evaluation mode, on the training device.

    Raises
    ------
    LabelError, ImageError
        See `prepare`.
    ConfigError
        See `PrototypeSegmenter`; for a budget or a crop size that cannot be, and for the
        checkpoint of another training.
    ModelFileError
        When ``checkpoint`` is a file of another kind.
    """
    if not isinstance(config, ModelConfig):
        raise ConfigError(
            "The third argument of fit is the settings of a model: give ModelConfig(classes=[…])."
        )
    refuse_two_budgets(steps, minutes)
    training = training or TrainingConfig()
    if steps is not None:
        training = training.model_copy(update={"steps": steps})
    path = None if checkpoint is None else Path(checkpoint)
    settings = RunSettings(training, minutes, seed, path, stop or (lambda: False))
    config = config.suited_to(most_pixels(labels))
    data = prepare(images, labels, config)
    held_out = prepare_validation(validation, config)
    with seeded(seed):
        model = PrototypeSegmenter(config, pretrained=config.pretrained)
    model.to(resolve_device(device))
    return run(Trainer(model, data, held_out, settings).run(), progress).model


def refuse_two_budgets(steps: int | None, minutes: float | None) -> None:
    """Make sure that at most one budget is given.

    Raises
    ------
    ConfigError
    """
    if steps is not None and minutes is not None:
        raise ConfigError("The budget is either steps or minutes: give one of them.")


def prepare_validation(validation: Pairs | None, config: ModelConfig) -> list[TrainingImage]:
    """Validation images, checked; a class may be missing among them.

    Raises
    ------
    LabelError
        As `prepare`, and when nothing at all is labelled.
    ImageError
    """
    if validation is None:
        return []
    held_out = prepare(*validation, config, every_class=False)
    if not pixel_counts(held_out, len(config.classes)).any():
        raise LabelError(
            "No pixel of the validation images is labelled: label some, or give no validation."
        )
    return held_out
