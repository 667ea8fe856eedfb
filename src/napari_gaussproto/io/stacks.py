"""Whether a file holds a stack, and which of its axes are planes and which are channels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.imaging.axes import MOST, guess_channels
from napari_gaussproto.io.images import axes_of

# What OME calls leading axes; others are called by these, from the last one on.
_LEADING = "TZ"


@dataclass(frozen=True)
class Stack:
    """Planes of a file.

    Attributes
    ----------
    array : (..., H, W) or, with channels, (..., H, W, C) array-like
    has_channels : bool
    axes : str
        Letters of the leading axes, as OME calls them.
    """

    array: Any
    has_channels: bool
    axes: str

    @property
    def shape(self) -> tuple[int, ...]:
        """(..., H, W)."""
        shape = self.array.shape[:-1] if self.has_channels else self.array.shape
        return tuple(int(n) for n in shape)

    @property
    def count(self) -> int:
        """How many planes there are."""
        return int(np.prod(self.shape[:-2]))


def stack_in(
    path: Path, array: Any, channels: int, axis: int | None = None, *, grey: bool = False
) -> Stack | None:
    """The stack that a file holds; None for one picture.

    Axes that the file names are believed. Else an array of three axes is a stack when neither
    its first nor its last axis can hold channels.

    Parameters
    ----------
    path : Path
    array : array-like
        What `read_image` gives for it.
    channels : int
        That the model expects.
    axis : int, optional
        Where a person says that channels are, 0 or -1, if the file does not.
    grey : bool
        Whether a person says that there are none.

    Raises
    ------
    ImageError
        When there are more axes than a stack can have.
    """
    shape = tuple(int(n) for n in array.shape)
    axes = axes_of(path)
    if axes is None or "Q" in axes or len(axes) != len(shape):
        axes = _guessed(shape, channels, axis, grey=grey)
    place = axes.find("C")
    leading = axes.replace("C", "")[:-2]
    planes = [n for letter, n in zip(axes, shape, strict=True) if letter not in "CYX"]
    if np.prod(planes, dtype=int) <= 1:
        return None
    if len(leading) > len(_LEADING) or axes.count("C") > 1:
        raise ImageError(
            f"“{path.name}” has {len(shape)} axes ({axes}): give a stack with time and depth at "
            "most, or its parts as files of their own."
        )
    if place >= 0:
        array = _last(array, place)
    known = set(leading) <= set(_LEADING) and len(set(leading)) == len(leading)
    return Stack(array, place >= 0, leading if known else _LEADING[-len(leading) :])


def _guessed(shape: tuple[int, ...], channels: int, axis: int | None, *, grey: bool) -> str:
    """Axes of an array whose axes nobody named, as `axes_of` writes them."""
    if len(shape) < 3:
        return "YX"
    planes = "Q" * (len(shape) - 3)
    if grey:
        return f"{planes}QYX"
    if axis is not None:
        return f"{planes}CYX" if axis == 0 else f"{planes}YXC"
    if len(shape) == 3:
        # Where it may be one picture it is taken for one, and channels are found by the model.
        may_be = min(shape[0], shape[2]) <= MOST or channels in (shape[0], shape[2])
        return "QYX" if guess_channels(shape) == "neither" and not may_be else "YXC"
    return f"{planes}YXC" if shape[-1] in (3, 4, channels) else f"{planes}QYX"


def _last(array: Any, place: int) -> Any:
    """An array with its channels last; of one that is stored, nothing is read."""
    if place == array.ndim - 1:
        return array
    if isinstance(array, np.ndarray):
        return np.moveaxis(array, place, -1)
    import dask.array as da

    return da.moveaxis(da.asarray(array), place, -1)
