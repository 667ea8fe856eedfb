"""The superpixel partition: one cell per SLIC region."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import roi_align

from napari_gaussproto.core.base.config import Pooling
from napari_gaussproto.core.cells.partition import PAINT_PIXELS, Partition, Places
from napari_gaussproto.core.cells.slic import RegionMap, consecutive
from napari_gaussproto.core.network.neck import normalise

# Points along each side of a region's box that `roi_align` samples.
_ROI_POINTS = 4
_MASKED_ROI_POINTS = 7
# A sparse matrix (N, h' * w'), what each latent position adds to each region's mean: positions and
# values, region by region, and where each region begins.
_Weights = tuple[Tensor, Tensor, Tensor]
Shares = npt.NDArray[np.float64]


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
        region = self.regions.ravel()
        row, column = np.divmod(np.arange(region.size), width)
        ends = np.zeros((4, self.n_cells), np.int64)
        ends[0], ends[1] = width, height
        for end, values in zip(ends[:2], (column, row), strict=True):
            np.minimum.at(end, region, values)
        for end, values in zip(ends[2:], (column + 1, row + 1), strict=True):
            np.maximum.at(end, region, values)
        return torch.from_numpy(ends.T).float()

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

    def to_map(self, values: Tensor, rows: slice = slice(None)) -> Tensor:
        """Values (N, K) painted at the shrunk resolution, (K, h, w), or some rows of that."""
        index = self._index[rows].to(values.device)
        return values.T.index_select(1, index.flatten()).unflatten(1, index.shape)

    def pixel_rows(self, values: Tensor) -> Iterator[tuple[int, Tensor]]:
        """See `Partition.pixel_rows`."""
        (height, width), k = self.shape, self._shrink
        step = max(1, PAINT_PIXELS // (width * k)) * k
        for first in range(0, height, step):
            last = min(first + step, height)
            shrunk = self.to_map(values, slice(first // k, -(-last // k)))
            # Painted small and then enlarged, which is quicker than to look up every pixel.
            band = shrunk.repeat_interleave(k, 1).repeat_interleave(k, 2)
            yield first, band[:, : last - first, :width]

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
        partition._mean_weights[size] = _mean_weights(partition, size)
    position, value, first = (part.to(features.device) for part in partition._mean_weights[size])
    table = features.flatten(1).T.contiguous()
    return F.embedding_bag(
        position, table, first, mode="sum", per_sample_weights=value.to(features.dtype)
    )


def _mean_weights(partition: Superpixels, size: tuple[int, int]) -> _Weights:
    """Weights of the mean over each region of a map (h', w') that is upsampled."""
    regions, stride = partition.regions, partition._stride
    rows, row_shares = _neighbours(regions.shape[0], stride, size[0])
    columns, column_shares = _neighbours(regions.shape[1], stride, size[1])
    # Each region has a table of the positions in its box, one after the other: a pixel's place
    # in it needs no search.
    x0, y0, x1, y1 = partition._boxes.long().numpy().T
    first_row, first_column = rows[y0, 0], columns[x0, 0]
    height = rows[y1 - 1, 1] - first_row + 1
    width = columns[x1 - 1, 1] - first_column + 1
    start = np.concatenate([[0], np.cumsum(height * width)])
    origin = start[:-1] - first_row * width - first_column
    sums = np.zeros(start[-1])
    # In bands: four times the pixels of a large image would not fit.
    step = max(1, PAINT_PIXELS // regions.shape[1])
    for top in range(0, len(regions), step):
        band = np.s_[top : top + step]
        base, across = origin[regions[band]], width[regions[band]]
        for a, b in ((0, 0), (0, 1), (1, 0), (1, 1)):
            place = base + rows[band, a, None] * across + columns[:, b]
            share = row_shares[band, a, None] * column_shares[:, b]
            sums += np.bincount(place.ravel(), share.ravel(), len(sums))
    used = np.flatnonzero(sums)
    region = np.repeat(np.arange(partition.n_cells), height * width)[used]
    row, column = np.divmod(used - start[region], width[region])
    position = (first_row[region] + row) * size[1] + first_column[region] + column
    area = np.bincount(regions.ravel(), minlength=partition.n_cells)
    first = np.searchsorted(region, np.arange(partition.n_cells))
    value = (sums[used] / area[region]).astype(np.float32)
    return torch.from_numpy(position), torch.from_numpy(value), torch.from_numpy(first)


def _neighbours(pixels: int, stride: int, positions: int) -> tuple[Places, Shares]:
    """Both positions that each pixel is interpolated from, (pixels, 2), and their shares.

    As `torch.nn.functional.interpolate` does in mode "bilinear" without aligned corners.
    """
    at = ((np.arange(pixels) + 0.5) / stride - 0.5).clip(0, positions - 1)
    low = at.astype(np.int64)
    share = at - low
    high = (low + 1).clip(max=positions - 1)
    return np.stack([low, high], axis=1), np.stack([1 - share, share], axis=1)


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
