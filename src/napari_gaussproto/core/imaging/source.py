"""Any image array as float tensors in [0, 1], read window by window."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.imaging.arrays import as_array
from napari_gaussproto.core.imaging.axes import guess_channels
from napari_gaussproto.core.imaging.gaps import Gaps, filled
from napari_gaussproto.core.imaging.stored import read_part

logger = logging.getLogger(__name__)

ValueRange = tuple[float, float]

# The value range is judged on about this many pixels of a larger image.
_SAMPLE = 1 << 20
# So many planes of a stack; of a stack on disk every plane costs a read.
_MOST_PLANES = 16
# Integers in memory, or in a file mapped to it, up to this many are looked at one and all.
_SCANNED = 1 << 27
# Share of floats that sharpening or resampling may have carried beyond a photograph's range.
_MOST_OUTSIDE = 0.01
# Full scales of usual sensors: 8, 10, 12, 14 and 16 bits. A 12-bit camera stores uint16.
_FULL_SCALES = (255, 1023, 4095, 16383, 65535)
# Side of a patch in pixels that tells whether an image is grey, and what its channels may differ
# by for that, in [0, 1]: rounding.
_PATCH, _COLOURLESS = 96, 2.5 / 255
# ITU-R BT.601 luma.
_LUMA = (0.299, 0.587, 0.114)


class ImageSource:
    """An image that is read in windows, already in the model's channels and range.

    Parameters
    ----------
    array : array-like
        (H, W) or (H, W, C), with ``shape``, ``dtype`` and slicing: numpy, dask, zarr.
    channels : int
        Channels that `read` returns.
    offset, span : float
        Value that becomes 0, and the distance to the value that becomes 1.
    channel_axis : int or None
        Position of the channels in ``array``.
    nodata : float, optional
        Value that stands for "nothing was recorded here".

    Attributes
    ----------
    memo : dict
        What was computed from this image and is worth keeping with it, such as its regions.
    is_cut_off : bool
        Whether values above the full scale of integers were met so far, and clipped.
    """

    def __init__(
        self,
        array: Any,
        channels: int,
        offset: float,
        span: float,
        channel_axis: int | None,
        nodata: float | None = None,
    ) -> None:
        self._axis = channel_axis
        self._offset = offset
        self._span = span
        self.channels = channels
        self.array = array
        stored = 1 if channel_axis is None else int(array.shape[channel_axis])
        has_alpha = stored in (2, 4) and stored != channels
        self._gaps = Gaps(channel_axis, has_alpha, nodata)
        spatial = [n for axis, n in enumerate(array.shape) if axis != channel_axis]
        self.height, self.width = int(spatial[0]), int(spatial[1])
        self.memo: dict[Any, Any] = {}
        self.is_cut_off = False

    @property
    def full_scale(self) -> float | None:
        """What integers of more than 8 bits are divided by; None for others."""
        dtype = np.dtype(self.array.dtype)
        judged = dtype.kind in "ui" and dtype != np.uint8 and not self._offset
        return self._span if judged and self._span in _FULL_SCALES else None

    @property
    def pixels(self) -> int:
        """Height times width."""
        return self.height * self.width

    @classmethod
    def from_array(
        cls,
        array: Any,
        channels: int | None = None,
        channel_axis: int | None = None,
        value_range: ValueRange | None = None,
        nodata: float | None = None,
    ) -> ImageSource:
        """Understand an array.

        Parameters
        ----------
        array : array-like
            (H, W), (H, W, C) or (C, H, W); bool, integer or float. Integers are scaled by
            the smallest usual full scale (8 to 16 bits) that holds them; floats in [0, 1]
            are taken as they are, in [0, 255] divided by 255, others stretched from their
            least to their greatest value. Up to a hundredth of the floats may lie outside
            such a range, as after sharpening, and are clipped. Of a masked array, masked
            pixels are without data; see `data_mask`.
        channels : int, optional
            What the model expects; by default what the array has. Grey is repeated, alpha
            dropped, and RGB turned into grey where that makes them fit.
        channel_axis : int, optional
            Where the channels are, if it is not plain from the shape.
        value_range : tuple of float, optional
            Offset and span, for planes that must be scaled alike; see `range_of_planes`. By
            default that of this array.
        nodata : float, optional
            Pixels with this value in every channel are without data.

        Raises
        ------
        ImageError
            For anything that is no such image.
        """
        array = as_array(array)
        _check_kind(array)
        axis = _find_channels(array.shape, channels, channel_axis)
        count = 1 if axis is None else int(array.shape[axis])
        wanted = count if channels is None else channels
        if not _convertible(count, wanted):
            stack = "; of a stack, give one plane" if axis is not None else ""
            raise ImageError(
                f"The image has {count} channels, the model was made for {wanted}: "
                f"choose a model for such images, or give the matching channels only{stack}."
            )
        offset, span = value_range or range_of_planes([array], axis, nodata)
        return cls(array, wanted, offset, span, axis, nodata)

    def with_all_channels(self) -> ImageSource:
        """The same image, read with the channels that are stored."""
        stored = 1 if self._axis is None else int(self.array.shape[self._axis])
        about = (self._offset, self._span, self._axis, self._gaps.nodata)
        return ImageSource(self.array, stored, *about)

    def part(self, y0: int, x0: int, y1: int, x1: int) -> ImageSource:
        """A window of the same image as one of its own, in memory, scaled as the whole is."""
        about = (self._offset, self._span, self._axis, self._gaps.nodata)
        return ImageSource(self._stored(y0, x0, y1, x1), self.channels, *about)

    def window(self, y0: int, x0: int, y1: int, x1: int) -> tuple[npt.NDArray[Any], bool]:
        """Pixels (h, w) or (h, w, C) of a window that mean the same by themselves.

        Those that would be scaled otherwise then are floats from 0 to 1; the second value says
        whether they are as they are stored. Floats without data are NaN.
        """
        values, gaps = self._stored(y0, x0, y1, x1), replace(self._gaps, has_alpha=False)
        is_stored = range_of_planes([values], self._axis, gaps.nodata) == (self._offset, self._span)
        pixels = np.ma.getdata(values)
        pixels = pixels if self._axis is None else np.moveaxis(pixels, self._axis, -1)
        if not is_stored:
            wide = (pixels.astype(np.float64) - self._offset) / self._span
            pixels = wide.clip(0, 1).astype(np.float32)
        if pixels.dtype.kind == "f" and (missing := gaps.find(values)) is not None:
            pixels = pixels.copy()
            pixels[missing] = np.nan
        return pixels, is_stored

    @cached_property
    def data_mask(self) -> npt.NDArray[np.bool_] | None:
        """Which pixels (H, W) hold data; None if all do, or if it is not known without looking.

        Without data are pixels whose alpha is 0, values that are not finite, masked ones, those
        with the value that stands for it, and all of an image that is one value throughout.
        """
        return self.data_in(0, 0, self.height, self.width)

    def data_in(self, y0: int, x0: int, y1: int, x1: int) -> npt.NDArray[np.bool_] | None:
        """As `data_mask`, of a window (y1 - y0, x1 - x0)."""
        y1, x1 = min(y1, self.height), min(x1, self.width)
        if self._is_constant:
            return np.zeros((y1 - y0, x1 - x0), np.bool_)
        if not self._gaps.possible(self._stored(0, 0, 1, 1)):  # whose type a lazy array's hides
            return None
        missing = self._gaps.find(self._stored(y0, x0, y1, x1))
        return None if missing is None else ~missing

    @cached_property
    def is_grey(self) -> bool:
        """Whether what is read with three channels has no colour; judged on nine patches."""
        if self.channels != 3:
            return False
        side = min(self.height, self.width, _PATCH)
        windows = (
            self.read(y.start, x.start, min(y.stop, self.height), min(x.stop, self.width))
            for y in _patches(self.height, side)
            for x in _patches(self.width, side)
        )
        return all(bool((w.amax(0) - w.amin(0) <= _COLOURLESS).all()) for w in windows)

    @cached_property
    def _is_constant(self) -> bool:
        """Whether all pixels are the same; a photograph tells by its first rows."""
        first = self._stored(0, 0, 1, 1)
        rows = max(1, _SAMPLE // self.width)
        return self.pixels > 1 and all(
            bool((self._stored(top, 0, min(top + step, self.height), self.width) == first).all())
            for top, step in [(0, 1), *((top, rows) for top in range(0, self.height, rows))]
        )

    def read(self, y0: int, x0: int, y1: int, x1: int) -> Tensor:
        """Pixels of a window as float32 (C, y1 - y0, x1 - x0) in [0, 1].

        Raises
        ------
        ImageError
            When the array's storage fails.
        """
        return _to_channels(self._scaled(self._whole(y0, x0, y1, x1)), self.channels)

    def read_padded(self, y0: int, x0: int, height: int, width: int) -> Tensor:
        """As `read`, (C, height, width), for a window that may reach beyond bottom and right.

        What lies beyond is mirrored, which continues texture; a border repeated or black
        would be an edge that is not in the photograph.
        """
        return self._read_padded(y0, x0, height, width, self._scaled)

    def read_levels(self, y0: int, x0: int, height: int, width: int) -> Tensor:
        """As `read_padded`, in uint8 from 0 to 255 where the image is stored so.

        For what can do without the division by 255, or does it when there is less to divide.
        """
        makes_grey = self.channels == 1 and self._axis is not None
        return self._read_padded(
            y0, x0, height, width, self._scaled if makes_grey else self._levels
        )

    def _read_padded(
        self,
        y0: int,
        x0: int,
        height: int,
        width: int,
        scaled: Callable[[npt.NDArray[Any]], Tensor],
    ) -> Tensor:
        values = self._whole(y0, x0, min(y0 + height, self.height), min(x0 + width, self.width))
        beyond = [(0, max(0, y0 + height - self.height)), (0, max(0, x0 + width - self.width))]
        if self._axis is not None:
            beyond.insert(self._axis, (0, 0))
        # Mirrored as stored, which for a photograph is a quarter of the size in floats.
        if any(after for _, after in beyond):
            values = np.pad(values, beyond, mode="reflect")
        return _to_channels(scaled(values), self.channels)

    def _whole(self, y0: int, x0: int, y1: int, x1: int) -> npt.NDArray[Any]:
        """Stored values of a window; pixels without data take over those of the nearest with."""
        values = self._stored(y0, x0, y1, x1)
        missing = self._gaps.find(values)
        return values if missing is None else filled(values, missing, self._axis)

    def _stored(self, y0: int, x0: int, y1: int, x1: int) -> npt.NDArray[Any]:
        window: list[Any] = [slice(y0, y1), slice(x0, x1)]
        if self._axis is not None:
            window.insert(self._axis, slice(None))
        values: npt.NDArray[Any] = read_part(self.array, tuple(window))
        return values

    def _levels(self, values: npt.NDArray[Any]) -> Tensor:
        """As `_scaled`, or uint8."""
        if values.dtype != np.uint8 or (self._offset, self._span) != (0, 255):
            return self._scaled(values)
        pixels = torch.from_numpy(np.require(values, requirements=["C", "W"]))
        return pixels[None] if self._axis is None else pixels.movedim(self._axis, 0)

    def _scaled(self, values: npt.NDArray[Any]) -> Tensor:
        """Values of a window as float32 (C, h, w) in [0, 1], in the memory order they had."""
        if self._offset or self._span > _FULL_SCALES[-1]:
            # In floats of 32 bits, large values that differ little would be one.
            wide = (np.asarray(values, dtype=np.float64) - self._offset) / self._span
            pixels = torch.from_numpy(wide.astype(np.float32))
        else:
            if self.full_scale is not None and not self.is_cut_off and values.size:
                self.is_cut_off = bool(values.max() > self._span)
            with np.errstate(over="ignore"):  # of outliers, which are clipped
                pixels = torch.from_numpy(np.array(values, dtype=np.float32))
            pixels.div_(self._span)
        if values.dtype.kind == "f":
            pixels.nan_to_num_(nan=0, posinf=0, neginf=0)
        if values.dtype != np.uint8:  # whose values cannot lie outside
            pixels.clamp_(0, 1)
        return pixels[None] if self._axis is None else pixels.movedim(self._axis, 0)


def _check_kind(array: Any) -> None:
    shape = tuple(array.shape)
    dtype = np.dtype(array.dtype)
    if dtype.kind not in "buif":
        raise ImageError(
            f"An image of type {dtype} cannot be segmented: convert it to 8 or 16 bit or float."
        )
    if len(shape) not in (2, 3):
        raise ImageError(
            f"An array of shape {shape} is not one image: give height x width, "
            "with or without channels; of a stack, one plane at a time."
        )
    if 0 in shape:
        raise ImageError(f"The image is empty (shape {shape}): choose one with pixels.")


def _find_channels(
    shape: tuple[int, ...], channels: int | None, explicit: int | None
) -> int | None:
    """Axis of the channels, or None for a grey image."""
    if len(shape) == 2:
        return None
    if explicit is not None:
        return explicit % 3
    if channels is not None:
        for convertible in (lambda n: n == channels, lambda n: _convertible(n, channels)):
            for axis in (2, 0):
                if shape[axis] <= 64 and convertible(shape[axis]):
                    return axis
    elif min(shape[0], shape[2]) <= 64:
        return 2 if shape[2] <= shape[0] or shape[2] in (3, 4) else 0
    # For a sentence about their number; of an axis of three, a model may expect otherwise.
    if (guess := guess_channels(shape)) != "neither":
        return 0 if guess == "first" else 2
    raise ImageError(
        f"It is not plain where the channels of an image of shape {tuple(shape)} are, or they do "
        f"not suit a model for {channels or 'a few'} channels: give height x width x channels, or "
        "of a stack one plane."
    )


def _convertible(count: int, wanted: int) -> bool:
    """Whether images of ``count`` channels can be turned into ``wanted`` ones."""
    return count == wanted or (count in (1, 2, 3, 4) and wanted in (1, 3))


def _to_channels(pixels: Tensor, wanted: int) -> Tensor:
    count = pixels.shape[0]
    if count == wanted:
        return pixels
    if count in (2, 4):  # the last one is alpha
        pixels = pixels[: count - 1]
    if pixels.shape[0] == wanted:
        return pixels.contiguous()
    if wanted == 1:
        return (pixels * pixels.new_tensor(_LUMA).view(3, 1, 1)).sum(0, keepdim=True)
    return pixels.expand(wanted, -1, -1).contiguous()


def range_of_planes(
    planes: Sequence[Any], channel_axis: int | None, nodata: float | None = None
) -> ValueRange:
    """Offset and span that scale all planes of a stack alike, and all tiles of an image.

    Of more than `_MOST_PLANES` planes, some that are spread evenly are looked at.

    Parameters
    ----------
    planes : sequence of array-like
        Of one type; see `ImageSource.from_array`, also for how they are scaled.
    channel_axis : int or None
        Within a plane.
    nodata : float, optional
        Value that does not count.
    """
    dtype = np.dtype(planes[0].dtype)
    if dtype.kind == "b":
        return 0.0, 1.0
    if dtype == np.uint8:
        return 0.0, 255.0
    chosen = np.unique(np.linspace(0, len(planes) - 1, _MOST_PLANES).round().astype(int))
    budget = _SAMPLE // len(chosen)
    sample = np.concatenate(
        [_sample(planes[index], channel_axis, budget, nodata) for index in chosen]
    )
    if dtype.kind == "f":
        return _float_range(sample)
    low, high = (float(sample.min()), float(sample.max())) if sample.size else (0.0, 0.0)
    if low < 0 or high > _FULL_SCALES[-1]:
        return low, max(high - low, 1.0)
    return 0.0, float(next(scale for scale in _FULL_SCALES if high <= scale))


def _float_range(sample: npt.NDArray[np.floating[Any]]) -> ValueRange:
    finite = sample[np.isfinite(sample)]
    if not finite.size:
        return 0.0, 1.0
    for high, tolerance in ((1.0, 1e-3), (255.0, 0.0)):
        outside = np.count_nonzero((finite < -tolerance) | (finite > high + tolerance))
        if outside <= _MOST_OUTSIDE * finite.size:
            return 0.0, high
    least, greatest = float(finite.min()), float(finite.max())
    if not np.isfinite(greatest - least):
        raise ImageError(
            f"The values of the image lie too far apart to be scaled (from {least:g} to "
            f"{greatest:g}): clip them first."
        )
    logger.info("stretching float image from [%g, %g] to [0, 1]", least, greatest)
    return least, max(greatest - least, 1e-12)


def _sample(array: Any, axis: int | None, budget: int, nodata: float | None) -> npt.NDArray[Any]:
    """Values to judge the range by: of about ``budget`` pixels, of a small integer array all."""
    # What reads a file into memory when asked must be judged as the same array would be.
    array = getattr(array, "in_memory", array)
    height, width = (n for i, n in enumerate(array.shape) if i != axis)
    if isinstance(array, np.ndarray) and array.dtype.kind in "ui" and array.size <= _SCANNED:
        known = _known(array, nodata)
        return np.array([known.min(), known.max()]) if known.size else known
    if isinstance(array, np.ndarray) or height * width <= budget:
        step = max(1, round((height * width / budget) ** 0.5))
        rows, columns = [slice(None, None, step)], [slice(None, None, step)]
    else:
        # Strided reads of a chunked store would touch every chunk; nine patches do not.
        side = int((budget / 9) ** 0.5)
        rows, columns = _patches(height, side), _patches(width, side)
    windows = [[y, x] for y in rows for x in columns]
    if axis is not None:
        for window in windows:
            window.insert(axis, slice(None))
    read = (read_part(array, tuple(window)) for window in windows)
    return np.concatenate([_known(values, nodata).ravel() for values in read])


def _known(values: Any, nodata: float | None) -> npt.NDArray[Any]:
    """Values that are not masked and not ``nodata``."""
    values = values.compressed() if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
    return values if nodata is None else values[values != nodata]


def _patches(length: int, side: int) -> list[slice]:
    starts = (int(share * max(0, length - side)) for share in (0.1, 0.5, 0.9))
    return [slice(start, start + side) for start in starts]
