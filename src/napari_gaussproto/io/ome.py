"""Labels and maps as OME-TIFF, with the names of classes and prototypes inside."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import tifffile

from napari_gaussproto.core.base.atomic import replacing
from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.imaging.ngff import PIXEL, TIMES
from napari_gaussproto.io.geo import ExtraTag, Georeference
from napari_gaussproto.io.label_files.label_image import LabelImage, Spacing

_AXES = "TZYX"
_NAMESPACE = "napari-gaussproto/classes"
# Labels on disk are read, and written, in tiles of this side in pixels.
_TILE = 1024
# Bytes from which on places in a file need 64 bits; what is packed may take as many.
_MOST_CLASSIC = 2**32 - 2**25
# What XML 1.0 cannot hold, even escaped: control characters and halves of surrogate pairs.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_labels(
    path: str | Path,
    labels: Any,
    classes: Sequence[SegmentationClass],
    provenance: dict[str, str] | None = None,
    georeference: Georeference | None = None,
    spacing: Spacing | None = None,
    axes: str | None = None,
) -> Path:
    """Write a label image, or a stack of them.

    Parameters
    ----------
    path : path
        Usually ending in ``.ome.tif``.
    labels : (..., H, W) array-like of uint8 or uint16
        With up to two axes in front, of planes and of times. On disk, (H, W), they are never in
        memory as a whole.
    classes : sequence of SegmentationClass
        Stored as a map annotation: label value -> name and colour.
    provenance : dict, optional
        Further texts for the annotation, such as the model's name.
    georeference : Georeference, optional
        Of the image; the file is a GeoTIFF then, in which 0 stands for "no data".
    spacing : Spacing, optional
        Of the axes; stored as the physical size of a pixel, and where the first one lies as the
        position of each plane. For the start of times OME has no word.
    axes : str, optional
        As OME calls them.
    """
    entries = {
        str(c + 1): json.dumps({"name": entry.name, "color": entry.color})
        for c, entry in enumerate(classes)
    }
    texts = {key: _xml_text(value) for key, value in (provenance or {}).items()}
    annotation = {"Namespace": _NAMESPACE, **entries, **texts}
    tags = [] if georeference is None else georeference.extra_tags(nodata="0")
    axes = axes or _axes_of(labels.ndim, spacing)
    where = {**_physical_sizes(axes, spacing), **_positions(axes, spacing, labels.shape)}
    metadata = {"axes": axes, "MapAnnotation": annotation, **where}
    return _write(Path(path), labels, metadata, tags)


def _axes_of(count: int, spacing: Spacing | None) -> str:
    is_series = count == 3 and spacing is not None and spacing.units[0] in TIMES
    return "TYX" if is_series else _AXES[-count:]


def _size_key(axis: str) -> str:
    """What OME calls how far elements lie apart along an axis."""
    return "TimeIncrement" if axis == "T" else f"PhysicalSize{axis}"


def _physical_sizes(axes: str, spacing: Spacing | None) -> dict[str, Any]:
    if spacing is None:
        return {}
    sizes: dict[str, Any] = {}
    for number, (axis, unit) in enumerate(zip(axes, spacing.ome_units, strict=True)):
        # The schema knows no times in pixels.
        if axis != "T" or spacing.units[number] in TIMES:
            key = _size_key(axis)
            sizes |= {key: spacing.steps[number], f"{key}Unit": unit}
    return sizes


def _positions(axes: str, spacing: Spacing | None, shape: tuple[int, ...]) -> dict[str, Any]:
    """Where the first element of each of P planes lies, along every axis of space."""
    if spacing is None or not any(spacing.origin):
        return {}
    planes = list(np.ndindex(shape[:-2]))
    found: dict[str, list[Any]] = {}
    units = zip(axes, spacing.ome_units, strict=True)
    for number, (axis, unit) in enumerate(units):
        if axis != "T":
            # Along rows and columns all planes begin at one place.
            steps = [at[number] if number < len(at) else 0 for at in planes]
            first, step = spacing.origin[number], spacing.steps[number]
            found[f"Position{axis}"] = [first + step * count for count in steps]
            found[f"Position{axis}Unit"] = [unit] * len(planes)
    return {"Plane": found}


def _write(path: Path, array: Any, metadata: dict[str, Any], tags: list[ExtraTag]) -> Path:
    named = {"Name": _xml_text(path.name), **metadata}
    # Of what it names, not of the clock and the network card: equal results are equal files.
    digest = hashlib.blake2b(repr(named).encode(), digest_size=16)
    for part in _parts(array):
        digest.update(part.data)
    named["UUID"] = str(UUID(bytes=digest.digest(), version=5))
    options: dict[str, Any] = {"compression": "zlib", "photometric": "minisblack"}
    options |= {"metadata": named, "extratags": tags, "bigtiff": array.nbytes > _MOST_CLASSIC}
    if not isinstance(array, np.ndarray):
        options |= {"shape": array.shape, "dtype": array.dtype, "tile": (_TILE, _TILE)}
        array = _tiles(array)
    with replacing(path) as partial:
        tifffile.imwrite(partial, array, ome=True, **options)
    return path


def _parts(array: Any) -> Iterator[npt.NDArray[Any]]:
    """An array of any shape in C order; one on disk, (H, W), some rows at a time."""
    if isinstance(array, np.ndarray):
        yield np.ascontiguousarray(array)
        return
    for top in range(0, array.shape[0], _TILE):
        yield np.ascontiguousarray(array[top : top + _TILE])


def _tiles(array: Any) -> Iterator[npt.NDArray[Any]]:
    """Tiles of an array on disk (H, W), row by row; those at the ends are smaller."""
    for top, left in product(*(range(0, length, _TILE) for length in array.shape)):
        yield np.asarray(array[top : top + _TILE, left : left + _TILE])


def read_labels(path: str | Path) -> tuple[npt.NDArray[np.uint8], list[SegmentationClass]]:
    """Read what `write_labels` wrote: labels (..., H, W) and the classes.

    Raises
    ------
    ImageError
        When the file is missing, damaged, or no label image of this package.
    """
    found = read_label_image(path)
    return found.values, found.classes


def read_label_image(path: str | Path) -> LabelImage:
    """Read what `write_labels` wrote.

    Raises
    ------
    ImageError
        When the file is missing, damaged, or no label image of this package.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"There is no file “{path}”: check the name and the folder.")
    try:
        with tifffile.TiffFile(path) as file:
            labels = file.asarray()
            about = _about(file.ome_metadata)
            classes = _classes(about)
            spacing = None if classes is None else _spacing(about, file.series[0].axes)
    except Exception as error:  # of the TIFF's structure, its compression, its XML or our JSON
        raise ImageError(
            f"“{path.name}” could not be read as a TIFF ({error}): "
            "it may be damaged, open another copy."
        ) from error
    if classes is None or spacing is None:
        raise ImageError(
            f"“{path.name}” does not say what its labels mean: "
            "open label images that napari-gaussproto has written."
        )
    return LabelImage(labels, classes, spacing)


