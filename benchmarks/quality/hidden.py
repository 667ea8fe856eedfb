"""Input in which the surroundings are hidden: to learn from, and to ask about one region."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from napari_gaussproto import PrototypeSegmenter
from napari_gaussproto.core.cells.partition import Partition
from napari_gaussproto.core.imaging.tiles import round_up

# Discs that stay visible in a square, and their radii in pixels: a region and a margin.
_DISCS, _RADII = 8, (16, 72)
# By how much the colour of what is hidden varies, in [0, 1].
_SPREAD = 0.05
# Pixels of hidden surroundings that the network is given around the margin.
_RIM = 32
Pixels = npt.NDArray[np.float32]


def hide(
    images: Tensor, labels: Tensor, rng: np.random.Generator, share: float
) -> tuple[Tensor, Tensor]:
    """Copies of which some are hidden but for a few discs; what is hidden has no labels.

    Parameters
    ----------
    images : (B, 3, S, S) Tensor
    labels : (B, S, S) Tensor
    rng : Generator
    share : float
        Of the squares that are changed.
    """
    seen, known, side = images.clone(), labels.clone(), images.shape[-1]
    grid = torch.arange(side)
    for own in range(len(images)):
        if rng.random() >= share:
            continue
        visible = torch.zeros(side, side, dtype=torch.bool)
        for _ in range(_DISCS):
            radius, (y, x) = float(rng.uniform(*_RADII)), rng.integers(0, side, 2).tolist()
            visible |= (grid - y).square()[:, None] + (grid - x).square() <= radius**2
        colour = images[own].mean((1, 2)) + torch.from_numpy(rng.normal(0, _SPREAD, 3)).float()
        seen[own] = torch.where(visible, images[own], colour.clamp(0, 1)[:, None, None])
        known[own] = torch.where(visible, labels[own], 0)
    return seen, known


def alone(
    image: npt.NDArray[np.uint8], partition: Partition, cell: int, margin: int
) -> tuple[Pixels, tuple[slice, slice]]:
    """An image (H, W, 3) in [0, 1] hidden beyond a margin around a cell, in pixels.

    What is hidden has the mean colour of the rest, so that a mean over both is the same. Returns
    the rows and columns that are not hidden as well.
    """
    top, left, mask = partition.cell_mask(cell)
    height, width = partition.shape
    y0, x0 = max(0, top - margin), max(0, left - margin)
    y1, x1 = min(height, top + len(mask) + margin), min(width, left + mask.shape[1] + margin)
    own = np.zeros((y1 - y0, x1 - x0), bool)
    own[top - y0 : top - y0 + len(mask), left - x0 : left - x0 + mask.shape[1]] = mask
    visible = distance_transform_edt(~own) <= margin
    part = image[y0:y1, x0:x1].astype(np.float32) / 255
    colour = part[visible].mean(0, dtype=np.float64)
    seen = np.empty((*partition.shape, 3), np.float32)
    seen[:] = colour
    seen[y0:y1, x0:x1][visible] = part[visible]
    return seen, np.s_[y0:y1, x0:x1]


@torch.no_grad()
def class_alone(
    model: PrototypeSegmenter,
    image: npt.NDArray[np.uint8],
    partition: Partition,
    cell: int,
    margin: int,
) -> int:
    """The class that a model gives a cell whose surroundings beyond a margin are hidden."""
    seen, (rows, columns) = alone(image, partition, cell, margin)
    a, (height, width) = model.alignment, partition.shape
    y0, x0 = (max(0, side.start - _RIM) // a * a for side in (rows, columns))
    y1, x1 = (round_up(side.stop + _RIM, a) for side in (rows, columns))
    y1, x1 = min(y1, height), min(x1, width)
    part = np.pad(
        seen[y0:y1, x0:x1], ((0, -(y1 - y0) % a), (0, -(x1 - x0) % a), (0, 0)), mode="edge"
    )
    pixels = torch.from_numpy(part).permute(2, 0, 1)[None]
    latents = model.extract(pixels.contiguous(memory_format=torch.channels_last))[0]
    window = partition.window(y0, x0, y1, x1)
    here: Any = partition.center(cell)
    own = window.cell_at(here[0] - y0, here[1] - x0)
    return int(model.layer(model.cells_of(latents, window)[[own]]).argmax())
