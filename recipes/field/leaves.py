"""Leaves that the program draws: outline, veins, folds, spots and colour."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .noise import Plane, fractal

Colour = NDArray[np.floating[Any]]
LENGTH = 128


def hue_colour(hue: float, saturation: float, value: float) -> Colour:
    """A colour (3,) of 0 to 1 from its hue in degrees, saturation and value."""
    return np.array(colorsys.hsv_to_rgb(hue / 360 % 1, saturation, value), np.float32)


def leaf_colour(rng: np.random.Generator) -> Colour:
    """A colour (3,) that leaves have: mostly green, some yellowish, bluish, pale or purple."""
    kind = rng.random()
    if kind < 0.8:
        return hue_colour(rng.normal(86, 14), rng.uniform(0.28, 0.82), rng.uniform(0.28, 0.85))
    if kind < 0.85:
        return hue_colour(rng.uniform(50, 70), rng.uniform(0.35, 0.8), rng.uniform(0.45, 0.85))
    if kind < 0.91:
        return hue_colour(rng.uniform(120, 175), rng.uniform(0.1, 0.4), rng.uniform(0.4, 0.8))
    if kind < 0.96:
        return hue_colour(rng.uniform(70, 115), rng.uniform(0.1, 0.32), rng.uniform(0.65, 0.95))
    return hue_colour(rng.uniform(310, 365), rng.uniform(0.2, 0.6), rng.uniform(0.22, 0.55))


# An outline is the half width at places from base (0) to tip (1), in lengths of the leaf.


def lanceolate(rng: np.random.Generator, t: Plane) -> Plane:
    """Half width (T,) of a leaf much longer than wide."""
    return np.sin(np.pi * t ** rng.uniform(0.7, 1.2)) * rng.uniform(0.07, 0.2)


def oval(rng: np.random.Generator, t: Plane) -> Plane:
    """Half width (T,) of a leaf that is widest in its middle."""
    return np.sin(np.pi * t ** rng.uniform(0.8, 1.2)) ** 0.65 * rng.uniform(0.2, 0.4)


def spoon(rng: np.random.Generator, t: Plane) -> Plane:
    """Half width (T,) of a leaf that is widest near its tip."""
    return np.sin(np.pi * t ** rng.uniform(1.6, 3.2)) ** 0.7 * rng.uniform(0.14, 0.34)


def heart(rng: np.random.Generator, t: Plane) -> Plane:
    """Half width (T,) of a leaf that is widest near its base."""
    shape = t ** rng.uniform(0.25, 0.5) * (1 - t) ** rng.uniform(0.55, 0.9)
    return shape / shape.max() * rng.uniform(0.25, 0.48)


def toothed(rng: np.random.Generator, t: Plane) -> Plane:
    """Half width (T,) of a leaf with teeth that point to its tip."""
    teeth = 1 - t * rng.integers(6, 16) % 1
    base = oval if rng.random() < 0.6 else lanceolate
    return base(rng, t) * (1 + rng.uniform(0.12, 0.35) * (teeth - 0.5))


def lobed(rng: np.random.Generator, t: Plane) -> Plane:
    """Half width (T,) of a leaf with deep round bays."""
    waves = np.cos(2 * np.pi * rng.integers(3, 8) * t + rng.uniform(0, 6))
    depth = rng.uniform(0.3, 0.75)
    shape = np.sin(np.pi * t ** rng.uniform(0.8, 1.8)) ** 0.6 * rng.uniform(0.18, 0.38)
    return shape * (1 - depth / 2 + depth / 2 * waves)


def linear(rng: np.random.Generator, t: Plane) -> Plane:
    """Half width (T,) of a blade of grass."""
    return rng.uniform(0.014, 0.05) * (1 - t ** rng.uniform(2, 6)) ** 0.7


def rounded(rng: np.random.Generator, angle: Plane) -> Plane:
    """Radius (H, W) of a round leaf, perhaps notched, by the angle (H, W) from its tip."""
    waves = 1 + rng.uniform(0, 0.08) * np.cos(angle * rng.integers(5, 14))
    notch = 1 - rng.uniform(0, 0.8) * np.exp(-(((np.abs(angle) - np.pi) / 0.3) ** 2))
    return waves * notch


def palmate(rng: np.random.Generator, angle: Plane) -> Plane:
    """Radius (H, W) of a leaf with three to nine fingers, by the angle (H, W) from its tip."""
    fingers = np.abs(np.cos(angle * int(rng.choice([3, 5, 7, 9])) / 2)) ** rng.uniform(0.5, 1.6)
    deep = rng.uniform(0.3, 0.75)
    notch = 1 - 0.6 * np.exp(-(((np.abs(angle) - np.pi) / 0.3) ** 2))
    return (1 - deep + deep * fingers) * notch * (1 - 0.25 * np.abs(angle) / np.pi)


Outline = Callable[[np.random.Generator, Plane], Plane]
BLADES: dict[str, Outline] = {
    "lanceolate": lanceolate,
    "oval": oval,
    "spoon": spoon,
    "heart": heart,
    "toothed": toothed,
    "lobed": lobed,
    "linear": linear,
}
DISKS: dict[str, Outline] = {"rounded": rounded, "palmate": palmate}
SHAPES = (*BLADES, *DISKS)


def blade(rng: np.random.Generator, form: int, shape: str) -> tuple[Plane, Plane, Plane]:
    """Coverage (H, W), veins (H, W) and fold (H, W) of a leaf along a middle line."""
    t = np.linspace(0.001, 0.999, LENGTH, dtype=np.float32)
    half = BLADES[shape](np.random.default_rng(form), t).astype(np.float32) * rng.uniform(
        0.85, 1.15
    )
    slim = half.max() < 0.06
    bend = rng.normal(0, 0.16 if slim else 0.07) * t**2
    reach = float(half.max() + np.abs(bend).max()) + 0.03
    width = max(6, int(2 * reach * LENGTH))
    across = (np.arange(width, dtype=np.float32)[None] / LENGTH - reach) - bend[:, None]
    away = np.abs(across)
    cover = ((half[:, None] - away) * LENGTH + 0.5).clip(0, 1)
    veins = np.exp(-((away * LENGTH / rng.uniform(0.8, 2.2)) ** 2))
    if not slim:
        phase = (t[:, None] - rng.uniform(0.4, 1) * away) * rng.uniform(5, 14) % 1
        veins += rng.uniform(0, 0.6) * np.exp(-(((phase - 0.5) / 0.07) ** 2))
    fold = np.tanh(across / (half.max() + 1e-3) * 3)
    return cover, veins, fold


def disk(rng: np.random.Generator, form: int, shape: str) -> tuple[Plane, Plane, Plane]:
    """Coverage (H, W), veins (H, W) and fold (H, W) of a leaf around a point."""
    y, x = np.mgrid[:LENGTH, :LENGTH].astype(np.float32) / (LENGTH / 2) - 1
    y += rng.uniform(0, 0.3)
    angle, radius = np.arctan2(x, y), np.hypot(x, y)
    outline = DISKS[shape](np.random.default_rng(form), angle)
    edge = 0.95 * outline - max(0, float(y.max()) - 1)
    cover = ((edge - radius) * LENGTH / 2 + 0.5).clip(0, 1)
    rays = np.abs(np.sin(angle * int(rng.integers(3, 9)) / 2))
    veins = np.exp(-((rays * radius * rng.uniform(10, 25)) ** 2)) * rng.uniform(0.2, 1)
    return cover, veins, np.tanh(3 * x)


def drawn_leaf(
    rng: np.random.Generator, shape: str, colour: Colour, form: int, aging: bool = True
) -> Image.Image:
    """A leaf as an RGBA picture, base at the top.

    Parameters
    ----------
    rng
        Where its details come from.
    shape
        One of `SHAPES`.
    colour
        Its colour (3,), 0 to 1.
    form
        The seed of its outline, which leaves of one species share.
    aging
        Whether its base or tip may have another colour of leaves.

    Returns
    -------
    Image.Image
        The leaf, `LENGTH` pixels long.
    """
    cover, veins, fold = (disk if shape in DISKS else blade)(rng, form, shape)
    height, width = cover.shape
    light = 1 + rng.uniform(0, 0.16) * fold * rng.choice([-1, 1])
    light = light + rng.uniform(0.03, 0.14) * fractal(rng, height, width, rng.uniform(6, 50))
    gloss = fractal(rng, height, width, 40) - rng.uniform(0.8, 2.5)
    picture = colour * light[..., None] + rng.uniform(0, 0.35) * gloss.clip(0, 1)[..., None]
    if aging:
        first, last = rng.normal(0, 0.25, 2).tolist()
        aged = np.linspace(first, last, height).astype(np.float32)
        picture += (leaf_colour(rng) - picture) * aged.clip(0)[:, None, None]
    strength = rng.uniform(-0.3, 0.5)
    vein = strength * veins[..., None] * cover[..., None]
    picture = picture * (1 + vein.clip(-0.6, 0)) + (colour * 0.5 + 0.4) * vein.clip(0)
    if rng.random() < 0.15:
        spots = (fractal(rng, height, width, 14) > rng.uniform(1.2, 2.2))[..., None]
        picture = np.where(spots, picture * hue_colour(rng.uniform(20, 60), 0.5, 0.8), picture)
    whole = np.concatenate([picture.clip(0, 1), cover[..., None]], 2) * 255
    return Image.fromarray(whole.astype(np.uint8))
