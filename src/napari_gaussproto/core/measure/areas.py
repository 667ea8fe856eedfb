"""How much of an image, or of regions of it, each class covers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.measure.units import PixelSize

Mask = npt.NDArray[np.bool_]


def area_table(
    labels: npt.NDArray[Any],
    classes: Sequence[SegmentationClass],
    regions: Mapping[str, Mask] | None = None,
    pixel_size: PixelSize | None = None,
) -> pd.DataFrame:
    """A row for each class of the whole image, and for each class of each region.

    Parameters
    ----------
    labels : (H, W) ndarray of int
        Class index + 1; 0 where there is no data, which counts nowhere.
    classes : sequence of SegmentationClass
    regions : mapping of str to (H, W) ndarray of bool, optional
        By name; they may overlap.
    pixel_size : PixelSize, optional
        For a column in real units.

    Returns
    -------
    DataFrame
        ``region`` ("" is the whole image), ``class``, ``cover_percent`` of the pixels with data,
        nan where there are none, ``pixels``, and the area.
    """
    parts = [("", labels.ravel())]
    parts += [(name, labels[mask]) for name, mask in (regions or {}).items()]
    rows = []
    for region, values in parts:
        counts = np.bincount(values, minlength=len(classes) + 1)[1:]
        total = int(counts.sum())
        for entry, count in zip(classes, counts.tolist(), strict=True):
            share = 100 * count / total if total else float("nan")
            rows.append((region, entry.name, share, count))
    table = pd.DataFrame(rows, columns=["region", "class", "cover_percent", "pixels"])
    if pixel_size is not None:
        table[f"area_{pixel_size.unit}2"] = table["pixels"] * pixel_size.side**2
    return table


def region_of(pieces: npt.NDArray[Any], regions: Mapping[str, Mask]) -> list[str]:
    """Name of the region that holds most of each piece, or "" where none holds any.

    Parameters
    ----------
    pieces : (H, W) ndarray of int
        Numbers from 1, or any others; 0 is none. The names are in ascending order of them.
    regions : mapping of str to (H, W) ndarray of bool
    """
    numbers = np.unique(pieces[pieces > 0])
    if not regions:
        return [""] * len(numbers)
    found = np.zeros((len(regions) + 1, len(numbers)), np.int64)
    for row, mask in enumerate(regions.values(), start=1):
        inside = pieces[mask & (pieces > 0)]
        found[row] = np.bincount(np.searchsorted(numbers, inside), minlength=len(numbers))
    # Where none holds any, the first row is the largest one, too.
    names = ["", *regions]
    return [names[index] for index in found.argmax(0)]
