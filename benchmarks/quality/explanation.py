"""Localisation of prototypes: superpixel model against grid model.

    python -m benchmarks.quality.explanation --data FOLDER [--models peanut-grid peanut-superpixel]

Claim (c) of the method, tested on the test photographs: both models at equal activated area.
Nothing is chosen by these figures. Writes a table (JSON and Markdown) and a picture.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.measuring import RESULTS, save
from benchmarks.quality.localisation import (
    boundary_recall,
    inside_outside_contrast,
    mask_iou,
    most_activated,
    precision,
)
from napari_gaussproto import PrototypeSegmenter, Segmentation, load_model, segment
from napari_gaussproto.core.measure.metrics import confusion_matrix, mean_iou
from napari_gaussproto.io.dataset import load_split, read_train_file

CONFIG = Path("configs/peanut-grid.toml")
# A class counts as present from this share of a photograph on.
PRESENT = 0.005
TOP = 0.2
NOISE = 0.2
PATCH_SIDES = (24, 96)
# Photographs for the test that needs a forward pass for every prototype.
MISALIGNMENT_PHOTOS = 6
NAMES = {
    "miou": "mean IoU",
    "boundary_recall": "boundary recall (2 px)",
    "precision": "localisation precision",
    "contrast": "inside-outside contrast",
    "purity": "purity of the 10 nearest test cells",
    "stability": "stability under noise",
    "effective": "effective prototypes a pixel",
    "activation_change_24": "activation change, 24 px patch kept",
    "mask_change_24": "mask change, 24 px patch kept",
    "activation_change_96": "activation change, 96 px patch kept",
    "mask_change_96": "mask change, 96 px patch kept",
}


@dataclass
class Photo:
    """A test photograph with its labels and what a model says about it."""

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    result: Segmentation


def measure(model: PrototypeSegmenter, images: list[Any], labels: list[Any]) -> dict[str, float]:
    """All measures of one model, averaged over prototypes and photographs."""
    photos = [
        Photo(image, mask, segment(image, model))
        for image, mask in zip(images, labels, strict=True)
    ]
    values: dict[str, list[float]] = defaultdict(list)
    n = len(model.classes)
    confusion = sum(confusion_matrix(p.result.labels, p.labels, n) for p in photos)
    values["miou"].append(mean_iou(confusion))
    values["purity"] += purities(model, photos)
    rng = np.random.default_rng(0)
    for number, photo in enumerate(photos):
        values["boundary_recall"].append(boundary_recall(photo.result.labels, photo.labels))
        values["effective"].append(effective_prototypes(photo.result))
        noisy = segment(with_noise(photo.pixels, rng), model)
        for m in present_prototypes(photo):
            truth = photo.labels == photo.result.prototypes[m].class_index + 1
            activation = photo.result.log_likelihood(m)
            # As many pixels as half the true area of the class: the same for both models.
            activated = most_activated(activation, int(truth.sum()) // 2)
            values["precision"].append(precision(activated, truth))
            typicality = photo.result.likelihood(m)
            values["contrast"].append(inside_outside_contrast(typicality, truth))
            count = int(TOP * truth.size)
            values["stability"].append(
                mask_iou(
                    most_activated(activation, count),
                    most_activated(noisy.log_likelihood(m), count),
                )
            )
        if number < MISALIGNMENT_PHOTOS:
            for side in PATCH_SIDES:
                for activation_change, mask_change in misalignments(model, photo, side, rng):
                    values[f"activation_change_{side}"].append(activation_change)
                    values[f"mask_change_{side}"].append(mask_change)
    return {key: round(float(np.nanmean(values[key])), 4) for key in NAMES}


def present_prototypes(photo: Photo) -> Iterator[int]:
    """Active prototypes whose class occurs in a photograph."""
    share = np.bincount(photo.labels.ravel(), minlength=255)[1:] / photo.labels.size
    for m, prototype in enumerate(photo.result.prototypes):
        if photo.result.active[m] and share[prototype.class_index] >= PRESENT:
            yield m


def with_noise(pixels: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    noisy = pixels / 255 + rng.normal(0, NOISE, pixels.shape)
    changed: npt.NDArray[np.uint8] = (noisy.clip(0, 1) * 255).astype(np.uint8)
    return changed


def purities(model: PrototypeSegmenter, photos: list[Photo], count: int = 10) -> list[float]:
    """Largest class share among each prototype's nearest test cells, two a photograph."""
    shares = []
    for m in range(len(photos[0].result.prototypes)):
        nearest: list[tuple[float, int]] = []
        for photo in photos:
            partition = photo.result.encoding.partition
            target, weight = partition.targets(
                torch.from_numpy(photo.labels), len(photo.result.classes)
            )
            with torch.no_grad():
                values = model.layer.scores(photo.result.encoding.latents).log_likelihood[:, m]
            values[weight == 0] = -torch.inf
            best = values.topk(2).indices
            nearest += [(float(values[i]), int(target[i].argmax())) for i in best]
        classes = [c for _, c in sorted(nearest, reverse=True)[:count]]
        shares.append(np.bincount(classes).max() / len(classes))
    return shares


