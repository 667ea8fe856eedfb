"""Which pixels lie in a region, as a mask no larger than the region."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class RegionMask:
    """Pixels of a region of an image.

    Attributes
    ----------
    mask : (h, w) ndarray of bool
    top, left : int
        Where the mask begins in the image.
    """

    mask: npt.NDArray[np.bool_]
    top: int = 0
    left: int = 0

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the image that the mask is of."""
        height, width = self.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    def of(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values (N,) of an image (H, W) in the region."""
        return array[self.window][self.mask]
