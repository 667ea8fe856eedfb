"""Images as their backbone features: what quick fitting keeps, so that it costs a second."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.cells.partition import Partition
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.imaging.tiles import Window, plan, round_up
from napari_gaussproto.core.model.predict import Tile, as_source
from napari_gaussproto.core.model.segmentation import Encoding
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.network.backbone import Backbone
from napari_gaussproto.core.network.extractor import to_stride

# An image up to one and a half times this side, in pixels that the backbone sees, is encoded
# whole; a larger one in tiles of it.
_SIDE = 1024
# Values of one level, brought to the output stride, that are held at a time.
_BAND_VALUES = 1 << 25


@dataclass(frozen=True)
class EncodedImage:
    """The pyramid of an image; it stays valid while the backbone does not learn.

    Attributes
    ----------
    pyramid : tuple of Tensor
        (1, width, h, w) each, at the backbone's own strides, finest first.
    partition : Partition
    backbone : Backbone
        The one that computed them.
    """

    pyramid: tuple[Tensor, ...]
    partition: Partition
    backbone: Backbone

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the image in pixels."""
        return self.partition.shape

    @property
    def n_bytes(self) -> int:
        """Memory that the pyramid takes."""
        return sum(level.numel() * level.element_size() for level in self.pyramid)

    @torch.no_grad()
    def features(self, cells: Tensor, stride: int) -> Tensor:
        """Features (K, F) of some cells, all levels side by side; see `Neck.points`.

        Parameters
        ----------
        cells : Tensor
            (K,) indices.
        stride : int
            The model's output stride.
        """
        finest, first = self.pyramid[0], self.backbone.strides[0]
        size = (finest.shape[-2] * first // stride, finest.shape[-1] * first // stride)
        width = max(1, _BAND_VALUES // (size[0] * size[1]))
        parts = []
        for level in self.pyramid:
            # A few channels at a time: side by side, all of them at the output stride would
            # take several times the memory of the pyramid itself.
            for channels in level.split(width, dim=1):
                pooled = self.partition.features(to_stride(channels, size)[0])
                parts.append(pooled[cells.to(pooled.device)])
        return torch.cat(parts, dim=1)


def encode_pyramid(image: Any, model: PrototypeSegmenter) -> EncodedImage:
    """Backbone features of an image, without the steps."""
    return run(encode_pyramid_steps(image, model))


def encode_pyramid_steps(
    image: Any, model: PrototypeSegmenter
) -> Generator[Tile, None, EncodedImage]:
    """Backbone features of an image, one generator step a tile.

    Parameters
    ----------
    image : array or ImageSource
        See `ImageSource.from_array`.
    model : PrototypeSegmenter
        Its backbone and partition are used; neck and prototypes are not.

    Raises
    ------
    ImageError
        When the image does not suit the model.
    """
    source = as_source(image, model)
    partition = run(model.partitioner.steps(source))
    model.eval()
    windows = _windows(source, model)
    pyramid: list[Tensor] = []
    for done, window in enumerate(windows, start=1):
        levels = _levels(source, model, window)
        if len(windows) == 1:
            pyramid = levels
        else:
            pyramid = pyramid or _empty(source, model, levels)
            _place(pyramid, levels, window, model)
        bottom, right = min(window.core_y1, source.height), min(window.core_x1, source.width)
        yield Tile(done, len(windows), window.core_y0, window.core_x0, bottom, right)
    if not pyramid:
        raise ImageError("The image is empty: choose one with pixels.")
    return EncodedImage(tuple(pyramid), partition, model.extractor.backbone)


@torch.no_grad()
def latents_of_image(model: PrototypeSegmenter, encoded: EncodedImage) -> Encoding:
    """Cells of an encoded image: the neck, and the pooling of cells.

    The same as `PrototypeSegmenter.encode`, without the backbone.
    """
    k, (height, width) = model.cell_size, encoded.shape
    latents = model.extractor.neck(list(encoded.pyramid))[0]
    cut = latents[:, : -(-height // k), : -(-width // k)]
    return Encoding(encoded.partition.latents(cut), encoded.partition)


def _windows(source: ImageSource, model: PrototypeSegmenter) -> list[Window]:
    side = _SIDE * model.config.downsample
    longest = max(source.height, source.width)
    whole = longest <= 1.5 * side
    halo = 0 if whole else model.receptive_radius
    return list(
        plan(source.height, source.width, longest if whole else side, halo, model.alignment)
    )


@torch.no_grad()
def _levels(source: ImageSource, model: PrototypeSegmenter, window: Window) -> list[Tensor]:
    pixels = source.read_padded(window.y0, window.x0, window.y1 - window.y0, window.x1 - window.x0)
    batch = pixels[None].to(model.device, memory_format=torch.channels_last)
    return model.extractor.pyramid(batch)


def _strides(model: PrototypeSegmenter) -> list[int]:
    """Pixels of the image per position of each level."""
    return [stride * model.config.downsample for stride in model.extractor.backbone.strides]


def _empty(source: ImageSource, model: PrototypeSegmenter, levels: list[Tensor]) -> list[Tensor]:
    height = round_up(source.height, model.alignment)
    width = round_up(source.width, model.alignment)
    return [
        level.new_empty((1, level.shape[1], height // stride, width // stride))
        for level, stride in zip(levels, _strides(model), strict=True)
    ]


def _place(
    pyramid: list[Tensor], levels: list[Tensor], window: Window, model: PrototypeSegmenter
) -> None:
    """Copy the core of a tile into the pyramid of the image."""
    for whole, level, k in zip(pyramid, levels, _strides(model), strict=True):
        rows = slice(window.core_y0 // k, window.core_y1 // k)
        columns = slice(window.core_x0 // k, window.core_x1 // k)
        top, left = (window.core_y0 - window.y0) // k, (window.core_x0 - window.x0) // k
        height, width = rows.stop - rows.start, columns.stop - columns.start
        whole[:, :, rows, columns] = level[:, :, top : top + height, left : left + width]
