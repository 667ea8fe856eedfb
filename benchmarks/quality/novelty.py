"""How well a model tells photographs that are unlike its training photographs, and its rivals.

    python -m benchmarks.quality.novelty --data PEANUT --fields FIELDS

Learns from the train split what photographs look like, unless the model knows; judges on the val
split. Others are synthetic fields of other crops (even numbers, which are open), the pictures and
textures of `benchmarks.loop`, pictures in scikit-image, and the val photographs through other eyes.
The rivals are max softmax and energy (Liu et al. 2020) of a linear head on the same latents. Also
tells how many prototypes explain a pixel, with and without temperature. Writes a table (JSON and
Markdown).
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import logsumexp
from skimage import data
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from benchmarks.loop.photos import OPEN_EYES, Photo
from benchmarks.loop.tasks import tasks
from benchmarks.measuring import save
from benchmarks.quality.controls import cells_of
from napari_gaussproto import PrototypeSegmenter, Segmentation, learn_look, load_model, segment
from napari_gaussproto.core.model.familiarity import FALSE_ALARMS
from napari_gaussproto.io.images import read_image, read_mask

Picture = tuple[str, Any]
_SCENES = ("astronaut", "coffee", "chelsea", "rocket", "retina", "immunohistochemistry")
# Photographs seen through other eyes, and of each further task.
_EYES, _OF_TASK = 10, 4
# The linear head learns from every so many photographs.
_OF_HEAD = 3
MEASURES = ("photo novelty", "density of latents", "max softmax", "energy")


def peanut(folder: Path, split: str) -> list[tuple[Path, Path]]:
    """Images and masks of a split."""
    with (folder / "index.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    return [(folder / "images" / row["image"], folder / "masks" / row["mask"]) for row in rows]


def pictures(val: list[tuple[Path, Path]], fields: Path | None) -> Iterator[Picture]:
    """All pictures that judge, each with its kind; "val" is like the training."""
    for image, _ in val:
        yield "val", read_image(image)
    for path in sorted(fields.glob("*_a.png")) if fields else ():
        if int(path.name.split("_")[0]) % 2 == 0:
            yield "other crops", read_image(path)
    for task in tasks():
        for make in task.makers[:_OF_TASK]:
            yield "something else", make().image
    for name in _SCENES:
        yield "something else", getattr(data, name)()
    for (_, name), eye in OPEN_EYES.items():
        for image, mask in val[:: max(1, len(val) // _EYES)] if name != "as it is" else ():
            truth = read_mask(mask) + np.uint8(1)
            yield name, eye(Photo(np.asarray(read_image(image)), truth, "")).image


def linear_head(values: Any, classes: Any) -> LogisticRegression:
    """What most people would put in the place of prototypes, fitted to latents (N, D)."""
    head = LogisticRegression(class_weight="balanced", max_iter=500)
    return head.fit(np.asarray(values), np.asarray(classes))


def doubts(head: LogisticRegression, values: Any) -> dict[str, Any]:
    """What a linear head says of cells (N, D), (N,) each; the larger, the less familiar."""
    values = np.asarray(values)
    logits = values @ head.coef_.T + head.intercept_
    # Of two classes scikit-learn keeps the difference; halves have the same softmax.
    logits = logits if logits.shape[1] > 1 else np.concatenate([-logits, logits], 1) / 2
    energy = -logsumexp(logits, 1)
    return {"max softmax": -np.exp(logits.max(1) + energy), "energy": energy}


def scores(segmentation: Segmentation, head: LogisticRegression) -> dict[str, float]:
    """What each measure says; the larger, the less like the training."""
    novelty = segmentation.photo_novelty()
    doubt = doubts(head, segmentation.encoding.latents)
    return {
        "photo novelty": -1.0 if novelty is None else novelty,
        "density of latents": float(segmentation.novelty(cells=True).mean()),
        **{name: float(values.mean()) for name, values in doubt.items()},
    }


@torch.no_grad()
def effective_prototypes(segmentation: Segmentation, model: PrototypeSegmenter) -> dict[str, Any]:
    """Exponential of the mean entropy of responsibilities, and without temperature.

    Over all cells, and over those that are less than 90% sure.
    """
    mixture = model.layer.scores(segmentation.encoding.latents)
    close = mixture.class_log_posterior.exp().max(1).values < 0.9

    def of(log_share: torch.Tensor) -> list[float]:
        entropy = -(log_share.exp() * log_share).sum(1)
        return [float(entropy.exp().mean()), float(entropy[close].exp().mean())]

    return {
        "with temperature": of(mixture.log_responsibility),
        "without": of(mixture.log_assignment),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fields", type=Path)
    parser.add_argument("--model", default="peanut-grid")
    parser.add_argument("--every", type=int, default=1, help="only every n-th photograph")
    options = parser.parse_args(arguments)
    model = load_model(options.model)
    train = peanut(options.data, "train")[:: options.every]
    if model.familiarity is None:
        learn_look(model, [read_image(image) for image, _ in train])
    few = train[::_OF_HEAD]
    masks = [read_mask(mask) + np.uint8(1) for _, mask in few]
    cells = cells_of(model, [read_image(image) for image, _ in few], masks)
    head = linear_head(cells.values, cells.majority)
    found: dict[str, list[dict[str, float]]] = {}
    effective: list[dict[str, Any]] = []
    for kind, image in pictures(peanut(options.data, "val")[:: options.every], options.fields):
        image = image if image.ndim == 2 else image[..., :3]
        segmentation = segment(np.ascontiguousarray(image), model)
        found.setdefault(kind, []).append(scores(segmentation, head))
        if kind == "val":
            effective.append(effective_prototypes(segmentation, model))
    command = "python -m benchmarks.quality.novelty --data PEANUT --fields FIELDS"
    command += f" --model {Path(options.model).stem}"
    command += f" --every {options.every}" if options.every > 1 else ""
    rounded = {kind: [_rounded(entry) for entry in own] for kind, own in found.items()}
    result = {"pictures": rounded, "effective prototypes": effective}
    save("novelty", command, result, markdown(found, effective))


def _rounded(entry: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 5) for name, value in entry.items()}


def markdown(found: dict[str, list[dict[str, float]]], effective: list[dict[str, Any]]) -> str:
    """AUROC against the val photographs, of each kind and measure."""
    lines = [f"| unlike | pictures | {' | '.join(MEASURES)} | called unlike |"]
    lines.append("| --- " * (len(MEASURES) + 3) + "|")
    for kind, own in found.items():
        alarms = np.mean([entry["photo novelty"] >= 1 - FALSE_ALARMS for entry in own])
        figures = [_auroc(found["val"], own, m) if kind != "val" else "" for m in MEASURES]
        lines.append(f"| {kind} | {len(own)} | {' | '.join(figures)} | {alarms:.0%} |")
    for name in effective[0]:
        every, close = np.nanmean([entry[name] for entry in effective], axis=0)
        line = (
            f"Effective prototypes a cell, {name}: {every:.2f}, where classes compete {close:.2f}."
        )
        lines += ["", line]
    return "\n".join(lines)


def _auroc(like: list[dict[str, float]], unlike: list[dict[str, float]], measure: str) -> str:
    values = [entry[measure] for entry in [*like, *unlike]]
    return f"{roc_auc_score([0] * len(like) + [1] * len(unlike), values):.3f}"


if __name__ == "__main__":
    main()
