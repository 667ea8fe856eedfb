"""Segment images of any size: tiles with overlap, one generator step a tile."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from napari_gaussproto.core.base.device import free_memory, release_memory
from napari_gaussproto.core.base.errors import ConfigError, ImageError
from napari_gaussproto.core.base.steps import WithValue, run
from napari_gaussproto.core.cells.partition import Partition
from napari_gaussproto.core.imaging.label_store import check_apart, new_label_store
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.imaging.tiles import Window, plan, round_up
from napari_gaussproto.core.model.segmentation import Encoding, Segmentation
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter

logger = logging.getLogger(__name__)

TileSize = Literal["auto"] | int | None

# Float32 values that a forward pass keeps alive at its peak, per pixel that the backbone
# sees: a fifth more than the most that was measured with EfficientNet-Lite0
# (python -m benchmarks.speed.predict --memory).
_VALUES_PER_PIXEL = 120
# A tile larger than this (in pixels that the backbone sees) gains no speed, and a run could
# not be cancelled, nor its progress shown, while it is computed.
_LARGEST_SIDE = 1024
_SHARE_OF_MEMORY = 0.5


@dataclass(frozen=True)
class Tile:
    """A finished tile.

    Attributes
    ----------
    index, total : int
        How many are done, this one included, and how many there are.
    y0, x0, y1, x1 : int
        The pixels that it covers.
    """

    index: int
    total: int
    y0: int
    x0: int
    y1: int
    x1: int


def segment(
    image: Any,
    model: PrototypeSegmenter,
    *,
    tile: TileSize = "auto",
    progress: Callable[[Tile], None] | None = None,
) -> Segmentation:
    """Segment an image.

    Parameters
    ----------
    image : array or ImageSource
        See `ImageSource.from_array`.
    model : PrototypeSegmenter
    tile : "auto", None or int
        Side of a tile in pixels; None for the whole image at once; "auto" for the largest
        that memory and a quick response allow.
    progress : callable, optional
        Called with every finished tile.

    Raises
    ------
    ImageError
        When the image does not suit the model.
    ConfigError
        When not even the smallest tile fits into memory.
    """
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


def encode(image: Any, model: PrototypeSegmenter, *, tile: TileSize = "auto") -> Encoding:
    """Cells of an image; `PrototypeSegmenter.decode` gives their classes.

    Parameters
    ----------
    image, model, tile
        As for `segment`.

    Returns
    -------
    Encoding
        With latents (N, D) float32.

    Raises
    ------
    ImageError, ConfigError
        As `segment`.
    """
    return run(encode_steps(image, model, tile=tile))


def encode_steps(
    image: Any, model: PrototypeSegmenter, *, tile: TileSize = "auto"
) -> Generator[Tile, None, Encoding]:
    """Cells of an image, one generator step a tile; the generator's value is the result.

    Raises
    ------
    ImageError, ConfigError
        As `segment`, at the first step; and when the image has no pixels.
    """
    source = as_source(image, model)
    blocks, partition = yield from _cut(source, model)
    k = model.cell_size
    buffer: Tensor | None = None
    for done, window, latents in _latents(source, model, tile, blocks):
        core = latents[
            :,
            (window.core_y0 - window.y0) // k : (window.core_y1 - window.y0) // k,
            (window.core_x0 - window.x0) // k : (window.core_x1 - window.x0) // k,
        ]
        if buffer is None:
            rows, columns = -(-source.height // k), -(-source.width // k)
            buffer = latents.new_zeros((rows, columns, latents.shape[0]))
        top, left = window.core_y0 // k, window.core_x0 // k
        part = core.permute(1, 2, 0)[: buffer.shape[0] - top, : buffer.shape[1] - left]
        buffer[top : top + part.shape[0], left : left + part.shape[1]] = part
        yield done
    if buffer is None:
        raise ImageError("The image is empty: choose one with pixels.")
    with torch.no_grad():
        return Encoding(partition.latents(buffer.permute(2, 0, 1)), partition)


def _cut(
    source: ImageSource, model: PrototypeSegmenter
) -> Generator[Tile, None, tuple[int, Partition]]:
    """Cut an image into cells; how many steps that took, and the partition."""
    count = 0
    for block in (work := WithValue(model.partitioner.steps(source))):
        count = block.total
        # How many tiles follow is known when they are planned; as many as blocks, about.
        yield Tile(block.index, 2 * block.total, 0, 0, 0, 0)
    return count, work.value


def segment_to_zarr(
    image: Any,
    model: PrototypeSegmenter,
    path: str | Path,
    *,
    tile: TileSize = "auto",
    progress: Callable[[Tile], None] | None = None,
) -> Path:
    """Segment an image larger than memory into a zarr array of labels on disk.

    Parameters
    ----------
    image, model, tile, progress
        As for `segment`.
    path : path
        Of the array to write, (H, W) uint8, class index + 1. Its attributes name the
        classes, their colours and the model. Former labels of that name are replaced once
        the new ones are complete; anything else there is left alone.

    Returns
    -------
    Path

    Raises
    ------
    ImageError
        When the image does not suit the model.
    ConfigError
        When ``path`` holds something else, the image for example, or cannot be written, and
        when not even the smallest tile fits into memory.
    """
    return run(segment_to_zarr_steps(image, model, path, tile=tile), progress)


def segment_to_zarr_steps(
    image: Any, model: PrototypeSegmenter, path: str | Path, *, tile: TileSize = "auto"
) -> Generator[Tile, None, Path]:
    """As `segment_to_zarr`, one generator step a tile; only one tile is in memory.

    Given up half-way it leaves nothing behind, and former labels as they were.
    """
    source = as_source(image, model)
    path = Path(path)
    check_apart(path, source.array)
    about = {"model": model.card.name, "classes": [c.model_dump() for c in model.classes]}
    with new_label_store(path, (source.height, source.width), about) as labels:
        for done, window, latents in _latents(source, model, tile):
            labels[done.y0 : done.y1, done.x0 : done.x1] = _core_labels(
                source, model, window, done, latents
            )
            yield done
    return path


@torch.no_grad()
def _core_labels(
    source: ImageSource, model: PrototypeSegmenter, window: Window, done: Tile, latents: Tensor
) -> Any:
    """Labels of a tile's core; its surroundings make them agree with the neighbours'."""
    cut = model.partitioner.steps(source, (window.y0, window.x0, window.y1, window.x1))
    partition = run(cut)
    segmentation = model.decode(Encoding(partition.latents(latents), partition))
    top, left = window.core_y0 - window.y0, window.core_x0 - window.x0
    return segmentation.labels[top : top + done.y1 - done.y0, left : left + done.x1 - done.x0]


def as_source(image: Any, model: PrototypeSegmenter) -> ImageSource:
    """An image as this model reads it.

    Raises
    ------
    ImageError
        When the image does not suit the model.
    """
    if isinstance(image, ImageSource):
        if image.channels != model.config.channels:
            raise ImageError(
                f"The image is read with {image.channels} channels, the model was made for "
                f"{model.config.channels}: make its source with as many."
            )
        return image
    return ImageSource.from_array(image, channels=model.config.channels)


def _latents(
    source: ImageSource, model: PrototypeSegmenter, tile: TileSize, ahead: int = 0
) -> Generator[tuple[Tile, Window, Tensor], None, None]:
    """Latent maps (D, h, w) of all windows; a tile that does not fit is halved.

    ``ahead`` steps were counted before these.
    """
    side = _side(source, model, tile)
    if model.training:  # going through all parts takes as long as reading a photograph
        model.eval()
    covered: list[Window] = []
    while True:
        windows = [w for w in _windows(source, model, side) if not _is_covered(w, covered)]
        total = ahead + len(covered) + len(windows)
        try:
            for window in windows:
                latents = _forward(source, model, window)
                covered.append(window)
                yield (
                    Tile(
                        ahead + len(covered),
                        total,
                        window.core_y0,
                        window.core_x0,
                        min(window.core_y1, source.height),
                        min(window.core_x1, source.width),
                    ),
                    window,
                    latents,
                )
            return
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            side = _halved(side, model, error)
            release_memory(model.device)


def _windows(source: ImageSource, model: PrototypeSegmenter, side: int) -> list[Window]:
    whole = max(source.height, source.width) <= side
    halo = 0 if whole else model.receptive_radius
    return list(plan(source.height, source.width, side, halo, model.alignment))


def _is_covered(window: Window, covered: list[Window]) -> bool:
    """Whether a larger tile, done before memory ran out, holds this one's core."""
    return any(
        done.core_y0 <= window.core_y0
        and done.core_x0 <= window.core_x0
        and done.core_y1 >= window.core_y1
        and done.core_x1 >= window.core_x1
        for done in covered
    )


