"""A photograph with its labels, and the many eyes that one photograph can be seen through."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from scipy.ndimage import gaussian_filter
from skimage.color import hsv2rgb, rgb2gray, rgb2hsv
from skimage.transform import resize

Image = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.uint8]
Change = Callable[["Photo"], "Photo"]


@dataclass(frozen=True, eq=False)
class Photo:
    """An image (H, W, 3), its labels (H, W) of classes from 1, and the place it was taken at."""

    image: Image
    truth: Labels
    scene: str

    def holds(self, n_classes: int, least: float = 0.003) -> bool:
        """Whether each class has that share of the photograph."""
        counts = np.bincount(self.truth.ravel(), minlength=n_classes + 1)[1:]
        return bool((counts >= least * self.truth.size).all())


def as_bytes(image: npt.NDArray[Any]) -> Image:
    """An image with values from 0 to 1 as bytes."""
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)


def unchanged(photo: Photo) -> Photo:
    """The same as another image, so that what is kept of it goes with it; see `kept`."""
    return replace(photo, image=photo.image.copy())


def scaled(photo: Photo, factor: float) -> Photo:
    """Smaller or larger. What is enlarged is a part, so that the picture keeps its size."""
    if factor > 1:
        photo = richest_part(photo, 1 / factor)
    size = tuple(round(side * factor) for side in photo.truth.shape)
    image = resize(photo.image, size, order=1, anti_aliasing=factor < 1)
    truth = resize(photo.truth, size, order=0, preserve_range=True, anti_aliasing=False)
    return replace(photo, image=as_bytes(image), truth=truth.astype(np.uint8))


def richest_part(photo: Photo, share: float) -> Photo:
    """The part in which the class that is rarest there has most pixels."""
    height, width = photo.truth.shape
    h, w = round(height * share), round(width * share)
    classes = np.unique(photo.truth[photo.truth > 0])
    parts = [
        np.s_[top : top + h, left : left + w]
        for top in np.linspace(0, height - h, 5).astype(int)
        for left in np.linspace(0, width - w, 5).astype(int)
    ]
    best = max(parts, key=lambda p: min(int((photo.truth[p] == c).sum()) for c in classes))
    return replace(photo, image=photo.image[best], truth=photo.truth[best])


def hue_turned(photo: Photo, turn: float) -> Photo:
    """Every hue moved by a share of the circle: leaves blue, soil green."""
    hsv = rgb2hsv(photo.image)
    hsv[..., 0] = (hsv[..., 0] + turn) % 1
    return replace(photo, image=as_bytes(hsv2rgb(hsv)))


def bands(photo: Photo, order: tuple[int, int, int]) -> Photo:
    """Bands in another order, or one of them twice, as of a camera with two."""
    return replace(photo, image=np.ascontiguousarray(photo.image[..., list(order)]))


def grey(photo: Photo, grain: float) -> Photo:
    """Without colour, under a grain of 2 px: only brightness and texture are left."""
    value = rgb2gray(photo.image)
    noise = gaussian_filter(np.random.default_rng(0).standard_normal(value.shape), 2)
    value = value * (1 + grain * noise / noise.std())
    return replace(photo, image=as_bytes(value.repeat(3).reshape(*value.shape, 3)))


def blurred(photo: Photo, sigma: float, quality: int) -> Photo:
    """Out of focus, and saved as a small JPEG."""
    image = gaussian_filter(photo.image.astype(np.float32), (sigma, sigma, 0))
    file = io.BytesIO()
    Pillow.fromarray(as_bytes(image / 255)).save(file, "JPEG", quality=quality)
    return replace(photo, image=np.array(Pillow.open(file)))


def lit(photo: Photo, gain: float, gamma: float, slope: float) -> Photo:
    """Exposed otherwise, and brighter on one side."""
    across = np.linspace(1 - slope, 1 + slope, photo.truth.shape[1])[None, :, None]
    return replace(photo, image=as_bytes((photo.image / 255.0 * gain * across).clip(0, 1) ** gamma))


# For each change its family and its name; those of the sealed tasks are other ones.
OPEN_EYES: dict[tuple[str, str], Change] = {
    ("photo", "as it is"): unchanged,
    ("scale", "scale 0.4"): partial(scaled, factor=0.4),
    ("scale", "scale 2"): partial(scaled, factor=2.0),
    ("colour", "hue turned"): partial(hue_turned, turn=1 / 3),
    ("colour", "blue as red"): partial(bands, order=(0, 1, 0)),
    ("colour", "bands permuted"): partial(bands, order=(1, 2, 0)),
    ("colour", "grey"): partial(grey, grain=0.1),
    ("quality", "blur and JPEG"): partial(blurred, sigma=3, quality=30),
    ("quality", "dark"): partial(lit, gain=0.5, gamma=1.3, slope=0.3),
}
SEALED_EYES: dict[tuple[str, str], Change] = {
    ("photo", "as it is, other scenes"): unchanged,
    ("scale", "scale 0.6"): partial(scaled, factor=0.6),
    ("scale", "scale 1.5"): partial(scaled, factor=1.5),
    ("colour", "hue turned back"): partial(hue_turned, turn=-0.2),
    ("colour", "green as blue"): partial(bands, order=(0, 1, 1)),
    ("colour", "bands reversed"): partial(bands, order=(2, 0, 1)),
    ("colour", "grey, coarser"): partial(grey, grain=0.2),
    ("quality", "more blur"): partial(blurred, sigma=4, quality=15),
    ("quality", "bright"): partial(lit, gain=1.5, gamma=0.8, slope=0.2),
}
