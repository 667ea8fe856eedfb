"""From strokes to a fine-tuned model, with a figure of how good it is: what the Train dock does.

Some strokes are set aside before anything is fitted, and the weights of a trial are judged by
them: how good they are, and after how many steps they are best. As the best of several looks that
figure is rather too high than too low, and is told so. Then the final training of that
many steps learns from all strokes, and is what is kept: strokes are few, and a model without
a quarter of them is clearly worse (python -m benchmarks.loop). Of photographs that are labelled
densely, whole ones are set aside.

Strokes are drawn where a fit is wrong, so strokes alone would favour any change: what the fit is
sure of has to stay, too (`core/measure/agreement.py`).

Where little is labelled only the network of a new model is taken from a training. Its head is
fitted in closed form as before, which knows better how common the classes are.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import Any

from napari_gaussproto.core.base.steps import TrainingStep, WithValue, run, without_pauses
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.labels.amount import Amount
from napari_gaussproto.core.labels.check import Labels
from napari_gaussproto.core.labels.strokes import Data, hold_out
from napari_gaussproto.core.measure.agreement import faithful, sure_labels
from napari_gaussproto.core.model.labelled import first_planes, labelled_planes, most_pixels
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.descent import Trained
from napari_gaussproto.core.training.fine_tune import TuneSettings, fine_tune_steps, fine_tuning
from napari_gaussproto.core.training.full_fit import Pairs, refuse_two_budgets
from napari_gaussproto.core.training.pyramid import EncodedImage, encode_pyramid_steps
from napari_gaussproto.core.training.quick_fit import QuickFit, quick_fit_steps
from napari_gaussproto.core.training.samples import known_labels
from napari_gaussproto.core.training.semi import SemiSettings
from napari_gaussproto.core.training.start import begin

# The few labels that judge must see a clear gain in mean IoU: five dense photographs of one field
# say little of another one.
_LEAD = 0.05

Encode = Callable[[PrototypeSegmenter, int], Generator[Any, None, EncodedImage]]


def fine_tune(
    images: Any,
    labels: Any,
    model: PrototypeSegmenter | Path | str,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    unlabelled: Any = (),
    semi: SemiSettings | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Callable[[Any], None] | None = None,
) -> PrototypeSegmenter:
    """Train a model end to end on strokes, as the Fine-tune button of the Train dock does.

    A trial learns from three quarters of the strokes and is judged by the others; then as many
    steps as were best are taken on all strokes. A training that brings no clear gain, or that
    changes what the quick fit was sure of, is not kept: then the result is a quick fit.

    Parameters
    ----------
    images, labels : array or sequence of array
        As for `quick_fit`.
    model : PrototypeSegmenter, path or str
        Where to begin: a model, the file of one, or the name of a shipped one. The model itself
        is not changed.
    minutes : float, optional
    steps : int, optional
        The budget is one of them, of which giving both is refused; by default the steps of
        `fine_tuning`. Minutes are those of the trainings; features, and at last the description of
        the prototypes, take some seconds more.
    unlabelled : array or sequence of array
        Further images (H, W) or (H, W, C) that may teach; of stacks the first plane.
    semi : SemiSettings, optional
        Terms for what is not labelled; by default none.
    seed : int
        The same seed gives the same model on the same CPU and number of threads.
    device : str
        See `resolve_device`.
    progress : callable, optional
        Called with every step; see `trial_fit_steps`.

    Returns
    -------
    PrototypeSegmenter

    Raises
    ------
    LabelError, ImageError, ConfigError, ModelFileError
        When it cannot be trained; the sentence says what to do.
    """
    refuse_two_budgets(steps, minutes)
    base, scratch = begin(model, device=device, pixels=most_pixels(labels))
    planes = labelled_planes(images, labels, base)
    sources, masks = [source for source, _ in planes], [mask for _, mask in planes]
    amount = Amount.of(masks, [source.data_mask for source in sources])
    training = fine_tuning(amount, **({} if steps is None else {"steps": steps}))
    settings = TuneSettings(training, minutes, seed, semi=semi or SemiSettings())
    further = first_planes(unlabelled, base)
    trial = trial_fit_steps(base, sources, masks, settings, unlabelled=further, scratch=scratch)
    return run(trial, progress).model


def trial_fit_steps(
    model: PrototypeSegmenter,
    sources: Sequence[ImageSource],
    labels: Sequence[Labels],
    settings: TuneSettings | None = None,
    *,
    unlabelled: Sequence[ImageSource] = (),
    scratch: bool = False,
    encode: Encode | None = None,
    in_use: PrototypeSegmenter | None = None,
) -> Generator[Any, None, Trained]:
    """Train on part of the strokes to see what is best, then on all of them.

    Parameters
    ----------
    model : PrototypeSegmenter
        Where to start; it is not changed.
    sources : sequence of ImageSource
    labels : sequence of array
        (H, W) of each image: 0 not labelled, else class index + 1. Labels of pixels without
        data count nowhere.
    settings : TuneSettings, optional
        Steps and minutes are those of both trainings together; of the steps, half each at most.
        The seed also chooses which strokes are set aside, the checkpoint is that of the trial,
        and to the best weights of a trial that is stopped only a quick fit to all strokes is
        added.
    unlabelled : sequence of ImageSource
        Further images that may teach.
    scratch : bool
        See `quick_fit_steps`; a model that such a fit made is fitted so again.
    encode : callable, optional
        Gives the features of an image by its number, where some are kept already.
    in_use : PrototypeSegmenter, optional
        What is kept when it is stopped before the trial begins; by default ``model``, if that was
        fitted ever. Without either it is a quick fit to all strokes.

    Yields
    ------
    Tile or TrainingStep
        Instead of "joint" the stage is "trial" or "final", where there are both. What is left
        of a trial includes a final training as long as it may be.

    Returns
    -------
    Trained
        What is kept, with the mean IoU of the best weights of the trial on strokes that it did
        not see, or None with too few strokes. The steps are 0 when training only did harm, or
        did not begin.

    Raises
    ------
    LabelError, ImageError, ConfigError
        See `quick_fit_steps` and `fine_tune_steps`.
    """

    def anew(by: PrototypeSegmenter, number: int) -> Generator[Any, None, EncodedImage]:
        return encode_pyramid_steps(sources[number], by)

    settings = settings or TuneSettings()
    in_use = in_use or (None if scratch else model)
    scratch = scratch or _in_closed_form(model)
    # Before any are set aside: those that judge, or are learned from, must be there.
    known = known_labels(sources, labels, model.config)
    work = _Work(model, sources, known, settings, unlabelled, scratch, encode or anew, in_use)
    return (yield from without_pauses(work.steps(), work.pauses.append))


@dataclass(frozen=True)
class _Work:
    """A trial and a final training, and the seconds in which they were paused."""

    model: PrototypeSegmenter
    sources: Sequence[ImageSource]
    labels: Sequence[Labels]
    settings: TuneSettings
    unlabelled: Sequence[ImageSource]
    scratch: bool
    encode: Encode
    in_use: PrototypeSegmenter | None
    pauses: list[float] = field(default_factory=list)

    @cached_property
    def amount(self) -> Amount:
        return Amount.of(self.labels, self._data)

    @property
    def refits(self) -> bool:
        """Whether the head is fitted in closed form after a training, too."""
        return self.scratch and not self.amount.pays

    @property
    def _data(self) -> list[Data | None]:
        return [source.data_mask for source in self.sources]

    def steps(self) -> Generator[Any, None, Trained]:
        settings, labels, model = self.settings, self.labels, self.model
        kept, held_out = hold_out(labels, seed=settings.seed, data=self._data)
        encoded = yield from self._encoded(model)
        self.pauses.clear()
        rest = _Rest(settings.minutes, monotonic(), self.pauses)
        if settings.stop():
            return (yield from self._untrained(encoded))
        if held_out is None:
            start = yield from self._quick(encoded, labels)
            if settings.stop():
                return Trained(self.in_use or start, 0, 0, None)
            return (yield from self._with_head(self._tune(start, labels, settings)))
        longest = settings.training.steps
        half, other = (longest + 1) // 2, max(1, longest // 2)
        fitted = yield from self._quick_fit(encoded, kept)
        start = fitted.model
        if settings.stop():
            return (yield from self._untrained(encoded))
        numbers = [number for number, mask in enumerate(held_out) if mask.any()]
        pairs = [self.sources[n] for n in numbers], [held_out[n] for n in numbers]
        minutes = None if settings.minutes is None else settings.minutes / 2
        # What is kept comes of another fit, which describes it.
        judged = replace(_limited(settings, half), minutes=minutes, at_once=True, finish=False)
        judged = replace(judged, lead=_LEAD)
        if self.refits:
            # Strokes judge where their photographs teach, too; see `hold_out`.
            by_strokes = any(kept[n].any() for n in numbers)
            sure = self._sure(fitted, numbers) if by_strokes else None
            judged = replace(judged, judge=self._judge_of(kept, numbers, sure))
        trial = self._tune(start, kept, judged, pairs)
        tried = yield from _named("trial", trial, replace(rest, steps=other))
        if settings.stop() and tried.best_step:
            return replace(tried, model=(yield from self._fitted(tried.model, labels)).model)
        start = yield from self._quick(encoded, labels)
        if not tried.best_step:
            return replace(tried, model=start, steps=0)
        best = tried.best_step if minutes is not None else min(tried.best_step, other)
        # The checkpoint belongs to the trial, and time is no budget any more.
        last = replace(_limited(settings, best), minutes=None, checkpoint=None)
        last = replace(last, finish=not self.refits)
        tuned = yield from self._with_head(_named("final", self._tune(start, labels, last)))
        return replace(
            tuned,
            validation_miou=tried.validation_miou,
            looks=tried.looks,
            astray=tuned.astray or tried.astray,
        )

    def _untrained(self, encoded: list[EncodedImage]) -> Generator[Any, None, Trained]:
        """What is kept of a training that is stopped before its trial."""
        return Trained(self.in_use or (yield from self._quick(encoded, self.labels)), 0, 0, None)

    def _encoded(self, by: PrototypeSegmenter) -> Generator[Any, None, list[EncodedImage]]:
        """The images; not all of them where it is stopped, and there is a model to keep."""
        encoded: list[EncodedImage] = []
        for number in range(len(self.sources)):
            for step in (work := WithValue(self.encode(by, number))):
                if self._given_up:
                    return encoded
                yield step
            if self._given_up:
                return encoded
            encoded.append(work.value)
        return encoded

    @property
    def _given_up(self) -> bool:
        return self.in_use is not None and self.settings.stop()

    def _fitted(
        self, model: PrototypeSegmenter, labels: Sequence[Labels]
    ) -> Generator[Any, None, QuickFit]:
        """A quick fit on the network of a model that was trained."""
        encoded = []
        for source in self.sources:
            encoded += [(yield from encode_pyramid_steps(source, model))]
        seed = self.settings.seed
        steps = quick_fit_steps(encoded, labels, model, scratch=self.refits, seed=seed)
        return (yield from steps)

    def _with_head(self, training: Generator[Any, None, Trained]) -> Generator[Any, None, Trained]:
        trained = yield from training
        if not self.refits:
            return trained
        return replace(trained, model=(yield from self._fitted(trained.model, self.labels)).model)

    def _sure(self, fitted: QuickFit, numbers: Sequence[int]) -> list[Labels]:
        """What a fit is sure of in images of these numbers."""
        found = [fitted.model.decode(fitted.encodings[n]) for n in numbers]
        return [sure_labels(one, self.labels[n]) for one, n in zip(found, numbers, strict=True)]

    def _judge_of(
        self, labels: Sequence[Labels], numbers: Sequence[int], sure: Sequence[Labels] | None
    ) -> Any:
        """As the judge of the settings, of the model that a quick fit to labels would make.

        It judges by the images of these numbers, whose cells the fit knows already, and by what
        is ``sure`` there; see `faithful`.
        """
        judge = self.settings.judge if sure is None else faithful(self.settings.judge, sure)

        def steps(model: PrototypeSegmenter, pairs: Any) -> Generator[int, None, float]:
            for _ in (work := WithValue(self._fitted(model, labels))):
                yield 1
            cells = [work.value.encodings[number] for number in numbers]
            known = [(own, mask) for own, (_, mask) in zip(cells, pairs, strict=True)]
            return (yield from judge(work.value.model, known))

        return steps

    def _quick(
        self, encoded: list[EncodedImage], labels: Sequence[Labels]
    ) -> Generator[Any, None, PrototypeSegmenter]:
        """The start of a training: a quick fit to what it will learn from."""
        return (yield from self._quick_fit(encoded, labels)).model

    def _quick_fit(
        self, encoded: list[EncodedImage], labels: Sequence[Labels]
    ) -> Generator[Any, None, QuickFit]:
        seed = self.settings.seed
        steps = quick_fit_steps(encoded, labels, self.model, scratch=self.scratch, seed=seed)
        return (yield from steps)

    def _tune(
        self,
        start: PrototypeSegmenter,
        labels: Sequence[Labels],
        settings: TuneSettings,
        validation: Pairs | None = None,
    ) -> Generator[TrainingStep, None, Trained]:
        further = self.unlabelled
        return fine_tune_steps(
            start, self.sources, labels, settings, unlabelled=further, validation=validation
        )


def _in_closed_form(model: PrototypeSegmenter) -> bool:
    """Whether a quick fit from scratch made the prototypes, and nobody changed them since."""
    last = model.card.history[-1] if model.card.history else {}
    return last.get("what") == "quick fit" and bool(last.get("scratch"))


def _limited(settings: TuneSettings, steps: int) -> TuneSettings:
    return replace(settings, training=settings.training.model_copy(update={"steps": steps}))


@dataclass
class _Rest:
    """Estimates the seconds that remain after a trial at most, to show the time left."""

    minutes: float | None  # of both trainings, where time is the budget and not steps
    begun: float  # when the quick fit before the trial began, in seconds
    pauses: list[float]  # seconds since then in which nothing was done
    steps: int = 0  # of the final training
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


def _named(
    stage: str,
    steps: Generator[TrainingStep, None, Trained],
    rest: _Rest | None = None,
) -> Generator[TrainingStep, None, Trained]:
    """Steps of one of the two trainings."""
    for step in (work := WithValue(steps)):
        if step.stage == "joint":
            further = 0.0 if rest is None else rest.after(step)
            known = step.seconds_left is not None and further is not None
            left = step.seconds_left + further if known else None  # type: ignore[operator]
            step = replace(step, stage=stage, seconds_left=left)
        yield step
    return work.value
