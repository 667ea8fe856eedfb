"""What people give as an image: an array of any library, a list of rows, a picture of Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.imaging.colours import picture_pixels


def as_array(given: Any) -> Any:
    """An image as an array with ``shape``, a ``dtype`` of numpy and slicing.

    Arrays of numpy, dask, zarr and the like are given back as they are, and nothing is read.

    Parameters
    ----------
    given : array-like
        Or a list of rows, a tensor, a picture of Pillow.

    Raises
    ------
    ImageError
        For a path, for what is no array, and for one that does not know its own shape.
    """
    if isinstance(given, str | PathLike):
        raise ImageError(f"“{given}” is a path: read it with read_image first.")
    array = given if _is_array(given) else _converted(given)
    if not all(n == n for n in array.shape):  # dask calls lengths NaN that it does not know
        raise ImageError(
            f"The size of the image is not known (shape {tuple(array.shape)}): call its "
            "compute_chunk_sizes(), or give it as an array of numpy."
        )
    return array


def _is_array(given: Any) -> bool:
    """Whether something can be sliced as an image; levels of a pyramid cannot."""
    if isinstance(given, Sequence) or not (hasattr(given, "shape") and hasattr(given, "dtype")):
        return False
    try:
        np.dtype(given.dtype)
    except TypeError:  # of another library
        return False
    return True


def _converted(given: Any) -> npt.NDArray[Any]:
    if isinstance(given, Image.Image):
        return picture_pixels(given)
    if isinstance(given, torch.Tensor):
        given = given.detach().cpu()
        given = given.float() if given.dtype == torch.bfloat16 else given
    try:
        # Another sequence is a pyramid, which calls its smallest level its array.
        if isinstance(given, list | tuple) or not isinstance(given, Sequence):
            array = np.asarray(given)
            if array.dtype.kind in "biufc" or hasattr(given, "__array__"):
                return array
    except (ValueError, TypeError):  # rows of several lengths, levels of a pyramid
        pass
    raise ImageError(
        f"A {type(given).__name__} like this is no image: give an array of numbers, height x "
        "width, with or without channels; of several resolutions the full one."
    )
