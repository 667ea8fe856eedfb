"""Superpixels of images of any size: SLIC regions, the same in whichever windows they are cut.

The cluster centres of SLIC (Achanta et al. 2012) start on a regular grid and move a little at a
time, so a region depends only on its surroundings. The grid is fixed to
the image here and not to what is read at a time; with a margin around each block, blocks
continue each other's regions.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from skimage.measure import label as connected_components
from torch import Tensor
from torch.nn import functional as F

from napari_gaussproto.core.cells.clusters import cluster
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.network.local import lab
from napari_gaussproto.core.network.stride import shrink, sums

RegionMap = npt.NDArray[np.int32]

# Largest side of a block, in pixels that SLIC sees: tens of MB, less than a second.
BLOCK = 1024
# Surroundings of a block, in region sizes. A centre moves by less than one in practice;
# tests/core/cells/test_slic.py checks that blocks and whole agree.
MARGIN = 8
# Rows whose colours are converted at a time.
_ROWS = 64
# Regions below this share of the nominal area go to their neighbours.
_LEAST_AREA = 0.25


@dataclass(frozen=True)
class Block:
    """A finished block: how many are done, and how many there are."""

    index: int
    total: int


@dataclass(frozen=True)
class SlicSettings:
    """How regions are made.

    Attributes
    ----------
    size : int
        Nominal side of a region, in pixels of the shrunk image; at least 2.
    compactness : float
        Weight of nearness in space over nearness in colour (CIE Lab).
    shrink : int
        The image is averaged over squares of this side, in pixels, beforehand.
    """

    size: int
    compactness: float
    shrink: int


def region_map_steps(
    source: ImageSource, settings: SlicSettings, window: tuple[int, int, int, int] | None = None
) -> Generator[Block, None, RegionMap]:
    """Regions of an image or of a window of it, one generator step a block.

    Parameters
    ----------
    window : tuple of int, optional
        (y0, x0, y1, x1) in pixels, the first two multiples of ``settings.shrink``; the whole
        image by default.

    Yields
    ------
    Block
        After each; none if there is only one.

    Returns
    -------
    (h, w) ndarray of int32
        The number of each shrunk pixel's region: 0 to N - 1, none missing. Every region is
        connected (4 neighbours).
    """
    k = settings.shrink
    y0, x0, y1, x1 = window or (0, 0, source.height, source.width)
    y1, x1 = min(y1, source.height), min(x1, source.width)
    top, left, bottom, right = y0 // k, x0 // k, -(-y1 // k), -(-x1 // k)
    # On a lattice that is fixed to the image.
    side = max(1, BLOCK // settings.size) * settings.size
    cores = [
        (max(y, top), max(x, left), min(y + side, bottom), min(x + side, right))
        for y in range(top // side * side, bottom, side)
        for x in range(left // side * side, right, side)
    ]
    numbers = np.empty((bottom - top, right - left), np.int32)
    for index, core in enumerate(cores, start=1):
        target = numbers[core[0] - top : core[2] - top, core[1] - left : core[3] - left]
        target[...] = _block(source, settings, core)
        if len(cores) > 1:
            yield Block(index, len(cores))
    return consecutive(_connected(numbers, max(1, round(_LEAST_AREA * settings.size**2))))


def consecutive(regions: npt.NDArray[np.integer]) -> RegionMap:
    """Renumber regions (H, W) from 0 without gaps, in their order; (H, W) int32."""
    present = np.bincount(regions.ravel()) > 0
    number = np.cumsum(present) - 1
    return number[regions].astype(np.int32)


def _block(
    source: ImageSource, settings: SlicSettings, core: tuple[int, int, int, int]
) -> npt.NDArray[np.int32]:
    """Clusters of a core (shrunk pixels), numbered over the lattice of the whole image."""
    k, size = settings.shrink, settings.size
    height, width = -(-source.height // k), -(-source.width // k)
    margin = MARGIN * size
    top = max(0, core[0] - margin) // size * size
    left = max(0, core[1] - margin) // size * size
    bottom, right = min(height, core[2] + margin), min(width, core[3] + margin)
    features = _features(source, k, top, left, bottom, right)
    numbers = cluster(features, size, settings.compactness)
    columns, lattice_columns = -(-features.shape[1] // size), -(-width // size)
    if (top, left, columns) != (0, 0, lattice_columns):
        row, column = np.divmod(numbers, columns)
        numbers = (row + top // size) * lattice_columns + column + left // size
    return numbers[core[0] - top : core[2] - top, core[1] - left : core[3] - left]


def _features(
    source: ImageSource, k: int, top: int, left: int, bottom: int, right: int
) -> npt.NDArray[np.float32]:
    """Colours (h, w, C) of a window of the averaged image; the last square may overhang."""
    y1, x1 = min(bottom * k, source.height), min(right * k, source.width)
    pixels = source.read_levels(top * k, left * k, y1 - top * k, x1 - left * k)[None]
    overhang = (0, right * k - x1, 0, bottom * k - y1)
    if any(overhang):
        pixels = F.pad(pixels, overhang, mode="replicate")
    # In bands that fit into a cache, which takes half of the time.
    bands = [_colour(band, k) for band in pixels.split(k * _ROWS, dim=2)]
    colours: npt.NDArray[np.float32] = torch.cat(bands, dim=2)[0].permute(1, 2, 0).numpy()
    return colours


def _colour(pixels: Tensor, k: int) -> Tensor:
    """Colour (1, C, h, w) as SLIC compares it: Lab for RGB, otherwise channels in the range of L.

    Of squares of pixels (1, C, h k, w k) in [0, 1] or uint8.
    """
    if pixels.shape[1] != 3:
        return 100 / pixels.shape[1] ** 0.5 * shrink(pixels, k)
    if pixels.dtype == torch.uint8:
        return lab(sums(pixels, k).contiguous(), white=255 * k**2)
    return lab(shrink(pixels, k).contiguous())


def _connected(numbers: npt.NDArray[np.int32], least_area: int) -> npt.NDArray[np.int32]:
    """Give the smaller parts of regions, and tiny regions, to the regions next to them."""
    kept = _kept(numbers, least_area)
    if not kept.any():
        return np.zeros_like(numbers)
    owner = np.pad(np.where(kept, numbers, -1), 1, constant_values=-1)
    width, flat = owner.shape[1], owner.ravel()
    lost = np.flatnonzero(np.pad(~kept, 1))
    # Layer by layer, from what is kept: so what is given away touches its new owner.
    while len(lost):
        found = np.full(len(lost), -1, np.int32)
        for step in (-width, -1, 1, width):
            found = np.where(found < 0, flat[lost + step], found)
        flat[lost] = found
        lost = lost[found < 0]
    return owner[1:-1, 1:-1]


def _kept(numbers: npt.NDArray[np.int32], least_area: int) -> npt.NDArray[np.bool_]:
    """Pixels that lie in the largest part of their region, if that is large enough."""
    parts = connected_components(numbers, connectivity=1, background=-1)
    areas = np.bincount(parts.ravel())
    owner = np.zeros(len(areas), np.int64)
    owner[parts.ravel()] = numbers.ravel()
    # Parts ordered by area: the last one written for a region is its largest.
    order = np.argsort(areas, kind="stable")
    largest = np.zeros(int(numbers.max()) + 1, np.int64)
    largest[owner[order]] = order
    kept = (largest[owner] == np.arange(len(areas))) & (areas >= least_area)
    pixels: npt.NDArray[np.bool_] = kept[parts]
    return pixels
