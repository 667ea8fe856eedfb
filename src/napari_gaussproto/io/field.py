"""A procedural field seen from above: soil, crop rows and weeds, with exact labels.

Everything is a function of the seed and the position, so any window of a field of any size
can be computed alone and agrees with its neighbours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.config import (
    PLANT_COLOR,
    SOIL_COLOR,
    WEED_COLOR,
    SegmentationClass,
)

FIELD_CLASSES = [
    SegmentationClass(name="soil", color=SOIL_COLOR),
    SegmentationClass(name="crop", color=PLANT_COLOR),
    SegmentationClass(name="weed", color=WEED_COLOR),
]
_SOIL, _CROP, _WEED = 1, 2, 3
_ROW_SPACING = 220
_PLANT_SPACING = 130
_WEED_SPACING = 150
_WEED_CHANCE = 0.55
# No plant reaches farther from its stem than this, in pixels.
_REACH = 110

Rgb = npt.NDArray[np.float32]
# Where pixels lie in the field: their rows or their columns, ascending.
Places = npt.NDArray[np.int64]


def synthetic_field(
    height: int, width: int, seed: int = 0, y0: int = 0, x0: int = 0, step: int = 1
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Draw a window of a field.

    Parameters
    ----------
    seed : int
        Which field.
    y0, x0 : int
        Where the window lies in it.
    step : int
        Distance of the pixels that are drawn: 2 leaves out every other row and column.

    Returns
    -------
    image : (H, W, 3) ndarray of uint8
    labels : (H, W) ndarray of uint8
        As in `FIELD_CLASSES`.
    """
    rows, columns = y0 + step * np.arange(height), x0 + step * np.arange(width)
    image = _soil(rows, columns, seed)
    labels = np.full((height, width), _SOIL, np.uint8)
    for plant in _plants(rows, columns, seed):
        plant.draw(image, labels, rows, columns)
    grain = _uniform(rows[:, None], columns[None], seed + 7)[..., None] - 0.5
    image += 14 * grain
    return image.clip(0, 255).astype(np.uint8), labels


