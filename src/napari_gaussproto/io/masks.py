"""Masks as other programs write them: numbers, palettes, or one colour per class."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.labels.mask_guess import TRANSPARENT
from napari_gaussproto.io.images import read_by_suffix

# Someone has to say what each colour means; a photograph has thousands.
_MOST_COLORS = 4096
_LOSSY = (".jpg", ".jpeg")


@dataclass(frozen=True)
class CodedMask:
    """A mask whose values a person has still to map to classes.

    Attributes
    ----------
    values : (H, W) ndarray of integers
    colors : dict of int to str
        ``#rrggbb`` of the values that the file gives a colour; empty for plain numbers.
    """

    values: npt.NDArray[Any]
    colors: dict[int, str] = field(default_factory=dict)


def read_coded_mask(path: str | Path) -> CodedMask:
    """Read a mask in whatever coding. A large one takes seconds: call it from a worker.

    It is upright as its EXIF orientation says, as the photographs of `read_image` are. The
    numbers of a grey or a palette image are as they are stored; whole numbers stored as floats
    become integers. In an image made of colours each colour is the value 0xRRGGBB, the same in
    every file, and what is fully transparent is ``TRANSPARENT``.

    Raises
    ------
    ImageError
        When the file cannot be read or is no mask.
    """
    path = Path(path)
    if path.suffix.lower() in _LOSSY:
        raise ImageError(
            f"“{path.name}” is a JPEG, which blurs the values of a mask: save it as PNG or TIFF."
        )
    read = read_by_suffix(path, _read_picture)
    if isinstance(read, CodedMask):
        return read
    array = _without_empty_axes(np.asarray(read))
    if array.ndim == 3 and array.shape[-1] in (2, 3, 4):
        return _from_channels(path, array)
    if array.ndim != 2:
        raise ImageError(
            f"“{path.name}” has the shape {' × '.join(map(str, array.shape))}: "
            "a mask is one plane, height × width."
        )
    return CodedMask(_whole_numbers(path, array))


def _read_picture(path: Path) -> npt.NDArray[Any] | CodedMask:
    with Image.open(path) as file:
        upright = ImageOps.exif_transpose(file)
        if upright.mode in ("P", "PA"):
            return _from_palette(upright)
        if upright.mode in ("CMYK", "YCbCr", "HSV", "LAB"):
            upright = upright.convert("RGB")
        return np.asarray(upright)


def _from_palette(image: Any) -> CodedMask:
    values = np.asarray(image)
    values = values[..., 0] if values.ndim == 3 else values
    palette = np.asarray(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    present = [int(value) for value in np.unique(values) if value < len(palette)]
    return CodedMask(values, {value: f"#{palette[value].tobytes().hex()}" for value in present})


def _from_channels(path: Path, array: npt.NDArray[Any]) -> CodedMask:
    """Grey stored in several channels is grey; else every colour is a value."""
    hidden = array[..., -1] == 0 if array.shape[-1] in (2, 4) else None
    colors = array[..., :3] if array.shape[-1] > 2 else array[..., :1]
    if all(np.array_equal(colors[..., 0], colors[..., c]) for c in range(1, colors.shape[-1])):
        values = _whole_numbers(path, colors[..., 0])
        return CodedMask(_hide(values, hidden))
    if colors.dtype != np.uint8:
        raise ImageError(
            f"“{path.name}” is a colour image of type {colors.dtype}: "
            "save the mask with 8 bits a channel, or as whole numbers."
        )
    red, green, blue = (colors[..., c].astype(np.int32) for c in range(3))
    values = _hide(red << 16 | green << 8 | blue, hidden)
    present = np.unique(values)
    if len(present) > _MOST_COLORS:
        raise ImageError(
            f"“{path.name}” has {len(present)} colours, as a photograph does: "
            "choose a mask, with one colour for each class."
        )
    return CodedMask(values, {v: f"#{v:06x}" for v in present.tolist() if v != TRANSPARENT})


def _hide(values: npt.NDArray[Any], hidden: npt.NDArray[np.bool_] | None) -> npt.NDArray[Any]:
    if hidden is None or not hidden.any():
        return values
    return np.where(hidden, TRANSPARENT, values.astype(np.int64))


def _without_empty_axes(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Drop axes of length 1 beyond height and width; those two are kept whatever their size."""
    if array.ndim >= 3 and array.shape[-1] == 1:
        array = array[..., 0]
    while array.ndim > 2 and 1 in array.shape[:-2]:
        array = np.squeeze(array, axis=array.shape.index(1))
    return array


def _whole_numbers(path: Path, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype.kind in "ui" and not (array.size and int(array.max()) > np.iinfo(np.int64).max):
        return array
    if array.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = array.astype(np.int64)
        if np.array_equal(whole, array):
            return whole
    raise ImageError(
        f"“{path.name}” is not a mask: its values ({array.dtype}) are not all whole numbers."
    )
