"""Train a shipped model that begins with the network of the start.

    python -m recipes.shipped.train plants --fields FOLDER --photos FOLDER --out plants.safetensors
    python -m recipes.shipped.train peanut-grid --photos FOLDER --out peanut-grid.safetensors

With ``--minutes`` the start's backbone and neck learn the classes first, see `teach`; with
``--begin FILE`` they are those of another model, so that it learns on. Then the backbone stays as
it is, so that every picture is encoded once, and neck and prototypes learn from that, minutes on
one core; see `balanced` for how prototypes are placed and `finish` for what is asked of them.
With ``--features FILE`` the features are kept, and a later training begins with them.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file

from napari_gaussproto.core.base.config import FIELD, ModelConfig
from napari_gaussproto.core.base.seeds import seeded
from napari_gaussproto.core.measure.evaluation import measure
from napari_gaussproto.core.model.model_file import load_model, save_model
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.network.backbone import Backbone
from napari_gaussproto.core.network.extractor import Extractor
from napari_gaussproto.core.network.neck import Neck
from napari_gaussproto.core.network.receptive import effective_radius
from napari_gaussproto.core.training.cells import LabelledCells
from napari_gaussproto.core.training.describe import learn_look
from recipes.shipped.balanced import settle
from recipes.shipped.card import RECIPES, Recipe, changed
from recipes.shipped.finish import Shown, look, select
from recipes.shipped.learn import calibrate, chosen, features, latents, learn
from recipes.shipped.mix import mix
from recipes.shipped.sharpen import sharpen
from recipes.shipped.teach import Length, teach
from recipes.shipped.views import View, photo_views, plant_views, whole
from recipes.start.pictures import Pair, Pictures, open_pictures, photos_of

# Of so many photographs and fields one.
_HELD_OUT = 6
# Options that the card notes where they are others.
_USUAL = {
    "strides": None,
    "steps": 200,
    "minutes": 0.0,
    "network_steps": 0,
    "mixed": 0.0,
    "grey": 0.0,
    "seed": 0,
}
# How much prototypes are held on their cells at last.
_HELD = 0.5
# Photographs, and fields, by which a model knows what is familiar.
_LOOKS = 40
# Cells of a class in each picture that prototypes are placed on.
LOOKED_AT = 150


def is_held_out(number: int) -> bool:
    """Whether the photograph or field of a number calibrates, and teaches nothing."""
    return number % _HELD_OUT == 0


def new_model(recipe: Recipe, seed: int, begin: str = FIELD) -> PrototypeSegmenter:
    """The network of a start, by name or file, with unfitted prototypes."""
    start = load_model(begin, "cpu")
    settings = start.config.model_dump() | {"covariance": "diagonal"} | recipe.settings
    config = ModelConfig.model_validate(settings)
    with seeded(seed):
        model = PrototypeSegmenter(
            config, class_index=recipe.class_index, backbone=backbone_of(start, recipe.strides)
        )
    take_neck(model.eval().extractor, start.extractor)
    return model


def backbone_of(start: PrototypeSegmenter, strides: tuple[int, ...] | None) -> Backbone:
    """The backbone of the start, or a copy with some levels; what follows the last is left out."""
    whole = start.extractor.backbone
    if strides is None:
        return whole
    backbone = Backbone(whole.name, start.config.channels, False, strides).eval()
    backbone.load_state_dict(
        {key: whole.state_dict()[key] for key in backbone.state_dict()}, strict=True
    )
    return backbone.requires_grad_(False)


def take_neck(extractor: Extractor, start: Extractor) -> None:
    """Give an extractor the start's neck, or as much of it as there are levels."""
    if extractor.strides == start.strides:
        extractor.neck = copy.deepcopy(start.neck)
        return
    neck, known = extractor.neck, start.neck
    assert isinstance(neck, Neck) and isinstance(known, Neck)  # as that of the start is
    # Local features come last and have the stride of a level.
    kept = [*map(start.backbone.strides.index, extractor.backbone.strides)]
    kept += [len(start.strides) - 1] if extractor.has_local else []
    neck.head.load_state_dict(known.head.state_dict())
    for own, all_levels in ((neck.projections, known.projections), (neck.norms, known.norms)):
        for level, place in zip(own, kept, strict=True):
            level.load_state_dict(all_levels[place].state_dict())


def views_of(recipe: Recipe, pictures: Pictures, seed: int) -> Iterator[View]:
    """What neck and prototypes learn from."""
    if recipe.name == "plants":
        return plant_views(pictures, recipe.rounds, seed, grey=recipe.grey)
    return photo_views(pictures.photos, recipe.rounds, seed)


def taught_views(recipe: Recipe, pictures: Pictures) -> Iterator[View]:
    """Squares without end of pictures that are not held out."""
    for seed in itertools.count():
        for view in views_of(recipe, pictures, seed):
            if not is_held_out(view.number):
                yield view


