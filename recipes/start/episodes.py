"""Episodes: a picture with a few strokes, and what is to be known of it and of another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from recipes.start.cameras import draw_camera
from recipes.start.crops import Crop, cut
from recipes.start.mosaics import blobs, colours
from recipes.start.pictures import Pictures
from recipes.start.regroup import regroup
from recipes.start.strokes import paint

Labels = npt.NDArray[np.uint8]
SIDE = 256
# Scales that a picture is seen at; the second of an episode differs a little from the first.
SCALES, _SCALE_SPREAD = (0.3, 1.8), 0.15
# Shares of the episodes whose classes are textures and colours, and of real photographs.
_BLOBS, _COLOURS, _PHOTOS = 0.18, 0.1, 0.3
# What a head learns from: the first strokes, those and corrections of its own errors, or all
# that is labelled in one picture, of which another one is asked.
Support = Literal["strokes", "corrected", "dense"]
_SUPPORTS: dict[Support, float] = {"strokes": 0.4, "corrected": 0.35, "dense": 0.25}


@dataclass(frozen=True)
class Episode:
    """Two pictures of the same things.

    Attributes
    ----------
    images : (2, 3, S, S) Tensor
        In [0, 1].
    labels : (2, S, S) Tensor of uint8
        What is asked: 0 nothing, else class index + 1.
    strokes : (S, S) Tensor of uint8
        Painted on the first, of the same classes.
    plants : (2, S, S) Tensor of uint8
        1 soil, 2 plant, 0 where that is no question.
    support : str
        What of it teaches the head.
    seed : int
        Of the corrections.
    """

    images: Tensor
    labels: Tensor
    strokes: Tensor
    plants: Tensor
    support: Support = "strokes"
    seed: int = 0

    @property
    def n_classes(self) -> int:
        """Classes that have strokes."""
        return int(self.strokes.max())


def draw_episode(pictures: Pictures, rng: np.random.Generator, side: int = SIDE) -> Episode:
    """An episode at random."""
    while True:
        kind = rng.random()
        if kind < _BLOBS and pictures.grounds:
            episode = _of_blobs(pictures, rng, side)
        else:
            episode = _of_plants(pictures, rng, side, by_colour=kind > 1 - _COLOURS)
        if episode is not None:
            return episode


def _of_plants(
    pictures: Pictures, rng: np.random.Generator, side: int, by_colour: bool
) -> Episode | None:
    """Of a field or of photographs; None where the first picture holds too little."""
    crops = _pair(pictures, rng, side)
    labels = regroup(crops[0].species, crops[1].species, rng)
    camera = draw_camera(rng)
    images = [
        view.see(crop.image, crop.species == 0, rng)
        for view, crop in zip((camera, camera.again(rng)), crops, strict=True)
    ]
    plants = [np.where(crop.species > 0, 2, 1).astype(np.uint8) for crop in crops]
    if by_colour:
        labels = colours(images, rng)
    return None if labels is None else _episode(images, labels, plants, rng)


def _of_blobs(pictures: Pictures, rng: np.random.Generator, side: int) -> Episode | None:
    images, labels = blobs(pictures.grounds, side, rng)
    camera, nowhere = draw_camera(rng), np.zeros((side, side), np.uint8)
    seen = [camera.see(image, nowhere == 0, rng) for image in images]
    return _episode(seen, labels, [nowhere, nowhere], rng)


def _pair(pictures: Pictures, rng: np.random.Generator, side: int) -> list[Crop]:
    scale = float(np.exp(rng.uniform(*np.log(SCALES))))
    scales = (scale, scale * float(np.exp(rng.normal(0, _SCALE_SPREAD))))
    photos = pictures.photos
    if photos and (rng.random() < _PHOTOS or not pictures.fields):
        first, second = (photos[rng.integers(len(photos))] for _ in range(2))
        pairs = [first, first if rng.random() < 0.5 else second]
    else:
        views = pictures.fields[rng.integers(len(pictures.fields))]
        pairs = [views[i] for i in rng.permutation(2)]
    return [cut(pair, factor, side, rng) for pair, factor in zip(pairs, scales, strict=True)]


def _episode(
    images: list[npt.NDArray[np.float32]],
    labels: list[Labels],
    plants: list[Labels],
    rng: np.random.Generator,
) -> Episode | None:
    strokes = paint(labels[0], rng)
    present = np.unique(strokes)[1:]
    if len(present) < 2:
        return None
    # A class that is too small for a stroke is asked of nowhere.
    table = np.zeros(256, np.uint8)
    table[present] = np.arange(1, len(present) + 1)
    return Episode(
        torch.from_numpy(np.stack(images).astype(np.float32)).permute(0, 3, 1, 2),
        torch.from_numpy(table[np.stack(labels)]),
        torch.from_numpy(table[strokes]),
        torch.from_numpy(np.stack(plants)),
        list(_SUPPORTS)[rng.choice(len(_SUPPORTS), p=list(_SUPPORTS.values()))],
        int(rng.integers(2**31)),
    )
