"""Photographs that are stored lying: how they and what is drawn on them are turned upright."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

UPRIGHT = 1
# Those in which rows and columns are swapped.
_SWAPPED = (5, 6, 7, 8)
# By which orientation an upright photograph lies again; the others are their own way back.
_BACK = {6: 8, 8: 6}


def way_back(orientation: int) -> int:
    """The orientation that undoes another: `upright` by one, then by the other, changes nothing."""
    return _BACK.get(orientation, orientation)


def upright(array: Any, orientation: int) -> Any:
    """Turn an image as the tag "Orientation" of TIFF 6.0 and EXIF says; a view.

    The tag tells which side of the scene the first row and the first column lie on: from 5 on
    they are swapped, and the rest are mirrored rows or columns.

    Parameters
    ----------
    array : (H, W) or (H, W, C) ndarray
    orientation : int
        1 to 8; 1 is upright already.
    """
    if orientation in _SWAPPED:
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def upright_shape(shape: tuple[int, ...], orientation: int) -> tuple[int, ...]:
    """Shape (H, W, ...) of an array of this shape once it is upright."""
    return (shape[1], shape[0], *shape[2:]) if orientation in _SWAPPED else tuple(shape)


def upright_points(
    points: npt.NDArray[Any], orientation: int, shape: tuple[int, ...]
) -> npt.NDArray[np.float64]:
    """Where points lie once their image is upright, as `upright` turns its pixels.

    Parameters
    ----------
    points : (N, 2) ndarray
        (y, x), where pixel centres are whole numbers.
    shape : tuple of int
        (H, W) of the image before.
    """
    turned = np.array(points, np.float64)
    if orientation in _SWAPPED:
        turned = turned[:, ::-1].copy()
    height, width = upright_shape(shape, orientation)[:2]
    if orientation in (3, 4, 7, 8):
        turned[:, 0] = height - 1 - turned[:, 0]
    if orientation in (2, 3, 6, 7):
        turned[:, 1] = width - 1 - turned[:, 1]
    return turned
