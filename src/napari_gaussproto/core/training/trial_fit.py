"""From strokes to a fine-tuned model, with an honest figure: what the Train dock does.

Some strokes are set aside before anything is fitted, and the weights of a trial are judged by
them: how good they are, and after how many steps they are best. Then the final training of that
many steps learns from all strokes, and is what is kept: strokes are few, and a model without
a quarter of them is clearly worse (python -m benchmarks.loop).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.config import TrainingConfig
from napari_gaussproto.core.base.steps import TrainingStep, WithValue, without_pauses
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.labels.strokes import hold_out_strokes
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.fine_tune import fine_tune_steps, fine_tuning
from napari_gaussproto.core.training.pyramid import EncodedImage, encode_pyramid_steps
from napari_gaussproto.core.training.quick_fit import quick_fit_steps

Labels = npt.NDArray[np.uint8]
Encode = Callable[[PrototypeSegmenter, int], Generator[Any, None, EncodedImage]]


@dataclass(frozen=True)
class Learned:
    """A model that learned from strokes end to end.

    Attributes
    ----------
    model : PrototypeSegmenter
    held_out_miou : float or None
        Of the best weights of the trial, on strokes that it did not see; None with too few
        strokes.
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
        Budget, instead of steps.
    stop : callable, optional
        Asked after every step; True ends the trial with its best weights, to which only a
        quick fit to all strokes is added, or the final training as it is.
    **options
        Of `fine_tune_steps`: unlabelled, training, semi_settings, checkpoint. Steps or minutes
        are those of trial and final training together, half of them each at most.

    Yields
    ------
    Tile, QuickStep or TrainingStep
        Instead of "joint" the stage is "trial" or "final", where there are both. What is left
        of a trial includes a final training as long as it may be.

    Raises
    ------
    LabelError, ImageError
        See `quick_fit_steps` and `fine_tune_steps`.
    """

    def anew(by: PrototypeSegmenter, number: int) -> Generator[Any, None, EncodedImage]:
        return encode_pyramid_steps(sources[number], by)

    pauses: list[float] = []
    steps = _learn_steps(
        model,
        sources,
        labels,
        encode or anew,
        stop or (lambda: False),
        pauses,
        scratch=scratch,
        seed=seed,
        minutes=minutes,
        **options,
    )
    return (yield from without_pauses(steps, pauses.append))


def _learn_steps(
    model: PrototypeSegmenter,
    sources: Sequence[ImageSource],
    labels: Sequence[Labels],
    encode: Encode,
    stopped: Callable[[], bool],
    pauses: list[float],
    *,
    scratch: bool,
    seed: int,
    minutes: float | None,
    **options: Any,
) -> Generator[Any, None, Learned]:
    kept, held_out = hold_out_strokes(labels, seed=seed)
    encoded = yield from _all(encode, model, len(sources))
    pauses.clear()
    rest = _Rest(minutes, monotonic(), pauses)
    if held_out is None:
        start = yield from quick_fit_steps(encoded, labels, model, scratch=scratch, seed=seed)
        tuned = yield from fine_tune_steps(
            start.model, sources, labels, seed=seed, minutes=minutes, stop=stopped, **options
        )
        return Learned(tuned, None, _steps_of(tuned))
    settings: TrainingConfig = options.pop("training", None) or fine_tuning()
    halves = _halves(settings.steps)
    first = yield from quick_fit_steps(encoded, kept, model, scratch=scratch, seed=seed)
    pairs = [(s, h) for s, h in zip(sources, held_out, strict=True) if h.any()]
    trial = fine_tune_steps(
        first.model,
        sources,
        kept,
        validation=([s for s, _ in pairs], [h for _, h in pairs]),
        training=settings.model_copy(update={"steps": halves[0]}),
        seed=seed,
        minutes=None if minutes is None else minutes / 2,
        stop=stopped,
        **options,
    )
    tuned = yield from _named("trial", trial, replace(rest, steps=halves[1]))
    judged = tuned.card.history[-1]
    miou, best_step = judged["validation_miou"], int(judged["best_step"])
    if stopped() and best_step:
        encoded = yield from _all(encode, tuned, len(sources))
        final = yield from quick_fit_steps(encoded, labels, tuned, seed=seed)
        return Learned(final.model, miou, _steps_of(tuned))
    start = yield from quick_fit_steps(encoded, labels, model, scratch=scratch, seed=seed)
    if not best_step:
        return Learned(start.model, miou, 0)
    best = best_step if minutes is not None else min(best_step, halves[1])
    options["training"] = settings.model_copy(update={"steps": best})
    options["checkpoint"] = None  # it belongs to the trial
    second = fine_tune_steps(start.model, sources, labels, seed=seed, stop=stopped, **options)
    tuned = yield from _named("final", second)
    return Learned(tuned, miou, _steps_of(tuned))


def _halves(steps: int) -> tuple[int, int]:
    """Steps of the trial, and of the final training at most."""
    return (steps + 1) // 2, max(1, steps // 2)


@dataclass
class _Rest:
    """Seconds that all takes that follows a trial, at most, told during the trial.

    Parameters
    ----------
    minutes : float or None
        Of both trainings, where time is the budget and not steps.
    begun : float
        When the quick fit before the trial began, in seconds.
    pauses : list of float
        Seconds since then in which nothing was done.
    steps : int
        Of the final training.
    """

    minutes: float | None
    begun: float
    pauses: list[float]
    steps: int = 0
    _pace: float | None = None
    _before: float | None = None

    def after(self, step: TrainingStep) -> float | None:
        """Seconds, at the pace of the trial; None while that is not known."""
        if self._before is None:
            self._before = monotonic() - self.begun - sum(self.pauses)
        # What came before the first step comes again before the final training; what comes
        # after the last one, to both trainings, is of that size too.
        others = 2 * self._before
        if self.minutes is not None:
            return 30 * self.minutes + others
        if step.seconds_left is not None and step.total > step.step:
            self._pace = step.seconds_left / (step.total - step.step)
        return None if self._pace is None else self._pace * self.steps + others


def _steps_of(model: PrototypeSegmenter) -> int:
    return int(model.card.history[-1].get("steps", 0))


def _named(
    stage: str,
    steps: Generator[TrainingStep, None, PrototypeSegmenter],
    rest: _Rest | None = None,
) -> Generator[TrainingStep, None, PrototypeSegmenter]:
    """Steps of one of the two trainings."""
    for step in (work := WithValue(steps)):
        if step.stage == "joint":
            further = 0.0 if rest is None else rest.after(step)
            known = step.seconds_left is not None and further is not None
            left = step.seconds_left + further if known else None  # type: ignore[operator]
            step = replace(step, stage=stage, seconds_left=left)
        yield step
    return work.value


def _all(
    encode: Encode, model: PrototypeSegmenter, count: int
) -> Generator[Any, None, list[EncodedImage]]:
    encoded: list[EncodedImage] = []
    for number in range(count):
        encoded += [(yield from encode(model, number))]
    return encoded
