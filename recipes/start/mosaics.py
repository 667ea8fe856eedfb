"""Pictures whose classes are no plants: blobs of grounds, and colours of the picture itself."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.cluster.vq import kmeans2
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2lab

from recipes.start.pictures import Pixels

Labels = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float32]
# Pixels from which the colours of a picture are found.
_SAMPLE = 800
# A colour is one of these where the next one is farther by this factor.
_CLEAR = 1.2


def blobs(
    grounds: list[Pixels], side: int, rng: np.random.Generator
) -> tuple[list[Pixels], list[Labels]]:
    """Two pictures (S, S, 3) of the same two to four textures, and which is where (S, S).

    Now and then two textures are one ground, of which one is darker, softer or coarser.
    """
    count = int(rng.integers(2, 5))
    textures = [_texture(grounds, rng) for _ in range(count)]
    if rng.random() < 0.35:
        textures[1] = _varied(textures[0], rng)
    size, images, labels = float(np.exp(rng.uniform(np.log(22), np.log(110)))), [], []
    for _ in range(2):
        where = np.argmax([_noise(side, size, rng) for _ in range(count)], axis=0)
        parts = np.stack([_part(texture, side, rng) for texture in textures])
        images.append(np.take_along_axis(parts, where[None, ..., None], 0)[0])
        labels.append((where + 1).astype(np.uint8))
    return images, labels


def colours(images: list[Values], rng: np.random.Generator) -> list[Labels]:
    """Which of two to four colours every pixel of some pictures (S, S, 3) has, after a blur.

    The colours are those of the first picture; 0 where a pixel lies between two.
    """
    blur = rng.uniform(1, 5)
    labs = [rgb2lab(gaussian_filter(image, (blur, blur, 0), truncate=3)) for image in images]
    sample = labs[0].reshape(-1, 3)[rng.integers(labs[0].size // 3, size=_SAMPLE)]
    centres, _ = kmeans2(sample, int(rng.integers(2, 5)), minit="++", seed=rng)
    return [_nearest(lab, centres) for lab in labs]


def _nearest(lab: Values, centres: npt.NDArray[np.float64]) -> Labels:
    distances = np.linalg.norm(lab[..., None, :] - centres.astype(np.float32), axis=-1)
    ordered = np.partition(distances, 1, axis=-1)
    clear = ordered[..., 1] > _CLEAR * ordered[..., 0]
    return ((distances.argmin(-1) + 1) * clear).astype(np.uint8)


def _texture(grounds: list[Pixels], rng: np.random.Generator) -> Pixels:
    ground = grounds[rng.integers(len(grounds))]
    zoom = rng.uniform(0.35, 1.6)
    size = [max(24, round(n * zoom)) for n in (ground.shape[1], ground.shape[0])]
    return np.asarray(Image.fromarray(ground).resize(size, Image.Resampling.BILINEAR))


def _varied(texture: Pixels, rng: np.random.Generator) -> Pixels:
    kind = rng.integers(3)
    if kind == 0:
        gain = np.exp(rng.choice((-1, 1)) * rng.uniform(0.2, 0.6))
        return (texture * gain).clip(0, 255).astype(np.uint8)
    if kind == 1:
        blur = rng.uniform(1, 3)
        return gaussian_filter(texture, (blur, blur, 0), mode="wrap")
    size = [max(24, round(n * rng.uniform(0.4, 0.6))) for n in texture.shape[1::-1]]
    return np.asarray(Image.fromarray(texture).resize(size, Image.Resampling.BILINEAR))


def _part(texture: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    """A square of a seamless texture."""
    start = [rng.integers(n) for n in texture.shape[:2]]
    rows, columns = ((np.arange(side) + s) % n for s, n in zip(start, texture.shape, strict=False))
    return texture[rows[:, None], columns[None]]


def _noise(side: int, size: float, rng: np.random.Generator) -> Values:
    coarse = max(2, round(side / size) + 1)
    noise = Image.fromarray(rng.standard_normal((coarse, coarse)).astype(np.float32))
    return np.asarray(noise.resize((side, side), Image.Resampling.BICUBIC))
