"""What the Segment dock asks of a thread to measure the image that is shown."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.labels.check import check_labels
from napari_gaussproto.core.labels.pieces import components, large_enough
from napari_gaussproto.core.measure.units import PixelSize
from napari_gaussproto.io.batch.regions import region_masks
from napari_gaussproto.jobs.batch.corrected import corrected_labels
from napari_gaussproto.jobs.batch.measure import Measured
from napari_gaussproto.jobs.batch.plane_tables import Tables, joined, measured_image, with_origin
from napari_gaussproto.jobs.requests import MeasureOrder
from napari_gaussproto.jobs.train_image import Stage


def measure_job(order: MeasureOrder) -> Generator[Stage, None, Measured]:
    """Measure every plane of an image.

    Raises
    ------
    GaussProtoError
        When the size of a pixel is none, or labels or objects do not suit the image.
    """
    size = PixelSize.parse(order.pixel_size) if order.pixel_size.strip() else None
    planes, shape = order.segmentation.planes, order.segmentation.planes[0].shape
    classes = len(order.segmentation.classes)
    labels = check_labels(order.labels, order.segmentation.shape, classes)
    if order.drawn is not None:
        labels = corrected_labels(labels, order.segmentation.classes, order.drawn)
    labels = labels.reshape(-1, *shape)
    masks = region_masks(order.regions, shape)
    tables: list[Tables] = []
    kept = []
    for number, plane in enumerate(planes):
        yield Stage("Measuring", number, len(planes))
        own = labels[number]
        pieces = _pieces(order, own, number)
        kept.append(pieces.astype(np.int32))
        found = measured_image(plane, own, pieces, masks, size)
        corrected = not np.array_equal(own, plane.labels)
        tables.append(with_origin(found, order.name, number, corrected=corrected))
    return Measured(*joined(tables), pieces=kept)


def _pieces(order: MeasureOrder, labels: npt.NDArray[Any], number: int) -> npt.NDArray[np.int64]:
    if order.instances is None:
        return components(labels, order.least_area)
    given = order.instances
    if given.shape[-2:] != labels.shape or (given.ndim > 2 and given.size != order.labels.size):
        raise LabelError(
            f"The objects are {given.shape} pixels large and the image {order.labels.shape}: "
            "choose objects of this image."
        )
    plane = given if given.ndim == 2 else given.reshape(-1, *labels.shape)[number]
    return large_enough(plane, order.least_area)
