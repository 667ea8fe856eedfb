"""An image as cells: what the network made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_gaussproto.core.cells.outlines import Rows
from napari_gaussproto.core.cells.partition import Partition, share_inside


@dataclass
class Encoding:
    """An image as cells: the slow part of a segmentation, kept.

    Attributes
    ----------
    latents : (N, D) Tensor
    colours : (N, C) Tensor or None
        Of cells whose outlines can follow the edges of the photograph.
    rows : callable or None
        Pixels of some rows, for these.
    data_mask : (H, W) ndarray of bool or None
        See `ImageSource.data_mask`.
    follow_edges : bool
        Whether their outlines do.
    is_grey : bool
        See `ImageSource.is_grey`.
    full_scale : float or None
    is_cut_off : bool
        See `ImageSource`.
    context : (F, h, w) Tensor or None
        Features of the backbone's middle level, by which a photograph is known. None of a part
        of an image.
    context_stride : int
        Pixels of the image per position of these.
    """

    latents: Tensor
    partition: Partition
    colours: Tensor | None = None
    rows: Rows | None = None
    data_mask: npt.NDArray[np.bool_] | None = None
    follow_edges: bool = True
    is_grey: bool = False
    full_scale: float | None = None
    is_cut_off: bool = False
    context: Tensor | None = field(default=None, repr=False)
    context_stride: int = 1

    @cached_property
    def data_share(self) -> Tensor | None:
        """Share of each cell that holds data, (N,); None where all do."""
        if self.data_mask is None:
            return None
        return share_inside(self.partition, self.data_mask).to(self.latents.device)

    @cached_property
    def data_map(self) -> npt.NDArray[np.bool_] | None:
        """Which elements of a map at cell resolution show data, (h, w); None where all do."""
        if self.data_mask is None:
            return None
        k = self.partition.map_pixel_size
        overhang = [(0, -length % k) for length in self.data_mask.shape]
        tiles = np.pad(self.data_mask, overhang)
        squares = tiles.reshape(tiles.shape[0] // k, k, tiles.shape[1] // k, k)
        return np.asarray(squares.any((1, 3)))

    @cached_property
    def has_data(self) -> Tensor:
        """Which cells hold data, (N,) bool; all, where none do, so that there are some."""
        share = self.data_share
        if share is None or not share.any():
            return torch.ones(len(self.latents), dtype=torch.bool, device=self.latents.device)
        return share > 0
