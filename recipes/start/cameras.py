"""Cameras: every episode has one, so that neither colour nor sharpness is learnt by heart."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import gaussian_filter

Pixels = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float32]
# From RGB to brightness and two colour axes, in which turning the hue is a rotation (NTSC's YIQ).
_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


@dataclass(frozen=True)
class Camera:
    """How a camera changes pictures.

    Attributes
    ----------
    turn : float
        Of the hue, in radians.
    bands : tuple of int
        Which band of the picture each band of the camera sees.
    neutral : bool
        Whether its white is that of the ground.
    white : (3,) array
        Gains of the bands.
    slope : tuple of float
        How much brighter the light gets from top to bottom and from left to right.
    """

    turn: float = 0.0
    saturation: float = 1.0
    gamma: float = 1.0
    contrast: float = 1.0
    brightness: float = 0.0
    bands: tuple[int, ...] = (0, 1, 2)
    neutral: bool = False
    white: npt.NDArray[np.float64] = field(default_factory=lambda: np.ones(3))
    slope: tuple[float, float] = (0.0, 0.0)
    blur: float = 0.0
    grain: float = 0.0
    quality: int = 100

    def see(self, image: Pixels, ground: npt.NDArray[np.bool_], rng: np.random.Generator) -> Values:
        """A picture (H, W, 3), of which ``ground`` (H, W) is soil, in [0, 1]."""
        values = image.astype(np.float32) / 255
        rows, turn = _YIQ.copy(), self.turn
        rows[1] = self.saturation * (np.cos(turn) * _YIQ[1] - np.sin(turn) * _YIQ[2])
        rows[2] = self.saturation * (np.sin(turn) * _YIQ[1] + np.cos(turn) * _YIQ[2])
        values = values @ (np.linalg.inv(_YIQ) @ rows).T.astype(np.float32)
        values = values[..., list(self.bands)]
        if self.neutral and ground.any():
            mean = values[ground].mean(0).clip(0.02)
            values = values * (mean.mean() / mean)
        light = values * self.white.astype(np.float32) * self._light(values.shape[:2])
        values = light.clip(0, 1) ** self.gamma
        middle = values.mean()
        values = (values - middle) * self.contrast + middle + self.brightness
        if self.blur:
            values = gaussian_filter(values, (self.blur, self.blur, 0), truncate=3)
        if self.grain:
            values += rng.standard_normal(values.shape, np.float32) * self.grain
        values = values.clip(0, 1)
        values = values.astype(np.float32)
        return values if self.quality == 100 else _compressed(values, self.quality)

    def _light(self, shape: tuple[int, ...]) -> Values:
        """(H, W, 1): 1 in the middle."""
        rows, columns = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
        across = self.slope[0] * rows[:, None] + self.slope[1] * columns
        return (1 + across)[..., None].astype(np.float32)

    def again(self, rng: np.random.Generator) -> Camera:
        """The same camera for another photograph, in slightly other light."""
        return replace(
            self,
            brightness=self.brightness + rng.normal(0, 0.02),
            gamma=self.gamma * float(np.exp(rng.normal(0, 0.06))),
        )


def draw_camera(rng: np.random.Generator) -> Camera:
    """A camera at random."""

    def sometimes(share: float, value: float, otherwise: float) -> float:
        return value if rng.random() < share else otherwise

    bands: tuple[int, ...] = (0, 1, 2)
    neutral, kind = False, rng.random()
    if kind < 0.08:
        bands = tuple(rng.permutation(3).tolist())
    elif kind < 0.18:  # a filter in front of the lens: two bands see the same
        first, second = rng.permutation(3)[:2].tolist()
        bands = tuple(first if band == second else band for band in range(3))
        neutral = True
    return Camera(
        turn=sometimes(0.2, rng.uniform(-np.pi, np.pi), rng.normal(0, 0.15)),
        saturation=float(rng.uniform(0.4, 1.5)),
        gamma=float(np.exp(rng.normal(0, 0.25))),
        contrast=float(np.exp(rng.normal(0, 0.2))),
        brightness=float(rng.normal(0, 0.05)),
        bands=bands,
        neutral=neutral,
        white=np.exp(rng.normal(0, 0.12, 3) + rng.normal(-0.1, 0.3)),
        slope=(sometimes(0.4, rng.normal(0, 0.2), 0.0), sometimes(0.4, rng.normal(0, 0.2), 0.0)),
        blur=sometimes(0.35, rng.uniform(0.4, 2.2), 0.0),
        grain=sometimes(0.5, rng.uniform(0.003, 0.04), 0.0),
        quality=int(sometimes(0.15, rng.uniform(20, 80), 100)),
    )


def _compressed(values: Values, quality: int) -> Values:
    """After it was saved as JPEG."""
    file = io.BytesIO()
    Image.fromarray((values * 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
    pixels = np.asarray(Image.open(file), np.float32)
    return pixels / np.float32(255)
