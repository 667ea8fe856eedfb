"""Cameras that a model for a first look may meet: mostly of three bands, some with infrared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from recipes.start.cameras import draw_camera

Bytes = npt.NDArray[np.uint8]
# Shares of cameras with a band of near infrared, and of those that a start is trained for, whose
# colours may be any; the others see colours as people do.
_INFRARED, _ANY = 0.25, 0.2
# Of infrared cameras: those that show it as green and red twice; else it is shown as red, red
# as green and green as blue. And those whose white is that of the ground.
_TWO_BANDS, _NEUTRAL = 0.7, 0.6


def see_plants(
    image: Bytes, plants: npt.NDArray[np.bool_], rng: np.random.Generator, grey: float = 0.0
) -> Bytes:
    """A picture (H, W, 3) with plants in (H, W), by a camera at random.

    A share ``grey`` of cameras has a single band.
    """
    kind = rng.random()
    camera = draw_camera(rng)
    if kind < _INFRARED:
        image = infrared(image, plants, rng)
        neutral = bool(rng.random() < _NEUTRAL)
        camera = replace(camera, turn=0.0, bands=(0, 1, 2), neutral=neutral)
    elif kind > _INFRARED + _ANY:
        turn = float(rng.normal(0, 0.12))
        camera = replace(camera, turn=turn, bands=(0, 1, 2), neutral=bool(rng.random() < 0.1))
    seen = camera.see(image, ~plants, rng)
    if grey and rng.random() < grey:
        seen = seen[..., [int(rng.integers(3))] * 3]
    return as_bytes(seen)


def infrared(image: Bytes, plants: npt.NDArray[np.bool_], rng: np.random.Generator) -> Bytes:
    """As a camera sees it that has a band of near infrared, where leaves are bright.

    Made from the colours: in near infrared soil is as bright as in red or a little more, and
    leaves, which absorb red, reflect half of the light.
    """
    values = image.astype(np.float32) / 255
    red, green, blue = np.moveaxis(values, 2, 0)
    # Masks are drawn wider than leaves; a green fringe tells how much of a pixel is leaf.
    excess = (2 * green - red - blue) / values.sum(2).clip(0.05)
    leaf = plants * (excess / 0.1).clip(0.3, 1)
    bright = values.mean(2) * (rng.uniform(0.9, 1.4) + leaf * rng.uniform(0.5, 1.8))
    absorbed = red * (1 - leaf * rng.uniform(0, 0.4))
    two = rng.random() < _TWO_BANDS
    bands = (absorbed, bright, absorbed) if two else (bright, absorbed, green)
    return as_bytes(np.stack(bands, 2).clip(0, 1))


def as_bytes(image: npt.NDArray[np.float32]) -> Bytes:
    """A picture (H, W, 3) with values in [0, 1] as bytes."""
    return (image * 255).round().astype(np.uint8)
