"""Masks as other programs write them: numbers, palettes, or one colour per class."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageOps

from napari_gaussproto.core.base.errors import ImageError, LabelError
from napari_gaussproto.core.imaging.orientation import upright
from napari_gaussproto.core.labels.mask_guess import TRANSPARENT
from napari_gaussproto.core.labels.mask_rules import MaskRules
from napari_gaussproto.io.images import is_tiff, open_picture, orientation_of, read_by_suffix
from napari_gaussproto.io.mask_json import read_outlines

# Someone has to say what each colour means; a photograph has thousands.
_MOST_COLORS = 4096
_LOSSY = (".jpg", ".jpeg")
# How files of masks end, and what stands beside the name of the photograph in theirs.
_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".npy", ".json", ".webp", ".gif")
MASK_WORDS = ("mask", "masks", "label", "labels", "annotation", "gt", "seg", "truth", "target")


@dataclass(frozen=True)
class CodedMask:
    """A mask whose values a person has still to map to classes.

    Attributes
    ----------
    values : (H, W) ndarray of integers
    colors : dict of int to str
        ``#rrggbb`` of the values that the file gives a colour; empty for plain numbers.
    names : dict of int to str
        What outlines call their values; 0 is outside of all. Empty for pictures.
    in_colour : bool
        Whether numbers are greys of a picture that could have had colours.
    """

    values: npt.NDArray[Any]
    colors: dict[int, str] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    in_colour: bool = False


def read_coded_mask(path: str | Path, image_name: str = "") -> CodedMask:
    """Read a mask in whatever coding. A large one takes seconds: call it from a worker.

    It is upright as its orientation tag says, as the photographs of `read_image` are. The
    numbers of a grey or a palette image are as they are stored; whole numbers stored as floats
    become integers. In an image made of colours each colour is the value 0xRRGGBB, the same in
    every file, and what is fully transparent is ``TRANSPARENT``.

    Outlines of labelme and COCO (``.json``) are filled.

    Parameters
    ----------
    path : path
    image_name : str
        File name of the image, by which a COCO file knows it.

    Raises
    ------
    ImageError
        When the file cannot be read or is no mask.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        outlined = read_outlines(path, image_name)
        return CodedMask(outlined.values, names=outlined.names)
    if path.suffix.lower() in _LOSSY:
        raise ImageError(
            f"“{path.name}” is a JPEG, which blurs the values of a mask: save it as PNG or TIFF."
        )
    read = read_by_suffix(path, _read_picture)
    if isinstance(read, CodedMask):
        return read
    array = _without_empty_axes(np.asarray(read))
    if is_tiff(path):  # of which only numbers were read; pictures are upright by now
        array = upright(array, orientation_of(path))
    if array.ndim == 3 and array.shape[-1] in (2, 3, 4):
        return _from_channels(path, array)
    if array.ndim != 2:
        raise ImageError(
            f"“{path.name}” has the shape {' × '.join(map(str, array.shape))}: "
            "a mask is one plane, height × width."
        )
    return CodedMask(_whole_numbers(path, array))


def labels_of_file(
    path: Path, rules: MaskRules, image: Path, shape: tuple[int, ...]
) -> npt.NDArray[np.uint8]:
    """Labels (H, W) of a photograph, from a mask in whatever coding.

    A mask that was made for the photograph as it lies in its file is turned upright with it,
    where its shape says so.

    Parameters
    ----------
    rules : MaskRules
    image : Path
        File of the photograph.
    shape : tuple of int
        (H, W) of the photograph, upright.

    Raises
    ------
    ImageError, LabelError
        For a mask that cannot be read, or has another size or something in it that is no class.
    """
    mask = read_coded_mask(path, image.name)
    values = mask.values
    if values.shape != shape:
        values = upright(values, orientation_of(image))
    if values.shape != shape:
        have, need = (" × ".join(map(str, size)) for size in (mask.values.shape, shape))
        raise LabelError(
            f"“{path.name}” is {have} pixels and “{image.name}” is {need}: "
            "give the mask that was made for this image."
        )
    colors = mask.colors
    if mask.in_colour:
        codes = np.where(values < 0, values, values.astype(np.int64) * 0x010101)
        greys = {v: f"#{v:06x}" for v in np.unique(codes).tolist() if v != TRANSPARENT}
        if rules.are_colors(greys.values()):
            values, colors = codes, greys
    return rules.labels(values, colors, mask.names, path.name)


def find_mask(folder: Path, image: str, photograph: Path) -> Path:
    """The mask of a photograph in a folder of masks, by its name.

    It is called as the photograph, with another suffix or with a word such as "mask" or "labels"
    before or after the name: of ``x.jpg`` it may be ``x.png``, ``x_mask.png`` or ``mask-x.tif``.

    Parameters
    ----------
    folder : Path
    image : str
        Name of the photograph, with its sub-folder, if masks have the same.
    photograph : Path
        Its file, which may be in the same folder and is no mask.

    Raises
    ------
    ImageError
        When there is none, or several.
    """
    name = Path(image)
    stem = name.stem.casefold()
    found = []
    for path in sorted((folder / name.parent).glob("*")):
        if path.suffix.lower() not in _SUFFIXES or path == photograph:
            continue
        own = path.stem.casefold()
        if own == stem or stem in unmarked(own):
            found.append(path)
    if len(found) == 1:
        return found[0]
    if not found:
        raise ImageError(
            f"“{folder}” holds no mask of “{name.name}”: call it {name.stem}.png or "
            f"{name.stem}_mask.png, or name it in the column “mask”."
        )
    listed = ", ".join(path.name for path in found[:3])
    raise ImageError(
        f"“{name.name}” may have several masks ({listed}): name the right one in the column “mask”."
    )


def unmarked(stem: str) -> Iterator[str]:
    """What photographs may be called whose mask has this name, in lower case and without suffix.

    Words such as "mask" are taken from both of its ends; nothing where there are none.
    """
    parts = re.split(r"([\s_.-]+)", stem.casefold())
    words = parts[::2]
    first = sum(1 for _ in takewhile(MASK_WORDS.__contains__, words))
    last = sum(1 for _ in takewhile(MASK_WORDS.__contains__, reversed(words)))
    for before, after in product(range(first + 1), range(last + 1)):
        if 0 < before + after < len(words):
            yield "".join(parts[2 * before : len(parts) - 2 * after])


def mask_beside(photograph: Path) -> Path | None:
    """The mask of a photograph in the same folder, if there is just one; see `find_mask`."""
    try:
        return find_mask(photograph.parent, photograph.name, photograph)
    except (ImageError, OSError):
        return None


def _read_picture(path: Path) -> npt.NDArray[Any] | CodedMask:
    with open_picture(path) as file:
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
        return CodedMask(_hide(values, hidden), in_colour=array.shape[-1] > 2)
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
