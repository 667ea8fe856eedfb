"""What the Segment dock asks of a thread for many images: the batch of the command line."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.labels.annotations import Annotation, ImageIdentity, identify
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.model.stack import leading_of, plane_sources
from napari_gaussproto.core.project.session import SessionImage
from napari_gaussproto.io.batch.inputs import Found, Item, find
from napari_gaussproto.io.batch.manifest import Entry, rows_of
from napari_gaussproto.io.batch.outputs import Outputs
from napari_gaussproto.jobs.batch.one_image import BatchStep
from napari_gaussproto.jobs.batch.predict import BatchRequest, BatchResult, batch_steps
from napari_gaussproto.jobs.requests import BatchOrder
from napari_gaussproto.jobs.segment import model_of
from napari_gaussproto.jobs.session.reading import read_again
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
    model = model_of(order)[0].with_cells(order.cell_size)
    images: Found | list[Item]
    if order.folder is None:
        taken: set[str] = set()
        closed = _closed(order)
        images = [*open_items(order, model, taken, closed)]
        images += closed_items(order, model, taken, closed)
    else:
        images = find([order.folder], order.out)
    request = BatchRequest(
        model,
        images,
        order.out,
        replace(
            Outputs.checked(order.labels, maps=order.maps, overview=False),
            tables=order.tables,
            least_area=order.least_area,
        ),
        order.tile,
        follow_edges=order.follow_edges,
        corrections=None if order.drawn is None else order.drawn(),
    )
    result = yield from batch_steps(request)
    return BatchOutcome(result, model.classes)


def _closed(order: BatchOrder) -> list[Annotation]:
    """What is drawn in the project on images and in windows that are not open."""
    if order.closed is None:
        return []
    known = [identify(image.pixels, image.name, window=image.window) for image in order.images]
    return [
        drawn
        for drawn in order.closed().images
        if drawn.labels.any() and not any(one.same_pixels(drawn.image) for one in known)
    ]


def open_items(
    order: BatchOrder, model: PrototypeSegmenter, taken: set[str], closed: Sequence[Annotation] = ()
) -> list[Item]:
    """Every plane of the open images, by names that files can have, and that are not taken yet.

    In the place of windows stands the whole that they are cut from, if that is a file, and is not
    closed and labelled itself.
    """
    items: list[Item] = []
    files = {image.file for image in order.images if image.window is None}
    files |= {drawn.image.file for drawn in closed if drawn.image.window is None}
    for image in order.images:
        if image.window is None:
            items += _planes(image, _name(image.name, taken), model)
        elif image.file is not None and image.file not in files:
            files.add(image.file)
            items.append(_whole(image.file, taken))
    return items


def _whole(file: str, taken: set[str]) -> Item:
    """All of an image of which there are windows."""
    path = Path(file)
    return Item(_name(path.name, taken), path)


def closed_items(
    order: BatchOrder, model: PrototypeSegmenter, taken: set[str], closed: Sequence[Annotation]
) -> list[Item]:
    """Labelled images of the project that are not open; of stacks, every plane.

    Images are read when their turn comes, and stacks now. Who labelled windows of an image gets
    all of it.
    """
    files = {image.file for image in order.images}
    files |= {drawn.image.file for drawn in closed if drawn.image.window is None}
    items: list[Item] = []
    for drawn in closed:
        image = drawn.image
        if image.window is not None:
            if image.file is not None and image.file not in files:
                files.add(image.file)
                items.append(_whole(image.file, taken))
            continue
        name = _name(image.name, taken)
        stack = _read(image) if drawn.labels.ndim > 2 else None
        if stack is None:
            items.append(Item(name, read=partial(_read_again, image), plane_of=image))
        else:
            rgb = len(image.shape) > drawn.labels.ndim
            items += _planes(TrainImage(None, stack, rgb, None, name, image.file), name, model)
    return items


def _read(identity: ImageIdentity) -> Any:
    reading = read_again(SessionImage(image=identity))
    return None if reading is None else reading.levels[0]


def _read_again(identity: ImageIdentity) -> Any:
    pixels = _read(identity)
    if pixels is None:
        raise ImageError(
            f"“{identity.name}” is not where it was, or has changed: open it, and it is segmented "
            "with the others."
        )
    return pixels


def _name(wanted: str, taken: set[str]) -> str:
    """A name that a file can have, and no other image has."""
    name = stem = _plain(wanted)
    number = 2
    while name.casefold() in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(name.casefold())
    return name


def _plain(name: str) -> str:
    return _NOT_IN_NAMES.sub("_", name).strip(" .") or "image"


def _planes(image: TrainImage, name: str, model: PrototypeSegmenter) -> Iterator[Item]:
    source_of = plane_sources(image.pixels, model, rgb=image.rgb, nodata=image.nodata)
    count = int(np.prod(leading_of(image.pixels, model, image.rgb)))
    digits = len(str(count))
    identity = identify(image.pixels, image.name)
    for number in range(count):
        plane = name if count == 1 else f"{name}/plane {number + 1:0{digits}}"
        yield Item(plane, read=partial(source_of, number), plane_of=identity, plane=number)
