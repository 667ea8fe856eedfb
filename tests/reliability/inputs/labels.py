"""The input matrix: labels, as arrays and as the files of masks, and what must come of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import torch
import zarr
from PIL import Image

from tests.reliability.inputs.arrays import (
    HEIGHT,
    PHOTO,
    TRUTH,
    WIDTH,
    Case,
    read_only,
    right,
    told,
)
from tests.reliability.inputs.files import DAMAGED, Write, cut, npy, pillow, text, tiff

STROKES = np.zeros_like(TRUTH)
STROKES[14:18, :30], STROKES[20:23, :30] = TRUTH[14:18, :30], TRUTH[20:23, :30]


def with_spot(value: float, dtype: Any = np.int64) -> Any:
    """Strokes, and a spot of another value at row 30."""
    labels = STROKES.astype(dtype)
    labels[30:33, 5:20] = value
    return labels


def unsure() -> Any:
    """Labels with a masked spot, which nobody is sure of."""
    labels = with_spot(1, np.uint8)
    return np.ma.MaskedArray(labels, labels != STROKES)


def of_unknown_size() -> Any:
    lazy = da.from_array(STROKES, chunks=(10, 20))
    return lazy[da.ones(HEIGHT, dtype=bool, chunks=10)]


WHOLE = "of type .*: give an image of whole numbers"
TOO_LARGE = r"contain the value .*: use 0 to 2(5[45])?, and 0 where it is not known"
OTHER_SHAPE = "the image has .*: choose some that belong to this image"

LABELS: dict[str, Case] = {
    "bytes": right(STROKES, STROKES),
    "int64": right(STROKES.astype(np.int64), STROKES),
    "uint64": right(STROKES.astype(np.uint64), STROKES),
    "big-endian": right(STROKES.astype(">i4"), STROKES),
    "read-only": right(read_only(STROKES), STROKES),
    "Fortran order": right(np.asfortranarray(STROKES), STROKES),
    "every other row": right(STROKES.repeat(2, 0)[::2], STROKES),
    "dask": right(da.from_array(STROKES, chunks=7), STROKES),
    "dask of unknown size": right(of_unknown_size(), STROKES),
    "zarr": right(lambda path: zarr.array(STROKES, store=str(path / "l.zarr")), STROKES),
    "tensor": right(torch.from_numpy(STROKES), STROKES),
    "picture": right(Image.fromarray(STROKES), STROKES),
    "masked": right(unsure(), STROKES),
    "floats": told(STROKES.astype(float), WHOLE),
    "fractions": told(STROKES * 0.7, WHOLE),
    "NaN": told(np.where(STROKES > 0, STROKES, np.nan), WHOLE),
    "yes or no": told(STROKES > 1, WHOLE),
    "text": told(STROKES.astype(str), WHOLE),
    "objects": told(STROKES.astype(object), WHOLE),
    "complex": told(STROKES + 0j, WHOLE),
    "a number": told(np.array(1), WHOLE),
    "flat": told(STROKES.ravel(), WHOLE),
    "no array": told(None, WHOLE),
    "a path": told("mask.png", "is a path: read it with read_mask first"),
    "negative": told(with_spot(-1), TOO_LARGE),
    "negative bytes": told(with_spot(-1, np.int8), TOO_LARGE),
    "255": told(with_spot(255, np.uint8), TOO_LARGE),
    "300": told(with_spot(300), TOO_LARGE),
    "a trillion": told(with_spot(10**12), TOO_LARGE),
    "the largest": told(with_spot(2**64 - 1, np.uint64), TOO_LARGE),
    "other height": told(STROKES[:20], OTHER_SHAPE),
    "turned": told(STROKES.T, OTHER_SHAPE),
    "an axis more": told(STROKES[None], OTHER_SHAPE),
    "no pixels": told(np.zeros((0, 5), int), OTHER_SHAPE),
    "of no class": told(np.zeros_like(STROKES), "Nothing is labelled yet: draw a stroke"),
    "of one class": told(np.where(STROKES == 1, 1, 0), "Only .* is labelled: draw a stroke of an"),
}
# For a new model every number up to 254 is a class; a model has those that it has.
FOREIGN: dict[str, Case] = {
    "class 3 of 2": told(with_spot(3), TOO_LARGE),
    "class 254 of 2": told(with_spot(254), TOO_LARGE),
}

# -- masks in files -------------------------------------------------------------------------------

COLOURS = np.array([[0, 0, 0], [0, 0, 255], [255, 0, 0]], np.uint8)
INDEXED = Image.fromarray(TRUTH, mode="P")
INDEXED.putpalette(COLOURS.ravel().tolist())
SPOT = TRUTH.copy()
SPOT[:4, :4] = 255
UNKNOWN = np.where(SPOT == 255, 0, TRUTH).astype(np.uint8)


def spotted(value: int, dtype: Any) -> Any:
    return np.where(SPOT == 255, value, TRUTH.astype(np.int64)).astype(dtype)


def mask(write: Write, **more: Any) -> Case:
    return right(write, TRUTH, **more)


VALUES = "set mask_offset so that classes count from 1"
SIZE = "pixels and .* is .*: give the mask that was made for this image"

MASKS: dict[str, Case] = {
    "numbers.png": mask(pillow(TRUTH)),
    "numbers.npy": mask(npy(TRUTH.astype(np.int64))),
    "numbers of 16 bits.png": mask(pillow(TRUTH.astype(np.uint16))),
    "numbers.tif": mask(tiff(TRUTH, "minisblack")),
    "whole floats.tif": mask(tiff(TRUTH.astype(np.float32), "minisblack")),
    "palette.png": mask(pillow(INDEXED)),
    "colours.png": mask(pillow(COLOURS[TRUTH])),
    "fractions.tif": told(tiff(TRUTH * np.float32(0.7), "minisblack"), "are not all whole numbers"),
    "nan.npy": told(npy(np.where(SPOT == 255, np.nan, TRUTH)), "are not all whole numbers"),
    "negative.tif": told(tiff(spotted(-3, np.int16), "minisblack"), VALUES),
    "255.png": told(pillow(SPOT), "nobody looked there: say so with ignore = .255."),
    "too large.npy": told(npy(spotted(2**40, np.int64)), VALUES),
    "too large even for 64 bits.npy": told(npy(spotted(-1, np.uint64)), "not all whole numbers"),
    "class 9.png": told(pillow(spotted(9, np.uint8)), VALUES),
    "another size.png": told(pillow(TRUTH[:20]), SIZE),
    "other colours.png": told(pillow(COLOURS[TRUTH] // 2), "which is no class's .*: name it under"),
    "a photograph.png": told(pillow(PHOTO), "which is no class's|as a photograph does: choose"),
    "blurred.jpg": told(pillow(TRUTH), "JPEG, which blurs .*: save it as PNG or TIFF"),
    "half.png": told(cut(pillow(TRUTH), ".png"), DAMAGED),
    "notes.png": told(
        text("notes"), "is no image this program can read, whatever its name says: use"
    ),
    "three planes.npy": told(npy(np.stack([TRUTH] * 5)), "a mask is one plane, height × width"),
    "one class.png": told(pillow(np.ones_like(TRUTH)), "No pixel is labelled as .*: label some"),
    "nothing.png": told(pillow(np.zeros_like(TRUTH)), "No pixel is labelled as .*: label some"),
}


def write(folder: Path, name: str) -> Path:
    """The file of a mask."""
    MASKS[name].make(folder / name)
    return folder / name


assert STROKES.shape == (HEIGHT, WIDTH)
