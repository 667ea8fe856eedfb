"""The cells of all planes of a stack in one table, and the way back to the photographs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_gaussproto.core.cells.partition import cells_inside
from napari_gaussproto.core.editing.edits import Cutter
from napari_gaussproto.core.imaging.patches import Patches, cut_patch, no_patches
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.labels.check import check_labels, check_shape
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.model.stack import StackSegmentation, plane_sources


def latents_of(segmentation: StackSegmentation) -> Tensor:
    """Latents of the cells of all planes, (N, D), plane by plane."""
    return torch.cat([plane.encoding.latents for plane in segmentation.planes])


def first_rows(segmentation: StackSegmentation) -> list[int]:
    """Row of the table at which each plane's cells start."""
    counts = [plane.encoding.partition.n_cells for plane in segmentation.planes]
    return np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(int).tolist()


def cutter(
    array: Any,
    rgb: bool,
    model: PrototypeSegmenter,
    segmentation: StackSegmentation,
    nodata: float | None = None,
) -> Cutter:
    """A function that cuts the patches of cells, by their rows in `latents_of`.

    What was segmented is given as to `segment_stack_steps`.
    """
    starts = np.array(first_rows(segmentation))
    sources: dict[int, ImageSource] = {}
    planes = plane_sources(array, model, rgb=rgb, nodata=nodata)

    def cut(rows: Sequence[int]) -> Patches:
        pictures = []
        for row in rows:
            number = int(np.searchsorted(starts, row, side="right")) - 1
            if number not in sources:
                sources[number] = planes(number)
            plane = segmentation.planes[number]
            partition, size = plane.encoding.partition, model.as_for(plane).cell_size
            y, x = partition.center(int(row - starts[number]))
            pictures.append(cut_patch(sources[number], y, x, size))
        return np.stack(pictures) if pictures else no_patches()

    return cut


def rows_inside(segmentation: StackSegmentation, mask: npt.NDArray[np.bool_]) -> Tensor:
    """Rows of the cells that lie mostly inside a mask (..., H, W) of a stack.

    Raises
    ------
    LabelError
        When the mask has another shape than the stack.
    """
    check_shape(mask, segmentation.shape, "The pixels of the region")
    planes = _by_plane(segmentation, mask)
    rows = [
        first + cells_inside(plane.encoding.partition, inside)
        for plane, first, inside in zip(
            segmentation.planes, first_rows(segmentation), planes, strict=True
        )
        if inside.any()
    ]
    return torch.from_numpy(np.concatenate(rows) if rows else np.zeros(0, np.int64))


def nearest_to_mean(latents: Tensor, rows: Tensor, count: int) -> list[int]:
    """Those of some cells, rows (K,) of latents (N, D), that are nearest to their mean."""
    own = latents[rows]
    return rows[(own - own.mean(0)).square().sum(1).argsort()[:count]].tolist()


def targets_of(
    segmentation: StackSegmentation, labels: npt.NDArray[np.integer[Any]]
) -> tuple[Tensor, Tensor]:
    """Soft labels (N, C) and weights (N,) of the cells of a stack.

    Labels (..., H, W) are 0 where not labelled, else class index + 1.

    Raises
    ------
    LabelError
        When the labels have another shape, or a class that the model has not.
    """
    n_classes = len(segmentation.classes)
    labels = check_labels(labels, segmentation.shape, n_classes)
    parts = [
        plane.encoding.partition.targets(torch.from_numpy(own.astype(np.int64)), n_classes)
        for plane, own in zip(segmentation.planes, _by_plane(segmentation, labels), strict=True)
    ]
    target, weight = (torch.cat(part) for part in zip(*parts, strict=True))
    return target, weight


def _by_plane(segmentation: StackSegmentation, array: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """An array (..., H, W) plane by plane."""
    return list(array.reshape(-1, *segmentation.shape[-2:]))