def effective_prototypes(result: Segmentation) -> float:
    """Exponential of the entropy of the responsibilities, mean over the cells."""
    shares = np.stack([result.responsibility(m, cells=True) for m in range(len(result.prototypes))])
    entropy = -(shares * np.log(shares.clip(1e-12))).sum(0)
    return float(np.exp(entropy).mean())


def misalignments(
    model: PrototypeSegmenter, photo: Photo, side: int, rng: np.random.Generator
) -> Iterator[tuple[float, float]]:
    """What noise outside a prototype's best patch changes inside it, for each prototype.

    Yields the change of typicality at the patch's middle, in [0, 1], and 1 - IoU of the half
    of the patch that is activated most. 0 and 0 when a prototype sees its patch alone.
    """
    for m in present_prototypes(photo):
        activation = photo.result.log_likelihood(m)
        half = side // 2
        inner = activation[half:-half, half:-half]
        y, x = divmod(int(inner.argmax()), inner.shape[1])
        window = np.s_[y : y + side, x : x + side]
        replaced = rng.integers(0, 256, photo.pixels.shape, dtype=np.uint8)
        replaced[window] = photo.pixels[window]
        after = segment(replaced, model)
        middle = (y + half, x + half)
        change = abs(float(photo.result.likelihood(m)[middle] - after.likelihood(m)[middle]))
        count = side * side // 2
        before_mask = most_activated(activation[window], count)
        after_mask = most_activated(after.log_likelihood(m)[window], count)
        yield change, 1 - mask_iou(before_mask, after_mask)


def markdown(rows: dict[str, dict[str, float]]) -> str:
    lines = ["| measure | " + " | ".join(rows) + " |", "|" + " --- |" * (len(rows) + 1)]
    for key, name in NAMES.items():
        lines.append(f"| {name} | " + " | ".join(f"{row[key]:.3f}" for row in rows.values()) + " |")
    return "\n".join(lines) + "\n"


def picture(models: dict[str, PrototypeSegmenter], image: Any, labels: Any) -> Figure:
    """A photograph, and the best prototype of each plant class as each model places it."""
    figure = Figure(figsize=(13, 6.2), layout="constrained")
    FigureCanvasAgg(figure)
    all_classes = next(iter(models.values())).classes
    classes = all_classes[1:]
    axes = figure.subplots(len(classes), len(models) + 1, squeeze=False)
    results = {name: segment(image, model) for name, model in models.items()}
    for row, entry in zip(axes, classes, strict=True):
        truth = labels == all_classes.index(entry) + 1
        row[0].imshow(image)
        row[0].contour(truth, levels=[0.5], colors=entry.color, linewidths=1)
        row[0].set_title(f"photograph, outline of {entry.name} as labelled", loc="left")
        for axis, (name, result) in zip(row[1:], results.items(), strict=True):
            share = result.prototype_share()
            class_index = all_classes.index(entry)
            own = [m for m, p in enumerate(result.prototypes) if p.class_index == class_index]
            best = own[int(share[own].argmax())]
            axis.imshow(result.likelihood(best), cmap="magma", vmin=0, vmax=1)
            axis.contour(truth, levels=[0.5], colors="white", linewidths=0.7)
            axis.set_title(f"{name}: {result.prototypes[best].name}", loc="left")
        for axis in row:
            axis.set_axis_off()
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=["peanut-grid", "peanut-superpixel"])
    options = parser.parse_args()
    images, labels = load_split(read_train_file(CONFIG).data, options.data, "test")
    models = {Path(name).stem: load_model(name, "cpu") for name in options.models}
    rows = {}
    for name, model in models.items():
        rows[name] = measure(model, images, labels)
        print(name, rows[name], flush=True)
    command = "python -m benchmarks.quality.explanation --data FOLDER"
    save("explanation", command, {"models": rows}, markdown(rows))
    shown = max(range(len(images)), key=lambda i: np.count_nonzero(labels[i] == 3))
    picture(models, images[shown], labels[shown]).savefig(RESULTS / "explanation.png", dpi=80)


if __name__ == "__main__":
    main()
