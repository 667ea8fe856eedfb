"""Pictures with known regions that are made of what lies in scikit-image's own package."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.color import gray2rgb, rgb2hed, rgb2hsv
from skimage.filters import sobel, threshold_otsu
from skimage.segmentation import watershed
from skimage.transform import rescale, resize

from benchmarks.loop.photos import Image, Labels, Photo, as_bytes

SIZE = (480, 640)
# Parts of pictures that are one texture: the picture, and rows and columns.
_PARTS = {
    "brick": ("brick", np.s_[:, :]),
    "grass": ("grass", np.s_[:, :]),
    "wood": ("coffee", np.s_[:, 480:]),
    "moon": ("moon", np.s_[:, :]),
    "gravel": ("gravel", np.s_[:, :]),
    "fur": ("chelsea", np.s_[15:80, 90:290]),
    "lawn": ("camera", np.s_[400:, 425:]),
    "stars": ("hubble_deep_field", np.s_[:, :]),
    "retina": ("retina", np.s_[400:1000, 450:1050]),
}


def textures(
    names: Sequence[str], seed: int, number: int, *, coloured: bool, regions: Labels | None = None
) -> Photo:
    """Regions that are each filled with one texture.

    Parameters
    ----------
    names : sequence of str
        The texture of each class.
    seed, number : int
        The seed belongs to the task and draws colours, the number draws everything else.
    coloured : bool
        Every texture in one hue of the task's; otherwise all are grey, of the same mean and
        deviation, so that only texture is left.
    regions : (H, W) Labels, optional
        By default blobs, of about the same area each.
    """
    rng = np.random.default_rng((seed, number))
    truth = blobs(len(names), rng) if regions is None else regions
    tints = np.random.default_rng(seed).uniform(0.75, 1.25, (len(names), 3))
    image = np.zeros((*SIZE, 3))
    for index, name in enumerate(names):
        here = truth == index + 1
        filled = _filled(name, rng)[..., None] * np.ones(3)
        image[here] = (filled * tints[index] if coloured else filled)[here]
    image += rng.normal(0, 0.01, image.shape)
    return Photo(as_bytes(image), truth, str(number))


def blobs(count: int, rng: np.random.Generator, size: float = 30) -> Labels:
    """Regions (H, W) of about the same area each, numbered from 1."""
    fields = np.stack([gaussian_filter(rng.standard_normal(SIZE), size) for _ in range(count)])
    return (fields.argmax(0) + 1).astype(np.uint8)


def _filled(name: str, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A texture (H, W) of mean .5 and deviation .15, from a random place and in a random size."""
    sample = rescale(_texture(name), rng.uniform(0.8, 1.25), anti_aliasing=True)
    sample = np.rot90(sample, int(rng.integers(4)))
    height, width = SIZE
    whole = np.pad(sample, ((0, 2 * height), (0, 2 * width)), mode="symmetric")
    top, left = rng.integers(height), rng.integers(width)
    part = whole[top : top + height, left : left + width]
    return (part - part.mean()) / part.std() * 0.15 + 0.5


@cache
def _texture(name: str) -> npt.NDArray[np.float64]:
    picture, part = _PARTS[name]
    values = getattr(data, picture)()[part] / 255.0
    values = values if values.ndim == 2 else values[..., :3].mean(-1)
    # Slow changes of the light would tell places apart, not textures.
    return values - gaussian_filter(values, 40, mode="reflect")


def horses(ground: str, filling: str, seed: int, number: int) -> Photo:
    """Two horses of one texture on the ground of another."""
    rng = np.random.default_rng((seed, number, 1))
    shape = ~data.horse()
    truth = np.ones(SIZE, np.uint8)
    for part in (np.s_[:, : SIZE[1] // 2], np.s_[:, SIZE[1] // 2 :]):
        room = truth[part]
        side = rng.uniform(0.7, 0.95) * room.shape[1]
        small = resize(shape, (round(side * shape.shape[0] / shape.shape[1]), round(side)), order=0)
        small = small[:, ::-1] if rng.random() < 0.5 else small
        top, left = (int(rng.integers(a - b)) for a, b in zip(room.shape, small.shape, strict=True))
        room[top : top + small.shape[0], left : left + small.shape[1]][small > 0.5] = 2
    return textures((ground, filling), seed, number, coloured=True, regions=truth)


def coins(number: int) -> Photo:
    """Upper or lower half of the coins, by the watershed of scikit-image's own example."""
    picture = data.coins()
    markers = np.where(picture < 30, 1, np.where(picture > 150, 2, 0))
    truth = watershed(sobel(picture), markers).astype(np.uint8)
    half = np.s_[:150] if number % 2 == 0 else np.s_[150:]
    return _larger(gray2rgb(picture)[half], truth[half], number)


def stained_tissue(number: int) -> Photo:
    """A quarter of a section: connective tissue, and what is stained brown."""
    picture = data.immunohistochemistry()
    brown = gaussian_filter(rgb2hed(picture)[..., 2], 4)
    stained = brown > threshold_otsu(brown)
    top, left = 256 * (number // 2 % 2), 256 * (number % 2)
    part = np.s_[top : top + 256, left : left + 256]
    return _larger(picture[part], stained[part].astype(np.uint8) + 1, number)


def phantom(seed: int, number: int) -> Photo:
    """A head as a scanner sees it: empty, skull, brain, and what is brighter in the brain."""
    rng = np.random.default_rng((seed, number))
    value = data.shepp_logan_phantom()
    truth = np.select([value > 0.9, value > 0.25, value > 0.15], [2, 4, 3], 1).astype(np.uint8)
    noise = gaussian_filter(rng.standard_normal(value.shape), 1)
    image = gaussian_filter(value, 1) * 0.8 + 0.04 * noise / noise.std() + 0.1
    flipped = np.s_[:, ::-1] if number % 2 else np.s_[:, :]
    return _larger(as_bytes(gray2rgb(image.clip(0, 1)))[flipped], truth[flipped], number)


def logos(ground: str, seed: int, number: int) -> Photo:
    """The two snakes of scikit-image's logo, orange and green, on a texture."""
    rng = np.random.default_rng((seed, number))
    logo = resize(data.logo()[..., :3], (400, 400))
    hue, saturation, _ = np.moveaxis(rgb2hsv(logo), -1, 0)
    snakes = np.where(saturation > 0.25, np.where(hue < 0.15, 2, 3), 1)
    truth = np.ones(SIZE, np.uint8)
    top, left = int(rng.integers(80)), int(rng.integers(240))
    part = np.s_[top : top + 400, left : left + 400]
    truth[part] = snakes
    photo = textures((ground,) * 3, seed, number, coloured=False, regions=truth)
    image = photo.image / 255.0
    image[part][snakes > 1] = logo[snakes > 1]
    return Photo(as_bytes(image), truth, str(number))


def _larger(image: Image, truth: Labels, number: int) -> Photo:
    """Twice as large in full: bundled pictures are small, and cells have 8 px."""
    size = tuple(2 * side for side in truth.shape)
    twice = resize(image, size, order=1)
    whole = truth.repeat(2, 0).repeat(2, 1)
    return Photo(as_bytes(twice), whole, str(number))
