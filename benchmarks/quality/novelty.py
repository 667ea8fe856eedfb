"""How well a model tells photographs that are unlike its training photographs, and its rivals.

    python -m benchmarks.quality.novelty --data PEANUT --fields FIELDS

Learns from the train split what photographs look like, unless the model knows; judges on the val
split. Others are synthetic fields of other crops (even numbers, which are open), the pictures and
textures of `benchmarks.loop`, pictures in scikit-image, and the val photographs through other eyes.
Also tells how many prototypes explain a pixel, with and without temperature.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage import data
from sklearn.metrics import roc_auc_score

from benchmarks.loop.photos import OPEN_EYES, Photo
from benchmarks.loop.tasks import tasks
from napari_gaussproto import PrototypeSegmenter, Segmentation, learn_look, load_model, segment
from napari_gaussproto.io.images import read_image, read_mask

Picture = tuple[str, Any]
_SCENES = ("astronaut", "coffee", "chelsea", "rocket", "retina", "immunohistochemistry")
# Photographs seen through other eyes, and of each further task.
_EYES, _OF_TASK = 10, 4
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


def scores(segmentation: Segmentation, model: PrototypeSegmenter) -> dict[str, float]:
    """What each measure says; the larger, the less like the training."""
    with torch.no_grad():
        mixture = model.layer.scores(segmentation.encoding.latents)
        posterior = mixture.class_log_posterior.exp()
        joint = mixture.class_log_likelihood + model.layer.log_prior
        energy = -(joint / model.layer.temperature).logsumexp(1)
    novelty = segmentation.photo_novelty()
    return {
        "photo novelty": -1.0 if novelty is None else novelty,
        "density of latents": float(segmentation.novelty(cells=True).mean()),
        "max softmax": -float(posterior.max(1).values.mean()),
        "energy": float(energy.mean()),
    }


@torch.no_grad()
def effective_prototypes(segmentation: Segmentation, model: PrototypeSegmenter) -> dict[str, Any]:
    """Exponential of the mean entropy of responsibilities, and without temperature.

    Over all cells, and over those that are less than 90 % sure.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fields", type=Path)
    parser.add_argument("--model", default="peanut-grid")
    parser.add_argument("--every", type=int, default=1, help="only every n-th photograph")
    options = parser.parse_args()
    model = load_model(options.model)
    if model.familiarity is None:
        train = peanut(options.data, "train")[:: options.every]
        learn_look(model, [read_image(image) for image, _ in train])
    found: dict[str, list[dict[str, float]]] = {}
    effective: list[dict[str, Any]] = []
    for kind, image in pictures(peanut(options.data, "val")[:: options.every], options.fields):
        image = image if image.ndim == 2 else image[..., :3]
        segmentation = segment(np.ascontiguousarray(image), model)
        found.setdefault(kind, []).append(scores(segmentation, model))
        if kind == "val":
            effective.append(effective_prototypes(segmentation, model))
    report(found, effective)


def report(found: dict[str, list[dict[str, float]]], effective: list[dict[str, Any]]) -> None:
    """Print the tables."""
    print(f"| unlike | pictures | {' | '.join(MEASURES)} | called unlike |")
    print("| --- " * (len(MEASURES) + 3) + "|")
    for kind, own in found.items():
        alarms = np.mean([entry["photo novelty"] >= 0.95 for entry in own])
        figures = [_auroc(found["val"], own, m) if kind != "val" else "" for m in MEASURES]
        print(f"| {kind} | {len(own)} | {' | '.join(figures)} | {alarms:.0%} |")
    for name in effective[0] if effective else ():
        every, close = np.nanmean([entry[name] for entry in effective], axis=0)
        print(
            f"effective prototypes a cell, {name}: {every:.2f}, where classes compete {close:.2f}"
        )


def _auroc(like: list[dict[str, float]], unlike: list[dict[str, float]], measure: str) -> str:
    values = [entry[measure] for entry in [*like, *unlike]]
    return f"{roc_auc_score([0] * len(like) + [1] * len(unlike), values):.3f}"


if __name__ == "__main__":
    main()
