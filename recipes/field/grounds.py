"""Soils under a sun: relief and colour that the program makes, or pictures of grounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image
from scipy.ndimage import uniform_filter
from scipy.spatial import cKDTree

from .bank import Bank, on_side
from .leaves import Colour, hue_colour
from .noise import Plane, fractal, smooth

Relief = Callable[[np.random.Generator, int, int, float], tuple[Plane, Plane]]
# Hue, saturation and value, from lowest to highest, of the soils of the world.
TONES: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "brown": ((22, 36), (0.25, 0.55), (0.3, 0.6)),
    "dark": ((15, 40), (0.1, 0.4), (0.14, 0.32)),
    "red": ((8, 22), (0.4, 0.7), (0.4, 0.7)),
    "ochre": ((28, 42), (0.35, 0.6), (0.5, 0.8)),
    "pale": ((25, 48), (0.08, 0.3), (0.6, 0.9)),
    "grey": ((0, 60), (0.02, 0.15), (0.3, 0.65)),
    "olive": ((48, 72), (0.12, 0.3), (0.3, 0.6)),
    "cool": ((200, 260), (0.03, 0.15), (0.3, 0.6)),
}


@cache
def bump(radius: int, form: int) -> Plane:
    """A stone or clod (2 R + 1, 2 R + 1) of some form: height 0 to 1, and 0 outside."""
    rng = np.random.default_rng([radius, form])
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float32) / radius
    angle = np.arctan2(y, x)
    edge = np.full_like(x, 0.8)
    for waves in (2, 3, 5, 7):
        edge += rng.uniform(0, 0.3 / waves) * np.cos(waves * angle + rng.uniform(0, 6))
    inside = 1 - (np.hypot(x, y * rng.uniform(1, 1.5)) / edge) ** 2
    facets = 1 + 0.25 * fractal(rng, len(x), len(x), max(2, radius / 2), 0.7)
    return np.sqrt(inside.clip(0)) * facets.clip(0.5)


def scattered(
    rng: np.random.Generator, height: int, width: int, size: float, cover: float
) -> tuple[Plane, Plane]:
    """Bumps, few of them large: their height in pixels (H, W) and the tone (H, W) of each."""
    relief, tone = np.zeros((2, height + 128, width + 128), np.float32)
    radii = (size * (1 + rng.pareto(2.8, 3500))).clip(3, 60).astype(int)
    enough = np.searchsorted(np.cumsum(2.2 * radii**2), cover * relief.size) + 1
    for radius in radii[:enough].tolist():
        top, left = rng.integers((height + 127 - 2 * radius, width + 127 - 2 * radius)).tolist()
        here = np.s_[top : top + 2 * radius + 1, left : left + 2 * radius + 1]
        shape = bump(radius, int(rng.integers(8))) * (radius * rng.uniform(0.6, 1.2))
        higher = shape > relief[here]
        relief[here][higher] = shape[higher]
        tone[here][higher] = rng.standard_normal()
    return relief[64:-64, 64:-64], tone[64:-64, 64:-64]


def clods(rng: np.random.Generator, height: int, width: int, size: float) -> tuple[Plane, Plane]:
    """Clods upon clods: heights and tones, both (H, W)."""
    relief, tone = scattered(rng, height, width, max(2, size * 0.4), rng.uniform(1, 2.5))
    rough = fractal(rng, height, width, size)
    return relief * 0.7 + rough * size * 0.12, tone + rough


def gravel(rng: np.random.Generator, height: int, width: int, size: float) -> tuple[Plane, Plane]:
    """Stones on finer ground: heights and tones, both (H, W)."""
    relief, tone = scattered(rng, height, width, max(2, size * 0.3), rng.uniform(0.3, 1.5))
    return relief * 0.8 + smooth(rng, height, width, 2) * 0.4, tone * 1.6


def crumbs(rng: np.random.Generator, height: int, width: int, size: float) -> tuple[Plane, Plane]:
    """Fine crumbs: heights and tones, both (H, W)."""
    fine = fractal(rng, height, width, size * 1.5, rng.uniform(0.6, 0.9))
    return np.abs(fine) * size * 0.3, fractal(rng, height, width, size * 5)


def sand(rng: np.random.Generator, height: int, width: int, size: float) -> tuple[Plane, Plane]:
    """Sand with or without ripples: heights and tones, both (H, W)."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle, broad = rng.uniform(0, np.pi), fractal(rng, height, width, 100)
    ripples = np.sin((x * np.cos(angle) + y * np.sin(angle)) / size + 2 * broad)
    grains = smooth(rng, height, width, 1.2)
    return ripples * rng.choice([0, 0.3, 1]) + grains * 0.25 + broad * 2, broad + grains


