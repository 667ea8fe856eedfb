"""Squares of pictures at any scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from recipes.start.pictures import Pair, read

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Crop:
    """A square of a picture: its colours (S, S, 3) and species (S, S), both uint8."""

    image: Pixels
    species: Pixels


def cut(pair: Pair, scale: float, side: int, rng: np.random.Generator) -> Crop:
    """A square of a picture that was resized by ``scale``, mostly with a plant in its middle.

    Where the resized picture is smaller than the square, it is continued by its reflection.
    """
    image, species = read(pair)
    height, width = species.shape
    length = side / scale
    y, x = _middle(species, rng)
    h, w = min(length, height), min(length, width)
    top = float(np.clip(y - h / 2 + rng.uniform(-0.3, 0.3) * h, 0, height - h))
    left = float(np.clip(x - w / 2 + rng.uniform(-0.3, 0.3) * w, 0, width - w))
    box = (left, top, left + w, top + h)
    size = (max(1, min(side, round(w * scale))), max(1, min(side, round(h * scale))))
    colours = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, box)
    numbers = Image.fromarray(species).resize(size, Image.Resampling.NEAREST, box)
    return turned(Crop(_whole(np.asarray(colours), side), _whole(np.asarray(numbers), side)), rng)


def turned(crop: Crop, rng: np.random.Generator) -> Crop:
    """A crop by a multiple of 90 degrees, or its mirror image."""
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    image, species = np.rot90(crop.image, turns), np.rot90(crop.species, turns)
    return Crop(image[:, ::-1], species[:, ::-1]) if mirrored else Crop(image, species)


def _middle(species: Pixels, rng: np.random.Generator) -> tuple[int, int]:
    """Some pixel, mostly of a plant, and of each species alike."""
    height, width = species.shape
    present = np.unique(species)[1:]
    if not len(present) or rng.random() < 0.15:
        return int(rng.integers(height)), int(rng.integers(width))
    places = np.flatnonzero(species == present[rng.integers(len(present))])
    return divmod(int(places[rng.integers(len(places))]), width)


def _whole(part: Pixels, side: int) -> Pixels:
    missing = [(0, side - part.shape[0]), (0, side - part.shape[1])]
    return np.pad(part, [*missing, (0, 0)][: part.ndim], mode="symmetric")