def synthetic_field_dask(
    height: int, width: int, seed: int = 0, chunk: int = 1024, step: int = 1
) -> tuple[Any, Any]:
    """The same field as lazy dask arrays, image (H, W, 3) and labels (H, W).

    Height and width are those of the whole field; a ``step`` makes the arrays smaller by it.
    """
    import dask.array as da

    shape = (-(-height // step), -(-width // step))
    chunks = da.core.normalize_chunks((chunk, chunk), shape)

    def block(index: int, tail: tuple[int, ...], block_info: Any = None) -> Any:
        (top, bottom), (left, right) = block_info[None]["array-location"][:2]
        window = synthetic_field(bottom - top, right - left, seed, top * step, left * step, step)
        return window[index].reshape(bottom - top, right - left, *tail)

    image, labels = (np.empty((0,) * ndim, np.uint8) for ndim in (3, 2))
    image = da.map_blocks(block, 0, (3,), chunks=(*chunks, (3,)), dtype=np.uint8, meta=image)
    labels = da.map_blocks(block, 1, (), chunks=chunks, dtype=np.uint8, meta=labels)
    return image, labels


# -- noise that depends on the position only ------------------------------------------------


def _hash(y: Any, x: Any, seed: int) -> npt.NDArray[np.uint64]:
    """Mix integer coordinates into 64 random-looking bits (finaliser of SplitMix64)."""
    with np.errstate(over="ignore"):
        h = np.asarray(y, np.int64).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        h = h ^ (np.asarray(x, np.int64).astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F))
        h = h + np.uint64(seed) * np.uint64(0x165667B19E3779F9)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return h ^ (h >> np.uint64(31))


def _uniform(y: Any, x: Any, seed: int) -> npt.NDArray[np.float32]:
    """Uniform numbers in [0, 1) at integer coordinates."""
    return ((_hash(y, x, seed) >> np.uint64(40)) / np.float32(1 << 24)).astype(np.float32)


def _value_noise(rows: Places, columns: Places, seed: int, period: int) -> Rgb:
    """Smooth noise in [0, 1]: random values on a lattice, interpolated."""
    top, left = rows[0] // period, columns[0] // period
    lattice_rows = np.arange(top, rows[-1] // period + 2)
    lattice_columns = np.arange(left, columns[-1] // period + 2)
    lattice = _uniform(lattice_rows[:, None], lattice_columns[None], seed)
    across = _blend(lattice, columns / period - left)
    return _blend(across.T, rows / period - top).T


def _blend(values: Rgb, at: npt.NDArray[np.float64]) -> Rgb:
    """Interpolate along the last axis with a smooth step."""
    index = at.astype(int)
    share = at - index
    share = (share * share * (3 - 2 * share)).astype(np.float32)
    blended: Rgb = values[:, index] * (1 - share) + values[:, index + 1] * share
    return blended


# -- soil -----------------------------------------------------------------------------------


def _soil(rows: Places, columns: Places, seed: int) -> Rgb:
    """Clods, stones and shadows in brown."""
    tone = np.zeros((len(rows), len(columns)), np.float32)
    for octave, (period, share) in enumerate(((160, 0.2), (48, 0.3), (18, 0.32), (7, 0.28))):
        noise = _value_noise(rows, columns, seed + 11 * octave, period)
        # Ridges instead of waves: clods are round on top and dark in between.
        tone += share * (1 - np.abs(2 * noise - 1))
    tone = (tone - 0.25) * 1.25
    moist = _value_noise(rows, columns, seed + 101, 400)
    dry, wet = np.array([188, 156, 118], np.float32), np.array([138, 104, 76], np.float32)
    colour = dry + (wet - dry) * moist[..., None]
    image = colour * (0.45 + 0.75 * tone[..., None])
    stones = _value_noise(rows, columns, seed + 211, 26) > 0.86
    image[stones] = 0.5 * image[stones] + 0.5 * np.array([176, 168, 156], np.float32)
    return image


# -- plants ---------------------------------------------------------------------------------


class _Plant:
    """A rosette of leaves around a stem."""

    def __init__(self, y: float, x: float, label: int, rng: np.random.Generator) -> None:
        self.y, self.x, self.label = y, x, label
        crop = label == _CROP
        self.size = rng.uniform(0.7, 1.0) * (_REACH if crop else rng.uniform(0.3, 0.6) * _REACH)
        count = int(rng.integers(6, 10)) if crop else int(rng.integers(5, 14))
        self.turns = rng.uniform(0, 2 * np.pi) + np.linspace(0, 2 * np.pi, count, endpoint=False)
        self.turns = self.turns + rng.normal(0, 0.2, count)
        self.lengths = self.size * rng.uniform(0.75, 1.0, count)
        # Crop leaves are broad and oval, weeds have narrow blades.
        self.slimness = rng.uniform(0.5, 0.65) if crop else rng.uniform(0.1, 0.24)
        green = np.array([84, 158, 66]) if crop else np.array([112, 150, 52])
        self.colour = (green + rng.normal(0, 9, 3)).astype(np.float32)
        self.shade = rng.uniform(0.8, 1.12, count)

    def draw(
        self, image: Rgb, labels: npt.NDArray[np.uint8], rows: Places, columns: Places
    ) -> None:
        down, across = _within(rows, self.y), _within(columns, self.x)
        if down.start >= down.stop or across.start >= across.stop:
            return
        dy = rows[down].astype(np.float32)[:, None] - self.y
        dx = columns[across].astype(np.float32)[None] - self.x
        part, own = image[down, across], labels[down, across]
        for turn, length, shade in zip(self.turns, self.lengths, self.shade, strict=True):
            along = dx * np.cos(turn) + dy * np.sin(turn)
            across = dy * np.cos(turn) - dx * np.sin(turn)
            inside = self._blade(along, across, length)
            part[self._blade(along - 5, across - 4, length) & (own == _SOIL)] *= 0.72
            vein = 1 + 0.12 * (np.abs(across) < 1.2)
            light = shade * vein * (0.82 + 0.3 * along / length)
            part[inside] = (self.colour * light[..., None])[inside]
            own[inside] = self.label

    def _blade(self, along: Rgb, across: Rgb, length: float) -> npt.NDArray[np.bool_]:
        """An oval blade from the stem outwards; for broad leaves on a stalk."""
        stalk = 0.3 if self.label == _CROP else 0.0
        middle, half = length * (1 + stalk) / 2, length * (1 - stalk) / 2
        oval = ((along - middle) / half) ** 2 + (across / (half * self.slimness)) ** 2 < 1
        on_stalk = (along > 0) & (along < middle) & (np.abs(across) < 1.8)
        blade: npt.NDArray[np.bool_] = oval | on_stalk if stalk else oval
        return blade


def _within(places: Places, middle: float) -> slice:
    """The places that a plant may reach from its middle."""
    first, last = int(middle - _REACH), int(middle + _REACH)
    start, stop = np.searchsorted(places, (first, last + 1))
    return slice(int(start), int(stop))


def _plants(rows: Places, columns: Places, seed: int) -> list[_Plant]:
    """All plants that may reach into a window, in an order that depends on place alone."""
    plants = []
    for lattice, label, chance in (
        ((_ROW_SPACING, _PLANT_SPACING), _CROP, 0.92),
        ((_WEED_SPACING, _WEED_SPACING), _WEED, _WEED_CHANCE),
    ):
        for row in _covering(rows, lattice[0]):
            for column in _covering(columns, lattice[1]):
                rng = np.random.default_rng((seed, label, row & 0xFFFFFFFF, column & 0xFFFFFFFF))
                if rng.random() > chance:
                    continue
                jitter = 0.1 if label == _CROP else 0.5
                y = (row + 0.5 + rng.uniform(-jitter, jitter)) * lattice[0]
                x = (column + 0.5 + rng.uniform(-0.3, 0.3)) * lattice[1]
                plants.append(_Plant(y, x, label, rng))
    return plants


def _covering(places: Places, spacing: int) -> range:
    """Lattice indices whose plants may reach into the span of some places."""
    margin = _REACH + spacing
    return range((places[0] - margin) // spacing, (places[-1] + 1 + margin) // spacing + 1)
