"""What the shipped models are called, what they are for, and what they were made of."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from napari_gaussproto.core.base.config import (
    PHOTO_PIXELS,
    PLANT_COLOR,
    SOIL_COLOR,
    WEED_COLOR,
    SegmentationClass,
)
from napari_gaussproto.core.model.card import ModelCard
from recipes.start.card import ATTRIBUTION, CITATION, DATA, LICENCE

_SOIL = SegmentationClass(name="soil", color=SOIL_COLOR)
_CROPS = [
    _SOIL,
    SegmentationClass(name="crop", color=PLANT_COLOR),
    SegmentationClass(name="weed", color=WEED_COLOR),
]
_FIELDS = (
    "Began with the network of the start “field” and was trained on the same pictures, photographs "
    "of the train split and synthetic fields; their classes other than soil are joined.\n"
)
_PEANUT = (
    "peanut_weed: 163 of the 400 photographs of the public Peanut-dataset (commit ec8e68d), split "
    "by scene. It learned from the 99 of train, settings were chosen on the 32 of val. It began "
    "with the network of the start “field”, which has seen the same 99 and:\n"
)


@dataclass(frozen=True)
class Recipe:
    """How one model is made.

    Attributes
    ----------
    counts : tuple of int
        Prototypes of each class to begin with.
    rounds : int
        How often each photograph is seen, or how many squares of pictures in all.
    per_class : int
        Cells of a class that are drawn from each of them, at most.
    strides : tuple of int, optional
        Levels of the start's backbone, by default all. Fine ones look less far.
    photo_pixels : int, optional
        See `ModelConfig`.
    grey : float
        See `plant_views`.
    """

    name: str
    description: str
    classes: list[SegmentationClass]
    counts: tuple[int, ...]
    downsample: int
    rounds: int
    per_class: int
    data: str
    not_for: tuple[str, ...]
    partition: Literal["grid", "superpixel"] = "grid"
    strides: tuple[int, ...] | None = None
    photo_pixels: int | None = None
    grey: float = 0.0

    @property
    def settings(self) -> dict[str, Any]:
        """Of the `ModelConfig`, where they differ from the start's."""
        return {
            "classes": self.classes,
            "downsample": self.downsample,
            "partition": self.partition,
            "prototypes_per_class": max(self.counts),
            "photo_pixels": self.photo_pixels,
            **({} if self.strides is None else {"strides": self.strides}),
        }

    @property
    def class_index(self) -> list[int]:
        """Class of each prototype to begin with."""
        return [c for c, count in enumerate(self.counts) for _ in range(count)]

    def card(self, command: str) -> ModelCard:
        """A card without measures."""
        return ModelCard(
            name=self.name,
            description=self.description,
            command=command,
            licence=LICENCE,
            attribution=ATTRIBUTION,
            citation=CITATION,
            data=self.data + DATA,
            not_for=list(self.not_for),
        )


_NOT_PEANUT = (
    "Deciding where to spray or to pull without a person who checks: the weed labels are noisy.",
    "Other crops, growth stages, cameras or heights without correcting and fine-tuning first.",
    "Counting plants, or telling species of weeds apart.",
)
_PEANUT_GRID = Recipe(
    name="peanut-grid",
    description="Soil, peanut and weeds in photographs taken from above, young plants.",
    classes=_CROPS,
    counts=(5, 4, 4),
    downsample=2,
    rounds=2,
    per_class=400,
    data=_PEANUT,
    not_for=_NOT_PEANUT,
    photo_pixels=960 * 720,
)
RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="plants",
            description="Soil and plants in photographs of fields taken from above: for a first "
            "look, whatever the crop.",
            classes=[_SOIL, SegmentationClass(name="plant", color=PLANT_COLOR)],
            counts=(6, 5),
            downsample=1,
            rounds=800,
            per_class=150,
            photo_pixels=PHOTO_PIXELS,
            data=_FIELDS,
            not_for=(
                "Telling crop from weeds, or species apart: every plant is one class.",
                "Decisions on spraying without measuring on your own photographs first.",
                "Dry or dead plants, which count as soil, as straw and mulch do.",
            ),
        ),
        _PEANUT_GRID,
        replace(
            _PEANUT_GRID,
            name="peanut-superpixel",
            description=_PEANUT_GRID.description.removesuffix(".") + "; cells are SLIC regions.",
            partition="superpixel",
            photo_pixels=None,
        ),
    )
}


def changed(options: argparse.Namespace, usual: Mapping[str, Any]) -> str:
    """The options that are not as usual, as a command line says them, with a space before each."""
    words = ""
    for name, value in usual.items():
        given = getattr(options, name)
        if given != value:
            values = given if isinstance(given, list) else [given]
            words += f" --{name.replace('_', '-')} " + " ".join(map(_number, values))
    return words


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
