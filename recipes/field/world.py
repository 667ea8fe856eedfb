"""Fields: what the photographs of one share, from its soil and species to the camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .bank import Bank
from .grounds import Ground, ground
from .leaves import Colour, leaf_colour
from .litter import Litter, Sun, litter
from .plants import Species, species

MOST_PLANTS = 250


@dataclass(frozen=True)
class Camera:
    """What a camera makes of light."""

    white: Colour
    exposure: float
    gamma: float
    saturation: float
    vignette: float
    blur: float
    motion: float
    sharpening: float
    grain: float
    quality: int


@dataclass(frozen=True)
class Light:
    """The sun and what it does."""

    sun: Sun
    shadow: float
    length: float
    softness: float
    slope: float
    towards: float
    cloud: float


@dataclass(frozen=True)
class Sowing:
    """Where plants stand; lengths in pixels of a photograph 512 wide, the crop first."""

    in_rows: bool
    angle: float
    pitch: float
    gap: float
    sizes: tuple[float, ...]
    counts: tuple[float, ...]
    tilt: float


@dataclass(frozen=True)
class Field:
    """What the photographs of one field share; species 1 is the crop."""

    grounds: tuple[Ground, ...]
    patch: float
    edge: float
    furrows: float
    litter: Litter
    light: Light
    species: tuple[Species, ...]
    sowing: Sowing
    camera: Camera


def camera(rng: np.random.Generator) -> Camera:
    """A new camera in some weather."""
    warm, green = rng.normal(0, (0.12, 0.04))
    return Camera(
        np.exp([warm, green, -warm]).astype(np.float32),
        float(np.exp(rng.normal(0, 0.22))),
        float(np.exp(rng.normal(-0.1, 0.16))),
        rng.uniform(0.55, 1.3),
        float(rng.choice([0, 0, 0.2, 0.45])),
        float(rng.choice([0, 0.4, 0.7, 1.1, 1.5], p=[0.3, 0.28, 0.25, 0.12, 0.05])),
        float(rng.choice([0, 4], p=[0.93, 0.07])),
        float(rng.choice([0, 0.6, 1.2], p=[0.6, 0.25, 0.15])),
        float(rng.choice([0.003, 0.008, 0.02, 0.04], p=[0.4, 0.3, 0.22, 0.08])),
        int(rng.choice([100, 92, 75, 45], p=[0.4, 0.3, 0.2, 0.1])),
    )


def light(rng: np.random.Generator) -> Light:
    """The light of a day."""
    angle = rng.uniform(0, 2 * np.pi)
    return Light(
        (float(np.sin(angle)), float(np.cos(angle))),
        float(rng.choice([0, 0.25, 0.45, 0.65])),
        rng.uniform(0.02, 0.16),
        rng.uniform(0.5, 6),
        rng.uniform(0, 0.5),
        rng.uniform(0, 2 * np.pi),
        float(rng.choice([0, 0.3, 0.5], p=[0.84, 0.08, 0.08])),
    )


def sowing(rng: np.random.Generator, kinds: int) -> Sowing:
    """How densely plants stand: some fields are nearly bare, some nearly closed."""
    size = float(np.exp(rng.uniform(np.log(24), np.log(210))))
    others = size * np.exp(rng.normal(-0.45, 0.6, kinds - 1))
    sizes = (size, *others.clip(10, 260).tolist())
    cover = rng.choice([0.3, 1, 2.5, 6], p=[0.15, 0.5, 0.22, 0.13])
    space = rng.uniform(0.7, 2.2, 2) / np.sqrt(cover)
    room = 512 * 384 / np.square(np.maximum(sizes, 30)) * cover
    counts = np.minimum(room * rng.uniform(0.03, 0.35, kinds), 22 * cover)
    return Sowing(
        bool(rng.random() < 0.6),
        rng.uniform(0, np.pi),
        size * space[0] * 1.2,
        size * space[1] * 0.75,
        sizes,
        tuple(counts.tolist()),
        float(rng.choice([0, rng.normal(0, 0.5)])),
    )


def colours(rng: np.random.Generator, kinds: int) -> list[Colour | None]:
    """Colours (3,) of drawn species: in half of the fields all are of nearly one green."""
    if rng.random() < 0.5:
        return [None] * kinds
    common = leaf_colour(rng)
    return [
        (common * np.exp(rng.normal(0, 0.12, 3))).clip(0.02, 0.98).astype(np.float32)
        for _ in range(kinds)
    ]


def world(rng: np.random.Generator, bank: Bank) -> Field:
    """A new field of grounds and species on the side of ``bank``."""
    kinds = int(rng.choice([2, 2, 2, 3, 3, 4]))
    return Field(
        tuple(ground(rng, bank) for _ in range(rng.choice([1, 1, 2]))),
        rng.uniform(30, 220),
        rng.uniform(1, 8),
        float(rng.choice([0, 0, 0.25])),
        litter(rng),
        light(rng),
        tuple(species(rng, bank, colour) for colour in colours(rng, kinds)),
        sowing(rng, kinds),
        camera(rng),
    )


def places(
    rng: np.random.Generator, sown: Sowing, width: int, height: int
) -> list[tuple[float, float, int]]:
    """Where plants stand, (x, y, species), in the order in which they are laid."""
    found = rows(rng, sown, width, height) if sown.in_rows else []
    if not found:
        count = 1 + rng.poisson(sown.counts[0])
        found = [(rng.uniform(0, width), rng.uniform(0, height), 1) for _ in range(count)]
    for kind, mean in enumerate(sown.counts[1:], 2):
        nests = rng.uniform(0, (width, height), (3, 2))
        for _ in range(1 + rng.poisson(mean)):
            nest = nests[rng.integers(3)] + rng.normal(0, 20 + sown.sizes[kind - 1] / 2, 2)
            x, y = nest if rng.random() < 0.5 else rng.uniform(0, (width, height))
            found.append((x, y, kind))
    order = rng.permutation(len(found))[:MOST_PLANTS]
    return [found[k] for k in order]


def rows(
    rng: np.random.Generator, sown: Sowing, width: int, height: int
) -> list[tuple[float, float, int]]:
    """The crop in rows, with gaps where a seed did not come up."""
    reach = np.hypot(width, height) / 2 + sown.sizes[0] / 2
    turn = sown.angle + rng.normal(0, 0.06)
    across = np.arange(-reach, reach, sown.pitch) + rng.uniform(0, sown.pitch)
    along = np.arange(-reach, reach, sown.gap)
    v, u = (part.ravel() for part in np.meshgrid(across, along, indexing="ij"))
    v = v + rng.normal(0, sown.pitch * 0.05, v.shape)
    u = u + rng.normal(0, sown.gap * 0.15, u.shape)
    x = width / 2 + u * np.cos(turn) - v * np.sin(turn)
    y = height / 2 + u * np.sin(turn) + v * np.cos(turn)
    margin = sown.sizes[0] / 3
    seen = (x > -margin) & (x < width + margin) & (y > -margin) & (y < height + margin)
    seen &= rng.random(len(x)) < rng.uniform(0.6, 1)
    return [(float(a), float(b), 1) for a, b in zip(x[seen], y[seen], strict=True)]
