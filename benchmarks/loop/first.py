"""First impression: one photograph, a stroke of each class, and what is made of it.

from benchmarks.loop.first import run_first
from benchmarks.loop.tasks import tasks
rows = run_first(tasks(peanut=FOLDER), {"mine": fit, "Lab": method("Lab, ridge")}, range(5))
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from benchmarks.loop.annotator import first_strokes
from benchmarks.loop.rivals import Method
from benchmarks.loop.score import Row, judge
from benchmarks.loop.tasks import Task


def run_first(
    tasks: Sequence[Task],
    methods: Mapping[str, Method],
    draws: Iterable[int] = range(5),
    *,
    tell: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Judge methods on the rest of the photograph ("same") and on another one ("other").

    Parameters
    ----------
    tasks : sequence of Task
    methods : mapping of str to Method
        All get the same photographs and strokes.
    draws : iterable of int
        Each with its own photographs and strokes.
    tell : callable, optional
        Called with every row.

    Returns
    -------
    list of dict
        ``task``, ``family``, ``draw``, ``method``, ``seconds`` and, each as `judge` gives it,
        ``same`` and, where there is another photograph with all classes, ``other``.
    """
    rows: list[Row] = []
    chosen = list(draws)
    for task in tasks:
        n_classes = len(task.classes)
        for draw in chosen:
            photo, other = task.pair(draw)
            strokes = first_strokes(photo.truth, task.rng(draw))
            for name, fit in methods.items():
                start = time.perf_counter()
                predict = fit([photo.image], [strokes])
                row = {"task": task.name, "family": task.family, "draw": draw, "method": name}
                row["same"] = judge(predict, [photo], n_classes, [strokes])
                if other is not None:
                    row["other"] = judge(predict, [other], n_classes)
                row["seconds"] = round(time.perf_counter() - start, 2)
                rows.append(row)
                tell(row)
    return rows
