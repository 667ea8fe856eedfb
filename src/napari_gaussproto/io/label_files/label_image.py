"""Labels with all that a file says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.imaging.ngff import PIXEL
from napari_gaussproto.core.measure.units import PixelSize

# Units as OME-Zarr and napari call them, by ours; those of OME-TIFF are the same as ours, but for
# the micrometre and the microsecond.
_LONG = {
    "nm": "nanometer",
    "um": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "km": "kilometer",
    "in": "inch",
    "ft": "foot",
    "ns": "nanosecond",
    "us": "microsecond",
    "ms": "millisecond",
    "s": "second",
    "min": "minute",
    "h": "hour",
    "d": "day",
}
_SHORT = {long: short for short, long in _LONG.items()}


@dataclass(frozen=True)
class Spacing:
    """How far elements lie apart along each axis.

    Attributes
    ----------
    steps : tuple of float
    units : tuple of str
        As OME-Zarr and napari call them, such as "millimeter"; "pixel" where none is known.
    origin : tuple of float
        Where the first element lies, in these units; empty where it is not known.
    """

    steps: tuple[float, ...]
    units: tuple[str, ...]
    origin: tuple[float, ...] = ()

    @classmethod
    def of(cls, size: PixelSize | None, axes: int = 2) -> Spacing:
        """Of square pixels; of single pixels where their size is not known."""
        if size is None:
            return cls((1.0,) * axes, (PIXEL,) * axes)
        return cls((size.side,) * axes, (_LONG[size.unit],) * axes)

    @classmethod
    def from_ome(
        cls, steps: Sequence[float], units: Sequence[str], origin: Sequence[float] = ()
    ) -> Spacing:
        """With the units as OME-TIFF writes them, such as "µm"."""
        plain = (unit.replace("µ", "u").replace("μ", "u") for unit in units)
        return cls(tuple(steps), tuple(_LONG.get(unit, unit) for unit in plain), tuple(origin))

    @property
    def ome_units(self) -> list[str]:
        """The units as OME-TIFF writes them."""
        short = (_SHORT.get(unit, unit) for unit in self.units)
        return ["µ" + unit[1:] if unit in ("um", "us") else unit for unit in short]


@dataclass(frozen=True)
class LabelImage:
    """Labels of a file.

    Attributes
    ----------
    values : (..., H, W) array of int
        Class index + 1; 0 is nothing. In memory or, of a large file, lazy.
    classes : list of SegmentationClass
        Empty where the file does not name any.
    spacing : Spacing
        Of the axes of ``values``.
    levels : list of array-like
        Of a large file all resolutions, the finest first; else empty.
    """

    values: npt.NDArray[Any] | Any
    classes: list[SegmentationClass] = field(default_factory=list)
    spacing: Spacing = field(default_factory=lambda: Spacing.of(None))
    levels: list[Any] = field(default_factory=list)
