"""The network on images of any size: tiles with overlap, smaller ones when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from napari_gaussproto.core.base.device import free_memory, release_memory
from napari_gaussproto.core.base.errors import ConfigError, ImageError, is_out_of_memory
from napari_gaussproto.core.base.steps import WithValue
from napari_gaussproto.core.cells.partition import Partition
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.imaging.tiles import Area, Window, plan, round_up
from napari_gaussproto.core.model.encoding import Encoding
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter

logger = logging.getLogger(__name__)

TileSize = Literal["auto"] | int | None
Forward = Callable[[Tensor], Sequence[Tensor]]

# Float32 values that a forward pass keeps alive at its peak, per pixel that the backbone
# sees: a fifth more than the most that was measured with EfficientNet-Lite0 on whole maps, as on a
# GPU. In bands it is a third of that (python -m benchmarks.speed.predict --memory).
_VALUES_PER_PIXEL = 120
# While a tile larger than this (in pixels that the backbone sees) is computed, a run could not be
# cancelled for long, nor its progress shown. Of 1024 pixels, halos took an eighth more time.
_LARGEST_SIDE = 1536
_SHARE_OF_MEMORY = 0.5


@dataclass(frozen=True)
class Tile:
    """A finished tile: how many are done, this one included, and the pixels that it covers."""

    index: int
    total: int
    y0: int
    x0: int
    y1: int
    x1: int


def as_source(
    image: Any, model: PrototypeSegmenter, channel_axis: int | None = None
) -> ImageSource:
    """An image as this model reads it.

    Parameters
    ----------
    image, model
        See `segment`.
    channel_axis : int, optional
        See `ImageSource.from_array`.

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
    return ImageSource.from_array(image, model.config.channels, channel_axis)


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
    model = model.suited_to(source.pixels)
    blocks = 0
    for block in (work := WithValue(model.partitioner.steps(source))):
        blocks = block.total
        # How many tiles follow is known when they are planned; as many as blocks, about.
        yield Tile(block.index, 2 * blocks, 0, 0, 0, 0)
    extractor = model.extractor
    strides = [model.cell_size] * (1 + extractor.has_local) + [extractor.context_stride]
    forward = extractor.maps_and_context
    whole = yield from maps_of_image(source, model, forward, strides, tile, blocks)
    *maps, level = [of_image[0] for of_image in whole]
    return with_context(pooled(maps, work.value, model, source), level, model, source)


