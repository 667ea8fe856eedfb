"""What pages of a TIFF say of their values: axes, how they lie, colours, what is no data.

Pages, tags and series are those of tifffile.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.imaging.colours import light_of
from napari_gaussproto.core.imaging.orientation import UPRIGHT, upright

# GDAL's tag: the value of pixels without data.
NODATA_TAG = 42113
# Axes of one picture, as `axes_as_read` writes them.
PICTURES = ("YX", "YXC")


def main_series(file: Any) -> Any:
    """The first series of a file that is no smaller copy of another, such as a thumbnail."""
    return next((s for s in file.series if not s.keyframe.is_reduced), file.series[0])


def sizes_of(series: Any) -> list[tuple[str, int]]:
    """Axes of a series with their lengths: height, width, and others more than one long."""
    pairs = zip(series.axes, series.shape, strict=True)
    return [(axis, n) for axis, n in pairs if n > 1 or axis in "YX"]


def axes_as_read(sizes: list[tuple[str, int]]) -> str:
    """Letters of axes: channels are C, and last where it is one axis."""
    names = "".join("C" if axis in "SC" else axis for axis, _ in sizes)
    return names.replace("C", "") + "C" if names.count("C") == 1 else names


def orientation_in(tags: Any) -> int:
    """How a page lies, 1 to 8; upright where it does not say."""
    tag = tags.get("Orientation")
    return UPRIGHT if tag is None or int(tag.value) not in range(1, 9) else int(tag.value)


def nodata_as_light(page: Any) -> float | None:
    """The value of all channels of what `photograph` gives where a page holds no data.

    None where a page says none, or where other pixels may have that colour.
    """
    value, kind = _stored_nodata(page), _kind(page)
    if value is None or kind in ("PALETTE", "SEPARATED", "YCBCR"):
        return None
    if kind == "MINISWHITE" and page.dtype.kind in "bu":
        if value not in range(2**page.bitspersample):
            return None
        return float(light_of(np.array(value, page.dtype), kind, page.bitspersample))
    return value


def photograph(array: npt.NDArray[Any], page: Any, axes: str) -> npt.NDArray[Any]:
    """Stored values as light; of a picture upright, and masked where they hold no data.

    Parameters
    ----------
    array : (..., H, W) or (..., H, W, C) ndarray
    page : TiffPage
        One of those it was read from.
    axes : str
        See `axes_as_read`.

    Returns
    -------
    (..., H, W) or (..., H, W, C) ndarray
        Of a palette colours, with alpha where some pixels hold no data.

    Raises
    ------
    ImageError
        For colours that cannot be read.
    """
    # Only stored values tell what is no data: two of them may become one colour.
    missing = _missing(array, page, axes)
    array = _light(array, page)
    if missing is not None and _kind(page) == "PALETTE":
        alpha = np.where(missing, 0, 255).astype(np.uint8)
        array, missing = np.concatenate([array, alpha[..., None]], -1), None
    if axes not in PICTURES:
        return array
    orientation = orientation_in(page.tags)
    array = upright(array, orientation)
    if missing is None:
        return array
    missing = upright(missing, orientation)
    missing = missing[..., None] if array.ndim == 3 else missing
    return np.ma.MaskedArray(np.ascontiguousarray(array), np.broadcast_to(missing, array.shape))


def _missing(array: npt.NDArray[Any], page: Any, axes: str) -> npt.NDArray[np.bool_] | None:
    """Which pixels of a picture, or of planes with a palette, are "no data"; None without any."""
    nodata = _stored_nodata(page)
    if nodata is None or not (axes in PICTURES or _kind(page) == "PALETTE"):
        return None
    missing = np.asarray(array == nodata, np.bool_)
    if axes.endswith("C"):
        missing = np.asarray(missing.all(-1))
    return missing if missing.any() else None


def _stored_nodata(page: Any) -> float | None:
    """What the tag says; GDAL writes text, "nan" among others, which needs no comparison."""
    tag = page.tags.get(NODATA_TAG)
    try:
        value = float("" if tag is None else str(tag.value).strip().strip("\x00"))
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _kind(page: Any) -> str:
    """What the values of a page are, by the names of the tag PhotometricInterpretation."""
    # What packs photographs unpacks them as RGB, whatever the tag says of the packed ones.
    packed = any(word in page.compression.name for word in ("JP", "WEBP"))
    kind: str = page.photometric.name
    return "RGB" if packed and kind == "YCBCR" else kind


def _light(array: npt.NDArray[Any], page: Any) -> npt.NDArray[Any]:
    """Values of a page, with its channels last, as light."""
    kind = _kind(page)
    if kind == "SEPARATED" and "InkSet" in page.tags and page.tags["InkSet"].value != 1:
        return array  # of other inks than cyan, magenta, yellow and black
    return light_of(array, kind, page.bitspersample, page.colormap)
