"""What the Segment dock asks of a thread to measure the image that is shown."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from napari_gaussproto.core.labels.check import check_labels
from napari_gaussproto.core.labels.pieces import components, large_enough
from napari_gaussproto.core.measure.units import PixelSize
from napari_gaussproto.io.batch.regions import region_masks
from napari_gaussproto.jobs.batch.corrected import corrected_labels
from napari_gaussproto.jobs.batch.measure import Measured
from napari_gaussproto.jobs.batch.plane_tables import (
    Tables,
    check_objects,
    joined,
    measured_image,
    with_origin,
)
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
    objects = check_objects(order.instances, order.labels.shape)
    if objects is not None:
        objects = objects.reshape(-1, *shape)  # of one plane, or of each
    masks = region_masks(order.regions, shape)
    tables: list[Tables] = []
    kept = []
    for number, plane in enumerate(planes):
        yield Stage("Measuring", number, len(planes))
        own = labels[number]
        if objects is None:
            pieces = components(own, order.least_area)
        else:
            pieces = large_enough(objects[number % len(objects)], order.least_area)
        kept.append(pieces.astype(np.int32))
        found = measured_image(plane, own, pieces, masks, size)
        corrected = not np.array_equal(own, plane.labels)
        tables.append(with_origin(found, order.name, number, corrected=corrected))
    return Measured(*joined(tables), pieces=kept)
