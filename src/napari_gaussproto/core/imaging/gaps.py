"""Pixels without data: where they are, and what the network sees in their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

Missing = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Gaps:
    """How pixels without data are known.

    Attributes
    ----------
    axis : int or None
        Of the channels.
    has_alpha : bool
        Whether the last channel is alpha; where it is 0 there is no data.
    nodata : float or None
        The value that such pixels have in all channels.
    """

    axis: int | None
    has_alpha: bool = False
    nodata: float | None = None

    def possible(self, array: Any) -> bool:
        """Whether an array of this type may have such pixels, without a look at its values."""
        masked = isinstance(array, np.ma.MaskedArray)
        return (
            masked or self.has_alpha or self.nodata is not None or np.dtype(array.dtype).kind == "f"
        )

    def find(self, values: npt.NDArray[Any]) -> Missing | None:
        """Which pixels (h, w) of an array, with or without channels, have no data; None if none.

        A mosaic may hold the value that stands for "no data" in one channel of a dark pixel, so
        all channels must, and as many must be masked; but one value that is not finite will do.
        """
        if not self.possible(values):
            return None
        channels = values[None] if self.axis is None else np.moveaxis(values, self.axis, 0)
        missing = np.asarray(np.ma.getmaskarray(channels).all(0))
        channels = np.ma.getdata(channels)
        if self.has_alpha:
            missing = missing | (channels[-1] == 0)
            channels = channels[:-1]
        if channels.dtype.kind == "f":
            missing = missing | ~np.isfinite(channels).all(0)
        if self.nodata is not None:
            missing = missing | (channels == self.nodata).all(0)
        return missing if missing.any() else None


def filled(values: npt.NDArray[Any], missing: Missing, axis: int | None) -> npt.NDArray[Any]:
    """Values in which every missing pixel has taken over the nearest one that is there.

    Values are (h, w), or have channels along an axis besides; missing is (h, w). What lies
    beside a gap is then seen as if the gap were not there; a border of black would be an edge
    that is not in the photograph. Without any pixel to take over nothing is changed.
    """
    values = np.ma.getdata(values)
    if missing.all():
        return values
    near = distance_transform_edt(missing, return_distances=False, return_indices=True)
    place: list[Any] = list(near)
    if axis is None:
        return values[tuple(place)]
    channels: npt.NDArray[Any] = np.moveaxis(values, axis, 0)[:, place[0], place[1]]
    return np.moveaxis(channels, 0, axis)
