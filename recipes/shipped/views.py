"""What a shipped model learns from: squares of pictures with their labels, seen by cameras."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recipes.shipped.eyes import as_bytes, see_plants
from recipes.start.cameras import Camera
from recipes.start.crops import cut
from recipes.start.episodes import SCALES
from recipes.start.pictures import Pair, Pictures, read

Bytes = npt.NDArray[np.uint8]
# Share of real photographs among what "plants" sees, and the side of a square in pixels.
_REAL, _SIDE = 0.4, 256
# Of the photographs that a model of one crop learns from: as the zoom of a training from a file.
_ZOOM, _PHOTO_SIDE = (0.75, 1.5), 704


@dataclass(frozen=True)
class View:
    """A square of a picture, (S, S, 3) and (S, S) uint8.

    Attributes
    ----------
    labels : (S, S) ndarray of uint8
        Class index + 1.
    number : int
        Of the photograph or field.
    """

    image: Bytes
    labels: Bytes
    number: int


def plant_views(
    pictures: Pictures, count: int, seed: int, *, plain: bool = False, grey: float = 0.0
) -> Iterator[View]:
    """Soil and plants of fields and photographs, at any scale and by any camera.

    Parameters
    ----------
    pictures : Pictures
    count, seed : int
    plain : bool
        As they are, to be shown to people.
    grey : float
        Share of the cameras that have a single band.
    """
    rng = np.random.default_rng(seed)
    for _ in range(count):
        pair, number = _of_any(pictures, rng)
        scale = float(np.exp(rng.uniform(*np.log(SCALES))))
        crop = cut(pair, scale, _SIDE, rng)
        image = crop.image if plain else see_plants(crop.image, crop.species > 0, rng, grey)
        yield View(image, np.minimum(crop.species, 1) + np.uint8(1), number)


def _of_any(pictures: Pictures, rng: np.random.Generator) -> tuple[Pair, int]:
    """A picture, and a number that its place has for itself."""
    photos, fields = pictures.photos, pictures.fields
    if photos and (rng.random() < _REAL or not fields):
        number = int(rng.integers(len(photos)))
        return photos[number], number
    number = int(rng.integers(len(fields)))
    return fields[number][rng.integers(2)], len(photos) + number


def photo_views(photos: list[Pair], rounds: int, seed: int) -> Iterator[View]:
    """Every photograph so many times, each time another part of it in slightly other light."""
    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        for number, pair in enumerate(photos):
            scale = float(np.exp(rng.uniform(*np.log(_ZOOM))))
            crop = cut(pair, scale, _PHOTO_SIDE, rng)
            image = _light(rng).see(crop.image, crop.species == 0, rng)
            yield View(as_bytes(image), crop.species + np.uint8(1), number)


def whole(pair: Pair, number: int) -> View:
    """A picture as it is."""
    image, species = read(pair)
    return View(image, species + np.uint8(1), number)


def _light(rng: np.random.Generator) -> Camera:
    """The same camera on another day."""
    return Camera(
        turn=float(rng.normal(0, 0.1)),
        saturation=float(rng.uniform(0.75, 1.3)),
        gamma=float(np.exp(rng.normal(0, 0.12))),
        contrast=float(np.exp(rng.normal(0, 0.12))),
        brightness=float(rng.normal(0, 0.05)),
        white=np.exp(rng.normal(0, 0.04, 3)),
    )
