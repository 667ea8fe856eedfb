"""What lies in an image, piece by piece: size, shape and place, and what the model says of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.labels.pieces import without_gaps
from napari_gaussproto.core.measure.areas import region_of
from napari_gaussproto.core.measure.regions import RegionMask
from napari_gaussproto.core.measure.sums import PieceSums, border_lengths, sums_of
from napari_gaussproto.core.measure.units import PixelSize
from napari_gaussproto.core.model.segmentation import Segmentation

Integers = npt.NDArray[np.int64]


def object_table(
    pieces: Integers,
    labels: npt.NDArray[Any],
    classes: Sequence[SegmentationClass],
    segmentation: Segmentation | None = None,
    pixel_size: PixelSize | None = None,
    regions: Mapping[str, RegionMask] | None = None,
) -> pd.DataFrame:
    """A row for each piece of an image.

    Parameters
    ----------
    pieces : (H, W) ndarray of int
        Numbers of the pieces; 0 is none. See `components`; or instances that were given.
    labels : (H, W) ndarray of int
        Class index + 1. A piece has the class that most of its pixels have.
    classes : sequence of SegmentationClass
    segmentation : Segmentation, optional
        For what the model says of them.
    pixel_size : PixelSize, optional
        For columns in real units.
    regions : mapping of str to RegionMask, optional
        By name.

    Returns
    -------
    DataFrame
        See `table_of`.

    Raises
    ------
    LabelError
        When the shapes differ.
    """
    if pieces.shape != labels.shape:
        raise LabelError(
            f"The objects are {pieces.shape} pixels large and the labels {labels.shape}: give "
            "objects of the same image."
        )
    numbers, dense = without_gaps(pieces)
    regions = regions or {}
    sums = sums_of(dense, labels, len(classes), segmentation, list(regions.values()))
    y, x, lengths = border_lengths(np.pad(dense, 2))
    perimeter = np.bincount(dense[y, x] - 1, lengths, minlength=len(sums.area)).astype(np.float64)
    names = [] if segmentation is None else [entry.name for entry in segmentation.prototypes]
    sums = replace(sums, perimeter=perimeter)
    return table_of(sums, numbers, classes, names, pixel_size, list(regions))


def table_of(
    sums: PieceSums,
    numbers: npt.NDArray[Any],
    classes: Sequence[SegmentationClass],
    prototypes: Sequence[str],
    pixel_size: PixelSize | None = None,
    regions: Sequence[str] = (),
) -> pd.DataFrame:
    """A row for each of K pieces.

    Parameters
    ----------
    sums : PieceSums
    numbers : (K,) ndarray of int
    classes : sequence of SegmentationClass
    prototypes : sequence of str
        Names; none without a model.
    pixel_size : PixelSize, optional
        For columns in real units.
    regions : sequence of str
        Names.

    Returns
    -------
    DataFrame
        ``object``, ``region`` (that holds most of it), ``class``; ``area_px``,
        ``perimeter_px``, ``eccentricity`` (of the ellipse with the same second moments, see
        `skimage.measure.regionprops`), ``y_px``, ``x_px`` (of the centroid); the same in real
        units; and means over the cells under its pixels:
        ``confidence`` (p(c|z) of its class), ``novelty``, ``prototype`` (the one with the
        largest responsibility) and ``likelihood`` (typicality of that one).
    """
    votes = sums.votes.copy()
    votes[:, 0] = 0
    # Where no pixel has a class, the largest is the first one, which is none.
    given = votes.argmax(1)
    names = np.array(["", *(entry.name for entry in classes)], object)
    table = pd.DataFrame(
        {
            "object": numbers,
            "region": region_of(sums.inside, regions),
            "class": names[given],
            "area_px": sums.area,
            "perimeter_px": sums.perimeter,
            "eccentricity": _eccentricity(sums),
            "y_px": sums.centre[:, 0],
            "x_px": sums.centre[:, 1],
        }
    )
    if pixel_size is not None:
        side, unit = pixel_size.side, pixel_size.unit
        table[f"area_{unit}2"] = table["area_px"] * side**2
        for column in ("perimeter", "y", "x"):
            table[f"{column}_{unit}"] = table[f"{column}_px"] * side
    if prototypes:
        for column, values in _model_columns(sums, given, prototypes).items():
            table[column] = values
    return table


def _eccentricity(sums: PieceSums) -> npt.NDArray[np.float64]:
    yy, xx, yx = sums.spread.T
    middle, away = (yy + xx) / 2, np.hypot((yy - xx) / 2, yx)
    least, most = np.maximum(middle - away, 0), middle + away
    return np.sqrt(1 - np.divide(least, most, out=np.ones_like(most), where=most > 0))


def _model_columns(sums: PieceSums, given: Integers, prototypes: Sequence[str]) -> dict[str, Any]:
    n_classes, count = sums.votes.shape[1] - 1, len(prototypes)
    means = sums.said / sums.area[:, None]
    ends = np.cumsum([n_classes, count, count])
    posterior, responsibility, typicality, novelty = np.split(means, ends, axis=1)
    chosen = responsibility.argmax(1)
    each = np.arange(len(given))
    # A piece of no class, of an instance on pixels without data, has no confidence in any.
    confidence = posterior[each, np.maximum(given - 1, 0)]
    return {
        "confidence": np.where(given > 0, confidence, np.nan),
        "novelty": novelty[:, 0],
        "prototype": np.array(prototypes, object)[chosen],
        "likelihood": typicality[each, chosen],
    }
