"""How good few strokes are on given latents.

    python -m recipes.start.evaluate --fields FOLDER --photos FOLDER MODEL ...

One picture, three strokes, the rest of the same picture: mean IoU of a ridge logistic regression
on cells. Pictures are synthetic fields of families that no training saw and, with ``--photos``,
photographs of a data set's "val", each seen through a camera. Beside the models stand local
features alone and, of ImageNet's network, the levels of strides 4 and 8 with local features.
With ``--write`` the figures become a part of the models' cards.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from napari_gaussproto.core.model.model_file import load_model, save_model
from napari_gaussproto.core.network.local import local_features
from napari_gaussproto.core.network.stride import to_stride
from recipes.start.cameras import Camera, draw_camera
from recipes.start.crops import cut
from recipes.start.network import new_model
from recipes.start.objective import hard_iou, shares
from recipes.start.pictures import Pair, Pictures, photos_of
from recipes.start.strokes import paint

Features = Callable[[Tensor], Tensor]
Task = tuple[str, Tensor, Tensor, Tensor]
# Pixels along a picture, and what the network sees of a stroke of 10 pixels.
_SIDE, _BRUSH, _STRIDE = 448, (4, 8), 4
_STIFF = 1e-3


def tasks(fields: list[Pair], photos: list[Pair], count: int) -> Iterator[Task]:
    """Kind of a picture, the picture (1, 3, S, S), labels and strokes (S, S): soil, plants."""
    for kind, pairs, scale in (("fields", fields, 1.0), ("photos", photos, 0.6)):
        for number, pair in enumerate(pairs[:count]):
            rng = np.random.default_rng(number)
            crop = cut(pair, scale, _SIDE, rng)
            # Soil, the species with the most pixels, and the others.
            sizes = np.bincount(crop.species.ravel(), minlength=3)
            first = 1 + int(sizes[1:].argmax())
            labels = np.where(crop.species == first, 2, 3).astype(np.uint8)
            labels[crop.species == 0] = 1
            strokes = paint(labels, rng, most=1, brush=_BRUSH)
            if len(np.unique(strokes)) < 3:
                continue
            for seen in ("", " by a camera"):
                camera = draw_camera(rng) if seen else Camera()
                image = camera.see(crop.image, labels == 1, rng)
                pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
                yield kind + seen, pixels, torch.from_numpy(labels), torch.from_numpy(strokes)


def ridge_iou(features: Tensor, labels: Tensor, strokes: Tensor) -> float:
    """Mean IoU on what was not painted, by cells of features (1, F, h, w)."""
    x = features[0].flatten(1).T.double()
    x = (x - x.mean(0)) / (x.std(0) + 1e-6)
    count = int(labels.max())
    truth, painted = (
        shares(part[None], count, _STRIDE)[0].flatten(1).T for part in (labels, strokes)
    )
    support, asked = painted.sum(1) > 0.2, (painted.sum(1) == 0) & (truth.sum(1) > 0.5)
    if len(painted[support].argmax(1).unique()) < 2:
        return float("nan")
    head = LogisticRegression(C=_STIFF, class_weight="balanced", max_iter=200)
    # A ridge of classes that count alike: the sum of the weights is that of the cells.
    head.fit(x[support].numpy(), painted[support].argmax(1).numpy())
    scores = torch.full((int(asked.sum()), count), -torch.inf, dtype=torch.float64)
    values = head.decision_function(x[asked].numpy()).reshape(len(scores), -1)
    columns = np.concatenate([-values, values], 1) if values.shape[1] == 1 else values
    scores[:, head.classes_] = torch.from_numpy(columns)
    return hard_iou(scores, truth[asked])


def rivals() -> dict[str, Features]:
    """What needs no training for this."""
    network = new_model().extractor.backbone

    def imagenet(image: Tensor) -> Tensor:
        levels = dict(zip(network.strides, network(image), strict=True))
        size = (image.shape[-2] // _STRIDE, image.shape[-1] // _STRIDE)
        parts = [to_stride(levels[stride], size) for stride in (4, 8)]
        return torch.cat([*parts, local_features(image, _STRIDE)], 1)

    return {"local": lambda image: local_features(image, _STRIDE), "strides 4, 8, local": imagenet}


@torch.no_grad()
def evaluate(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Mean IoU by features and kind of picture."""
    methods = rivals()
    for path in options.models:
        methods[path.stem] = load_model(path, "cpu").extractor.at_working_resolution
    pictures = Pictures(options.fields)
    pictures.look_again()
    fields = [first for first, _ in pictures.fields]
    photos = photos_of(options.photos, "val") if options.photos else []
    scores: dict[str, dict[str, list[float]]] = {name: {} for name in methods}
    for kind, image, labels, strokes in tasks(fields, photos, options.count):
        for name, features in methods.items():
            value = ridge_iou(features(image), labels, strokes)
            scores[name].setdefault(kind, []).append(value)
    return {name: _means(by_kind) for name, by_kind in scores.items()}


def _means(by_kind: dict[str, list[float]]) -> dict[str, float]:
    means = {kind: round(float(np.nanmean(values)), 4) for kind, values in by_kind.items()}
    return means | {"mean": round(sum(means.values()) / len(means), 4)}


def main(arguments: list[str] | None = None) -> None:
    """Print one line of JSON for every kind of features."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="*")
    parser.add_argument("--fields", type=Path, required=True, help="held-out ones")
    parser.add_argument("--photos", type=Path, help="images, masks, index.csv; of it “val”")
    parser.add_argument("--count", type=int, default=20, help="pictures of each kind")
    parser.add_argument("--write", action="store_true", help="put the figures into the cards")
    options = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", module="sklearn")
    found = evaluate(options)
    for name, means in found.items():
        print(json.dumps({"features": name, **means}))
    for path in options.models if options.write else ():
        _write(path, found)


def _write(path: Path, found: dict[str, dict[str, float]]) -> None:
    """Add the figures of a model and of its rivals to its card."""
    model = load_model(path, "cpu")
    named = {"this start" if name == path.stem else name: means for name, means in found.items()}
    model.card.log("evaluation: mean IoU after three strokes on one picture", **named)
    save_model(model, path)


if __name__ == "__main__":
    main()
