"""What the Segment dock asks of a thread for a large image: labels on disk, tile by tile."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from napari_gaussproto.core.imaging.label_pyramid import LabelPyramid, NewLabels, open_pyramid
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.labels.annotations import identify
from napari_gaussproto.core.model.card import Provenance
from napari_gaussproto.core.model.encode import tile_side
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.model.stack import leading_of, plane_sources
from napari_gaussproto.core.model.stream import stream_steps
from napari_gaussproto.io.batch.manifest import work_digest
from napari_gaussproto.jobs.large.order import (
    LargeCover,
    LargeOrder,
    LargeResult,
    LargeStep,
    Streamed,
)
from napari_gaussproto.jobs.requests import SegmentRequest
from napari_gaussproto.jobs.segment import model_of
from napari_gaussproto.jobs.train_image import Stage, nodata_of_file


def fill_job(
    request: SegmentRequest, order: LargeOrder
) -> Generator[Stage | LargeStep, None, LargeResult]:
    """Load the model if needed, open the labels of the image, and fill in what is missing.

    Closed early, it keeps what is done; the same order goes on.

    Raises
    ------
    GaussProtoError
        When the model, the image or the folder cannot be used.
    """
    begun = time.monotonic()
    yield Stage("Loading the model", keep=True)
    model, key = model_of(request)
    yield Stage("Opening the labels", keep=True)
    source = plane_sources(request.pixels, model, rgb=request.rgb)(0)
    cutting = model.with_cells(request.cell_size).suited_to(source.pixels)
    labels = _opened(request, order, cutting)
    try:
        about = Provenance.of(model.card, model.device, request.model_file, tile=labels.side)
        now = partial(_cover, labels, model)
        how = (cutting, labels.levels[0], labels.side, request.follow_edges, about)
        made = Streamed(request.pixels, request.rgb, request.file, labels.path, *how)
        cover = now()
        step = LargeStep(labels.path, cover, cover.done, made, now)
        yield replace(step, levels=labels.levels)
        source_of = sources_of(made)
        steps = stream_steps(source_of, cutting, labels, order.focus, request.follow_edges)
        for tile in steps:
            step = replace(step, cover=now(), tile=(tile.plane, tile.area))
            yield step
    finally:
        labels.close()
    return LargeResult(model, key, step, time.monotonic() - begun)


def sources_of(made: Streamed) -> Callable[[int], ImageSource]:
    """The image of a plane by its number, as its labels are made of it."""
    nodata = nodata_of_file(made.file, made.pixels)
    return plane_sources(made.pixels, made.model, rgb=made.rgb, nodata=nodata)


def _opened(request: SegmentRequest, order: LargeOrder, model: PrototypeSegmenter) -> LabelPyramid:
    source = plane_sources(request.pixels, model, rgb=request.rgb)(0)
    shape = (*leading_of(request.pixels, model, request.rgb), source.height, source.width)
    how = {"tile": request.tile, "edges": request.follow_edges, "rgb": request.rgb}
    about = {
        "image": _image_digest(request.pixels),
        "work": work_digest(model, **how),
        "model": model.card.name,
    }
    side = tile_side(source, model, request.tile)
    place = (order.scale, order.translate)
    new = NewLabels(shape, model.classes, about, side, *place)
    return open_pyramid(order.folder, order.stem, new)


def _image_digest(pixels: Any) -> str:
    """By what an image is known again: all of an array in memory, else some windows of it."""
    if not isinstance(pixels, np.ndarray) or isinstance(pixels, np.memmap):
        return identify(pixels, "").sample
    digest = hashlib.blake2b(f"{pixels.shape} {pixels.dtype}".encode(), digest_size=16)
    for rows in pixels:
        digest.update(np.ascontiguousarray(rows).data)
    return digest.hexdigest()


def _cover(labels: LabelPyramid, model: PrototypeSegmenter) -> LargeCover:
    finished = labels.finished
    counts = labels.counts.sum((0, 1, 2))
    return LargeCover(counts, model.classes, int(finished.sum()), finished.size)
