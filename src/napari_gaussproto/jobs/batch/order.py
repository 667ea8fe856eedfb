"""What the Segment dock asks of a thread for many images: the batch of the command line."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.model.stack import leading_of, plane_sources
from napari_gaussproto.io.batch.inputs import Item, find
from napari_gaussproto.io.batch.manifest import Entry, rows_of
from napari_gaussproto.io.batch.outputs import Outputs
from napari_gaussproto.jobs.batch.one_image import BatchStep
from napari_gaussproto.jobs.batch.predict import BatchRequest, BatchResult, batch_steps
from napari_gaussproto.jobs.requests import BatchOrder
from napari_gaussproto.jobs.segment import model_of
from napari_gaussproto.jobs.train_image import Stage, TrainImage

# What a file cannot be called, on one system or another.
_NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


@dataclass(frozen=True)
class BatchOutcome:
    """What a batch gives back to the GUI."""

    result: BatchResult
    classes: list[SegmentationClass]

    @property
    def rows(self) -> dict[str, Entry]:
        """Of a table: every image, and every plane of a stack."""
        return rows_of(self.result.images)


def batch_job(order: BatchOrder) -> Generator[Stage | BatchStep, None, BatchOutcome]:
    """Load the model if needed, and segment a folder, or every plane of the open images.

    Raises
    ------
    GaussProtoError
        When the model, the folder or the place for the results cannot be used.
    """
    yield Stage("Loading the model", keep=True)
    model = model_of(order)[0].with_regions(order.region_size)
    request = BatchRequest(
        model,
        open_items(order, model) if order.folder is None else find([order.folder], order.out),
        order.out,
        Outputs.checked(order.labels, maps=order.maps, overview=False),
        order.tile,
        follow_edges=order.follow_edges,
    )
    result = yield from batch_steps(request)
    return BatchOutcome(result, model.classes)


def open_items(order: BatchOrder, model: PrototypeSegmenter) -> list[Item]:
    """Every plane of the open images, by names that files can have, each once."""
    taken: set[str] = set()
    items: list[Item] = []
    for image in order.images:
        name = stem = _NOT_IN_NAMES.sub("_", image.name).strip(" .") or "image"
        number = 2
        while name.casefold() in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name.casefold())
        items += _planes(image, name, model)
    return items


def _planes(image: TrainImage, name: str, model: PrototypeSegmenter) -> Iterator[Item]:
    source_of = plane_sources(image.pixels, model, rgb=image.rgb, nodata=image.nodata)
    count = int(np.prod(leading_of(image.pixels, model, image.rgb)))
    digits = len(str(count))
    for number in range(count):
        plane = name if count == 1 else f"{name}/plane {number + 1:0{digits}}"
        yield Item(plane, read=partial(source_of, number))
