"""Arrays with labels, one or several, as the planes and the class table that fits take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from napari_gaussproto.core.base.config import Classes, SegmentationClass
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.labels.check import check_labels, check_pairs
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.model.stack import leading_of, plane_sources


def class_table(
    classes: Sequence[SegmentationClass | str] | None, labels: Any, *, new: bool
) -> list[SegmentationClass] | None:
    """Classes as a table; None for those of the model that a fit begins with.

    Parameters
    ----------
    classes : sequence of SegmentationClass or str, optional
        Names get the default colours.
    labels : array or sequence of array
        (..., H, W); the classes of a new model are as many as the largest label, if they are
        not given.
    new : bool
        Whether the model is new.
    """
    if classes is None and not new:
        return None
    if classes is None:
        masks = [np.asarray(mask) for mask in _several(labels)]
        largest = max((int(mask.max()) for mask in masks if mask.size), default=0)
        classes = [f"class {number}" for number in range(1, max(2, largest) + 1)]
    return TypeAdapter(Classes).validate_python(list(classes))


def labelled_planes(
    images: Any, labels: Any, model: PrototypeSegmenter
) -> list[tuple[ImageSource, npt.NDArray[np.uint8]]]:
    """All planes that have labels (H, W), as the Train dock takes them from layers.

    Parameters
    ----------
    images : array or sequence of array
        (..., H, W) or (..., H, W, C), one or several.
    labels : array or sequence of array
        (..., H, W) integers, one for each image.
    model : PrototypeSegmenter
        That reads them.

    Raises
    ------
    LabelError
        For labels that are none of their image.
    ImageError
        For images that do not suit the model.
    """
    images, labels = _several(images), _several(labels)
    check_pairs(images, labels)
    planes = []
    for number, (image, mask) in enumerate(zip(images, labels, strict=True), start=1):
        mask = np.asarray(mask)
        rgb = image.shape[:-1] == mask.shape
        leading = leading_of(image, model, rgb)
        size = tuple(image.shape[-3:-1] if rgb else image.shape[-2:])
        what = f"The labels of image {number}"
        checked = check_labels(mask, (*leading, *size), len(model.classes), what)
        source_of = plane_sources(image, model, rgb=rgb)
        for place, plane in enumerate(checked.reshape(-1, *size)):
            if plane.any():
                planes.append((source_of(place), plane))
    return planes


def first_planes(images: Any, model: PrototypeSegmenter) -> list[ImageSource]:
    """The first plane of every image, as the Train dock takes those without labels.

    One image or several, (..., H, W) or (..., H, W, C) with 3 or 4 colours.
    """
    return [
        plane_sources(image, model, rgb=image.ndim > 2 and image.shape[-1] in (3, 4))(0)
        for image in _several(images)
    ]


def _several(arrays: Any) -> Sequence[Any]:
    return arrays if isinstance(arrays, list | tuple) else [arrays]
