"""What lies on a soil and is no plant: straw, dead leaves, twigs and stones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .grounds import bump, lit
from .leaves import drawn_leaf, hue_colour
from .noise import Plane

Sun = tuple[float, float]


@dataclass(frozen=True)
class Litter:
    """How much of what lies on the soil of one field."""

    straws: float
    straw_width: float
    straw_light: float
    dead_leaves: float
    stones: float
    size: float


def litter(rng: np.random.Generator) -> Litter:
    """Mostly little, sometimes mulch."""
    much = rng.random()
    straws = rng.uniform(120, 700) if much < 0.1 else rng.choice([0, 0, 4, 25])
    return Litter(
        float(straws),
        rng.uniform(0.7, 3),
        rng.uniform(0.35, 0.95),
        float(rng.choice([0, 0, 0, 2, 8])),
        float(rng.choice([0, 0, 3, 15])),
        float(np.exp(rng.uniform(np.log(4), np.log(22)))),
    )


def over(image: Plane, layer: Image.Image, top: int, left: int, sun: Sun, lift: float) -> None:
    """Lay an RGBA picture with its shadow on an image (H, W, 3), in place."""
    cover = np.asarray(layer, np.float32) / 255
    y0, x0 = max(0, top), max(0, left)
    y1, x1 = min(image.shape[0], top + layer.height), min(image.shape[1], left + layer.width)
    if y1 <= y0 or x1 <= x0:
        return
    shift = (round(-sun[0] * lift), round(-sun[1] * lift))
    dark = np.roll(cover[..., 3], shift, (0, 1))
    cut = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    here, alpha = image[y0:y1, x0:x1], cover[cut][..., 3:]
    here *= 1 - 0.45 * dark[cut][..., None]
    here *= 1 - alpha
    here += cover[cut][..., :3] * alpha


def straw(rng: np.random.Generator, image: Plane, lying: Litter, sun: Sun) -> None:
    """Straws and twigs, bent a little, laid on an image (H, W, 3) in place."""
    height, width = image.shape[:2]
    layer = Image.new("RGBA", (2 * width, 2 * height), (150, 120, 80, 0))
    pen = ImageDraw.Draw(layer)
    for _ in range(rng.poisson(lying.straws)):
        middle, angle = rng.uniform((0, 0), layer.size), rng.uniform(0, np.pi)
        half = rng.uniform(4, 45) * lying.straw_width
        along = np.array([np.cos(angle), np.sin(angle)]) * half
        bent = np.array([-along[1], along[0]]) * rng.normal(0, 0.08)
        light = lying.straw_light * rng.uniform(0.6, 1.15)
        colour = hue_colour(rng.uniform(22, 50), rng.uniform(0.1, 0.5), min(1, light))
        path = [
            tuple((middle + k * along + (1 - k * k) * bent).tolist()) for k in (-1, -0.4, 0.3, 1)
        ]
        wide = max(1, round(2 * lying.straw_width * rng.uniform(0.4, 1.2)))
        pen.line(path, (*(colour * 255).astype(int).tolist(), 255), wide)
    small = layer.reduce(2).filter(ImageFilter.SMOOTH)
    over(image, small, 0, 0, sun, 2)


def dead_leaf(rng: np.random.Generator, image: Plane, lying: Litter, sun: Sun) -> None:
    """One brown leaf, laid on an image (H, W, 3) in place."""
    colour = hue_colour(rng.uniform(8, 45), rng.uniform(0.1, 0.6), rng.uniform(0.2, 0.75))
    shape = str(rng.choice(["lanceolate", "oval", "heart", "spoon"]))
    leaf = drawn_leaf(rng, shape, colour, int(rng.integers(1 << 30)), aging=False)
    length = lying.size * rng.uniform(1.5, 4.5)
    size = (max(2, int(leaf.width * length / leaf.height)), max(2, int(length)))
    leaf = leaf.resize(size, Image.Resampling.BOX)
    leaf = leaf.rotate(rng.uniform(0, 360), Image.Resampling.BICUBIC, expand=True)
    top, left = rng.integers((-20, -20), image.shape[:2]).tolist()
    over(image, leaf, top, left, sun, 3)


def stone(rng: np.random.Generator, image: Plane, lying: Litter, sun: Sun) -> None:
    """One stone, laid on an image (H, W, 3) in place."""
    radius = int(lying.size * rng.uniform(0.4, 1.6))
    height = np.pad(bump(max(2, radius), int(rng.integers(8))), 3)
    colour = hue_colour(rng.uniform(0, 60), rng.uniform(0, 0.25), rng.uniform(0.35, 0.85))
    light = lit(height * radius * 0.5, sun, 0.4)[..., None]
    whole = np.concatenate([colour * light, (height > 0)[..., None]], 2).clip(0, 1) * 255
    layer = Image.fromarray(whole.astype(np.uint8))
    top, left = rng.integers((-10, -10), image.shape[:2]).tolist()
    over(image, layer, top, left, sun, min(3, radius / 3))


def scatter(rng: np.random.Generator, image: Plane, lying: Litter, sun: Sun) -> None:
    """Lay stones, dead leaves and straw on an image (H, W, 3), in place."""
    for _ in range(rng.poisson(lying.stones)):
        stone(rng, image, lying, sun)
    for _ in range(rng.poisson(lying.dead_leaves)):
        dead_leaf(rng, image, lying, sun)
    if lying.straws:
        straw(rng, image, lying, sun)
