"""From strokes to a fine-tuned model, with an honest figure: what the Train dock does.

Some strokes are set aside before anything is fitted, and the weights of a first training are
judged by them: how good it is, and after how many steps it is best. Then a second one of that
many steps learns from all strokes, and is what is kept: strokes are few, and a model without
a quarter of them is clearly worse (python -m benchmarks.loop).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.config import TrainingConfig
from napari_gaussproto.core.encoded import EncodedImage, encode_pyramid_steps
from napari_gaussproto.core.fine_tune import fine_tune_steps, fine_tuning, hold_out_strokes
from napari_gaussproto.core.image import ImageSource
from napari_gaussproto.core.quick import quick_fit_steps
from napari_gaussproto.core.segmenter import PrototypeSegmenter

Labels = npt.NDArray[np.uint8]
Encode = Callable[[PrototypeSegmenter, int], Generator[Any, None, EncodedImage]]


@dataclass(frozen=True)
class Learned:
    """A model that learned from strokes end to end.

    Attributes
    ----------
    model : PrototypeSegmenter
    held_out_miou : float or None
        Of the best weights of the first training, on strokes that it did not see; None with
        too few strokes.
    steps : int
        Of the end-to-end training that is kept; 0 when it only did harm.
    """

    model: PrototypeSegmenter
    held_out_miou: float | None
    steps: int


def learn_steps(
    model: PrototypeSegmenter,
    sources: Sequence[ImageSource],
    labels: Sequence[Labels],
    *,
    scratch: bool = False,
    encode: Encode | None = None,
    seed: int = 0,
    minutes: float | None = None,
    stop: Callable[[], bool] | None = None,
    **options: Any,
) -> Generator[Any, None, Learned]:
    """Train on part of the strokes to see what is best, then on all of them.

    Parameters
    ----------
    model : PrototypeSegmenter
        Where to start; it is not changed.
    sources : sequence of ImageSource
    labels : sequence of array
        Integers of each image's (H, W): 0 not labelled, else class index + 1.
    scratch : bool
        See `quick_fit_steps`.
    encode : callable, optional
        Gives the features of an image by its number, where some are kept already.
    seed : int
        Also of the choice which strokes are set aside.
    minutes : float, optional
        Budget of both trainings together, instead of the steps of each.
    stop : callable, optional
        Asked after every step; True ends the first training with its best weights, to which
        only a quick fit to all strokes is added, or the second one as it is.
    **options
        Of `fine_tune_steps`: unlabelled, training, semi_settings, checkpoint.

    Yields
    ------
    Tile, QuickStep or TrainingStep
        Those of the second training have "final" as stage instead of "joint".

    Raises
    ------
    LabelError, ImageError
        See `quick_fit_steps` and `fine_tune_steps`.
    """

    def anew(by: PrototypeSegmenter, number: int) -> Generator[Any, None, EncodedImage]:
        return encode_pyramid_steps(sources[number], by)

    encode, stopped = encode or anew, stop or (lambda: False)
    kept, held_out = hold_out_strokes(labels, seed=seed)
    encoded = yield from _all(encode, model, len(sources))
    if held_out is None:
        start = yield from quick_fit_steps(encoded, labels, model, scratch=scratch, seed=seed)
        tuned = yield from fine_tune_steps(
            start.model, sources, labels, seed=seed, minutes=minutes, stop=stopped, **options
        )
        return Learned(tuned, None, _steps_of(tuned))
    first = yield from quick_fit_steps(encoded, kept, model, scratch=scratch, seed=seed)
    pairs = [(s, h) for s, h in zip(sources, held_out, strict=True) if h.any()]
    tuned = yield from fine_tune_steps(
        first.model,
        sources,
        kept,
        validation=([s for s, _ in pairs], [h for _, h in pairs]),
        seed=seed,
        minutes=None if minutes is None else minutes / 2,
        stop=stopped,
        **options,
    )
    judged = tuned.card.history[-1]
    miou, best_step = judged["validation_miou"], int(judged["best_step"])
    if stopped():
        encoded = yield from _all(encode, tuned, len(sources))
        final = yield from quick_fit_steps(encoded, labels, tuned, seed=seed)
        return Learned(final.model, miou, _steps_of(tuned))
    start = yield from quick_fit_steps(encoded, labels, model, scratch=scratch, seed=seed)
    if not best_step:
        return Learned(start.model, miou, 0)
    settings: TrainingConfig = options.pop("training", None) or fine_tuning()
    options["training"] = settings.model_copy(update={"steps": best_step})
    options["checkpoint"] = None  # it belongs to the first training
    second = fine_tune_steps(start.model, sources, labels, seed=seed, stop=stopped, **options)
    tuned = yield from _as_final(second)
    return Learned(tuned, miou, _steps_of(tuned))


def _steps_of(model: PrototypeSegmenter) -> int:
    return int(model.card.history[-1].get("steps", 0))


def _as_final(
    steps: Generator[Any, None, PrototypeSegmenter],
) -> Generator[Any, None, PrototypeSegmenter]:
    """Steps of the training that is kept."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            model: PrototypeSegmenter = end.value
            return model
        yield replace(step, stage="final") if step.stage == "joint" else step


def _all(
    encode: Encode, model: PrototypeSegmenter, count: int
) -> Generator[Any, None, list[EncodedImage]]:
    encoded: list[EncodedImage] = []
    for number in range(count):
        encoded += [(yield from encode(model, number))]
    return encoded
