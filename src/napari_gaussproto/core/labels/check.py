"""Whether an array can be the labels of an image; each fault is one sentence."""

from __future__ import annotations

import zlib
from collections.abc import Sized
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.errors import LabelError

# Of an image (H, W) or a stack (..., H, W): 0 for not labelled, else class index + 1.
Labels = npt.NDArray[np.uint8]


def check_labels(
    labels: npt.NDArray[Any],
    shape: tuple[int, ...] | None = None,
    n_classes: int | None = None,
    what: str = "The labels",
) -> Labels:
    """Labels as bytes, once they are known to be some.

    Parameters
    ----------
    labels : (..., H, W) ndarray of integers
        0 not labelled, else class index + 1.
    shape : tuple of int, optional
        (..., H, W) of the image that they belong to, if that is known.
    n_classes : int, optional
        C; without it every number of 8 bits may be a class.
    what : str
        How a sentence calls them.

    Returns
    -------
    (..., H, W) ndarray of uint8
        In C order; the labels themselves where they are that already.

    Raises
    ------
    LabelError
        For another type or shape, and for a number that is no class.
    """
    if isinstance(labels, str | PathLike):
        raise LabelError(f"“{labels}” is a path: read it with read_mask first.")
    labels = np.asarray(labels)
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim < 2:
        raise LabelError(
            f"{what} are of type {labels.dtype} and shape {labels.shape}: give an image of whole "
            "numbers, 0 for not labelled and 1, 2, … for the classes."
        )
    if shape is not None:
        check_shape(labels, shape, what)
    low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    most = np.iinfo(np.uint8).max if n_classes is None else n_classes
    if low < 0 or high > most:
        number = low if low < 0 else high
        known = "which can be no class" if n_classes is None else f"but there are {most} classes"
        raise LabelError(f"{what} contain the value {number}, {known}: use 0 to {most}.")
    return np.ascontiguousarray(labels, dtype=np.uint8)


def check_pairs(images: Sized, labels: Sized) -> None:
    """Make sure that there is a label image for every image.

    Raises
    ------
    LabelError
    """
    for given, reader in ((images, "read_image"), (labels, "read_mask")):
        if isinstance(given, str):
            raise LabelError(f"“{given}” is a path: read it with {reader}, and give a list.")
    if len(images) != len(labels):
        raise LabelError(
            f"There are {len(images)} images and {len(labels)} label images: "
            "give one label image for every image."
        )


def check_shape(array: Any, shape: tuple[int, ...], what: str = "The labels") -> None:
    """Make sure that an array-like (..., H, W) has a number for every pixel of an image.

    Raises
    ------
    LabelError
        When its shape is another one.
    """
    if tuple(array.shape) != shape:
        raise LabelError(
            f"{what} have shape {array.shape}, the image has {shape}: choose some that belong to "
            "this image, with the same height and width."
        )


def checksum(labels: npt.NDArray[Any]) -> int:
    """A fingerprint of labels of any shape, which changes with every stroke."""
    return zlib.crc32(np.ascontiguousarray(labels).data)
