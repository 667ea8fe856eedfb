"""From how many strokes on the novelty map of a quick fit finds a class that nobody painted.

    python -m benchmarks.quality.few_strokes --data PEANUT --fields FIELDS

In each task every class but the first is left out in turn: the simulated person paints the others,
in turns, in large parts at random. AUROC tells the pixels of the class left out from those of the
painted classes, by novelty and by what everybody has, the largest probability. "flagged" are the
pixels of either kind whose novelty is above .95, which would be 5% of what is familiar.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.loop.annotator import components, paint, somewhere
from benchmarks.loop.methods import fitted
from benchmarks.loop.photos import Labels
from benchmarks.loop.tasks import Task, tasks
from napari_gaussproto import segment

STROKES = (3, 6, 12, 24, 48)
MEASURES = ("novelty", "1 - largest probability", "flagged, left out", "flagged, painted")
_FLAG, _PIXELS = 0.95, 20_000


def without(truth: Labels, left_out: int) -> Labels:
    """Labels (H, W) without a class, 0 in its place, and the later classes one lower."""
    labels = truth.copy()
    labels[truth == left_out] = 0
    labels[truth > left_out] -= 1
    return labels


def strokes_of(truth: Labels, rng: np.random.Generator) -> Iterator[Labels]:
    """Labels (H, W) after every of `STROKES`, classes in turns."""
    labels, classes = np.zeros_like(truth), np.unique(truth[truth > 0])
    for number in range(max(STROKES)):
        left = components(0, truth, labels, truth > 0)
        wanted = classes[number % len(classes)]
        paint(labels, truth, somewhere([c for c in left if c.label == wanted] or left, rng), rng)
        if number + 1 in STROKES:
            yield labels.copy()


def measured(task: Task, left_out: int, draw: int) -> Iterator[tuple[float, ...]]:
    """`MEASURES` after every of `STROKES`, on the photograph that was painted on."""
    photo, _ = task.pair(draw)
    rng = task.rng(draw, left_out)
    truth = without(photo.truth, left_out)
    for labels in strokes_of(truth, rng):
        model = fitted("auto", [photo.image], [labels])
        found = segment(photo.image, model)
        judged = np.flatnonzero((labels == 0) & (photo.truth > 0))
        judged = rng.choice(judged, min(_PIXELS, len(judged)), replace=False)
        new = photo.truth.ravel()[judged] == left_out
        novelty = found.novelty().ravel()[judged]
        doubt = 1 - found.class_probabilities().max(0).ravel()[judged]
        shares = [float((novelty[own] > _FLAG).mean()) for own in (new, ~new)]
        yield roc_auc_score(new, novelty), roc_auc_score(new, doubt), *shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--fields", type=Path)
    parser.add_argument("--tasks", nargs="*", default=(), help="names or families; else all open")
    parser.add_argument("--draws", type=int, default=1)
    options = parser.parse_args()
    print(f"| task | left out | strokes | {' | '.join(MEASURES)} |")
    print("| --- " * (len(MEASURES) + 3) + "|")
    for task in tasks(options.data, options.fields, names=options.tasks):
        if len(task.classes) < 3:
            continue
        for left_out in range(2, len(task.classes) + 1):
            rows = np.array([list(measured(task, left_out, d)) for d in range(options.draws)])
            for count, row in zip(STROKES, rows.mean(0), strict=True):
                figures = " | ".join(f"{value:.2f}" for value in row)
                name = task.classes[left_out - 1]
                print(f"| {task.name} | {name} | {count} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
