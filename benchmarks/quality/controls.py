"""What the prototypes of a model explain, beside controls in the same latents.

    python -m benchmarks.quality.controls --data FOLDER [--models peanut-grid plants]

Controls: as many prototypes of each class at random cells of it, those of k-means, and the heat
map of each class by a linear head (Grad-CAM, Selvaraju et al. 2017: for one layer the gradient is
its weights). They are fitted to cells of the train split; all figures are of val. What does not
beat its control is no explanation. Writes a table (JSON and Markdown).
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import gaussian_filter
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from benchmarks.measuring import save
from benchmarks.quality.explanation import (
    CONFIG,
    PRESENT,
    TOP,
    Photo,
    present_prototypes,
    purities,
    with_noise,
)
from benchmarks.quality.localisation import (
    inside_outside_contrast,
    mask_iou,
    most_activated,
    precision,
)
from napari_gaussproto import PrototypeSegmenter, Segmentation, load_model, segment
from napari_gaussproto.core.editing.edits import turn_off
from napari_gaussproto.core.mixture import placement
from napari_gaussproto.core.model.card import ModelCard
from napari_gaussproto.core.model.encoding import Encoding
from napari_gaussproto.core.model.segmenter import make_layer, name_prototypes
from napari_gaussproto.core.training.cells import LabelledCells, draw_latents
from napari_gaussproto.core.training.descent import fit_temperature
from napari_gaussproto.core.training.describe import describe
from napari_gaussproto.io.dataset import load_split, read_train_file

Map = npt.NDArray[np.float32]
# Images (H, W, 3) and their labels (H, W).
Photos = tuple[list[Any], list[Any]]
LINEAR = "linear head, Grad-CAM"
# Cells of a class from each photograph of train, of which every so many are read.
_CELLS, _EVERY = 100, 6
# Shares of a photograph that are covered, or left, by a blur of so many pixels; and how many
# photographs that is done on, for it takes a forward pass each time.
_SHARES, _BLUR, _COVERED = (0.02, 0.05, 0.1, 0.2, 0.4), 24, 3
NAMES = {
    "purity": "purity of the 10 nearest cells",
    "least_used": "least share of its class",
    "precision": "localisation precision",
    "contrast": "inside-outside contrast",
    "stability": "stability under noise",
    "switched_off": "loss of p(class) where it explains most, when switched off",
    "elsewhere": "the same elsewhere in its class",
    "deletion": "deletion: p(class) that is left, less is better",
    "insertion": "insertion: p(class) that is back, more is better",
}
Heat = Callable[[Segmentation, int], Map]


@dataclass(frozen=True)
class Seen:
    """A photograph of val as it is and under noise, by one encoding for all contenders."""

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    cells: Encoding
    noisy: Encoding


def cells_of(model: PrototypeSegmenter, images: list[Any], labels: list[Any]) -> LabelledCells:
    """Labelled cells of photographs, as many of each class."""
    generator, parts = torch.Generator().manual_seed(0), []
    for number, (image, mask) in enumerate(zip(images, labels, strict=True)):
        encoding, given = segment(image, model).encoding, torch.from_numpy(mask)
        count = len(model.classes)
        parts.append(draw_latents(encoding, given, count, _CELLS, generator, number))
    return LabelledCells.joined(parts)


def control(
    model: PrototypeSegmenter, cells: LabelledCells, place: Callable[..., None]
) -> PrototypeSegmenter:
    """The model with as many prototypes that were placed otherwise."""
    index = model.layer.class_index.tolist()
    layer = make_layer(model.config, index).eval()
    place(layer, cells.values, cells.majority, 0)
    with torch.no_grad():
        layer.raw_prior.copy_(model.layer.raw_prior)
    fit_temperature(layer, cells, exactly=True)
    other = model.with_layer(layer, name_prototypes(model.classes, index), ModelCard())
    describe(other, cells)
    return other


def at_random(layer: Any, z: Tensor, class_index: Tensor, seed: int) -> None:
    """Prototypes at cells of their class, as wide as the class."""
    generator = torch.Generator().manual_seed(seed)
    mean, scale = layer.mean.detach().clone(), layer.scale.detach().clone()
    for m, c in enumerate(layer.class_index.tolist()):
        own = z[class_index == c]
        mean[m] = own[int(torch.randint(len(own), (), generator=generator))]
        scale[m] = own.std(0)
    layer.set_parameters(mean, scale)


def linear_heat(cells: LabelledCells) -> Heat:
    """Grad-CAM of a linear head: what counts for a class, nowhere below 0, (H, W)."""
    head = LogisticRegression(C=1.0, class_weight="balanced", max_iter=500)
    head.fit(cells.values.numpy(), cells.majority.numpy())
    # Of two classes scikit-learn keeps the weights of the second only.
    rows = head.coef_ if len(head.coef_) > 1 else np.concatenate([-head.coef_, head.coef_])
    weight = torch.from_numpy(rows).float()

    def heat(result: Segmentation, c: int) -> Map:
        value = (result.encoding.latents @ weight[c]).clamp_min(0)
        painted: Map = result.encoding.partition.to_pixels(value[:, None])[0].numpy()
        return painted

    return heat


def typical_heat(result: Segmentation, c: int) -> Map:
    """How typical a place is of the nearest prototype of a class, (H, W)."""
    own = [m for m, p in enumerate(result.prototypes) if p.class_index == c and result.active[m]]
    return np.max([result.likelihood(m) for m in own], axis=0)


def of_prototypes(model: PrototypeSegmenter, photos: list[Seen]) -> dict[str, float]:
    """Measures of single prototypes, means over prototypes and photographs."""
    values: dict[str, list[float]] = defaultdict(list)
    plain = [Photo(seen.pixels, seen.labels, model.decode(seen.cells)) for seen in photos]
    values["purity"] += purities(model, plain)
    values["least_used"].append(min(p.usage for p in model.prototypes))
    off = [turn_off(model, m) for m in range(len(model.prototypes))]
    for photo, seen in zip(plain, photos, strict=True):
        noisy = model.decode(seen.noisy)
        for m in present_prototypes(photo):
            truth = photo.labels == photo.result.prototypes[m].class_index + 1
            heat, under = photo.result.log_likelihood(m), noisy.log_likelihood(m)
            about_map(values, heat, under, photo.result.likelihood(m), truth)
            about_switching(values, photo, off[m].decode(seen.cells), m, truth)
    return _means(values)


def _means(values: dict[str, list[float]]) -> dict[str, float]:
    known = {key: np.array(found)[np.isfinite(found)] for key, found in values.items()}
    return {key: float(found.mean()) for key, found in known.items() if len(found)}


def about_map(
    values: dict[str, list[float]], heat: Map, noisy: Map, typical: Map, truth: Any
) -> None:
    """Where a map (H, W) points, and whether noise moves it."""
    values["precision"].append(precision(most_activated(heat, int(truth.sum()) // 2), truth))
    values["contrast"].append(inside_outside_contrast(typical, truth))
    count = int(TOP * truth.size)
    same = mask_iou(most_activated(heat, count), most_activated(noisy, count))
    values["stability"].append(same)


def about_switching(
    values: dict[str, list[float]], photo: Photo, without: Segmentation, m: int, truth: Any
) -> None:
    """What a class loses where a prototype explains most, and elsewhere."""
    c = photo.result.prototypes[m].class_index
    lost = photo.result.class_probabilities()[c] - without.class_probabilities()[c]
    named = truth & (photo.result.responsibility(m) > 0.5)
    if named.any() and (truth & ~named).any():
        values["switched_off"].append(float(lost[named].mean()))
        values["elsewhere"].append(float(lost[truth & ~named].mean()))


def of_heat(heat: Heat, model: PrototypeSegmenter, photos: list[Seen]) -> dict[str, float]:
    """Measures of the heat maps of classes."""
    values: dict[str, list[float]] = defaultdict(list)
    for seen in photos:
        result, noisy = model.decode(seen.cells), model.decode(seen.noisy)
        for c in classes_in(seen):
            truth = seen.labels == c + 1
            value = heat(result, c)
            about_map(values, value, heat(noisy, c), value, truth)
    return _means(values)


def classes_in(seen: Seen) -> Iterator[int]:
    """Classes of a photograph that are not hardly there."""
    share = np.bincount(seen.labels.ravel(), minlength=2)[1:] / seen.labels.size
    yield from np.flatnonzero(share >= PRESENT).tolist()


def curves(
    heat: Heat, judge: PrototypeSegmenter, model: PrototypeSegmenter, photos: list[Seen]
) -> dict[str, float]:
    """Deletion and insertion (Petsiuk et al. 2018) of a class: mean probability over `_SHARES`."""
    found: dict[str, list[float]] = defaultdict(list)
    for seen in photos:
        blurred = gaussian_filter(seen.pixels, (_BLUR, _BLUR, 0))
        for c in classes_in(seen):
            if c == 0:  # soil is nearly all of a photograph
                continue
            truth, value = seen.labels == c + 1, heat(model.decode(seen.cells), c)
            for share in _SHARES:
                chosen = most_activated(value, int(share * value.size))[..., None]
                for kind, image in (
                    ("deletion", np.where(chosen, blurred, seen.pixels)),
                    ("insertion", np.where(chosen, seen.pixels, blurred)),
                ):
                    known = segment(image, judge).class_probabilities()[c]
                    found[kind].append(float(known[truth].mean()))
    return {key: float(np.mean(values)) for key, values in found.items()}


def markdown(rows: dict[str, dict[str, float]]) -> str:
    """The table; – where a contender has no such figure."""
    lines = ["| measure | " + " | ".join(rows) + " |", "|" + " --- |" * (len(rows) + 1)]
    for key, name in NAMES.items():
        cells = [f"{row[key]:.3f}" if key in row else "–" for row in rows.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def contenders_of(model: PrototypeSegmenter, cells: LabelledCells) -> dict[str, PrototypeSegmenter]:
    """The model, and the same with prototypes that were placed otherwise."""
    return {
        "prototypes": model,
        "at random": control(model, cells, at_random),
        "k-means": control(model, cells, placement.place_by_kmeans),
    }


def measure(model: PrototypeSegmenter, train: Photos, val: Photos) -> dict[str, dict[str, float]]:
    """All figures of a model and of its controls."""
    cells = cells_of(model, *train)
    rng, photos = np.random.default_rng(0), []
    for image, mask in zip(*val, strict=True):
        noisy = segment(with_noise(image, rng), model).encoding
        photos.append(Seen(image, mask, segment(image, model).encoding, noisy))
    contenders = contenders_of(model, cells)
    rows = {name: of_prototypes(one, photos) for name, one in contenders.items()}
    linear = linear_heat(cells)
    rows[LINEAR] = of_heat(linear, model, photos)
    for name, one in contenders.items():
        rows[name] |= curves(typical_heat, model, one, photos[:_COVERED])
    rows[LINEAR] |= curves(linear, model, model, photos[:_COVERED])
    return {name: {key: round(v, 4) for key, v in row.items()} for name, row in rows.items()}


def photos_for(model: PrototypeSegmenter, folder: Path, split: str, every: int) -> Photos:
    """Photographs of a split with labels of the model's classes; the last is all others."""
    images, labels = load_split(read_train_file(CONFIG).data, folder, split)
    known = [np.minimum(mask, len(model.classes)).astype(np.uint8) for mask in labels[::every]]
    return list(images[::every]), known


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=["peanut-grid", "plants"])
    parser.add_argument("--every", type=int, default=8, help="of val, every so many photographs")
    options = parser.parse_args(arguments)
    found, tables = {}, []
    for name in options.models:
        model = load_model(name, "cpu")
        train = photos_for(model, options.data, "train", _EVERY)
        val = photos_for(model, options.data, "val", options.every)
        rows = measure(model, train, val)
        found[name] = {"rows": rows, "photographs": len(val[0])}
        tables.append(f"## {name}, {len(val[0])} photographs\n\n{markdown(rows)}\n")
        print(tables[-1], flush=True)
    command = "python -m benchmarks.quality.controls --data PEANUT"
    save("controls", command, found, "\n".join(tables))


if __name__ == "__main__":
    main()
