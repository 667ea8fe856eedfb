"""The methods that the annotation loop compares; each is fitted to the same strokes."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import torch
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier

from benchmarks.loop.annotator import Labels
from benchmarks.loop.tasks import Photo, Task
from napari_gaussproto.core.base.config import TERM_WEIGHTS
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.measure.metrics import confusion_matrix, iou, mean_iou
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.fine_tune import FineTuner, TuneSettings, fine_tuning
from napari_gaussproto.core.training.pyramid import EncodedImage, encode_pyramid_steps
from napari_gaussproto.core.training.samples import prepare, shrink_labels
from napari_gaussproto.core.training.semi import SemiSettings
from napari_gaussproto.core.training.trial_fit import trial_fit_steps

# That of soft labels was chosen on other draws, see loop_report.py; the others before any result.
WEIGHTS = TERM_WEIGHTS
TERMS = {
    "supervised": SemiSettings.only(),
    "all terms": SemiSettings.only(**WEIGHTS),
    **{name: SemiSettings.only(**{name: weight}) for name, weight in WEIGHTS.items()},
}
DOCK = "soft_labels, as the dock does"
METHODS = ["quick fit", "random forest", *TERMS, DOCK]
# Methods of all rounds; the others have fewer, to save hours.
MAIN = ("quick fit", "random forest", "supervised", "soft_labels", DOCK)
FURTHER_ROUNDS = (1, 2, 4, 8)
_TREES = 100
_HALF = 2

Row = dict[str, Any]


def run_method(method: str, task: Task, number: int, steps: int) -> Row:
    """Fit a method to the strokes of rounds 1 to ``number`` and judge it."""
    start = time.monotonic()
    extra: Row = {}
    if method == "random forest":
        predict = _forest(task, number)
    elif method == "quick fit":
        predict = _predictor(task.quick(number).model)
    elif method == DOCK:
        model, extra = _as_the_dock(task, number, steps)
        predict = _predictor(model)
    else:
        model, extra = _fine_tuned(task, number, TERMS[method], steps)
        predict = _predictor(model)
    seconds = time.monotonic() - start
    return {
        "annotated": judge(predict, task.annotated),
        "held_out": judge(predict, task.held_out),
        "seconds": round(seconds, 1),
        **extra,
    }


def judge(predict: Callable[[np.ndarray], Labels], photos: Sequence[Photo]) -> Row:
    """IoU by class and its mean, over all pixels of all photographs."""
    n = 3
    confusion = np.zeros((n, n), np.int64)
    for image, truth in photos:
        confusion += confusion_matrix(predict(image), truth, n)
    values = [round(float(v), 4) if np.isfinite(v) else None for v in iou(confusion)]
    return {"miou": round(mean_iou(confusion), 4), "iou": values}


def _predictor(model: PrototypeSegmenter) -> Callable[[np.ndarray], Labels]:
    return lambda image: segment(image, model).labels


def _fine_tuned(
    task: Task, number: int, settings: SemiSettings, steps: int
) -> tuple[PrototypeSegmenter, Row]:
    """From the round's quick fit, to the running average of the weights after the last step."""
    model = copy.deepcopy(task.quick(number).model)
    images, labels = [image for image, _ in task.annotated], task.strokes[number - 1]
    data = prepare(images, labels, model.config, every_class=False)
    how = TuneSettings(fine_tuning(steps=steps), seed=task.seed, semi=settings)
    tuner = FineTuner(model, data, [], how)
    gate: list[float] = []
    for step in tuner.joint():
        gate += [step.losses["gate"]] if "gate" in step.losses else []
    return tuner.model.eval(), {"gate": round(float(np.mean(gate)), 4)} if gate else {}


def _as_the_dock(task: Task, number: int, steps: int) -> tuple[PrototypeSegmenter, Row]:
    """A trial judged by strokes that are set aside, then a training on all: `trial_fit_steps`."""
    learned = run(
        trial_fit_steps(
            task.start,
            [ImageSource.from_array(image, 3) for image, _ in task.annotated],
            task.strokes[number - 1],
            TuneSettings(
                training=fine_tuning(steps=2 * steps, validate_every=max(1, steps // 4)),
                semi=TERMS["soft_labels"],
                seed=task.seed,
            ),
            scratch=task.scratch,
            encode=lambda model, place: _encoded(task, model, place),
        )
    )
    return learned.model.eval(), {"steps": learned.steps, "on strokes": learned.validation_miou}


def _encoded(
    task: Task, model: PrototypeSegmenter, place: int
) -> Generator[Any, None, EncodedImage]:
    if model.extractor.backbone is task.start.extractor.backbone:
        return task.encoded[place]
    return (yield from encode_pyramid_steps(task.annotated[place][0], model))


# -- random forest on filters -------------------------------------------------------------------

_features: dict[int, np.ndarray] = {}


def _forest(task: Task, number: int) -> Callable[[np.ndarray], Labels]:
    """Multi-scale intensity, edge and texture filters of the halved photograph."""
    x, y = [], []
    for (image, _), labels in zip(task.annotated, task.strokes[number - 1], strict=True):
        small = shrink_labels(torch.from_numpy(labels), _HALF, 3).numpy()
        x.append(_filters(image)[small > 0])
        y.append(small[small > 0])
    forest = RandomForestClassifier(_TREES, n_jobs=2, random_state=task.seed)
    forest.fit(np.concatenate(x), np.concatenate(y))

    def predict(image: np.ndarray) -> Labels:
        features = _filters(image)
        flat = forest.predict(features.reshape(-1, features.shape[-1])).astype(np.uint8)
        labels = flat.reshape(features.shape[:2])
        height, width = image.shape[:2]
        return labels.repeat(_HALF, 0).repeat(_HALF, 1)[:height, :width]

    return predict


def _filters(image: np.ndarray) -> np.ndarray:
    if id(image) not in _features:
        height, width = (side // _HALF for side in image.shape[:2])
        blocks = image[: height * _HALF, : width * _HALF].reshape(height, _HALF, width, _HALF, -1)
        _features[id(image)] = multiscale_basic_features(
            blocks.mean((1, 3)) / 255, sigma_min=0.5, sigma_max=16, channel_axis=-1
        ).astype(np.float32)
    return _features[id(image)]