def shown_views(recipe: Recipe, pictures: Pictures, seed: int) -> Iterator[View]:
    """What people see of the training."""
    if recipe.name == "plants":
        return plant_views(pictures, recipe.rounds // 5, seed + 1, plain=True)
    return (whole(pair, number) for number, pair in enumerate(pictures.photos) if number % 2 == 0)


def known_features(
    recipe: Recipe, model: PrototypeSegmenter, pictures: Pictures, options: argparse.Namespace
) -> LabelledCells:
    """Features of views, from a file if there is one."""
    file: Path | None = options.features
    if file is not None and file.exists():
        return LabelledCells(**load_file(file))
    cells = features(
        model, views_of(recipe, pictures, options.seed), recipe.per_class, options.seed
    )
    if file is not None:
        save_file(cells.__dict__, file)
    return cells


def train(recipe: Recipe, options: argparse.Namespace) -> PrototypeSegmenter:
    """Make the model."""
    pictures = open_pictures(options.fields or Path(), options.photos, None)
    model = new_model(recipe, options.seed, options.begin)
    length, taught_steps = Length(options.minutes, options.network_steps), 0
    if length.any:
        squares = taught_views(recipe, pictures)
        change = partial(mix, share=options.mixed)
        taught_steps = teach(model, squares, length, options.seed, change=change)
    cells = known_features(recipe, model, pictures, options)
    finish(model, cells, recipe, pictures, options)
    model.card = recipe.card(_command(options))
    given = {name: getattr(options, name) for name in ("minutes", "mixed")}
    given["network_steps"] = taught_steps
    details = {name: value for name, value in given.items() if value}
    model.card.log("training", steps=options.steps, seed=options.seed, **details)
    return model


def finish(
    model: PrototypeSegmenter,
    cells: LabelledCells,
    recipe: Recipe,
    pictures: Pictures,
    options: argparse.Namespace,
) -> None:
    """Give a model whose backbone stays its neck, its prototypes and what it calls familiar."""
    model.receptive_radius = effective_radius(model.extract, 3, model.alignment)
    taught = chosen(cells, cells.image % _HELD_OUT > 0)
    learn(model, taught, options.steps, options.seed)
    views = shown_views(recipe, pictures, options.seed)
    shown = look(model, views, LOOKED_AT, options.seed, is_held_out)
    best_of(model, shown, latents(model, taught), options.steps // 2, _HELD, options.seed)
    calibrate(model.layer, chosen(shown.even, shown.held_out))
    learn_look(model, looks(pictures))


def looks(pictures: Pictures) -> list[Any]:
    """Whole pictures (H, W, 3) that a model calls familiar: photographs, then fields."""
    pairs = pictures.photos[:: _step(pictures.photos)]
    views = [first for first, _ in pictures.fields]
    pairs += views[:: _step(views)]
    return [whole(pair, 0).image for pair in pairs]


def _step(pictures: list[Pair]) -> int:
    return max(1, len(pictures) // _LOOKS)


def best_of(
    model: PrototypeSegmenter,
    shown: Shown,
    taught: LabelledCells,
    steps: int,
    held: float,
    seed: int,
) -> None:
    """Keep the prototypes that are worth showing, and part the classes better by them.

    For the last three see `sharpen`.
    """
    select(model, shown, lambda layer: settle(layer, shown.cells.values, shown.cells.target))
    select(model, shown, lambda layer: sharpen(layer, taught, steps, held, seed))


def measures_of(model: PrototypeSegmenter, photos: Path) -> dict[str, Any]:
    """What the card says of val and of test, which nothing is chosen by."""
    return {split: measure(model, pairs_of(model, photos, split)) for split in ("val", "test")}


def pairs_of(model: PrototypeSegmenter, photos: Path, split: str) -> Iterator[tuple[Any, Any]]:
    """Photographs with labels of the model's classes; those that it does not know are its last."""
    for number, pair in enumerate(photos_of(photos, split)):
        view = whole(pair, number)
        yield view.image, np.minimum(view.labels, len(model.classes)).astype(np.uint8)


def main(arguments: list[str] | None = None) -> None:
    """Read the options, train, measure on val and test, and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=list(RECIPES))
    parser.add_argument("--photos", type=Path, required=True, help="images, masks, index.csv")
    parser.add_argument("--fields", type=Path, help="from recipes.field.make, for “plants”")
    parser.add_argument("--out", type=Path, required=True, help="the model file")
    parser.add_argument("--features", type=Path, help="keep them here")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--minutes", type=float, help="train the backbone, too")
    help_text = "train the backbone, too, as long on any machine"
    parser.add_argument("--network-steps", type=int, help=help_text)
    help_text = "a start or a model file whose network it begins with"
    parser.add_argument("--begin", help=help_text)
    help_text = "share of the squares that hold parts of others, in these minutes"
    parser.add_argument("--mixed", type=float, help=help_text)
    help_text = "share of the pictures of “plants” that are seen by a camera with a single band"
    parser.add_argument("--grey", type=float, help=help_text)
    parser.add_argument("--seed", type=int)
    help_text = "levels of the backbone, fine ones look less far"
    parser.add_argument("--strides", type=int, nargs="+", help=help_text)
    parser.set_defaults(begin=FIELD, **_USUAL)
    options = parser.parse_args(arguments)
    if options.features and (options.minutes or options.network_steps):
        parser.error("--features are of the start's backbone, which then changes: leave them out")
    if options.grey and options.model != "plants":
        parser.error("--grey is for “plants”: leave it out")
    recipe = RECIPES[options.model]
    recipe = replace(recipe, grey=options.grey)
    if options.strides:
        recipe = replace(recipe, strides=tuple(options.strides))
    model = train(recipe, options)
    save_model(model, options.out)  # what follows takes long
    model.card.measures = measures_of(model, options.photos)
    save_model(model, options.out)


def _command(options: argparse.Namespace) -> str:
    """As it is said to others: without this machine's folders."""
    fields = " --fields FIELDS" if options.fields else ""
    others = "" if options.begin == FIELD else f" --begin {Path(options.begin).name}"
    others += changed(options, _USUAL)
    what = f"{options.model} --photos FOLDER{fields} --out {options.out.name}{others}"
    return f"python -m recipes.shipped.train {what}"


if __name__ == "__main__":
    main(sys.argv[1:])