def holds_labels(path: Path) -> bool:
    """Whether a file is one that `write_labels` wrote."""
    try:
        with tifffile.TiffFile(path) as file:
            return _classes(_about(file.ome_metadata)) is not None
    except Exception:  # of the TIFF's structure, its XML or our JSON; who reads it will say so
        return False


def _about(description: str | None) -> Any:
    return {} if description is None else tifffile.xml2dict(description).get("OME", {})


def _spacing(about: Any, axes: str) -> Spacing:
    pixels = _as_list(about["Image"])[0]["Pixels"]
    keys = [_size_key(axis) for axis in axes]
    steps = [float(pixels.get(key, 1)) for key in keys]
    # Where a file says no size, an element is a pixel; else these are the units of the schema.
    usual = ["s" if axis == "T" else "µm" for axis in axes]
    units = [
        pixels.get(f"{key}Unit", unit) if key in pixels else PIXEL
        for key, unit in zip(keys, usual, strict=True)
    ]
    return Spacing.from_ome(steps, units, _origin(pixels, axes, units))


def _origin(pixels: Any, axes: str, units: Sequence[str]) -> tuple[float, ...]:
    """Where the first plane lies, in the units of the sizes; empty where a file does not say."""
    plane = _as_list(pixels.get("Plane") or {})[0]
    told = (plane.get(f"Position{axis}Unit") for axis in axes)
    known = [unit is not None and unit == own for unit, own in zip(told, units, strict=True)]
    if not any(known):
        return ()
    pairs = zip(axes, known, strict=True)
    return tuple(float(plane[f"Position{axis}"]) if there else 0.0 for axis, there in pairs)


def _classes(parsed: Any) -> list[SegmentationClass] | None:
    """The classes; none in a file of instances, and None in one that another program wrote."""
    annotations = (parsed.get("StructuredAnnotations") or {}).get("MapAnnotation", [])
    for annotation in _as_list(annotations):
        if annotation.get("Namespace") == _NAMESPACE:
            pairs = _as_list((annotation.get("Value") or {}).get("M", []))
            values = {int(m["K"]): m["value"] for m in pairs if str(m["K"]).isdecimal()}
            return [SegmentationClass.model_validate_json(values[key]) for key in sorted(values)]
    return None


def _as_list(found: Any) -> list[Any]:
    """Elements of an XML node, which tifffile gives as a list only where there are several."""
    return found if isinstance(found, list) else [found]


def _xml_text(text: str) -> str:
    return _NOT_XML.sub("", text)


def write_maps(
    path: str | Path,
    maps: npt.NDArray[np.float32],
    names: Sequence[str],
    pixel_size: int = 1,
    georeference: Georeference | None = None,
    axes: str = "CYX",
) -> Path:
    """Write maps as the channels of one image, or of every plane of a stack.

    Parameters
    ----------
    maps : (..., P, h, w) ndarray of float32
    pixel_size : int
        Pixels of the photograph along the side of an element; stored as the physical size
        in the unit "pixel", so that viewers can lay the maps over the photograph.
    georeference : Georeference, optional
        Of the image; the file is a GeoTIFF then.
    axes : str
        As OME calls them.
    """
    metadata = {
        "axes": axes,
        "Channel": {"Name": [_xml_text(name) for name in names]},
        "PhysicalSizeX": pixel_size,
        "PhysicalSizeXUnit": "pixel",
        "PhysicalSizeY": pixel_size,
        "PhysicalSizeYUnit": "pixel",
    }
    tags = [] if georeference is None else georeference.extra_tags(pixel_size)
    return _write(Path(path), maps.astype(np.float32), metadata, tags)
