"""Read photographs, scans and large stored images from disk."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
from PIL import Image, UnidentifiedImageError

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.imaging.colours import picture_pixels, with_alpha
from napari_gaussproto.core.imaging.orientation import UPRIGHT
from napari_gaussproto.core.imaging.tiff_pages import (
    PICTURES,
    axes_as_read,
    main_series,
    nodata_as_light,
    orientation_in,
    photograph,
    sizes_of,
)

TIFF_SUFFIXES = (".tif", ".tiff")
# How a TIFF begins (TIFF 6.0 and BigTIFF, in both byte orders), and an array of numpy.
_TIFF, _NPY = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), b"\x93NUMPY"
# Raw photographs, of which libraries give the small preview.
_RAW = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw")
# Pixels may take so many times the bytes of their file; PNG packs 1032 to 1, at most.
_MOST_PACKED = 2000
_ORIENTATION = 274
# Pillow's names of pictures that become arrays of two axes.
_ONE_CHANNEL = ("1", "L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")
# Field mosaics are large on purpose; Pillow's guard against huge pictures is for web servers.
Image.MAX_IMAGE_PIXELS = None


def read_image(path: str | Path) -> Any:
    """Read an image (H, W) or (H, W, C): a photograph, TIFF, OME-TIFF, ``.npy`` or ``.zarr``.

    Photographs and plain TIFFs are turned upright as their orientation tag says. A ``.zarr`` is
    a lazy array with the axes as stored, less empty ones. Of a GeoTIFF that says which value
    stands for "no data", pixels of that value in all channels are masked, if there are any; those
    of a palette are transparent.

    Raises
    ------
    ImageError
        When the file is missing, damaged or of another kind.
    """
    return read_by_suffix(Path(path), _read_photo, turn=True)


def read_lying(path: str | Path) -> Any:
    """Read an image as `read_image`, but with its pixels as they lie in the file.

    Those of a TIFF are the numbers that are stored, also of palettes and grey that counts from
    white.

    Raises
    ------
    ImageError
        As `read_image`.
    """
    return read_by_suffix(Path(path), partial(_read_photo, turn=False))


def read_mask(path: str | Path) -> npt.NDArray[Any]:
    """Read a label image: integers (H, W), as they are stored.

    Raises
    ------
    ImageError
        As `read_image`, and when it is not one plane of integers.
    """
    path = Path(path)
    mask = np.asarray(read_by_suffix(path, _read_stored))
    if mask.ndim != 2 or mask.dtype.kind not in "bui":
        raise ImageError(
            f"“{path.name}” is not a mask: one channel of whole numbers is needed, "
            f"this has shape {mask.shape} and type {mask.dtype}."
        )
    return mask.astype(np.uint8) if mask.dtype == bool else mask


def read_mask_stack(path: str | Path) -> npt.NDArray[Any]:
    """Read a stack of label images from a TIFF: integers (..., H, W), as they are stored.

    Raises
    ------
    ImageError
        When it is missing, damaged or of another kind.
    """
    import tifffile

    try:
        # Three planes may be stored as if they were colours; here they are planes.
        return np.asarray(tifffile.imread(path))
    except Exception as error:  # tifffile raises many types for a damaged file
        raise ImageError(
            f"“{Path(path).name}” could not be read as a TIFF ({error}): it may be damaged, open "
            "another copy."
        ) from error


def read_by_suffix(path: Path, read_photo: Callable[[Path], Any], *, turn: bool = False) -> Any:
    """Read a file by its suffix; whatever goes wrong is an `ImageError`.

    Parameters
    ----------
    read_photo : callable
        Reads what Pillow opens: its way with orientation, palette and colours is the caller's.
    turn : bool
        Whether to read a TIFF as a photograph: upright, and with colours.

    Raises
    ------
    ImageError
    """
    suffix = path.suffix.lower()
    if not path.exists():
        raise ImageError(f"There is no file “{path}”: check the name and the folder.")
    if path.is_dir() and suffix != ".zarr":
        raise ImageError(
            f"“{path.name}” is a folder: give the images in it, or a folder ending in .zarr."
        )
    try:
        if suffix == ".zarr":
            return _read_zarr(path)
        if suffix in _RAW:
            raise ImageError(
                f"“{path.name}” is a raw photograph: develop it, and save it as TIFF or JPEG."
            )
        # By what it holds: names may lie.
        first = _first_bytes(path)
        if first == _NPY:
            return _read_npy(path)
        return _read_tiff(path, turn) if first[:4] in _TIFF else read_photo(path)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        if not path.stat().st_size:
            raise ImageError(f"“{path.name}” is an empty file: copy it once more.") from error
        raise ImageError(
            f"“{path.name}” is no image this program can read, whatever its name says: "
            "use JPEG, PNG, TIFF, WebP, BMP, NPY or Zarr."
        ) from error
    except Exception as error:  # every format's library has errors of its own
        raise ImageError(
            f"“{path.name}” could not be read ({error}): it may be damaged, open another copy."
        ) from error


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_NPY))


def is_tiff(path: Path) -> bool:
    """Whether a file is a TIFF, by how it begins."""
    return path.is_file() and _first_bytes(path)[:4] in _TIFF


def check_size(path: Path, n_bytes: int) -> None:
    """Make sure that pixels of so many bytes can be in a file, and fit into memory.

    Raises
    ------
    ImageError
    """
    stored, free = path.stat().st_size, psutil.virtual_memory().available
    if n_bytes > max(1 << 30, _MOST_PACKED * stored):
        raise ImageError(
            f"“{path.name}” says that it holds {n_bytes / 1e9:.1f} GB of pixels, in a file of "
            f"{stored:,} bytes: it is damaged, open another copy."
        )
    if n_bytes > free:
        raise ImageError(
            f"“{path.name}” takes {n_bytes / 1e9:.1f} GB of memory, and {free / 1e9:.1f} are free: "
            "save it as Zarr, which is read in parts, or close other programs."
        )


def nodata_of(path: str | Path, dtype: Any = None) -> float | None:
    """The value that stands for "no data" in what `read_image` gives for a GeoTIFF.

    None for other files and without one, and where the colours of such pixels do not tell them
    from others; and in floats of a file of whole numbers, which are no more what was read.

    Parameters
    ----------
    path : path
    dtype : data type, optional
        Of what was read from it.
    """
    path = Path(path)
    try:
        if not is_tiff(path):
            return None
        import tifffile

        with tifffile.TiffFile(path) as file:
            page = main_series(file).keyframe
            kind = page.dtype.kind if dtype is None else np.dtype(dtype).kind
            return None if kind == "f" and page.dtype.kind != "f" else nodata_as_light(page)
    except Exception:  # tifffile raises many types for a cut file; who reads it will say so
        return None


def orientation_of(path: str | Path) -> int:
    """How an image lies in its file, 1 to 8 as EXIF counts; 1 where nothing is known."""
    path = Path(path)
    try:
        if is_tiff(path):
            import tifffile

            with tifffile.TiffFile(path) as file:
                return orientation_in(main_series(file).keyframe.tags)
        with Image.open(path) as photo:
            found = photo.getexif().get(_ORIENTATION, UPRIGHT)
        return found if found in range(1, 9) else UPRIGHT
    except Exception:  # every format's library has errors of its own; who reads it will say so
        return UPRIGHT


def _read_photo(path: Path, *, turn: bool = True) -> npt.NDArray[Any]:
    with open_picture(path) as file:
        return picture_pixels(file, turn=turn)


@contextmanager
def open_picture(path: Path) -> Iterator[Image.Image]:
    """What Pillow reads, if its size can be.

    Raises
    ------
    ImageError
        See `check_size`.
    """
    with Image.open(path) as file:
        # Pillow holds four bytes for each pixel of a colour image.
        check_size(path, file.width * file.height * (1 if len(file.getbands()) == 1 else 4))
        yield file


def _read_stored(path: Path) -> npt.NDArray[Any]:
    """Numbers as they are stored: not upright by EXIF, no palette turned into colours."""
    with open_picture(path) as file:
        return np.asarray(file)


def _read_npy(path: Path) -> npt.NDArray[Any]:
    """An array of numpy; one that is larger than memory stays on disk."""
    try:
        stored: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        if "object" in str(error).lower():
            raise ImageError(
                f"“{path.name}” could not be read (it holds objects): save an array of numbers."
            ) from error
        raise
    stored = stored.squeeze(_empty_axes(stored.shape))
    return np.array(stored) if stored.nbytes < psutil.virtual_memory().available else stored


def _read_tiff(path: Path, turn: bool) -> npt.NDArray[Any]:
    import tifffile

    with tifffile.TiffFile(path) as file:
        _check_end(file)
        series = main_series(file)
        check_size(path, series.size * series.dtype.itemsize)
        array, sizes, page = series.asarray(), sizes_of(series), series.keyframe
        array = array.reshape([n for _, n in sizes])
        # Channels that are stored first, as in OME-TIFF, go last.
        channels = [index for index, (axis, _) in enumerate(sizes) if axis in "SC"]
        if len(channels) == 1:
            array = np.moveaxis(array, channels[0], -1)
        axes = axes_as_read(sizes)
        array = _as_photograph(path, array, page, axes) if turn else array
    if axes not in PICTURES or isinstance(array, np.ma.MaskedArray):
        return array
    return np.ascontiguousarray(array)


def _as_photograph(path: Path, array: npt.NDArray[Any], page: Any, axes: str) -> npt.NDArray[Any]:
    try:
        return photograph(array, page, axes)
    except ImageError as error:
        raise ImageError(f"“{path.name}” cannot be read: {_uncapitalised(str(error))}") from error


def _check_end(file: Any) -> None:
    """Make sure that the last page of a TIFF is the last: a file that was cut has some less."""
    tiff, handle, page = file.tiff, file.filehandle, file.pages[-1]
    handle.seek(page.offset)
    (tags,) = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))
    handle.seek(page.offset + tiff.tagnosize + tags * tiff.tagsize)
    (following,) = struct.unpack(tiff.offsetformat, handle.read(tiff.offsetsize))
    if following >= handle.size:
        raise ValueError("its end is missing")


def _uncapitalised(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def axes_of(path: str | Path) -> str | None:
    """Axes of what `read_image` gives for a file; None where the file does not say.

    A letter for each: Y and X, C for channels, which are last but in Zarr; others as OME and
    tifffile call them, such as Z, T, and Q for one that nobody named.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".zarr":
            return _zarr_axes(path)
        if is_tiff(path):
            import tifffile

            with tifffile.TiffFile(path) as file:
                series = main_series(file)
                axes = axes_as_read(sizes_of(series))
                return axes + "C" * (series.keyframe.photometric.name == "PALETTE")
        with Image.open(path) as photo:
            return "YX" if (with_alpha(photo) or photo.mode) in _ONE_CHANNEL else "YXC"
    except Exception:  # who reads it will say what is wrong
        return None