@torch.no_grad()
def _forward(source: ImageSource, model: PrototypeSegmenter, window: Window) -> Tensor:
    pixels = source.read_padded(window.y0, window.x0, window.y1 - window.y0, window.x1 - window.x0)
    padded = pixels[None].to(model.device, memory_format=torch.channels_last)
    return model.extract(padded)[0]


def _side(source: ImageSource, model: PrototypeSegmenter, tile: TileSize) -> int:
    """Side of a core in pixels, a multiple of the alignment."""
    longest = round_up(max(source.height, source.width), model.alignment)
    if tile is None:
        return longest
    if tile != "auto":
        if tile < 1:
            raise ConfigError(f"A tile of {tile} pixels cannot be: give a side of 64 or more.")
        return round_up(tile, model.alignment)
    shrunk = model.config.downsample
    bytes_per_pixel = 4 * _VALUES_PER_PIXEL / shrunk**2
    affordable = _SHARE_OF_MEMORY * free_memory(model.device) / bytes_per_pixel
    if source.height * source.width <= min(affordable, (1.5 * _LARGEST_SIDE * shrunk) ** 2):
        return longest
    window = min(affordable**0.5, _LARGEST_SIDE * shrunk + 2 * model.receptive_radius)
    side = int(window) - 2 * round_up(model.receptive_radius, model.alignment)
    return max(model.alignment, side // model.alignment * model.alignment)


def _is_out_of_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        sign in text for sign in ("out of memory", "can't allocate memory", "not enough memory")
    )


def _halved(side: int, model: PrototypeSegmenter, error: Exception) -> int:
    # Half of a multiple of the alignment, and a divisor of the former side where possible,
    # so that finished tiles cover whole new ones.
    half = side // 2 // model.alignment * model.alignment
    if half < model.alignment:
        raise ConfigError(
            "Memory is too short for even one small tile: close other programs, "
            "or choose another device."
        ) from error
    logger.warning("out of memory with tiles of %d px, going on with %d px", side, half)
    return half
