"""Strokes are set aside before anything is fitted, and come back at the end."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from napari_gaussproto.core.base import steps as steps_module
from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.labels.amount import DENSE_PAYS
from napari_gaussproto.core.measure.evaluation import validation_steps
from napari_gaussproto.core.model.encoding import Encoding
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training import trial_fit
from napari_gaussproto.core.training.descent import Clock, Trained
from napari_gaussproto.core.training.fine_tune import TuneSettings, fine_tuning
from napari_gaussproto.core.training.pyramid import encode_pyramid
from napari_gaussproto.core.training.quick_fit import quick_fit_steps
from napari_gaussproto.core.training.semi import SemiSettings
from napari_gaussproto.core.training.trial_fit import trial_fit_steps
from tests.core.builders import tiny_model, two_tone


def strokes(rows: tuple[int, ...]) -> Any:
    truth = two_tone()[1]
    labels = np.zeros_like(truth)
    for row in rows:
        labels[row : row + 3] = truth[row : row + 3]
    return labels


def source() -> ImageSource:
    return ImageSource.from_array(two_tone()[0], 3)


def trial(labels: Any, seed: int = 0, **settings: Any) -> Generator[Any, None, Trained]:
    """A trial and a final training of a tiny model on one image."""
    return trial_fit_steps(tiny_model(seed), [source()], [labels], TuneSettings(**settings))


def judge_by(figure: Callable[[Any, Any], float]) -> Any:
    """A function of model and validation images says how good the model is."""

    def steps(model: Any, pairs: Any) -> Generator[int, None, float]:
        yield 1
        return figure(model, pairs)

    return steps


def pauses_by(monkeypatch: pytest.MonkeyPatch, clock: Callable[[], float]) -> None:
    """Measure pauses by another clock; one that stands still sees none."""
    monkeypatch.setattr(steps_module, "time", SimpleNamespace(monotonic=clock))


@pytest.fixture
def quick_fits(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Labels of the first image in every quick fit."""
    seen: list[Any] = []

    def watched(encoded: Any, labels: Any, *rest: Any, **options: Any) -> Any:
        seen.append(labels[0].copy())
        return quick_fit_steps(encoded, labels, *rest, **options)

    monkeypatch.setattr(trial_fit, "quick_fit_steps", watched)
    return seen


def test_held_out_strokes_are_unseen_until_the_last_fit(quick_fits: list[Any]) -> None:
    labels = strokes((10, 30, 50, 70))
    training = fine_tuning(steps=4, batch_size=2, crop_size=64, validate_every=1)
    learned = run(trial(labels, training=training))
    first, last = quick_fits
    assert 0 < (first > 0).sum() < (labels > 0).sum()
    assert np.array_equal(last, labels)
    assert learned.validation_miou is not None and 0 <= learned.validation_miou <= 1
    assert 0 <= learned.steps <= 2


class ThreeSteps(Clock):
    """A budget in minutes ends after three steps; steps are counted as ever."""

    def over(self, step: int) -> bool:
        return step >= (self.steps if self.seconds is None else 3)


class TenSeconds(Clock):
    """Says that every step takes ten seconds."""

    def left(self, step: int) -> float:
        return 10.0 * (self.steps - step)


class OneStep(Clock):
    """Ends after one step, and says that seven seconds are left."""

    def over(self, step: int) -> bool:
        return step >= 1

    def left(self, step: int) -> float:
        return 7.0


@pytest.mark.parametrize("minutes", [None, 10.0])
def test_the_final_training_is_as_long_as_the_trial_was_good(minutes: float | None) -> None:
    """Validation after 1, 2 and 3 steps is made to be best after the second.

    A trial of ten minutes is ended by its figures, not by the clock.
    """
    figures = iter([0.3, 0.4, 0.6, 0.5])
    judge = judge_by(lambda *_: next(figures))
    training = fine_tuning(steps=6, batch_size=2, crop_size=64, validate_every=1)
    labels = strokes((10, 30, 50, 70))
    seen: list[Any] = []
    learned = run(
        trial(labels, training=training, minutes=minutes, judge=judge, clock=ThreeSteps),
        seen.append,
    )
    stages = [getattr(step, "stage", "") for step in seen]
    assert stages.count("trial") == 3 and "joint" not in stages
    assert stages.count("final") == 2 and learned.steps == 2
    assert learned.validation_miou == 0.6


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_both_trainings_together_keep_to_the_steps(steps: int) -> None:
    """Every validation is better than the one before, so that both are as long as may be."""
    figures = iter(float(n) for n in range(100))
    judge = judge_by(lambda *_: next(figures))
    training = fine_tuning(steps=steps, batch_size=2, crop_size=64, validate_every=1)
    seen: list[Any] = []
    labels = strokes((10, 30, 50, 70))
    run(trial(labels, training=training, judge=judge), seen.append)
    stages = [getattr(step, "stage", "") for step in seen]
    assert stages.count("trial") + stages.count("final") == max(2, steps)