def channel_axis_in(path: Path, wanted: int | None) -> int | None:
    """Axis of the channels of what `read_image` gives; what the file says counts.

    Parameters
    ----------
    wanted : int or None
        What a person says; None to tell it by the shape.

    Raises
    ------
    ImageError
        When the file says that it is a stack.
    """
    axes = axes_of(path)
    if axes is None or "Q" in axes:
        return wanted
    if len(axes) == 3 and "C" not in axes:
        raise ImageError(
            f"“{path.name}” says that its first axis is {axes[0]}, planes of a stack: give the "
            "planes as files of their own."
        )
    return axes.index("C") if "C" in axes else None


def _read_zarr(path: Path) -> Any:
    array = _opened_zarr(path)[1]
    if array is None:
        raise ImageError(f"“{path.name}” holds no array: choose a folder with an image.")
    empty = _empty_axes(array.shape)
    if not empty and array.ndim <= 3:
        return array
    import dask.array as da

    return da.squeeze(da.from_zarr(array), axis=empty)


def _opened_zarr(path: Path) -> tuple[Any, Any]:
    """A folder as zarr sees it, and the array in it; None where there is none."""
    import zarr

    opened = zarr.open(str(path), mode="r")
    return opened, _largest(opened) if isinstance(opened, zarr.Group) else opened


def _empty_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Leading axes of length 1, as OME-Zarr has for time and depth; three axes are left."""
    empty = [axis for axis in reversed(range(len(shape) - 2)) if shape[axis] == 1]
    return tuple(empty[: max(0, len(shape) - 3)])


def _zarr_axes(path: Path) -> str | None:
    """Axes of an OME-Zarr, as `_read_zarr` gives them; None where it does not name them."""
    opened, array = _opened_zarr(path)
    facts = dict(opened.attrs)
    scales = facts.get("ome", facts).get("multiscales")
    named = scales[0]["axes"] if scales else ()
    if len(named) != array.ndim:
        return None
    letters = [(entry["name"] if isinstance(entry, dict) else entry).upper() for entry in named]
    empty = _empty_axes(array.shape)
    return "".join(letter for axis, letter in enumerate(letters) if axis not in empty)


def _largest(group: Any) -> Any:
    """Largest array of a group, of a pyramid the full resolution; else of its first groups."""
    arrays = [array for _, array in group.arrays()]
    if arrays:
        return max(arrays, key=lambda array: int(np.prod(array.shape)))
    inner = (_largest(entry) for _, entry in sorted(group.groups(), key=lambda pair: pair[0]))
    return next((array for array in inner if array is not None), None)
