"""The input matrix: arrays that people give as an image, and what must come of each.

Every row is a name, how the input is made, and either plain pixels whose segmentation is the right
one, or what the sentence says. `files` and `labels` hold files and labels.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import torch
import zarr
from napari.layers._multiscale_data import MultiScaleData
from PIL import Image

from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from tests.core.builders import tiny_model, two_tone

HEIGHT, WIDTH = 40, 56
PHOTO, TRUTH = two_tone(HEIGHT, WIDTH)
GREY = np.asarray(Image.fromarray(PHOTO).convert("L"))
FLOAT = (PHOTO / 255).astype(np.float32)
# Twelve bands, of which every one tells the classes in its own way.
BANDS = np.concatenate([PHOTO // (1 + step) + 9 * step for step in range(4)], -1).astype(np.uint8)
COUNTS = range(2, 13)
TOP = np.arange(HEIGHT)[:, None] < 12
# With the first rows without data, as everything that lacks them there must be read.
GAP = np.dstack([PHOTO, np.where(TOP, 0, 255) * np.ones((1, WIDTH))]).astype(np.uint8)


@dataclass(frozen=True)
class Case:
    """An input, and what must come of it.

    Attributes
    ----------
    make : callable
        Makes it in an empty folder: an array, or the path of a file.
    like : ndarray or None
        (H, W[, C]): the right result is that of these pixels.
    says : str
        Else, what is found in the sentence.
    share : float
        Of the pixels, that must get the right class; less than all where a file loses a little.
    channels : int
        Of the model.
    layer : dict or None
        How napari is given it; None for what can be no layer.
    """

    make: Callable[[Path], Any]
    like: Any = None
    says: str = ""
    share: float = 1.0
    channels: int = 3
    layer: dict[str, Any] | None = None


def right(value: Any, like: Any = PHOTO, share: float = 1.0, **more: Any) -> Case:
    """An input that must be read as other pixels are."""
    return Case(value if callable(value) else lambda _: value, like, share=share, **more)


def told(value: Any, says: str, **more: Any) -> Case:
    """An input that must be refused, with a sentence."""
    return Case(value if callable(value) else lambda _: value, says=says, **more)


@cache
def model_for(channels: int) -> PrototypeSegmenter:
    """A tiny model for so many channels, whose prototypes tell the classes apart."""
    model = tiny_model(channels=channels)
    if channels != 3:
        encoding = segment(bands(channels), model).encoding
        target, _ = encoding.partition.targets(torch.from_numpy(TRUTH), 2)
        mean = torch.stack([encoding.latents[target.argmax(1) == c].mean(0) for c in (0, 0, 1, 1)])
        spread = encoding.latents.std(0).expand_as(mean)
        model.layer.set_parameters(mean + 0.1 * spread * torch.randn(mean.shape), spread)
    return model


def bands(count: int) -> Any:
    """An image (H, W, count)."""
    return BANDS[..., :count] if count > 1 else GREY


@cache
def _labels_like(data: bytes, shape: tuple[int, ...], kind: str, channels: int) -> Any:
    pixels = np.frombuffer(data, kind).reshape(shape)
    return segment(pixels, model_for(channels), channel_axis=2 if len(shape) == 3 else None).labels


def expected(case: Case) -> Any:
    """The right labels (H, W) of a case."""
    like = np.ascontiguousarray(case.like)
    return _labels_like(like.tobytes(), like.shape, like.dtype.str, case.channels)


def check_labels(case: Case, labels: Any) -> None:
    """Fail when labels are not the right ones."""
    wanted = expected(case)
    assert labels.shape == wanted.shape
    agree = float((labels == wanted).mean()) if labels.size else 1.0
    assert agree >= case.share, f"{agree:.1%} of the pixels are right"


def check_sentence(case: Case, sentence: str) -> None:
    """Fail when something is no sentence that says what to do, or another one."""
    assert re.search(case.says, sentence), sentence
    assert sentence.endswith(".") and "\n" not in sentence and "Traceback" not in sentence
    assert any(mark in sentence for mark in ":,;"), "it says what is wrong, and not what to do"


def fingerprint(given: Any) -> Any:
    """What must be the same before and after: all values, and the type and shape they have."""
    if isinstance(given, Path):
        files = sorted(path for path in given.rglob("*") if path.is_file()) or [given]
        return [(path, path.read_bytes() if path.is_file() else b"") for path in files]
    about = (type(given), repr(getattr(given, "shape", None)), repr(getattr(given, "dtype", None)))
    values = given.compute() if hasattr(given, "compute") else given
    if isinstance(values, zarr.Group | dict | MultiScaleData):
        values = None
    if isinstance(values, torch.Tensor):
        values = values.detach().float()
    flags = getattr(given, "flags", None)
    masked = np.ma.getmaskarray(values).tobytes() if isinstance(values, np.ma.MaskedArray) else b""
    held = [] if values is None else list(values) if isinstance(values, list | tuple) else [values]
    return (*about, repr(flags), masked, [np.asarray(part).tobytes() for part in held])


# -- how arrays come ----------------------------------------------------------------------------


def masked(where: Any = TOP) -> Any:
    """PHOTO as a masked array."""
    return np.ma.MaskedArray(PHOTO, np.broadcast_to(where[..., None], PHOTO.shape))


def with_values(value: float, dtype: Any = np.float32) -> Any:
    """Floats, of which the first rows have a value."""
    return np.where(TOP[..., None], value, PHOTO / 255).astype(dtype)


def read_only(array: Any) -> Any:
    """A copy that nobody can write to."""
    array = array.copy()
    array.flags.writeable = False
    return array


def on_disk(folder: Path) -> Any:
    """An array of numpy that is mapped from its file."""
    np.save(folder / "photo.npy", PHOTO)
    return np.load(folder / "photo.npy", mmap_mode="r")


def of_unknown_size() -> Any:
    """An array of dask after a selection: it does not know how long it is."""
    lazy = da.from_array(PHOTO, chunks=(10, 20, 3))
    return lazy[da.ones(HEIGHT, dtype=bool, chunks=10)]


def lazily_masked() -> Any:
    """A masked array in chunks."""
    return da.ma.masked_array(
        da.from_array(PHOTO, chunks=13),
        da.from_array(np.broadcast_to(TOP[..., None], PHOTO.shape), chunks=13),
    )


def stored(version: int) -> Callable[[Path], Any]:
    """An array of zarr."""

    def make(folder: Path) -> Any:
        about = {"chunks": (16, 16, 3), "zarr_format": version}
        return zarr.create_array(store=str(folder / "a.zarr"), data=PHOTO, **about)

    return make


def group_of_arrays(folder: Path) -> Any:
    """A group of zarr, as of a pyramid."""
    group = zarr.create_group(store=str(folder / "a.zarr"))
    group.create_array("0", data=PHOTO)
    return group


def stretched(array: Any) -> Any:
    """Integers from their least to their greatest value, as floats."""
    low, high = float(array.min()), float(array.max())
    return ((array.astype(np.float64) - low) / (high - low)).astype(np.float32)


def as_type(dtype: Any, factor: float = 1) -> Any:
    """PHOTO in another type."""
    # A factor without dimensions does not widen 8 bits before numpy 2.
    return (PHOTO * np.array([factor], dtype)).astype(dtype)


SIGNED = PHOTO.astype(np.int16) - 128
RGBA = np.dstack([PHOTO, np.full((HEIGHT, WIDTH), 255, np.uint8)])
SHOWN: dict[str, Any] = {"layer": {}}
COLOURS: dict[str, Any] = {"layer": {"rgb": True}}
NOT_SEGMENTED = "of type .* cannot be segmented: convert it to 8 or 16 bit or float"
NO_IMAGE = "is no image: give an array of numbers"

DTYPES: dict[str, Case] = {
    "bool": right(PHOTO > 100, np.where(PHOTO > 100, np.uint8(255), np.uint8(0)), **COLOURS),
    "uint8": right(PHOTO, **COLOURS),
    "int8": right((PHOTO // 2).astype(np.int8), PHOTO // 2),
    "int8 below 0": right(SIGNED.astype(np.int8), stretched(SIGNED)),
    "uint16": right(as_type(np.uint16, 257), **COLOURS),
    "uint16 of 12 bits": right(as_type(np.uint16, 4095 / 255), share=0.98, **COLOURS),
    "int16": right(as_type(np.int16)),
    "int16 below 0": right(SIGNED, stretched(SIGNED), **COLOURS),
    "uint32": right(as_type(np.uint32, 257)),
    "int32": right(as_type(np.int32), **COLOURS),
    "uint32, large": right(as_type(np.uint32, 16843009), stretched(PHOTO)),
    "int64": right(as_type(np.int64)),
    "uint64, large": right(as_type(np.uint64, 72340172838076673), stretched(PHOTO)),
    "int64, below 0": right(SIGNED.astype(np.int64) * 2**55, stretched(SIGNED)),
    "int64, large and alike": right(as_type(np.int64) + 10**12, stretched(PHOTO)),
    "float16": right(FLOAT.astype(np.float16), share=0.98),
    "float32": right(FLOAT, **COLOURS),
    "float32 to 255": right(as_type(np.float32), **COLOURS),
    "float64": right(PHOTO / 255, **COLOURS),
    "longdouble": right((PHOTO / 255).astype(np.longdouble)),
    "float32, huge": right(as_type(np.float32, 1e36), stretched(PHOTO)),
    "float64, huge": right(as_type(np.float64, 1e300), stretched(PHOTO)),
    "float64, large and alike": right(PHOTO / 255 + 1e9, stretched(PHOTO), 0.98),
    "float64, below 0": right(PHOTO - 300.0, stretched(PHOTO), **COLOURS),
    "float64, too far apart": told(
        np.where(TOP[..., None], -1.7e308, PHOTO * 6e305), "too far apart .*: clip them"
    ),
    "big-endian uint16": right(as_type(">u2", 257), **COLOURS),
    "big-endian int32": right(as_type(">i4")),
    "big-endian float32": right(FLOAT.astype(">f4")),
    "big-endian float64": right((PHOTO / 255).astype(">f8"), **COLOURS),
    "complex": told(PHOTO + 1j, NOT_SEGMENTED),
    "object": told(PHOTO.astype(object), NOT_SEGMENTED),
    "text": told(PHOTO.astype(str), NOT_SEGMENTED),
    "bytes": told(PHOTO.astype("S3"), NOT_SEGMENTED),
    "times": told(PHOTO.astype("M8[s]"), NOT_SEGMENTED),
    "spans of time": told(PHOTO.astype("m8[s]"), NOT_SEGMENTED),
    "records": told(np.zeros((HEIGHT, WIDTH), [("r", "u1"), ("g", "u1")]), NOT_SEGMENTED),
}

CONSTANT = np.full_like(PHOTO, 7)
VALUES: dict[str, Case] = {
    "NaN in rows": right(with_values(np.nan), GAP, **COLOURS),
    "infinite rows": right(with_values(np.inf), GAP),
    "rows below all": right(with_values(-np.inf, np.float64), GAP),
    "NaN in a channel": right(
        np.where(TOP[..., None] & (np.arange(3) == 1), np.nan, PHOTO / 255), GAP
    ),
    "nothing but NaN": right(np.full(PHOTO.shape, np.nan), CONSTANT, **COLOURS),
    "nothing but infinity": right(np.full(PHOTO.shape, np.inf, np.float32), CONSTANT),
    "constant": right(CONSTANT, CONSTANT, **COLOURS),
    "black": right(np.zeros_like(PHOTO), CONSTANT, **COLOURS),
    "constant floats": right(np.full(PHOTO.shape, 0.5), CONSTANT),
    "masked rows": right(masked(), GAP),
    "masked everywhere": right(np.ma.masked_all(PHOTO.shape, np.uint8), CONSTANT),
    "masked nowhere": right(np.ma.MaskedArray(PHOTO)),
    "empty": told(np.zeros((0, 0), np.uint8), "is empty .*: choose one with pixels"),
    "no rows": told(np.zeros((0, 5)), "is empty .*: choose one with pixels"),
    "no columns": told(np.zeros((5, 0, 3)), "is empty .*: choose one with pixels"),
    "no channels": told(np.zeros((5, 6, 0)), "is empty .*: choose one with pixels"),
    "a number": told(np.array(5), "is not one image: give height x width"),
    "a row": told(np.zeros(5), "is not one image: give height x width"),
}

SIZES: dict[str, Case] = {
    "1 x 1": right(FLOAT[:1, :1], PHOTO[:1, :1]),
    "1 x 1 grey": right(GREY[:1, :1], PHOTO[:1, :1] * 0 + GREY[0, 0], **SHOWN),
    "1 x N": right(FLOAT[:1], PHOTO[:1]),
    "1 x N grey": right(GREY[:1] / 255, GREY[:1], **SHOWN),
    "N x 1": right(FLOAT[:, :1], PHOTO[:, :1]),
    "2 x 2": right(FLOAT[:2, :2], PHOTO[:2, :2]),
    "3 x 3": right(FLOAT[:3, :3], PHOTO[:3, :3]),
    "3 x 5": right(FLOAT[:3, :5], PHOTO[:3, :5]),
    "37 x 53": right(FLOAT[:37, :53], PHOTO[:37, :53], **COLOURS),
    "one more than a cell": right(FLOAT[:33, :33], PHOTO[:33, :33], **COLOURS),
}

LAYOUTS: dict[str, Case] = {
    "channels first": right(np.moveaxis(PHOTO, -1, 0)),
    "grey": right(GREY, GREY, **SHOWN),
    "grey of one channel": right(GREY[..., None], GREY),
    "grey of one channel first": right(GREY[None], GREY),
    "grey with alpha": right(np.dstack([GREY, RGBA[..., 3]]), GREY),
    "RGBA": right(RGBA, **COLOURS),
    "RGBA first": right(np.moveaxis(RGBA, -1, 0)),
    "RGBA with a gap": right(GAP, GAP, **COLOURS),
    "RGBA without a pixel": right(RGBA * np.uint8([1, 1, 1, 0]), CONSTANT, **COLOURS),
    "read-only": right(read_only(PHOTO), **COLOURS),
    "every other pixel": right(PHOTO.repeat(2, 0).repeat(2, 1)[::2, ::2], **COLOURS),
    "backwards in memory": right(PHOTO[::-1, ::-1].copy()[::-1, ::-1], **COLOURS),
    "Fortran order": right(np.asfortranarray(PHOTO), **COLOURS),
    "one row for all": right(
        np.broadcast_to(PHOTO[:1], PHOTO.shape), PHOTO[:1].repeat(HEIGHT, 0), **COLOURS
    ),
    "mapped from disk": right(on_disk, **COLOURS),
    "dask": right(da.from_array(PHOTO, chunks=13), **COLOURS),
    "dask with NaN": right(da.from_array(with_values(np.nan), chunks=(11, 20, 3)), GAP, **COLOURS),
    "dask, masked": right(lazily_masked(), GAP),
    "dask of unknown size": told(of_unknown_size(), r"is not known .*: call its compute_chunk_si"),
    "zarr 2": right(stored(2), **COLOURS),
    "zarr 3": right(stored(3), **COLOURS),
    "a group of zarr": told(group_of_arrays, NO_IMAGE),
    "levels of napari": told(MultiScaleData([PHOTO, PHOTO[::2, ::2]]), "several resolutions the"),
    "levels in a list": told([PHOTO, PHOTO[::2, ::2]], "several resolutions the full one"),
    "tensor": right(torch.from_numpy(PHOTO)),
    "tensor, channels first": right(torch.from_numpy(FLOAT).movedim(-1, 0)),
    "tensor that is learned": right(torch.from_numpy(FLOAT).requires_grad_()),
    "tensor of 16 bits": right(torch.from_numpy(as_type(np.float32)).bfloat16()),
    "rows in lists": right(PHOTO.tolist()),
    "ragged rows": told([[1, 2], [3]], NO_IMAGE),
    "table": right(pd.DataFrame(GREY), GREY),
    "matrix": right(np.asmatrix(GREY), GREY),
    "picture": right(Image.fromarray(PHOTO)),
    "picture of a palette": right(
        Image.fromarray(PHOTO).quantize(200),
        np.asarray(Image.fromarray(PHOTO).quantize(200).convert("RGB")),
    ),
    "picture for print": right(Image.fromarray(PHOTO).convert("CMYK")),
    "nothing": told(None, NO_IMAGE),
    "a dictionary": told({"image": 1}, NO_IMAGE),
    "a path": told("field.png", "is a path: read it with read_image first"),
    "a stack of photographs": told(np.stack([PHOTO, PHOTO]), "of a stack, one plane at a time"),
    "five axes": told(PHOTO[None, None], "of a stack, one plane at a time"),
}


def _channels() -> dict[str, Case]:
    """Two to twelve channels, first and last, for models of as many, and for one of three."""
    found = {}
    for count in COUNTS:
        last = bands(count)
        found[f"{count} channels last"] = right(last, last, channels=count)
        found[f"{count} channels first"] = right(np.moveaxis(last, -1, 0), last, channels=count)
        if count > 4:
            says = f"has {count} channels, the model was made for 3: choose a model"
            found[f"{count} channels, a model of 3"] = told(last, says)
    return found


ARRAYS = DTYPES | VALUES | SIZES | LAYOUTS | _channels()
