"""Superpixels of images of any size: SLIC regions, the same in whichever windows they are cut.

SLIC (Achanta et al. 2012) is scikit-image's. Its cluster centres start on a regular grid and
move a little at a time, so a region depends only on its surroundings. The grid is fixed to
the image here and not to what is read at a time; with a margin around each block, blocks
continue each other's regions.
"""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import distance_transform_edt
from skimage.color import rgb2lab
from skimage.measure import label as connected_components
from skimage.segmentation import slic
from torch.nn import functional as F

from napari_gaussproto.core.imaging.source import ImageSource

RegionMap = npt.NDArray[np.int32]

# Half of scikit-image's; costs 0.002 of the oracle's mean IoU (benchmarks/speed/slic.py).
_ITERATIONS = 5
# Largest side of a block, in pixels that SLIC sees: tens of MB, about a second.
BLOCK = 1024
# Surroundings of a block, in region sizes. A centre moves by less than one in practice;
# tests/core/cells/test_slic.py checks that blocks and whole agree.
MARGIN = 8
# Regions below this share of the nominal area go to their neighbours.
_LEAST_AREA = 0.25
_PASSES = 6


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
        After each batch of blocks that were computed side by side; none if one batch is all.

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
    side = max(1, BLOCK // settings.size) * settings.size
    # At least two blocks, one above the other, so that two cores always have work.
    half = -(-(bottom - top) // (2 * settings.size)) * settings.size
    # On a lattice that is fixed to the image.
    height = min(side, half)
    rows = range(top // height * height, bottom, height)
    columns = range(left // side * side, right, side)
    cores = [
        (max(y, top), max(x, left), min(y + rows.step, bottom), min(x + side, right))
        for y in rows
        for x in columns
    ]
    regions = np.zeros((bottom - top, right - left), np.int64)
    workers = torch.get_num_threads()
    cut = partial(_block, source, settings)
    with ThreadPoolExecutor(workers) as pool:
        for first in range(0, len(cores), workers):
            batch = cores[first : first + workers]
            for core, block in zip(batch, pool.map(cut, batch), strict=True):
                target = regions[core[0] - top : core[2] - top, core[1] - left : core[3] - left]
                target[...] = block
            if len(cores) > workers:
                yield Block(first + len(batch), len(cores))
    if len(cores) > 1:
        # Blocks that did not quite agree may have left a region in pieces along their seam.
        regions = _connected(regions, 1)
    return consecutive(regions)


def consecutive(regions: npt.NDArray[np.integer]) -> RegionMap:
    """Renumber regions (H, W) from 0 without gaps, in their order; (H, W) int32."""
    present = np.bincount(regions.ravel()) > 0
    number = np.cumsum(present) - 1
    return number[regions].astype(np.int32)


def _block(
    source: ImageSource, settings: SlicSettings, core: tuple[int, int, int, int]
) -> npt.NDArray[np.int64]:
    """Regions of a core (shrunk pixels), numbered over the lattice of the whole image."""
    k, size = settings.shrink, settings.size
    height, width = -(-source.height // k), -(-source.width // k)
    margin = MARGIN * size
    top = max(0, core[0] - margin) // size * size
    left = max(0, core[1] - margin) // size * size
    bottom, right = min(height, core[2] + margin), min(width, core[3] + margin)
    features = _colour(_shrunk(source, k, top, left, bottom, right))
    own = _clusters(features, settings)
    columns = -(-features.shape[1] // size)
    row, column = np.divmod(own, columns)
    lattice_columns = -(-width // size)
    numbers = (row + top // size) * lattice_columns + column + left // size
    numbers = _connected(numbers, max(1, round(_LEAST_AREA * size**2)))
    return numbers[core[0] - top : core[2] - top, core[1] - left : core[3] - left]


def _shrunk(
    source: ImageSource, k: int, top: int, left: int, bottom: int, right: int
) -> npt.NDArray[np.float32]:
    """A window of the averaged image, (h, w, C) in [0, 1]; the last square may overhang."""
    y1, x1 = min(bottom * k, source.height), min(right * k, source.width)
    pixels = source.read(top * k, left * k, y1, x1)
    padding = (0, right * k - x1, 0, bottom * k - y1)
    whole = F.pad(pixels[None], padding, mode="replicate")
    small: npt.NDArray[np.float32] = F.avg_pool2d(whole, k)[0].permute(1, 2, 0).numpy()
    return small


def _colour(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Colour as SLIC compares it: Lab for RGB, otherwise channels in the range of L."""
    if pixels.shape[2] == 3:
        lab: npt.NDArray[np.float32] = rgb2lab(pixels).astype(np.float32)
        return lab
    return 100 * pixels / np.sqrt(np.float32(pixels.shape[2]))


def _clusters(features: npt.NDArray[np.float32], settings: SlicSettings) -> npt.NDArray[np.int64]:
    """Nearest SLIC centre of every pixel, by its number on the lattice of this block."""
    size = settings.size
    height, width = features.shape[:2]
    rows, columns = -(-height // size), -(-width // size)
    overhang = ((0, rows * size - height), (0, columns * size - width), (0, 0))
    padded = np.pad(features, overhang, mode="symmetric" if min(height, width) >= size else "edge")
    # scikit-image stretches the values it gets to [0, 1], by their least and greatest ones;
    # undone in the weight of space, so that every block is cut by the same measure.
    span = float(padded.max() - padded.min()) or 1.0
    # It spaces centres by rounding sqrt(pixels / segments), which is the size exactly.
    nearest = slic(
        padded,
        n_segments=rows * columns,
        compactness=settings.compactness / span,
        max_num_iter=_ITERATIONS,
        convert2lab=False,
        enforce_connectivity=False,
        start_label=0,
        channel_axis=2,
    )
    return nearest[:height, :width].astype(np.int64)


def _connected(numbers: npt.NDArray[np.int64], least_area: int) -> npt.NDArray[np.int64]:
    """Give the smaller parts of regions, and tiny regions, to the regions next to them."""
    # What is given away may itself come apart at its new owner; that dies out at once.
    for _ in range(_PASSES):
        kept = _kept(numbers, least_area)
        if kept.all():
            break
        if not kept.any():
            return np.zeros_like(numbers)
        rows, columns = distance_transform_edt(~kept, return_distances=False, return_indices=True)
        numbers = numbers[rows, columns]
    return numbers


def _kept(numbers: npt.NDArray[np.int64], least_area: int) -> npt.NDArray[np.bool_]:
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
