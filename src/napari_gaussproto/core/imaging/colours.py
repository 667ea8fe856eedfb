"""Stored values that are no light yet: palettes, inks, grey that counts from white."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from napari_gaussproto.core.base.errors import ImageError

Values = npt.NDArray[Any]

# Modes of Pillow whose values are no light, and what they are turned into.
_NO_LIGHT = {"PA": "RGBA", "La": "LA", "RGBa": "RGBA"} | dict.fromkeys(
    ("P", "CMYK", "YCbCr", "HSV", "LAB", "RGBX"), "RGB"
)

# Modes in which a file may say that a colour is transparent, and the same with alpha.
_WITH_ALPHA = {"P": "RGBA", "L": "LA", "RGB": "RGBA"}

# What cannot be turned into colours here, by its name in the tag.
_FOREIGN = ("CIELAB", "ICCLAB", "ITULAB", "LOGL", "LOGLUV", "CFA")


def picture_pixels(picture: Image.Image, *, turn: bool = True) -> npt.NDArray[Any]:
    """Pixels (H, W) or (H, W, C) of a picture of Pillow: grey or RGB, with alpha where it has any.

    Parameters
    ----------
    picture : Image
    turn : bool
        Whether to turn it upright, as its EXIF orientation says.
    """
    upright = ImageOps.exif_transpose(picture) if turn else picture
    wanted = with_alpha(upright) or _NO_LIGHT.get(upright.mode)
    return np.asarray(upright if wanted is None else upright.convert(wanted))


def with_alpha(picture: Image.Image) -> str | None:
    """The mode with alpha of a picture in which one colour is transparent; else None."""
    return _WITH_ALPHA.get(picture.mode) if "transparency" in picture.info else None


def with_colours(values: Values) -> Values:
    """Grey with alpha (..., H, W, 2) as colours with alpha (..., H, W, 4), for napari to show."""
    return values[..., [0, 0, 0, 1]]


def light_of(values: Values, kind: str, bits: int = 8, palette: Values | None = None) -> Values:
    """Stored values as grey, colours or channels.

    By the tag PhotometricInterpretation of TIFF 6.0, sections 3, 16 and 21: of inks in the way
    that Pillow has, each colour is what its ink and black leave over.

    Parameters
    ----------
    values : (..., H, W) or (..., H, W, C) ndarray
    kind : str
        Name of the tag's value, such as ``MINISWHITE``.
    bits : int
        Of a value.
    palette : (3, 2 ** bits) ndarray of uint16, optional

    Returns
    -------
    (..., H, W) or (..., H, W, C) ndarray
        Of a palette with three channels more.

    Raises
    ------
    ImageError
        For a kind that cannot be turned into colours.
    """
    if kind == "MINISWHITE" and values.dtype.kind in "bu":
        whitest = np.array(2**bits - 1).astype(values.dtype)
        return ~values if values.dtype.kind == "b" else np.asarray(whitest - values)
    if kind == "PALETTE" and palette is not None:
        return np.moveaxis(np.asarray(palette)[:, values] >> 8, 0, -1).astype(np.uint8)
    if kind == "SEPARATED" and values.shape[-1] >= 4 and values.dtype.kind == "u":
        most = 2**bits - 1
        left = 1 - values[..., :4].astype(np.float32) / most
        return np.asarray(np.round(left[..., :3] * left[..., 3:] * most).astype(values.dtype))
    if kind == "YCBCR" and values.dtype == np.uint8 and values.ndim == 3:
        return np.asarray(Image.fromarray(values, "YCbCr").convert("RGB"))
    if kind in (*_FOREIGN, "YCBCR"):
        raise ImageError(f"Its colours are stored as {kind}: save it as RGB or grey.")
    return values
