"""How well the cells of a class are told that a model has never seen, and rivals.

    python -m benchmarks.quality.left_out --data PEANUT --fields FIELDS

A quick fit from the start "auto" learns from dense masks of a few photographs, without one of
their classes; cells of that class in other photographs are to be told from those of the classes
that it knows. The rivals are max softmax and energy of a linear head on the same cells (of two
classes both order cells alike). Tasks: photographs of peanut (train to learn, val to judge),
synthetic fields and pictures of `benchmarks.loop` with three classes or more. Writes a table
(JSON and Markdown).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score

from benchmarks.loop.photos import Photo
from benchmarks.loop.tasks import field_tasks, tasks
from benchmarks.measuring import save
from benchmarks.quality.controls import cells_of
from benchmarks.quality.novelty import doubts, linear_head, peanut
from napari_gaussproto import Segmentation, quick_fit, segment
from napari_gaussproto.io.images import read_image, read_mask

# Photographs to learn from and to judge by, cells of a class of each, and the share of a cell
# that is of its class.
_LEARN, _JUDGE, _CELLS, _PURE = 5, 4, 400, 0.9
# Synthetic fields, and cells of a class that they must show to be asked.
_FIELDS, _LEAST = 2, 50
MEASURES = ("novelty", "density", "max softmax", "energy")
Set = tuple[str, tuple[str, ...], list[Photo], list[Photo]]


def sets(data: Path, fields: Path) -> Iterator[Set]:
    """Name, classes, photographs to learn from, and those that judge."""
    parts = []
    for split, count in (("train", _LEARN), ("val", _JUDGE)):
        found = peanut(data, split)
        parts.append([_photo(*pair) for pair in found[:: len(found) // count][:count]])
    yield "peanut", ("soil", "crop", "weed"), parts[0], parts[1]
    shown = 0
    for task in [*tasks(), *field_tasks(fields, sealed=False, most=30)]:
        photos = [make() for make in task.makers]
        if task.family == "fields":
            half = len(photos) // 2
            learn, judge = photos[:half], photos[half:]
            if shown == _FIELDS or not (_rich(learn) and _rich(judge)):
                continue
            shown += 1
        else:
            learn, judge = task.sets(0)
        if len(task.classes) > 2:
            yield task.name, task.classes, learn, judge[:_JUDGE]


def _photo(image: Path, mask: Path) -> Photo:
    return Photo(np.asarray(read_image(image)), read_mask(mask) + np.uint8(1), "")


def _rich(photos: list[Photo]) -> bool:
    """Whether all three classes of a field are there in some number of cells of 8 px."""
    counts = sum(np.bincount(photo.truth.ravel(), minlength=4)[1:4] for photo in photos)
    return bool(np.min(counts) >= 2 * _LEAST * 64)


def without(truth: npt.NDArray[np.uint8], left: int) -> npt.NDArray[np.uint8]:
    """Labels (H, W) without a class, the later ones one less."""
    known: npt.NDArray[np.uint8] = np.where(truth == left, 0, truth - (truth > left))
    return known.astype(np.uint8)


def scores(segmentation: Segmentation, head: Any) -> dict[str, npt.NDArray[Any]]:
    """What each measure says of every cell, (N,); the larger, the more novel."""
    return {
        "novelty": segmentation.novelty(cells=True).ravel(),
        "density": -segmentation.log_density(cells=True).ravel(),
        **doubts(head, segmentation.encoding.latents),
    }


def measure(case: Set, left: int) -> dict[str, float] | None:
    """AUROC of each measure where the class of a label is left out; None if it is not there."""
    _, classes, learn, judge = case
    names = [name for number, name in enumerate(classes, start=1) if number != left]
    images, masks = zip(*_labelled(learn, left), strict=True)
    model = quick_fit(list(images), list(masks), "auto", classes=names)
    cells = cells_of(model, list(images), list(masks))
    head = linear_head(cells.values, cells.majority)
    rng, found, new = np.random.default_rng(0), [], []
    for photo in judge:
        segmentation = segment(photo.image, model)
        truth = torch.tensor(photo.truth)
        target, weight = segmentation.encoding.partition.targets(truth, len(classes))
        pure = (target.max(1).values > _PURE) & (weight > 0)
        given = torch.where(pure, target.argmax(1), -1).numpy()
        chosen = np.concatenate([_some(given == c, rng) for c in range(len(classes))])
        values = scores(segmentation, head)
        found.append({name: values[name][chosen] for name in MEASURES})
        new.append(given[chosen] == left - 1)
    unknown = np.concatenate(new)
    if unknown.sum() < _LEAST:
        return None
    joined = {name: np.concatenate([own[name] for own in found]) for name in MEASURES}
    return {name: float(roc_auc_score(unknown, values)) for name, values in joined.items()}


def _labelled(photos: list[Photo], left: int) -> Iterator[tuple[Any, npt.NDArray[np.uint8]]]:
    for photo in photos:
        mask = without(photo.truth, left)
        if mask.any():
            yield photo.image, mask


def _some(own: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Places of some of the cells (N,)."""
    return rng.permutation(np.flatnonzero(own))[:_CELLS]


def markdown(rows: dict[str, dict[str, float]]) -> str:
    """The table, with the mean; the best of a row is bold."""
    mean = {name: float(np.mean([row[name] for row in rows.values()])) for name in MEASURES}
    lines = [f"| left out | {' | '.join(MEASURES)} |", "| --- " * (len(MEASURES) + 1) + "|"]
    for kind, row in [*rows.items(), ("mean", mean)]:
        best = max(round(value, 3) for value in row.values())
        cells = [f"{row[name]:.3f}" for name in MEASURES]
        bold = [f"**{cell}**" if float(cell) == best else cell for cell in cells]
        lines.append(f"| {kind} | {' | '.join(bold)} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fields", type=Path, required=True)
    options = parser.parse_args(arguments)
    rows: dict[str, dict[str, float]] = {}
    for case in sets(options.data, options.fields):
        name, classes, *_ = case
        # All ground is soil: without it nothing of a photograph of a field would be known.
        first = 1 if classes[0] == "soil" else 0
        for number in range(first, len(classes)):
            row = measure(case, number + 1)
            if row is not None:
                rows[f"{name}: {classes[number]}"] = {m: round(v, 4) for m, v in row.items()}
                print(name, classes[number], row, flush=True)
    command = "python -m benchmarks.quality.left_out --data PEANUT --fields FIELDS"
    save("left-out", command, {"auroc": rows}, markdown(rows))


if __name__ == "__main__":
    main()
