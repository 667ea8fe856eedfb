"""What lies in an image, piece by piece: size, shape and place, and what the model says of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.sparse import coo_array
from skimage.measure import regionprops_table

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.measure.units import PixelSize
from napari_gaussproto.core.model.segmentation import Segmentation

Integers = npt.NDArray[np.int64]

_SHAPE = ("label", "area", "perimeter", "eccentricity", "centroid")


def object_table(
    pieces: Integers,
    labels: npt.NDArray[Any],
    classes: Sequence[SegmentationClass],
    segmentation: Segmentation | None = None,
    pixel_size: PixelSize | None = None,
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

    Returns
    -------
    DataFrame
        ``object``, ``class``; ``area_px``, ``perimeter_px``, ``eccentricity`` (of the ellipse
        with the same second moments, see `skimage.measure.regionprops`), ``y_px``, ``x_px`` (of
        the centroid); the same in real units; and means over the cells under its pixels:
        ``confidence`` (p(c|z) of its class), ``novelty``, ``prototype`` (the one with the
        largest responsibility) and ``likelihood`` (typicality of that one).

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
    found = regionprops_table(pieces, properties=_SHAPE)
    numbers = found["label"].astype(np.int64)
    given = _majority(pieces, labels, numbers, len(classes))
    names = np.array(["", *(entry.name for entry in classes)], object)
    table = pd.DataFrame(
        {
            "object": numbers,
            "class": names[given],
            "area_px": found["area"].astype(np.int64),
            "perimeter_px": found["perimeter"],
            "eccentricity": found["eccentricity"],
            "y_px": found["centroid-0"],
            "x_px": found["centroid-1"],
        }
    )
    if pixel_size is not None:
        side, unit = pixel_size.side, pixel_size.unit
        table[f"area_{unit}2"] = table["area_px"] * side**2
        for column in ("perimeter", "y", "x"):
            table[f"{column}_{unit}"] = table[f"{column}_px"] * side
    if segmentation is not None:
        for column, values in _said(pieces, numbers, given, segmentation).items():
            table[column] = values
    return table


def _majority(
    pieces: Integers, labels: npt.NDArray[Any], numbers: Integers, n_classes: int
) -> Integers:
    """The class + 1 that most pixels of each piece have, (K,); 0 where none has any."""
    inside = pieces > 0
    width = n_classes + 1
    pairs = np.searchsorted(numbers, pieces[inside]) * width + labels[inside]
    counts = np.bincount(pairs, minlength=len(numbers) * width).reshape(-1, width)
    counts[:, 0] = 0
    return np.where(counts.any(1), counts.argmax(1), 0)


def _said(
    pieces: Integers, numbers: Integers, given: Integers, segmentation: Segmentation
) -> dict[str, Any]:
    """What the model says of each piece: means over the cells that hold its pixels."""
    partition = segmentation.encoding.partition
    y, x = np.nonzero(pieces)
    rows = np.searchsorted(numbers, pieces[y, x])
    cells = np.asarray(partition.cells_at(y, x))
    shape = (len(numbers), partition.n_cells)
    pixels = coo_array((np.ones(len(y)), (rows, cells)), shape=shape).tocsr()
    area = np.bincount(rows, minlength=len(numbers))
    known = segmentation.at(torch.arange(partition.n_cells))

    def mean(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        return (pixels @ values.reshape(len(values), -1)) / area[:, None]

    chosen = mean(known.responsibility).argmax(1)
    each = np.arange(len(numbers))
    # A piece of no class, of an instance on pixels without data, has no confidence in any.
    confidence = mean(known.posterior)[each, np.maximum(given - 1, 0)]
    prototypes = np.array([prototype.name for prototype in segmentation.prototypes], object)
    return {
        "confidence": np.where(given > 0, confidence, np.nan),
        "novelty": mean(known.novelty)[:, 0],
        "prototype": prototypes[chosen],
        "likelihood": mean(known.typicality)[each, chosen],
    }
