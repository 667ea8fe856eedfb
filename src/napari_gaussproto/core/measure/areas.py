"""How much of an image, or of regions of it, each class covers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.measure.regions import RegionMask
from napari_gaussproto.core.measure.units import PixelSize


def area_table(
    labels: npt.NDArray[Any],
    classes: Sequence[SegmentationClass],
    regions: Mapping[str, RegionMask] | None = None,
    pixel_size: PixelSize | None = None,
) -> pd.DataFrame:
    """A row for each class of the whole image, and for each class of each region.

    Parameters
    ----------
    labels : (H, W) ndarray of int
        Class index + 1; 0 where there is no data, which counts nowhere.
    classes : sequence of SegmentationClass
    regions : mapping of str to RegionMask, optional
        By name; they may overlap.
    pixel_size : PixelSize, optional
        For a column in real units.

    Returns
    -------
    DataFrame
        ``region`` ("" is the whole image), ``class``, ``cover_percent`` of the pixels with data,
        nan where there are none, ``pixels``, and the area.
    """
    regions = regions or {}
    counts = label_counts(labels, len(classes), regions)
    return table_of_counts(counts, classes, list(regions), pixel_size)


def label_counts(
    labels: npt.NDArray[Any], n_classes: int, regions: Mapping[str, RegionMask]
) -> npt.NDArray[np.int64]:
    """Pixels of each label (1 + R, C + 1), in labels (H, W) and in each region of them."""
    parts = [labels.ravel(), *(region.of(labels) for region in regions.values())]
    return np.stack([np.bincount(values, minlength=n_classes + 1) for values in parts])


def table_of_counts(
    counts: npt.NDArray[np.int64],
    classes: Sequence[SegmentationClass],
    regions: Sequence[str] = (),
    pixel_size: PixelSize | None = None,
) -> pd.DataFrame:
    """As `area_table`, from `label_counts` (1 + R, C + 1)."""
    rows = []
    for region, own in zip(["", *regions], counts[:, 1:], strict=True):
        total = int(own.sum())
        for entry, count in zip(classes, own.tolist(), strict=True):
            share = 100 * count / total if total else float("nan")
            rows.append((region, entry.name, share, count))
    table = pd.DataFrame(rows, columns=["region", "class", "cover_percent", "pixels"])
    if pixel_size is not None:
        table[f"area_{pixel_size.unit}2"] = table["pixels"] * pixel_size.side**2
    return table


def region_of(inside: npt.NDArray[np.int64], regions: Sequence[str]) -> list[str]:
    """Name of the region that holds most of each piece, or "" where none holds any.

    Parameters
    ----------
    inside : (K, R) ndarray of int
        Pixels of each piece in each region.
    regions : sequence of str
    """
    # Where none holds any, the first column is the largest one, too.
    found = np.pad(inside, ((0, 0), (1, 0))).argmax(1)
    names = ["", *regions]
    return [names[index] for index in found]
