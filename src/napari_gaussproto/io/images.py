"""Read photographs, scans and large stored images from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from napari_gaussproto.core.errors import ImageError

TIFF_SUFFIXES = (".tif", ".tiff")
READABLE = (".jpg", ".jpeg", ".png", ".webp", ".bmp", *TIFF_SUFFIXES, ".npy", ".zarr")
# Field mosaics are large on purpose; Pillow's guard against huge pictures is for web servers.
Image.MAX_IMAGE_PIXELS = None


def read_image(path: str | Path) -> Any:
    """Read one image.

    Parameters
    ----------
    path : path
        A photograph (JPEG, PNG, WebP, BMP), a TIFF or OME-TIFF, an ``.npy`` file or a
        ``.zarr`` array.

    Returns
    -------
    array
        (H, W) or (H, W, C); numpy, or for ``.zarr`` a lazy zarr array. Photographs are turned
        upright as their EXIF orientation says.

    Raises
    ------
    ImageError
        When the file is missing, damaged or of another kind.
    """
    path = Path(path)
    if not path.exists():
        raise ImageError(f"There is no file “{path}”: check the name and the folder.")
    suffix = path.suffix.lower()
    try:
        if suffix == ".zarr":
            return _read_zarr(path)
        if suffix == ".npy":
            return np.load(path, allow_pickle=False)
        if suffix in TIFF_SUFFIXES:
            return _read_tiff(path)
        return _read_photo(path)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(
            f"“{path.name}” is no image this program can read: "
            "use JPEG, PNG, TIFF, WebP, BMP, NPY or Zarr."
        ) from error
    except Exception as error:  # every format's library has errors of its own
        raise ImageError(
            f"“{path.name}” could not be read ({error}): it may be damaged, open another copy."
        ) from error


def read_mask(path: str | Path) -> npt.NDArray[Any]:
    """Read a label image: integers (H, W).

    Raises
    ------
    ImageError
        As `read_image`, and when it is not one plane of integers.
    """
    path = Path(path)
    if path.suffix.lower() in (*TIFF_SUFFIXES, ".npy", ".zarr"):
        mask = np.asarray(read_image(path))
    else:
        # Not upright by EXIF, no palette turned into colours: numbers as they are stored.
        try:
            with Image.open(path) as file:
                mask = np.asarray(file)
        except (OSError, ValueError) as error:
            raise ImageError(f"“{path.name}” could not be read as a mask ({error}).") from error
    if mask.ndim != 2 or mask.dtype.kind not in "bui":
        raise ImageError(
            f"“{path.name}” is not a mask: one channel of whole numbers is needed, "
            f"this has shape {mask.shape} and type {mask.dtype}."
        )
    return mask.astype(np.uint8) if mask.dtype == bool else mask


def _read_photo(path: Path) -> npt.NDArray[Any]:
    with Image.open(path) as file:
        upright = ImageOps.exif_transpose(file)
        if upright.mode in ("P", "CMYK", "YCbCr", "HSV", "LAB"):
            upright = upright.convert("RGBA" if "transparency" in upright.info else "RGB")
        return np.asarray(upright)


def _read_tiff(path: Path) -> npt.NDArray[Any]:
    import tifffile

    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        array, axes = series.asarray(), series.axes
    # Channels that are stored first, as in OME-TIFF, go last; single planes are dropped.
    for channels in ("S", "C"):
        if channels in axes and axes.index(channels) < len(axes) - 1 and array.ndim == 3:
            return np.moveaxis(array, axes.index(channels), -1)
    return np.squeeze(array)


def _read_zarr(path: Path) -> Any:
    import zarr

    opened = zarr.open(str(path), mode="r")
    while isinstance(opened, zarr.Group):
        arrays = sorted(opened.arrays(), key=lambda pair: -int(np.prod(pair[1].shape)))
        groups = list(opened.groups())
        if arrays:
            opened = arrays[0][1]  # of a pyramid, the full resolution
        elif groups:
            opened = groups[0][1]
        else:
            raise ImageError(f"“{path.name}” holds no array: choose a folder with an image.")
    return _without_leading_axes(opened)


def _without_leading_axes(array: Any) -> Any:
    """Drop axes of length 1 in front, which OME-Zarr images have for time and depth."""
    if array.ndim <= 3:
        return array
    import dask.array as da

    lazy = da.from_zarr(array)
    while lazy.ndim > 3 and lazy.shape[0] == 1:
        lazy = lazy[0]
    return lazy