def with_context(
    encoding: Encoding, level: Tensor, model: PrototypeSegmenter, source: ImageSource
) -> Encoding:
    """An encoding with what is known of the whole image.

    That is whether it is grey, and a map (F, h, w) of the level of the context, which may
    overhang.
    """
    stride = model.extractor.context_stride
    height, width = (-(-side // stride) for side in encoding.partition.shape)
    context = level[:, :height, :width]
    return replace(
        encoding,
        is_grey=source.is_grey,
        full_scale=source.full_scale,
        is_cut_off=source.is_cut_off,
        context=context,
        context_stride=stride,
    )


def pooled(
    maps: Sequence[Tensor],
    partition: Partition,
    model: PrototypeSegmenter,
    source: ImageSource,
    y0: int = 0,
    x0: int = 0,
) -> Encoding:
    """Cells of an image, or of a window of it, from the maps (K, h, w) of `Extractor.maps`.

    These may overhang the image at the bottom and right. The first pixel of the window is given.
    """
    (height, width), k = partition.shape, model.cell_size
    cut = [values[:, : -(-height // k), : -(-width // k)] for values in maps]
    cells = model.cells_of(cut[0], partition)
    config = model.config
    whole = partition.shape == (source.height, source.width)
    has_data = source.data_mask if whole else source.data_in(y0, x0, y0 + height, x0 + width)
    if len(cut) == 1 or config.partition != "grid":
        return Encoding(cells, partition, data_mask=has_data)

    def rows(first: int, last: int) -> Tensor:
        pixels = source.read_levels(y0 + first, x0, last - first, -(-width // k) * k)
        return pixels.to(cells.device)

    colours = partition.features(cut[1])
    return Encoding(cells, partition, colours, rows, has_data, config.follow_edges)


@torch.no_grad()
def maps_of_image(
    source: ImageSource,
    model: PrototypeSegmenter,
    forward: Forward,
    strides: Sequence[int],
    tile: TileSize = "auto",
    ahead: int = 0,
) -> Generator[Tile, None, list[Tensor]]:
    """Maps that the network makes of a whole image, one generator step a tile.

    Parameters
    ----------
    source : ImageSource
    model : PrototypeSegmenter
    forward : callable
        Images (1, C, H, W) in [0, 1] or uint8, H and W multiples of the model's alignment, to
        maps (1, width, H / stride, W / stride).
    strides : sequence of int
        Pixels of the image per position of each map.
    tile : "auto", None or int
        See `segment`.
    ahead : int
        Steps that were counted before these.

    Returns
    -------
    list of Tensor
        (1, width, h, w) each; they overhang the image up to the next multiple of the alignment.

    Raises
    ------
    ImageError
        When the image has no pixels.
    ConfigError
        When the maps, or not even the smallest tile, fit into memory.
    """
    height = round_up(source.height, model.alignment)
    width = round_up(source.width, model.alignment)
    maps: list[Tensor] = []
    for done, window, parts in tiles_of_image(source, model, forward, tile, ahead):
        if window.core_y1 - window.core_y0 == height and window.core_x1 - window.core_x0 == width:
            maps = list(parts)
        else:
            maps = maps or _room(parts, strides, height, width)
            for whole, part, k in zip(maps, parts, strides, strict=True):
                _place(whole, part, window, k)
        yield done
    if not maps:
        raise ImageError("The image is empty: choose one with pixels.")
    return maps


def _room(parts: Sequence[Tensor], strides: Sequence[int], height: int, width: int) -> list[Tensor]:
    """Empty maps of an image for the parts of its tiles."""
    counts = [
        part.shape[1] * (height // k) * (width // k) for part, k in zip(parts, strides, strict=True)
    ]
    needed = sum(n * part.element_size() for n, part in zip(counts, parts, strict=True))
    free = free_memory(parts[0].device)
    if needed > free:
        raise ConfigError(
            f"The cells of an image of {height} × {width} pixels take {needed / 1e9:.0f} GB of "
            f"memory, and {free / 1e9:.0f} are free: use segment_to_zarr or predict, which keep "
            "one tile, or give the image in parts."
        )
    return [
        part.new_empty((1, part.shape[1], height // k, width // k))
        for part, k in zip(parts, strides, strict=True)
    ]


def _place(whole: Tensor, part: Tensor, window: Window, stride: int) -> None:
    """Copy the core of a tile into the map of the image."""
    top, left = window.core_y0 // stride, window.core_x0 // stride
    bottom, right = window.core_y1 // stride, window.core_x1 // stride
    y, x = (window.core_y0 - window.y0) // stride, (window.core_x0 - window.x0) // stride
    core = part[:, :, y : y + bottom - top, x : x + right - left]
    whole[:, :, top:bottom, left:right] = core


def tiles_of_image(
    source: ImageSource,
    model: PrototypeSegmenter,
    forward: Forward,
    tile: TileSize = "auto",
    ahead: int = 0,
    within: Area | None = None,
) -> Generator[tuple[Tile, Window, Sequence[Tensor]], None, None]:
    """Maps (1, width, h, w) of every window, of an area or all; what does not fit is halved.

    See `maps_of_image`.
    """
    side = tile_side(source, model, tile)
    if model.training:  # going through all parts takes as long as reading a photograph
        model.eval()
    covered: list[Window] = []
    while True:
        halo = 0 if max(source.height, source.width) <= side else model.receptive_radius
        planned = plan(source.height, source.width, side, halo, model.alignment, within)
        windows = [w for w in planned if not _is_covered(w, covered)]
        total = ahead + len(covered) + len(windows)
        try:
            for window in windows:
                maps = _forward(source, model, forward, window)
                covered.append(window)
                y1, x1 = min(window.core_y1, source.height), min(window.core_x1, source.width)
                done = ahead + len(covered)
                yield Tile(done, total, window.core_y0, window.core_x0, y1, x1), window, maps
            return
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            side = _halved(side, model, error)
            release_memory(model.device)


@torch.no_grad()
def _forward(
    source: ImageSource, model: PrototypeSegmenter, forward: Forward, window: Window
) -> Sequence[Tensor]:
    pixels = source.read_levels(window.y0, window.x0, window.y1 - window.y0, window.x1 - window.x0)
    # The axis of one goes before rows and columns: in front of the channels, torch would not see
    # that a photograph lies in memory as it should, and would copy it.
    image = pixels.permute(1, 2, 0)[None].permute(0, 3, 1, 2)
    return forward(image.to(model.device, memory_format=torch.channels_last))


def _is_covered(window: Window, covered: list[Window]) -> bool:
    """Whether a larger tile, done before memory ran out, holds this one's core."""
    return any(
        done.core_y0 <= window.core_y0
        and done.core_x0 <= window.core_x0
        and done.core_y1 >= window.core_y1
        and done.core_x1 >= window.core_x1
        for done in covered
    )


def tile_side(source: ImageSource, model: PrototypeSegmenter, tile: TileSize) -> int:
    """Side of a core in pixels, a multiple of the alignment.

    Raises
    ------
    ConfigError
        For a side that cannot be.
    """
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
    if source.height * source.width <= min(affordable, (_LARGEST_SIDE * shrunk) ** 2):
        return longest
    window = min(affordable**0.5, _LARGEST_SIDE * shrunk + 2 * model.receptive_radius)
    side = int(window) - 2 * round_up(model.receptive_radius, model.alignment)
    return max(model.alignment, side // model.alignment * model.alignment)


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