def test_time_left_speaks_of_both_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that says 10 s a step: 3 + 3 steps are 60 s, less those that are done."""
    options: dict[str, Any] = {"judge": judge_by(lambda *_: 0.5), "clock": TenSeconds}
    monkeypatch.setattr(trial_fit, "monotonic", lambda: 0.0)
    pauses_by(monkeypatch, lambda: 0.0)
    training = fine_tuning(steps=6, batch_size=2, crop_size=64, validate_every=1)
    seen: list[Any] = []
    labels = strokes((10, 30, 50, 70))
    run(trial(labels, training=training, **options), seen.append)
    left = [step.seconds_left for step in seen if getattr(step, "stage", "") == "trial"]
    assert left == [50.0, 40.0, 30.0]
    # Five seconds until the first step of the trial: as long again before the final training,
    # and about as long for what comes after the last steps.
    clock = itertools.count(0.0, 5.0)
    monkeypatch.setattr(trial_fit, "monotonic", lambda: next(clock))
    seen.clear()
    run(trial(labels, training=training, **options), seen.append)
    left = [step.seconds_left for step in seen if getattr(step, "stage", "") == "trial"]
    assert left == [60.0, 50.0, 40.0]


def test_a_pause_does_not_make_the_rest_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"judge": judge_by(lambda *_: 0.5), "clock": TenSeconds}
    now = [0.0]  # only a pause takes time
    monkeypatch.setattr(trial_fit, "monotonic", lambda: now[0])
    pauses_by(monkeypatch, lambda: now[0])

    def pause(step: Any) -> None:
        seen.append(step)
        if getattr(step, "stage", "") == "layer":
            now[0] += 600

    training = fine_tuning(steps=6, batch_size=2, crop_size=64, validate_every=1)
    seen: list[Any] = []
    run(trial(strokes((10, 30, 50, 70)), training=training, **options), pause)
    left = [step.seconds_left for step in seen if getattr(step, "stage", "") == "trial"]
    assert now[0] > 0 and left == [50.0, 40.0, 30.0]


def test_time_left_of_a_budget_in_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_fit, "monotonic", lambda: 0.0)
    pauses_by(monkeypatch, lambda: 0.0)
    judge = judge_by(lambda *_: 0.5)
    training = fine_tuning(steps=6, batch_size=2, crop_size=64, validate_every=1)
    seen: list[Any] = []
    labels = strokes((10, 30, 50, 70))
    run(trial(labels, training=training, minutes=4.0, judge=judge, clock=OneStep), seen.append)
    (step,) = [step for step in seen if getattr(step, "stage", "") == "trial"]
    assert step.seconds_left == 7.0 + 2 * 60


def test_training_that_only_does_harm_is_not_kept() -> None:
    figures = iter([0.9, 0.4])
    judge = judge_by(lambda *_: next(figures))
    training = fine_tuning(steps=1, batch_size=2, crop_size=64, validate_every=1)
    learned = run(trial(strokes((10, 30, 50, 70)), training=training, judge=judge))
    assert learned.steps == 0 and learned.validation_miou == 0.9


def test_stopping_before_it_was_better_leaves_the_quick_fit(quick_fits: list[Any]) -> None:
    asked: list[int] = []

    def judged(*_: Any) -> float:
        asked.append(1)
        return -len(asked) / 10

    labels = strokes((10, 30, 50, 70))
    training = fine_tuning(steps=50, batch_size=2, crop_size=64)
    stopped = trial(labels, training=training, judge=judge_by(judged), stop=lambda: bool(asked))
    assert run(stopped).steps == 0 and np.array_equal(quick_fits[-1], labels)


@pytest.mark.parametrize("scratch", [False, True])
def test_a_stop_between_two_tiles_keeps_what_there_was(
    quick_fits: list[Any], scratch: bool
) -> None:
    """Of a new model that is what is in use, else the model that it began with."""
    labels, base = strokes((10, 30, 50, 70)), tiny_model()
    in_use = tiny_model(seed=1) if scratch else None
    tiles: list[int] = []

    def encode(by: PrototypeSegmenter, number: int) -> Generator[Any, None, Any]:
        for _ in range(3):
            tiles.append(number)
            yield number
        return encode_pyramid(source(), by)

    settings = TuneSettings(fine_tuning(steps=2), stop=lambda: len(tiles) > 3)
    options: dict[str, Any] = {"encode": encode, "scratch": scratch, "in_use": in_use}
    learned = run(trial_fit_steps(base, [source()] * 3, [labels] * 3, settings, **options))
    assert learned.model is (in_use or base) and learned.steps == 0
    assert tiles == [0, 0, 0, 1] and not quick_fits


@pytest.mark.parametrize("rows", [(10,), (10, 30, 50, 70)])
def test_a_stop_without_a_fitted_model_leaves_one_quick_fit(
    quick_fits: list[Any], rows: tuple[int, ...]
) -> None:
    labels = strokes(rows)
    settings = TuneSettings(fine_tuning(steps=2), stop=lambda: True)
    learned = run(trial_fit_steps(tiny_model(), [source()], [labels], settings, scratch=True))
    assert learned.steps == 0 and learned.model.card.last_entry.what == "quick fit"
    assert len(quick_fits) == 1 and np.array_equal(quick_fits[0], labels)


def test_a_stop_in_the_first_quick_fit_begins_no_trial(quick_fits: list[Any]) -> None:
    base, labels = tiny_model(), strokes((10, 30, 50, 70))
    settings = TuneSettings(fine_tuning(steps=2), stop=lambda: bool(quick_fits))
    steps: list[Any] = []
    learned = run(trial_fit_steps(base, [source()], [labels], settings), steps.append)
    assert learned.model is base and len(quick_fits) == 1
    assert not {"validation", "trial"} & {getattr(step, "stage", "") for step in steps}


def test_stopping_early_still_learns_from_all_strokes(quick_fits: list[Any]) -> None:
    labels = strokes((10, 30, 50, 70))
    training = fine_tuning(steps=50, batch_size=2, crop_size=64)
    figures = itertools.count()
    asked: list[int] = []

    def judged(*_: Any) -> float:
        asked.append(1)
        return next(figures) / 10

    training = fine_tuning(steps=50, batch_size=2, crop_size=64, validate_every=1)
    # The start, then the first step, have been judged.
    stopped = trial(labels, training=training, judge=judge_by(judged), stop=lambda: len(asked) > 1)
    learned = run(stopped)
    assert learned.steps == learned.best_step == 1 and len(asked) == learned.looks == 2
    assert np.array_equal(quick_fits[-1], labels)


def test_one_stroke_a_class_gives_no_figure() -> None:
    labels = np.zeros((96, 128), np.uint8)
    labels[10:13, 10:40] = 1
    labels[60:63, 60:90] = 2
    training = fine_tuning(steps=1, batch_size=2, crop_size=64)
    learned = run(trial(labels, training=training))
    assert learned.validation_miou is None


def killed_after(steps: Any, stage: str, count: int) -> None:
    """Drive a training until a stage had some steps, then drop it as a kill would."""
    seen = 0
    for step in steps:
        seen += getattr(step, "stage", "") == stage
        if seen == count:
            return
    raise AssertionError(f"the training never had {count} steps of the stage {stage}")


@pytest.mark.parametrize(("stage", "count"), [("trial", 2), ("trial", 3), ("final", 1)])
def test_after_a_kill_it_comes_to_the_same_end(tmp_path: Path, stage: str, count: int) -> None:
    """In the middle, after the last validation, and in the second training.

    The figure is how far the prototypes moved, so that the last weights are the best.
    """
    start: list[Any] = []

    def distance(model: Any, pairs: Any) -> float:
        start[:] = start or [model.layer.mean.clone()]
        return float((model.layer.mean - start[0]).abs().sum())

    def steps(checkpoint: Path | None) -> Any:
        training = fine_tuning(
            steps=6, batch_size=2, crop_size=64, validate_every=1, learning_rate=4e-3
        )
        labels = strokes((10, 30, 50, 70))
        judge = judge_by(distance)
        return trial(labels, training=training, checkpoint=checkpoint, judge=judge)

    unbroken = run(steps(None))
    assert unbroken.steps > 0
    checkpoint = tmp_path / "learning.safetensors"
    killed_after(steps(checkpoint), stage, count)
    assert checkpoint.exists()
    resumed = run(steps(checkpoint))
    assert (resumed.validation_miou, resumed.steps) == (unbroken.validation_miou, unbroken.steps)
    for ours, theirs in zip(resumed.model.parameters(), unbroken.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_another_network_does_not_go_on_with_the_checkpoint(tmp_path: Path) -> None:
    checkpoint = tmp_path / "learning.safetensors"
    training = fine_tuning(steps=2, batch_size=2, crop_size=64, validate_every=1)
    options = {"training": training, "checkpoint": checkpoint}
    labels = strokes((10, 30, 50, 70))
    killed_after(trial(labels, **options), "trial", 1)
    with pytest.raises(ConfigError, match="another backbone"):
        run(trial(labels, seed=1, **options))
    other = SemiSettings.only(affinity=0.3)
    with pytest.raises(ConfigError, match="another terms"):
        run(trial(labels, semi=other, **options))


def in_closed_form(labels: Any, **changes: Any) -> PrototypeSegmenter:
    """A model whose head a quick fit has made anew."""
    model = tiny_model(**changes)
    encoded = [encode_pyramid(source(), model)]
    return run(quick_fit_steps(encoded, [labels], model, scratch=True)).model


@pytest.mark.parametrize("partition", ["grid", "superpixel"])
def test_from_strokes_the_head_is_in_closed_form_and_judged_so(partition: str) -> None:
    labels = strokes((10, 30, 50, 70))
    model = in_closed_form(labels, partition=partition)
    seen: list[PrototypeSegmenter] = []

    def figure(judged: PrototypeSegmenter, pairs: Any) -> float:
        seen.append(judged)
        return float(len(seen))

    training = fine_tuning(steps=4, batch_size=2, crop_size=64, validate_every=1)
    settings = TuneSettings(training, judge=judge_by(figure))
    learned = run(trial_fit_steps(model, [source()], [labels], settings))
    assert learned.steps == 2 and len(seen) == 3
    for fitted in (*seen, learned.model):
        assert fitted.card.last_entry.what == "quick fit" and fitted.card.history[-1]["scratch"]
        assert fitted.layer.n_prototypes == len(model.classes)
        assert torch.equal(*fitted.layer.scale_tril[:2])
    # The network is the one that was trained.
    assert not torch.equal(
        next(learned.model.extractor.neck.parameters()), next(model.extractor.neck.parameters())
    )
    assert [entry["what"] for entry in learned.model.card.history].count("fine-tune") == 1


def test_the_cells_of_the_fit_are_judged_and_not_computed_again() -> None:
    """The figure is that of the images themselves."""
    labels, photographs = strokes((10, 30, 50, 70)), [source(), source()]
    figures: list[tuple[float, float]] = []

    def judge(model: Any, pairs: Any) -> Generator[int, None, float]:
        assert all(isinstance(cells, Encoding) for cells, _ in pairs)
        whole = run(validation_steps(model, [(photographs[0], mask) for _, mask in pairs]))
        figures.append(((yield from validation_steps(model, pairs)), whole))
        return figures[-1][0]

    training = fine_tuning(steps=2, batch_size=2, crop_size=64, validate_every=1)
    settings = TuneSettings(training, judge=judge)
    run(trial_fit_steps(in_closed_form(labels), photographs, [labels] * 2, settings))
    assert len(figures) == 2 and all(ours == theirs for ours, theirs in figures)


def test_from_dense_photographs_the_head_is_trained_and_a_photograph_judges() -> None:
    labels = np.ones((96, 128), np.uint8)
    labels[:, 64:] = 2
    judges: list[Any] = []

    def figure(judged: Any, pairs: Any) -> float:
        judges.append([mask for _, mask in pairs])
        return float(len(judges))

    training = fine_tuning(steps=2, batch_size=2, crop_size=64, validate_every=1)
    settings = TuneSettings(training, judge=judge_by(figure))
    model = in_closed_form(labels)
    sources = [source() for _ in range(DENSE_PAYS)]
    learned = run(trial_fit_steps(model, sources, [labels] * DENSE_PAYS, settings))
    assert learned.model.card.last_entry.what == "fine-tune"
    assert all(len(masks) == 1 and np.array_equal(masks[0], labels) for masks in judges)


def test_an_edited_head_is_not_fitted_anew() -> None:
    labels = strokes((10, 30, 50, 70))
    model = in_closed_form(labels)
    model.card.log("rename", prototypes=[model.prototypes[0].name])
    model.prototypes[0].name = "bare soil"
    training = fine_tuning(steps=2, batch_size=2, crop_size=64, validate_every=1)
    figures = itertools.count()
    settings = TuneSettings(training, judge=judge_by(lambda *_: float(next(figures))))
    learned = run(trial_fit_steps(model, [source()], [labels], settings))
    assert learned.steps and learned.model.prototypes[0].name == "bare soil"


@pytest.mark.parametrize("count", [1, DENSE_PAYS])
@pytest.mark.parametrize(("gain", "kept"), [(0.01, False), (0.2, True)])
def test_a_little_better_is_not_enough(gain: float, kept: bool, count: int) -> None:
    """However much is labelled: photographs of one field say little of another one."""
    labels = strokes((10, 30, 50, 70))
    if count > 1:
        labels = np.repeat(np.uint8([1, 2]), 64)[None].repeat(96, 0)
    figures = itertools.chain([0.5], itertools.repeat(0.5 + gain))
    training = fine_tuning(steps=2, batch_size=2, crop_size=64, validate_every=1)
    settings = TuneSettings(training, judge=judge_by(lambda *_: next(figures)))
    sources = [source() for _ in range(count)]
    learned = run(trial_fit_steps(in_closed_form(labels), sources, [labels] * count, settings))
    assert bool(learned.steps) == kept
    assert learned.validation_miou == pytest.approx(0.5 + gain * kept)
