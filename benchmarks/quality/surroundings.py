"""What makes the answers of a superpixel model depend less on what stands around a region.

    python -m benchmarks.quality.surroundings --data PEANUT VARIANT ... [--steps 460]

Each variant of the recipe of peanut-superpixel is trained end to end for so many steps: with and
without mixed squares, with hidden surroundings, with coarse levels that see mean colours of
regions. Then models, variants or others, are asked about single regions as well, while all else is
hidden beyond a margin. See `locality` for the measures. Writes a table (JSON and Markdown).
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.measuring import save
from benchmarks.quality.averaged import AveragedExtractor, AveragedTrunk
from benchmarks.quality.explanation import CONFIG
from benchmarks.quality.hidden import alone, class_alone, hide
from benchmarks.quality.locality import NAMES, far_and_near, look, markdown
from napari_gaussproto import PrototypeSegmenter, dependence, load_model, segment
from napari_gaussproto.core.base.config import FIELD
from napari_gaussproto.core.measure.evaluation import measure
from napari_gaussproto.core.measure.metrics import mean_iou
from napari_gaussproto.core.model.model_file import save_model
from napari_gaussproto.io.dataset import load_split, read_train_file
from recipes.shipped.card import RECIPES
from recipes.shipped.learn import features
from recipes.shipped.mix import mix
from recipes.shipped.reach import places_in
from recipes.shipped.teach import Length, teach
from recipes.shipped.train import finish, new_model, taught_views, views_of
from recipes.shipped.views import View
from recipes.start.network import Trunk
from recipes.start.pictures import open_pictures

RECIPE = RECIPES["peanut-superpixel"]
# Steps by which neck and prototypes learn at last, as in the recipe.
_STEPS = 200
# Regions of a class that are asked about alone in each photograph.
_REGIONS = 12
Images = list[npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class Variant:
    """How a network learns.

    Attributes
    ----------
    mixed, hidden : float
        Shares of the squares that hold parts of others, and that are hidden but for some discs.
    averaged : bool
        Whether coarse levels see mean colours of regions.
    """

    mixed: float = 0.0
    hidden: float = 0.0
    averaged: bool = False

    def change(
        self, images: Tensor, labels: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """What is learned from; see `teach`."""
        images, labels = mix(images, labels, rng, self.mixed)
        return hide(images, labels, rng, self.hidden)


VARIANTS = {
    "plain": Variant(),
    "mixed": Variant(mixed=0.5),
    "hidden": Variant(hidden=0.5),
    "averaged": Variant(mixed=0.5, averaged=True),
    "mixed-hidden": Variant(mixed=0.5, hidden=0.5),
    "averaged-hidden": Variant(mixed=0.5, hidden=0.5, averaged=True),
}


def changed(views: Iterator[View], variant: Variant) -> Iterator[View]:
    """Views as a variant shows them, by eights."""
    rng = np.random.default_rng(0)
    while some := list(itertools.islice(views, 8)):
        images = torch.from_numpy(np.stack([view.image for view in some])).movedim(-1, 1)
        labels = torch.from_numpy(np.stack([view.labels for view in some]))
        images, labels = variant.change(images.float() / 255, labels, rng)
        shown = (255 * images.movedim(1, -1)).round().to(torch.uint8).numpy()
        for view, image, known in zip(some, shown, labels.numpy(), strict=True):
            yield View(image, known, view.number)


def trained(variant: Variant, photos: Path, steps: int, begin: str) -> PrototypeSegmenter:
    """A model of the recipe that learned as a variant says, without steps above its backbone."""
    pictures = open_pictures(Path(), photos, None)
    model = new_model(RECIPE, 0, begin)
    if variant.averaged:
        model.extractor = AveragedExtractor.of(model.extractor, model.config)
    trunk = AveragedTrunk if variant.averaged else Trunk
    if steps:
        views = taught_views(RECIPE, pictures)
        teach(model, views, Length(steps=steps), 0, change=variant.change, trunk_of=trunk)
    options = argparse.Namespace(features=None, steps=_STEPS, seed=0)
    shown = changed(views_of(RECIPE, pictures, 0), variant)
    cells = features(model, shown, RECIPE.per_class, 0)
    finish(model, cells, RECIPE, pictures, options)
    return model


def known(name: str, options: argparse.Namespace) -> PrototypeSegmenter:
    """A variant, from the folder of those that are kept if it is there, or any other model."""
    variant, folder = VARIANTS.get(name), options.kept
    if variant is None:
        return load_model(name, "cpu")
    file = folder / f"{name}.safetensors" if folder else None
    if file is None or not file.exists():
        model = trained(variant, options.data, options.steps, options.begin)
        if file is not None:
            save_model(model, file)
        return model
    model = load_model(file, "cpu")
    if variant.averaged:
        model.extractor = AveragedExtractor.of(model.extractor, model.config)
    return model


@torch.no_grad()
def regions_alone(
    model: PrototypeSegmenter, images: Images, labels: Images, count: int, margins: list[int]
) -> dict[int | None, float]:
    """Mean IoU over drawn regions as they are, None, and hidden beyond each margin.

    So many of each class are drawn in each photograph, and each counts for as many as there are.
    """
    rng, n = np.random.default_rng(0), len(model.classes)
    confusions = {margin: np.zeros((n, n)) for margin in (None, *margins)}
    for image, truth in zip(images, labels, strict=True):
        encoding = segment(image, model).encoding
        found = model.layer(encoding.latents).argmax(1)
        target, weight = encoding.partition.targets(torch.from_numpy(truth), n)
        area = (target * weight[:, None]).double().numpy()
        for cell, share in drawn(area.argmax(1), area.sum(1) > 0, count, rng):
            for margin, confusion in confusions.items():
                if margin is None:
                    answer = int(found[cell])
                else:
                    answer = class_alone(model, image, encoding.partition, cell, margin)
                confusion[:, answer] += share * area[cell]
    return {margin: mean_iou(confusion) for margin, confusion in confusions.items()}


def drawn(
    classes: npt.NDArray[np.int64],
    labelled: npt.NDArray[np.bool_],
    count: int,
    rng: np.random.Generator,
) -> Iterator[tuple[int, float]]:
    """Some regions of each class, and for how many each counts."""
    for c in np.unique(classes[labelled]):
        own = np.flatnonzero(labelled & (classes == c))
        some = rng.permutation(own)[:count]
        for cell in some.tolist():
            yield cell, len(own) / len(some)


def look_alone(
    model: PrototypeSegmenter, images: Images, labels: Images, count: int, margin: int
) -> dict[str, float]:
    """As `locality.look`, of answers about regions that are hidden beyond a margin."""
    rng, found = np.random.default_rng(0), []
    for image, truth in zip(images, labels, strict=True):
        result = segment(image, model)
        partition = result.encoding.partition
        for y, x in places_in(truth, count, rng):
            seen, _ = alone(image, partition, partition.cell_at(y, x), margin)
            found.append((dependence(seen, model, result, y, x), result))
    return far_and_near(found)


@dataclass(frozen=True)
class Val:
    """Photographs and labels, of which one in so many has places that are asked about."""

    images: Images
    labels: Images
    every: int
    count: int

    @property
    def places(self) -> tuple[Images, Images, int]:
        """Photographs with such places, their labels, and how many of each class."""
        return self.images[:: self.every], self.labels[:: self.every], self.count


def rows_of(
    name: str, model: PrototypeSegmenter, val: Val, margins: list[int]
) -> dict[str, dict[str, float]]:
    """The rows of a model: as it is, and asked about regions alone."""
    miou = measure(model, zip(val.images, val.labels, strict=True))["miou"]
    asked: dict[int | None, float] = {}
    if margins:
        asked = regions_alone(model, val.images, val.labels, _REGIONS, margins)
    nothing = float("nan")
    rows = {name: {**look(model, *val.places), "miou": miou, "regions": asked.get(None, nothing)}}
    for margin in margins:
        row = look_alone(model, *val.places, margin)
        row.update(miou=nothing, regions=asked[margin])
        rows[f"{name}, hidden beyond {margin} px"] = row
    return {key: {k: round(v, 4) for k, v in row.items()} for key, row in rows.items()}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("models", nargs="+", help=f"of {', '.join(VARIANTS)}, or a name or file")
    parser.add_argument(
        "--steps",
        type=int,
        default=460,
        help="of the network; without any its backbone stays as the start has it",
    )
    parser.add_argument("--begin", default=FIELD, help="whose network variants begin with")
    parser.add_argument("--kept", type=Path, help="a folder for the models of variants")
    parser.add_argument("--margins", type=int, nargs="*", default=[], help="around regions, in px")
    parser.add_argument("--every", type=int, default=16, help="of val, for the places")
    parser.add_argument("--count", type=int, default=2, help="places of a class in each of them")
    options = parser.parse_args(arguments)
    images, labels = load_split(read_train_file(CONFIG).data, options.data, "val")
    val, rows = Val(images, labels, options.every, options.count), dict[str, Any]()
    for name in options.models:
        model = known(name, options)
        rows.update(rows_of(Path(name).stem, model, val, options.margins))
        print(rows, flush=True)
    command = f"python -m benchmarks.quality.surroundings --data PEANUT {' '.join(options.models)}"
    command += f" --steps {options.steps} --begin {Path(options.begin).name}"
    if options.margins:
        command += f" --margins {' '.join(map(str, options.margins))}"
    names = NAMES | {"regions": "mean IoU of drawn regions (val)"}
    save("surroundings", command, rows, markdown(rows, names))


if __name__ == "__main__":
    main()
