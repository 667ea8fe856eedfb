"""The superpixel partition: one cell per SLIC region."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision.ops import roi_align

from napari_gaussproto.core.base.config import Pooling
from napari_gaussproto.core.cells.partition import PAINT_PIXELS, Partition, Places
from napari_gaussproto.core.cells.slic import RegionMap, consecutive
from napari_gaussproto.core.network.extractor import normalise

# Points along each side of a region's box that `roi_align` samples.
_ROI_POINTS = 4
_MASKED_ROI_POINTS = 7
# A sparse matrix (N, h' * w'), what each latent position adds to each region's mean: regions,
# positions and values.
_Weights = tuple[Tensor, Tensor, Tensor]


class Superpixels(Partition):
    """One cell per region of a region map.

    Parameters
    ----------
    shape : tuple of int
        (H, W) of the image in pixels.
    regions : (h, w) ndarray of int32
        Each shrunk pixel's region, 0 to N - 1, none missing.
    shrink : int
        Pixels along the side of a shrunk pixel; the last ones may overhang the image.
    stride : int
        Shrunk pixels along the side of a latent position.
    region_size : int
        Nominal side of a region, in shrunk pixels; the unit of the weights.
    pooling : {"mask_mean", "roi_align", "masked_roi_align"}
        How a region's latent vector follows from the latent map.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        regions: RegionMap,
        *,
        shrink: int,
        stride: int,
        region_size: int,
        pooling: Pooling = "mask_mean",
    ) -> None:
        self.shape = shape
        self.regions = regions
        self.map_pixel_size = self._shrink = shrink
        self._stride = stride
        self._region_size = region_size
        self._pooling, self._pool = pooling, POOLINGS[pooling]
        self.n_cells = int(regions.max()) + 1
        self._mean_weights: dict[tuple[int, int], _Weights] = {}

    @cached_property
    def areas(self) -> Tensor:
        """See `Partition.areas`."""
        pixels = self._areas_of_map(self._index.shape)
        return torch.bincount(self._index.flatten(), pixels, self.n_cells)

    @property
    def guide(self) -> Tensor:
        """(1, h, w) int32: region number + 1; 0 is left for what a warp brings in."""
        return torch.from_numpy(self.regions + 1)[None]

    @cached_property
    def _index(self) -> Tensor:
        """(h, w) int64 region of each shrunk pixel."""
        return torch.from_numpy(self.regions.astype(np.int64))

    @cached_property
    def _boxes(self) -> Tensor:
        """(N, 4) float32: x0, y0, x1, y1 of each region in shrunk pixels, ends excluded."""
        height, width = self.regions.shape
        index = self._index.flatten()
        rows = torch.arange(height).repeat_interleave(width)
        columns = torch.arange(width).repeat(height)
        ends = [
            rows.new_zeros(self.n_cells).scatter_reduce(
                0, index, values, reduce, include_self=False
            )
            for values, reduce in (
                (columns, "amin"), (rows, "amin"), (columns + 1, "amax"), (rows + 1, "amax"),
            )
        ]  # fmt: skip
        return torch.stack(ends, dim=1).float()

    # -- pixels to cells --------------------------------------------------------------------

    def features(self, features: Tensor) -> Tensor:
        """See `Partition.features`; pooled over each region."""
        return self._pool(self, features)

    def latents(self, latents: Tensor) -> Tensor:
        """Cells (N, D) of a latent map (D, h', w'); normalised again, as a mean is not."""
        return normalise(self.features(latents))

    def targets(self, labels: Tensor, n_classes: int) -> tuple[Tensor, Tensor]:
        """Soft labels (N, C) and weights (N,); see `Partition.targets`.

        The weight is the labelled area over the nominal area of a region.
        """
        index = self._at_pixels(0, self.shape[0]).to(labels.device)
        joint = index * (n_classes + 1) + labels
        counts = torch.bincount(joint.flatten(), minlength=self.n_cells * (n_classes + 1))
        histogram = counts.reshape(self.n_cells, n_classes + 1)[:, 1:].float()
        labelled = histogram.sum(1)
        weight = labelled / (self._region_size * self._shrink) ** 2
        return histogram / labelled.clamp_min(1)[:, None], weight

    # -- cells to pixels --------------------------------------------------------------------

    def to_map(self, values: Tensor) -> Tensor:
        """Values (N, K) painted at the shrunk resolution, (K, h, w)."""
        return values.T[:, self._index.to(values.device)]

    def pixel_rows(self, values: Tensor) -> Iterator[tuple[int, Tensor]]:
        """See `Partition.pixel_rows`."""
        columns = values.T.contiguous()
        step = max(1, PAINT_PIXELS // self.shape[1])
        for first in range(0, self.shape[0], step):
            last = min(first + step, self.shape[0])
            yield first, columns[:, self._at_pixels(first, last).to(values.device)]

    def largest(self, values: Tensor) -> Tensor:
        """See `Partition.largest`."""
        return self.to_pixels(values.max(1).indices.to(torch.uint8)[:, None])[0]

    def _at_pixels(self, first: int, last: int) -> Tensor:
        """Region of every pixel in some rows, (rows, W) int64."""
        k = self._shrink
        rows = torch.arange(first, last) // k
        columns = torch.arange(self.shape[1]) // k
        return self._index[rows][:, columns]

    # -- single cells -----------------------------------------------------------------------

    def cells_at(self, y: Places, x: Places) -> Places:
        """See `Partition.cells_at`."""
        return self.regions[y // self._shrink, x // self._shrink].astype(np.int64)

    def center(self, cell: int) -> tuple[int, int]:
        """Pixel (y, x) of a region that is nearest to its centroid."""
        y0, x0, inside = self._inside(cell)
        rows, columns = np.nonzero(inside)
        nearest = ((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2).argmin()
        k, (height, width) = self._shrink, self.shape
        y = (y0 + int(rows[nearest])) * k + k // 2
        x = (x0 + int(columns[nearest])) * k + k // 2
        return min(y, height - 1), min(x, width - 1)

    def cell_mask(self, cell: int) -> tuple[int, int, npt.NDArray[np.bool_]]:
        """First row and column of a region, and a mask (H, W) bool over its bounding box."""
        k, (height, width) = self._shrink, self.shape
        y0, x0, inside = self._inside(cell)
        mask = inside.repeat(k, 0).repeat(k, 1)
        return y0 * k, x0 * k, mask[: height - y0 * k, : width - x0 * k]

    def _inside(self, cell: int) -> tuple[int, int, npt.NDArray[np.bool_]]:
        """First row and column of a region, and its mask, at the shrunk resolution."""
        x0, y0, x1, y1 = self._boxes[cell].int().tolist()
        return y0, x0, self.regions[y0:y1, x0:x1] == cell

    def outlines(self) -> npt.NDArray[np.bool_]:
        """(H, W): whether a pixel's right or lower neighbour is in another region.

        One pixel wide, unlike the borders of both regions.
        """
        full = self._at_pixels(0, self.shape[0]).numpy()
        lines = np.zeros(self.shape, bool)
        lines[:, :-1] = full[:, :-1] != full[:, 1:]
        lines[:-1] |= full[:-1] != full[1:]
        return lines

    def window(self, y0: int, x0: int, y1: int, x1: int) -> Superpixels:
        """See `Partition.window`."""
        k = self._shrink
        return Superpixels(
            (y1 - y0, x1 - x0),
            consecutive(self.regions[y0 // k : -(-y1 // k), x0 // k : -(-x1 // k)]),
            shrink=k,
            stride=self._stride,
            region_size=self._region_size,
            pooling=self._pooling,
        )


# -- pooling: (partition, features (F, h', w')) -> (N, F) -----------------------------------


def _mask_mean(partition: Superpixels, features: Tensor) -> Tensor:
    """Mean of the bilinearly upsampled features over each region's pixels.

    Upsampling and averaging are linear, so they are one sparse product; nothing is ever
    upsampled.
    """
    size = (features.shape[1], features.shape[2])
    if size not in partition._mean_weights:
        partition._mean_weights[size] = _mean_weights(partition._index, partition._stride, size)
    region, position, value = (part.to(features.device) for part in partition._mean_weights[size])
    parts = features.flatten(1).T[position] * value.to(features.dtype)[:, None]
    return features.new_zeros(partition.n_cells, features.shape[0]).index_add(0, region, parts)


def _mean_weights(index: Tensor, stride: int, size: tuple[int, int]) -> _Weights:
    """Weights of the mean over each region of a map (h', w') upsampled by ``stride``."""
    rows, row_shares = _neighbours(index.shape[0], stride, size[0])
    columns, column_shares = _neighbours(index.shape[1], stride, size[1])
    count = size[0] * size[1]
    keys, values = [], []
    # In bands: four times the pixels of a large image would not fit. What a region gets from
    # a position in two bands stays two entries.
    for band in torch.arange(index.shape[0]).split(max(1, PAINT_PIXELS // index.shape[1])):
        position = rows[band, None, :, None] * size[1] + columns[None, :, None, :]
        share = row_shares[band, None, :, None] * column_shares[None, :, None, :]
        key, inverse = torch.unique(
            index[band, :, None, None] * count + position, return_inverse=True
        )
        keys.append(key)
        values.append(torch.zeros(len(key)).index_add(0, inverse.flatten(), share.flatten()))
    key = torch.cat(keys)
    region, position = key // count, key % count
    return region, position, torch.cat(values) / torch.bincount(index.flatten())[region]


def _neighbours(pixels: int, stride: int, positions: int) -> tuple[Tensor, Tensor]:
    """Both positions that each pixel is interpolated from, (pixels, 2), and their shares.

    As `torch.nn.functional.interpolate` does in mode "bilinear" without aligned corners.
    """
    at = ((torch.arange(pixels) + 0.5) / stride - 0.5).clamp(0, positions - 1)
    low = at.long()
    share = at - low
    high = (low + 1).clamp_max(positions - 1)
    return torch.stack([low, high], dim=1), torch.stack([1 - share, share], dim=1)


def _roi(partition: Superpixels, features: Tensor, points: int) -> Tensor:
    """Features (N, F, points, points) at an even lattice of points in each region's box."""
    boxes, scale = [partition._boxes.to(features)], 1 / partition._stride
    return roi_align(features[None], boxes, (points, points), scale, 1, aligned=True)


def _roi_align(partition: Superpixels, features: Tensor) -> Tensor:
    """Mean over each region's box: Fast R-CNN's reading (He et al. 2017); sees neighbours."""
    return _roi(partition, features, _ROI_POINTS).mean((2, 3))


def _masked_roi_align(partition: Superpixels, features: Tensor) -> Tensor:
    """Mean over those points of the box that lie in the region; all of it if none does."""
    x0, y0, x1, y1 = partition._boxes.unbind(1)
    at = (torch.arange(_MASKED_ROI_POINTS) + 0.5) / _MASKED_ROI_POINTS
    rows = (y0[:, None] + at * (y1 - y0)[:, None]).long()
    columns = (x0[:, None] + at * (x1 - x0)[:, None]).long()
    found = partition._index[rows[:, :, None], columns[:, None, :]]
    hit = found == torch.arange(partition.n_cells)[:, None, None]
    hit[~hit.any(2).any(1)] = True
    inside = hit.to(features)
    values = _roi(partition, features, _MASKED_ROI_POINTS) * inside[:, None]
    return values.sum((2, 3)) / inside.sum((1, 2))[:, None]


# By the names that `ModelConfig.pooling` may have.
POOLINGS: dict[str, Callable[[Superpixels, Tensor], Tensor]] = {
    "mask_mean": _mask_mean,
    "roi_align": _roi_align,
    "masked_roi_align": _masked_roi_align,
}