def cracked(rng: np.random.Generator, height: int, width: int, size: float) -> tuple[Plane, Plane]:
    """Dried mud, cracked where two points are equally near: heights and tones, both (H, W)."""
    points = rng.uniform(0, (height, width), (max(8, int(height * width / (size * 4) ** 2)), 2))
    grid = np.mgrid[:height:2, :width:2].astype(np.float32)
    warp = np.stack([smooth(rng, grid.shape[1], grid.shape[2], 8) for _ in range(2)]) * size * 0.4
    near, which = cKDTree(points).query((grid + warp).reshape(2, -1).T, 2)
    gap = (near[:, 1] - near[:, 0]).reshape(grid.shape[1:]).astype(np.float32)
    plates = rng.standard_normal(len(points))[which[:, 0]].reshape(gap.shape).astype(np.float32)
    gap, plates = (
        np.asarray(Image.fromarray(part).resize((width, height), Image.Resampling.BILINEAR))
        for part in (gap, plates)
    )
    deep = np.minimum(gap / rng.uniform(1, 4), 1) * rng.uniform(1, 3)
    return deep + fractal(rng, height, width, 10) * 0.2, plates * 0.7 + fractal(
        rng, height, width, 20
    )


def smeared(rng: np.random.Generator, height: int, width: int, size: float) -> tuple[Plane, Plane]:
    """Smooth ground, wet or rained flat: heights and tones, both (H, W)."""
    broad = fractal(rng, height, width, 120, 0.5)
    return broad * 3 + fractal(rng, height, width, size) * 0.25, broad


RELIEFS: dict[str, Relief] = {
    "clods": clods,
    "crumbs": crumbs,
    "gravel": gravel,
    "sand": sand,
    "cracked": cracked,
    "smeared": smeared,
}


def tone_colour(rng: np.random.Generator, tone: str) -> Colour:
    """A colour (3,) of one of `TONES`."""
    hue, saturation, value = (rng.uniform(*limits) for limits in TONES[tone])
    return hue_colour(hue, saturation, value)


def lit(relief: Plane, sun: tuple[float, float], strength: float) -> Plane:
    """Brightness (H, W) of a relief in pixels under a sun at (y, x); hollows are darker."""
    down, right = np.gradient(relief)
    slope = down * sun[0] + right * sun[1]
    hollow = relief - uniform_filter(relief, 9)
    return (1 - strength * slope + 0.12 * strength * hollow).clip(0.15, 1.9)


@dataclass(frozen=True)
class Ground:
    """What photographs of one ground share: a picture or a kind of relief, and its colours."""

    family: str
    picture: Image.Image | None
    relief: str
    size: float
    colours: tuple[Colour, Colour]
    contrast: float
    strength: float
    grit: float
    zoom: float

    def paint(
        self, rng: np.random.Generator, height: int, width: int, sun: tuple[float, float]
    ) -> Plane:
        """Some part (H, W, 3) of this ground under a sun, 0 to 1 and a little above."""
        relief, tone = RELIEFS[self.relief](rng, height, width, self.size)
        grit = self.grit * fractal(rng, height, width, 6, 0.85)
        light = lit(relief + grit, sun, self.strength)[..., None]
        if self.picture is None:
            mix = (0.5 + 0.3 * (tone * self.contrast + grit)).clip(0, 1)[..., None]
            colour = self.colours[0] * (1 - mix) + self.colours[1] * mix
            return colour * light
        return self.tiled(rng, height, width) * (0.55 + 0.45 * light) * (self.colours[0] + 0.5)

    def tiled(self, rng: np.random.Generator, height: int, width: int) -> Plane:
        """Some part (H, W, 3) of the picture, repeated as often as needed."""
        assert self.picture is not None
        size = [max(48, int(side * self.zoom)) for side in self.picture.size]
        tile = np.asarray(self.picture.resize((size[0], size[1]), Image.Resampling.BILINEAR))
        times = (height // tile.shape[0] + 2, width // tile.shape[1] + 2, 1)
        top, left = rng.integers(tile.shape[:2]).tolist()
        whole = np.tile(tile, times)[top : top + height, left : left + width]
        return whole.astype(np.float32) / 255


def drawn_ground(rng: np.random.Generator) -> tuple[str, str]:
    """A kind of relief and a tone."""
    relief = rng.choice(list(RELIEFS), p=[0.3, 0.25, 0.13, 0.1, 0.1, 0.12])
    return str(relief), str(
        rng.choice(list(TONES), p=[0.28, 0.16, 0.13, 0.13, 0.12, 0.09, 0.05, 0.04])
    )


def ground(rng: np.random.Generator, bank: Bank) -> Ground:
    """A new ground of a family on the side of ``bank``."""
    relief, tone = drawn_ground(rng)
    while not on_side(f"{relief} {tone}", bank.split):
        relief, tone = drawn_ground(rng)
    family, picture = f"{relief} {tone}", None
    strength = rng.uniform(0.1, 0.65)
    if bank.grounds and rng.random() < 0.5:
        family = sorted(bank.grounds)[rng.integers(len(bank.grounds))]
        picture = bank.grounds[family][rng.integers(len(bank.grounds[family]))]
        strength *= rng.choice([0.05, 0.5, 1])
    first = tone_colour(rng, tone)
    second = (tone_colour(rng, tone) + first) / 2 * rng.uniform(0.5, 1.4)
    if picture is not None:
        first = first / first.max() * 0.25 + rng.uniform(0.15, 0.4)
    size = float(np.exp(rng.uniform(np.log(3), np.log(20))))
    contrast, grit, zoom = rng.uniform((0.2, 0, 0.4), (1.3, 0.9, 1.5)).tolist()
    return Ground(family, picture, relief, size, (first, second), contrast, strength, grit, zoom)
