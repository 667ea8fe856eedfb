"""Labels and maps as OME-TIFF, with the names of classes and prototypes inside."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_gaussproto.core.base.atomic import replacing
from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.io.geo import ExtraTag, Georeference

_NAMESPACE = "napari-gaussproto/classes"
# What XML 1.0 cannot hold, even escaped: control characters and halves of surrogate pairs.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_labels(
    path: str | Path,
    labels: npt.NDArray[np.uint8],
    classes: Sequence[SegmentationClass],
    provenance: dict[str, str] | None = None,
    georeference: Georeference | None = None,
) -> Path:
    """Write a label image.

    Parameters
    ----------
    path : path
        Usually ending in ``.ome.tif``.
    labels : (H, W) ndarray of uint8
    classes : sequence of SegmentationClass
        Stored as a map annotation: label value -> name and colour.
    provenance : dict, optional
        Further texts for the annotation, such as the model's name.
    georeference : Georeference, optional
        Of the image; the file is a GeoTIFF then, in which 0 stands for "no data".
    """
    entries = {
        str(c + 1): json.dumps({"name": entry.name, "color": entry.color})
        for c, entry in enumerate(classes)
    }
    texts = {key: _xml_text(value) for key, value in (provenance or {}).items()}
    annotation = {"Namespace": _NAMESPACE, **entries, **texts}
    tags = [] if georeference is None else georeference.extra_tags(nodata="0")
    return _write(Path(path), labels, {"axes": "YX", "MapAnnotation": annotation}, tags)


def _write(
    path: Path, array: npt.NDArray[Any], metadata: dict[str, Any], tags: list[ExtraTag]
) -> Path:
    named = {"Name": _xml_text(path.name), **metadata}
    options: dict[str, Any] = {"compression": "zlib", "photometric": "minisblack"}
    options |= {"metadata": named, "extratags": tags}
    with replacing(path) as partial:
        tifffile.imwrite(partial, array, ome=True, **options)
    return path


def read_labels(path: str | Path) -> tuple[npt.NDArray[np.uint8], list[SegmentationClass]]:
    """Read what `write_labels` wrote: labels (H, W) and the classes.

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
            classes = _classes(file.ome_metadata)
    except Exception as error:  # of the TIFF's structure, its compression, its XML or our JSON
        raise ImageError(
            f"“{path.name}” could not be read as a TIFF ({error}): "
            "it may be damaged, open another copy."
        ) from error
    if not classes:
        raise ImageError(
            f"“{path.name}” does not say what its labels mean: "
            "open label images that napari-gaussproto has written."
        )
    return labels, classes


def _classes(description: str | None) -> list[SegmentationClass]:
    if description is None:
        return []
    parsed: Any = tifffile.xml2dict(description).get("OME", {})
    annotations = (parsed.get("StructuredAnnotations") or {}).get("MapAnnotation", [])
    for annotation in _as_list(annotations):
        if annotation.get("Namespace") == _NAMESPACE:
            pairs = _as_list(annotation["Value"]["M"])
            values = {int(m["K"]): m["value"] for m in pairs if str(m["K"]).isdecimal()}
            return [SegmentationClass.model_validate_json(values[key]) for key in sorted(values)]
    return []


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
) -> Path:
    """Write maps as the channels of one image.

    Parameters
    ----------
    maps : (P, h, w) ndarray of float32
    pixel_size : int
        Pixels of the photograph along the side of an element; stored as the physical size
        in the unit "pixel", so that viewers can lay the maps over the photograph.
    georeference : Georeference, optional
        Of the image; the file is a GeoTIFF then.
    """
    metadata = {
        "axes": "CYX",
        "Channel": {"Name": [_xml_text(name) for name in names]},
        "PhysicalSizeX": pixel_size,
        "PhysicalSizeXUnit": "pixel",
        "PhysicalSizeY": pixel_size,
        "PhysicalSizeYUnit": "pixel",
    }
    tags = [] if georeference is None else georeference.extra_tags(pixel_size)
    return _write(Path(path), maps.astype(np.float32), metadata, tags)
