"""Arrays with labels, one or several, as the planes and the class table that fits take."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from napari_gaussproto.core.base.config import (
    MOST_CLASSES,
    Classes,
    SegmentationClass,
    wrong_setting,
)
from napari_gaussproto.core.base.errors import ConfigError, GaussProtoError, ImageError, LabelError
from napari_gaussproto.core.imaging.arrays import as_array
from napari_gaussproto.core.imaging.axes import guess_channels
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.labels.check import as_labels, check_labels, check_pairs
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

    Raises
    ------
    ConfigError
        When it is one name instead of several, or a class has no name or colour.
    """
    if isinstance(classes, str):
        raise ConfigError(f"“{classes}” is one name: give a list of classes, as [“{classes}”, …].")
    if classes is None and not new:
        return None
    if classes is None:
        masks = [check_labels(mask) for mask in _masks(labels)]
        largest = max((int(mask.max()) for mask in masks if mask.size), default=0)
        if largest > MOST_CLASSES:
            raise LabelError(
                f"The labels contain the value {largest}, which can be no class: use 0 to "
                f"{MOST_CLASSES}, and 0 where it is not known."
            )
        classes = [f"class {number}" for number in range(1, max(2, largest) + 1)]
    try:
        return TypeAdapter(Classes).validate_python(list(classes))
    except ValidationError as error:
        raise ConfigError(wrong_setting("The list of classes", error)) from error


def most_pixels(labels: Any) -> int:
    """Pixels of the largest plane of labels (..., H, W), one or several."""
    several = labels if isinstance(labels, list | tuple) else [labels]
    # Paths are refused by `labelled_planes`, after those of images.
    masks = [as_labels(mask) for mask in several if not isinstance(mask, str | PathLike)]
    return max((int(np.prod(mask.shape[-2:])) for mask in masks), default=0)


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
    images, labels = _images(images), _masks(labels)
    check_pairs(images, labels)
    planes = []
    for number, (image, mask) in enumerate(zip(images, labels, strict=True), start=1):
        image, mask = as_array(image), as_labels(mask)
        if image.ndim == 3 and image.shape[1:] == mask.shape != image.shape[:-1]:
            image = np.moveaxis(image, 0, -1)  # the labels tell channels in front from planes
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

    Raises
    ------
    ImageError
        For images that do not suit the model, and where planes may be channels.
    """
    return [_first_plane(as_array(image), model) for image in _images(images)]


def _first_plane(image: Any, model: PrototypeSegmenter) -> ImageSource:
    guess, count = guess_channels(tuple(image.shape)), image.shape[0]
    if guess == "first" and count != model.config.channels:
        raise ImageError(
            f"An image of shape {tuple(image.shape)} may be {count} planes or one picture of "
            f"{count} channels: give one plane, or the channels last."
        )
    colours = image.ndim > 2 and image.shape[-1] in (3, 4)
    return plane_sources(image, model, rgb=colours or guess == "last")(0)


def _images(images: Any) -> Sequence[Any]:
    return _several(images, ImageError, "read_image")


def _masks(labels: Any) -> Sequence[Any]:
    return _several(labels, LabelError, "read_mask")


def _several(arrays: Any, fault: type[GaussProtoError], reader: str) -> Sequence[Any]:
    """Arrays as a list of them; paths are refused, whose reader is named."""
    several = arrays if isinstance(arrays, list | tuple) else [arrays]
    for array in several:
        if isinstance(array, str | PathLike):
            raise fault(f"“{array}” is a path: read it with {reader} first.")
    return several
