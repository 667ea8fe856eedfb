"""Segment images of any size, in memory or into a file."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.imaging.label_store import check_apart, new_label_store
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.imaging.tiles import Area, Window
from napari_gaussproto.core.model.encode import (
    Tile,
    TileSize,
    as_source,
    encode_steps,
    pooled,
    tiles_of_image,
)
from napari_gaussproto.core.model.model_file import AnyModel, as_model
from napari_gaussproto.core.model.segmentation import Segmentation
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter


def segment(
    image: Any,
    model: AnyModel,
    *,
    channel_axis: int | None = None,
    tile: TileSize = "auto",
    progress: Callable[[Tile], None] | None = None,
) -> Segmentation:
    """Segment an image.

    Parameters
    ----------
    image : array or ImageSource
        See `ImageSource.from_array`.
    model : PrototypeSegmenter, str or path
        A model, the name of a shipped one, or the file of one, which is loaded for this call.
    channel_axis : int, optional
        Which axis holds the channels, if the shape does not tell.
    tile : "auto", None or int
        Side of a tile in pixels; None for the whole image at once; "auto" for the largest
        that memory and a quick response allow.
    progress : callable, optional
        Called with every finished tile.

    Raises
    ------
    ImageError
        When the image does not suit the model.
    ModelFileError
        When there is no such model.
    ConfigError
        When not even the smallest tile fits into memory.
    """
    model = as_model(model)
    if channel_axis is not None:
        image = as_source(image, model, channel_axis)
    return run(segment_steps(image, model, tile=tile), progress)


def segment_steps(
    image: Any, model: PrototypeSegmenter, *, tile: TileSize = "auto"
) -> Generator[Tile, None, Segmentation]:
    """As `segment`, one generator step a tile; the generator's value is the result.

    Raises
    ------
    ImageError, ConfigError
        As `segment`, at the first step.
    """
    encoding = yield from encode_steps(image, model, tile=tile)
    return model.decode(encoding)


def segment_to_zarr(
    image: Any,
    model: AnyModel,
    path: str | Path,
    *,
    tile: TileSize = "auto",
    progress: Callable[[Tile], None] | None = None,
) -> Path:
    """Segment an image larger than memory into a zarr array of labels on disk.

    Parameters
    ----------
    image, model
        As for `segment`; only one tile is in memory.
    path : path
        Of the array to write, (H, W) uint8, class index + 1. Its attributes name the
        classes, their colours and the model. Former labels of that name are replaced once
        the new ones are complete; anything else there is left alone.
    tile, progress
        As for `segment`. When ``progress`` raises an error, nothing is left behind and former
        labels stay.

    Raises
    ------
    ImageError
        When the image does not suit the model.
    ModelFileError
        When there is no such model.
    ConfigError
        When ``path`` holds something else, the image for example, or cannot be written, and
        when not even the smallest tile fits into memory.
    """
    return run(segment_to_zarr_steps(image, as_model(model), path, tile=tile), progress)


def segment_to_zarr_steps(
    image: Any,
    model: PrototypeSegmenter,
    path: str | Path,
    *,
    tile: TileSize = "auto",
    follow_edges: bool | None = None,
) -> Generator[Tile, None, Path]:
    """As `segment_to_zarr`, one generator step a tile; closed early, it leaves nothing behind.

    Parameters
    ----------
    image, model, path, tile
        See `segment_to_zarr`.
    follow_edges : bool, optional
        See `labelled_tiles`.

    Raises
    ------
    ImageError, ConfigError
        As `segment_to_zarr`, at the first step.
    """
    source = as_source(image, model)
    path = Path(path)
    check_apart(path, source.array)
    about = {"model": model.card.name, "classes": [c.model_dump() for c in model.classes]}
    with new_label_store(path, (source.height, source.width), about) as labels:
        for done, of_tile in labelled_tiles(source, model, tile, follow_edges=follow_edges):
            labels[done.y0 : done.y1, done.x0 : done.x1] = of_tile
            yield done
    return path


def labelled_tiles(
    source: ImageSource,
    model: PrototypeSegmenter,
    tile: TileSize = "auto",
    *,
    within: Area | None = None,
    follow_edges: bool | None = None,
) -> Generator[tuple[Tile, npt.NDArray[np.uint8]], None, None]:
    """Labels (h, w) of one tile after the other; nothing else of the image is kept.

    Parameters
    ----------
    source, model, tile
        See `segment`.
    within : tuple of int, optional
        y0, x0, y1, x1: only tiles of this area, whose origin is a multiple of the alignment.
    follow_edges : bool, optional
        See `Segmentation.with_outlines`; by default as the model says.

    Raises
    ------
    ImageError, ConfigError
        As `segment`, at the first step.
    """
    about = (source, model, tile)
    for done, at, found in segmented_tiles(*about, within=within, follow_edges=follow_edges):
        yield done, found.labels[at]


def segmented_tiles(
    source: ImageSource,
    model: PrototypeSegmenter,
    tile: TileSize = "auto",
    *,
    within: Area | None = None,
    follow_edges: bool | None = None,
) -> Generator[tuple[Tile, tuple[slice, slice], Segmentation], None, None]:
    """As `labelled_tiles`, with all that the model says.

    Of every tile: its rows and columns in a segmentation that has its surroundings, too, which
    make it agree with its neighbours.

    Raises
    ------
    ImageError, ConfigError
        As `segment`, at the first step.
    """
    model = model.suited_to(source.pixels)
    forward = model.extractor.maps
    for done, window, maps in tiles_of_image(source, model, forward, tile, within=within):
        parts = [part[0] for part in maps]
        top, left = window.core_y0 - window.y0, window.core_x0 - window.x0
        at = (slice(top, top + done.y1 - done.y0), slice(left, left + done.x1 - done.x0))
        yield done, at, _decoded(source, model, window, parts, follow_edges)


@torch.no_grad()
def _decoded(
    source: ImageSource,
    model: PrototypeSegmenter,
    window: Window,
    maps: Sequence[Tensor],
    follow_edges: bool | None,
) -> Segmentation:
    cut = model.partitioner.steps(source, (window.y0, window.x0, window.y1, window.x1))
    found = model.decode(pooled(maps, run(cut), model, source, window.y0, window.x0))
    return found if follow_edges is None else found.with_outlines(follow_edges)
