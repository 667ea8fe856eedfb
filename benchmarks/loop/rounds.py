"""Rounds of strokes: every method is corrected where it is wrong itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from benchmarks.loop.annotator import paint_round
from benchmarks.loop.photos import Labels, Photo
from benchmarks.loop.rivals import Method, Predict
from benchmarks.loop.score import Row, judge, score
from benchmarks.loop.tasks import Task

ROUNDS = range(1, 9)


def run_rounds(
    tasks: Sequence[Task],
    methods: Mapping[str, Method],
    draws: Iterable[int] = range(5),
    *,
    rounds: Sequence[int] = ROUNDS,
    tell: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Judge methods after several rounds of strokes, on the annotated and on other photographs.

    Parameters
    ----------
    tasks : sequence of Task
    methods : mapping of str to Method
    draws : iterable of int
        Each with its own photographs and strokes.
    rounds : sequence of int
        After which methods are judged.
    tell : callable, optional
        Called with every row.

    Returns
    -------
    list of dict
        ``task``, ``family``, ``draw``, ``method``, ``round``, ``seconds`` of the fit and, each
        as `judge` gives it, ``annotated`` and ``held_out``.
    """
    rows: list[Row] = []
    chosen = list(draws)
    for task in tasks:
        for draw in chosen:
            annotated, judges = task.sets(draw)
            for name, fit in methods.items():
                about = {"task": task.name, "family": task.family, "draw": draw, "method": name}
                corrected = corrections(task, draw, annotated, fit, max(rounds))
                for number, (_, predict, judged, seconds) in enumerate(corrected, start=1):
                    if number in rounds:
                        row: Row = {**about, "round": number, "annotated": judged}
                        row["held_out"] = judge(predict, judges, len(task.classes))
                        rows.append(row | {"seconds": round(seconds, 2)})
                        tell(rows[-1])
    return rows


def corrections(
    task: Task, draw: int, annotated: Sequence[Photo], fit: Method, rounds: int
) -> Iterator[tuple[list[Labels], Predict, Row, float]]:
    """After each round all labels, what the method makes of them, its score and its seconds."""
    truths = [photo.truth for photo in annotated]
    labels = [np.zeros_like(truth) for truth in truths]
    predictions = None
    for number in range(1, rounds + 1):
        labels = paint_round(truths, labels, predictions, task.rng(draw, number))
        start = time.perf_counter()
        predict = fit([photo.image for photo in annotated], labels)
        seconds = time.perf_counter() - start
        predictions = [predict(photo.image) for photo in annotated]
        yield labels, predict, score(predictions, annotated, len(task.classes), labels), seconds
