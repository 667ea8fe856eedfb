"""Labels and maps as OME-TIFF, with the names of classes and prototypes inside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from pydantic import ValidationError

from napari_gaussproto.core.config import SegmentationClass
from napari_gaussproto.core.errors import ImageError

_NAMESPACE = "napari-gaussproto/classes"


def write_labels(
    path: str | Path,
    labels: npt.NDArray[np.uint8],
    classes: Sequence[SegmentationClass],
    provenance: dict[str, str] | None = None,
) -> Path:
    """Write a label image.

    Parameters
    ----------
    path : path
        Usually ending in ``.ome.tif``.
    labels : ndarray
        (H, W), class index + 1.
    classes : sequence of SegmentationClass
        Stored as a map annotation: label value -> name and colour.
    provenance : dict, optional
        Further texts for the annotation, such as the model's name.
    """
    path = Path(path)
    entries = {
        str(c + 1): json.dumps({"name": entry.name, "color": entry.color})
        for c, entry in enumerate(classes)
    }
    annotation = {"Namespace": _NAMESPACE, **entries, **(provenance or {})}
    tifffile.imwrite(
        path,
        labels,
        ome=True,
        compression="zlib",
        photometric="minisblack",
        metadata={"axes": "YX", "Name": path.name, "MapAnnotation": annotation},
    )
    return path


def read_labels(path: str | Path) -> tuple[npt.NDArray[np.uint8], list[SegmentationClass]]:
    """Read what `write_labels` wrote: labels (H, W) and the classes.

    Raises
    ------
    ImageError
        When the file is no label image of this package.
    """
    path = Path(path)
    try:
        with tifffile.TiffFile(path) as file:
            labels = file.asarray()
            description = file.ome_metadata
    except (OSError, ValueError, tifffile.TiffFileError) as error:
        raise ImageError(f"“{path.name}” could not be read as a TIFF ({error}).") from error
    classes = _classes(description)
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
    annotations = parsed.get("StructuredAnnotations", {}).get("MapAnnotation", [])
    for annotation in annotations if isinstance(annotations, list) else [annotations]:
        if annotation.get("Namespace") != _NAMESPACE:
            continue
        pairs = annotation["Value"]["M"]
        values = {str(m["K"]): m["value"] for m in pairs if str(m["K"]).isdigit()}
        try:
            return [
                SegmentationClass.model_validate_json(values[key])
                for key in sorted(values, key=int)
            ]
        except ValidationError:
            return []
    return []


def write_maps(
    path: str | Path, maps: npt.NDArray[np.float32], names: Sequence[str], pixel_size: int = 1
) -> Path:
    """Write maps as the channels of one image.

    Parameters
    ----------
    path : path
    maps : ndarray
        (P, h, w) float32.
    names : sequence of str
        One for each channel.
    pixel_size : int
        Pixels of the photograph along the side of an element; stored as the physical size
        in the unit "pixel", so that viewers can lay the maps over the photograph.
    """
    path = Path(path)
    tifffile.imwrite(
        path,
        maps.astype(np.float32),
        ome=True,
        compression="zlib",
        photometric="minisblack",
        metadata={
            "axes": "CYX",
            "Name": path.name,
            "Channel": {"Name": list(names)},
            "PhysicalSizeX": pixel_size,
            "PhysicalSizeXUnit": "pixel",
            "PhysicalSizeY": pixel_size,
            "PhysicalSizeYUnit": "pixel",
        },
    )
    return path
