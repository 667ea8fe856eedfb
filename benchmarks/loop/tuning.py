"""Does a fine-tune pay? Against the quick fit that it begins with, from the same labels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from benchmarks.loop.annotator import first_strokes
from benchmarks.loop.methods import fitted, predictor, quick
from benchmarks.loop.photos import Image, Labels
from benchmarks.loop.rounds import ROUNDS, corrections
from benchmarks.loop.score import Row, judge
from benchmarks.loop.tasks import Task
from napari_gaussproto import PrototypeSegmenter, SemiSettings, fine_tune
from napari_gaussproto.core.base.config import TERM_WEIGHTS
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.labels.amount import Amount
from napari_gaussproto.core.training.fine_tune import TuneSettings, fine_tune_steps, fine_tuning
from napari_gaussproto.core.training.pyramid import encode_pyramid
from napari_gaussproto.core.training.quick_fit import quick_fit_steps

MOST = 5
FIRST, STROKES = "three strokes", f"{len(ROUNDS)} rounds of strokes"
AMOUNTS = ["1 dense", "2 dense", f"{MOST} dense", STROKES]
AMOUNTS_OF_TERMS = [FIRST, "2 dense", STROKES]
TERMS = {
    "supervised": SemiSettings.only(),
    **{name: SemiSettings.only(**{name: weight}) for name, weight in TERM_WEIGHTS.items()},
}

Labelled = tuple[list[Image], list[Labels]]


def run_tuning(
    tasks: Sequence[Task],
    draws: Iterable[int] = range(3),
    *,
    start: str = "auto",
    steps: int | None = None,
    terms: Sequence[str] = (),
    amounts: Sequence[str] = AMOUNTS,
    tell: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Judge quick fits and fine-tunes on photographs that nobody labelled.

    Parameters
    ----------
    tasks : sequence of Task
    draws : iterable of int
    start : str
        Of the quick fit; see `quick`.
    steps : int, optional
        The budget; by default that of `fine_tune`.
    terms : sequence of str
        Train with each of these `TERMS` alone, without a trial, instead of `fine_tune` as a
        person calls it.
    amounts : sequence of str
        "2 dense" for so many photographs that are labelled densely; `FIRST`, a stroke of each
        class on one photograph; or `STROKES`: those that correct the quick fit, on 4 photographs.
    tell : callable, optional
        Called with every row.

    Returns
    -------
    list of dict
        As of `run_rounds`, with ``labels`` instead of the round.
    """
    rows: list[Row] = []
    chosen = list(draws)
    for task in tasks:
        for draw in chosen:
            _, judges = task.sets(draw, MOST)
            for amount, (images, labels) in _labelled(task, draw, start, amounts):
                model = fitted(start, images, labels, seed=draw)
                for name, make in _contenders(model, images, labels, draw, steps, terms):
                    begun = time.perf_counter()
                    made = make()
                    seconds = round(time.perf_counter() - begun, 1)
                    row: Row = {"task": task.name, "family": task.family, "draw": draw}
                    row |= {"labels": amount, "method": name, "seconds": seconds}
                    row["held_out"] = judge(predictor(made), judges, len(task.classes))
                    rows.append(row)
                    tell(row)
    return rows


def _labelled(
    task: Task, draw: int, start: str, amounts: Sequence[str]
) -> Iterator[tuple[str, Labelled]]:
    """What is labelled, and how it is called."""
    annotated, _ = task.sets(draw, MOST)
    for amount in amounts:
        if amount == FIRST:
            strokes = first_strokes(annotated[0].truth, task.rng(draw, 1))
            yield FIRST, ([annotated[0].image], [strokes])
        elif amount == STROKES:
            photos = annotated[:4]
            *_, (labels, *_) = corrections(task, draw, photos, quick(start), len(ROUNDS))
            yield amount, ([photo.image for photo in photos], labels)
        elif (count := int(amount.split()[0])) <= len(annotated):
            photos = annotated[:count]
            yield amount, ([p.image for p in photos], [p.truth for p in photos])


def _contenders(
    model: PrototypeSegmenter,
    images: list[Image],
    labels: list[Labels],
    seed: int,
    steps: int | None,
    terms: Sequence[str],
) -> Iterator[tuple[str, Callable[[], PrototypeSegmenter]]]:
    yield "quick fit", lambda: model
    if not terms:
        yield "fine-tune", lambda: fine_tune(images, labels, model, steps=steps, seed=seed)
        return
    amount = Amount.of(labels)
    training = fine_tuning(amount, **({} if steps is None else {"steps": steps}))
    for name in terms:
        how = TuneSettings(training, seed=seed, semi=TERMS[name])
        yield name, lambda how=how: _alone(model, images, labels, how, refits=not amount.pays)


def _alone(
    model: PrototypeSegmenter,
    images: list[Image],
    labels: list[Labels],
    how: TuneSettings,
    *,
    refits: bool,
) -> PrototypeSegmenter:
    """A fine-tune without a trial; from strokes with the head in closed form, as `fine_tune`."""
    tuned = run(fine_tune_steps(model, images, labels, how)).model
    if not refits:
        return tuned
    encoded = [encode_pyramid(image, tuned) for image in images]
    return run(quick_fit_steps(encoded, labels, tuned, scratch=True)).model
