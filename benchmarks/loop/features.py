"""Features of an image for the rivals, computed once and kept as long as the image lives.

Cells have 8 px, as those of a model on a grid that sees photographs at half their size.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2lab
from skimage.feature import (
    multiscale_basic_features,
    structure_tensor,
    structure_tensor_eigenvalues,
)
from torch.nn import functional as F

from benchmarks.loop.photos import Image, Labels
from napari_gaussproto.core.network.backbone import OFFLINE_BACKBONE, Backbone
from napari_gaussproto.core.network.stride import to_stride

CELL = 8
Features = npt.NDArray[np.float32]

_BLURS = (1, 3, 6)
_HALF = 2
_kept: dict[int, dict[str, Features]] = {}


def kept(compute: Callable[[Image], Features]) -> Callable[[Image], Features]:
    """The same function, which computes once for an image."""

    def compute_once(image: Image) -> Features:
        if id(image) not in _kept:
            _kept[id(image)] = {}
            weakref.finalize(image, _kept.pop, id(image))
        store = _kept[id(image)]
        if compute.__name__ not in store:
            store[compute.__name__] = compute(image)
        return store[compute.__name__]

    return compute_once


@kept
def lab(image: Image) -> Features:
    """Lab blurred by 1, 3 and 6 px, of each cell (h, w, 9)."""
    values = rgb2lab(image).astype(np.float32)
    blurred = [gaussian_filter(values, (blur, blur, 0)) for blur in _BLURS]
    return cell_means(np.concatenate(blurred, axis=2))


@kept
def deep(image: Image) -> Features:
    """All levels of the ImageNet backbone on the halved image, of each cell (h, w, F)."""
    height, width = cells_of(image)
    network, side = _backbone(), _HALF * 32
    missing = [-length % side for length in image.shape[:2]]
    padded = np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")
    values = torch.from_numpy(padded).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        halved = F.avg_pool2d(values, _HALF)
        size = (padded.shape[0] // CELL, padded.shape[1] // CELL)
        levels = [to_stride(level, size) for level in network(halved)]
    found: Features = torch.cat(levels, dim=1)[0, :, :height, :width].permute(1, 2, 0).numpy()
    return found


def strides(image: Image, largest: int) -> Features:
    """Those levels of `deep` that have at most this stride in the halved image."""
    network = _backbone()
    pairs = zip(network.widths, network.strides, strict=True)
    return deep(image)[..., : sum(width for width, stride in pairs if stride <= largest)]


def strides_and_lab(image: Image) -> Features:
    """Strides 2 to 8 of the halved image, and Lab."""
    return np.concatenate([strides(image, 8), lab(image)], axis=2)


@kept
def filters(image: Image) -> Features:
    """Filters of full resolution at several scales, at every second pixel (h, w, F).

    Gaussian, edges and eigenvalues of the Hessian for each band, eigenvalues of the structure
    tensor for their mean; as in Sommer et al. 2011 (ilastik).
    """
    values = image.astype(np.float32) / 255
    basic = multiscale_basic_features(values, sigma_min=1, sigma_max=8, channel_axis=-1)
    mean = values.mean(-1)
    tensors = [
        structure_tensor_eigenvalues(structure_tensor(mean, sigma, order="rc"))
        for sigma in (1, 2, 4, 8)
    ]
    both = [basic[::2, ::2], *(np.moveaxis(tensor, 0, -1)[::2, ::2] for tensor in tensors)]
    return np.concatenate(both, axis=2).astype(np.float32)


def cells_of(image: npt.NDArray[Any]) -> tuple[int, int]:
    """Rows and columns of cells."""
    return -(-image.shape[0] // CELL), -(-image.shape[1] // CELL)


def cell_means(values: npt.NDArray[Any]) -> Features:
    """Mean (h, w, F) over the cells of a map (H, W, F)."""
    height, width = cells_of(values)
    missing = (height * CELL - values.shape[0], width * CELL - values.shape[1])
    padded = np.pad(values, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    blocks = padded.reshape(height, CELL, width, CELL, -1)
    return blocks.mean((1, 3)).astype(np.float32)


def cell_labels(labels: Labels, n_classes: int) -> npt.NDArray[np.float32]:
    """Share (h, w, C) of each cell that is painted with each class."""
    painted = labels[..., None] == np.arange(1, n_classes + 1)
    height, width = cells_of(labels)
    missing = (height * CELL - labels.shape[0], width * CELL - labels.shape[1])
    padded = np.pad(painted, ((0, missing[0]), (0, missing[1]), (0, 0)))
    blocks = padded.reshape(height, CELL, width, CELL, n_classes)
    return blocks.mean((1, 3), dtype=np.float32)


@cache
def _backbone() -> Backbone:
    return Backbone(OFFLINE_BACKBONE).eval()
