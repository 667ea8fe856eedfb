"""Noise of a chosen grain: what soil, leaves and clouds are painted with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Plane = NDArray[np.floating[Any]]


def smooth(rng: np.random.Generator, height: int, width: int, scale: float) -> Plane:
    """Noise (H, W) whose bumps are about ``scale`` pixels wide, of deviation about 1."""
    shape = (max(2, round(height / scale) + 2), max(2, round(width / scale) + 2))
    coarse = Image.fromarray(rng.standard_normal(shape, dtype=np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) * np.float32(1.3)


def fractal(
    rng: np.random.Generator, height: int, width: int, largest: float, rough: float = 0.6
) -> Plane:
    """Noise (H, W) of octaves from ``largest`` pixels down to one, of deviation 1.

    Parameters
    ----------
    rng
        Where the noise comes from.
    height, width
        Size in pixels.
    largest
        Width in pixels of the largest bumps.
    rough
        Height of an octave's bumps as a share of those twice as wide.

    Returns
    -------
    Plane
        Noise (H, W).
    """
    total = np.zeros((height, width), np.float32)
    scale, weight = largest, 1.0
    while scale >= 1:
        total += np.float32(weight) * smooth(rng, height, width, scale)
        scale, weight = scale / 2, weight * rough
    return total / (total.std() + 1e-6)
