"""Images as their backbone features: what quick fitting keeps, so that it costs a second."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.cells.partition import Partition
from napari_gaussproto.core.imaging.patches import PATCH_PIXELS, Miniature, Patches
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.model.encode import (
    Tile,
    TileSize,
    as_source,
    maps_of_image,
    pooled,
    with_context,
)
from napari_gaussproto.core.model.encoding import Encoding
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.network.backbone import Backbone
from napari_gaussproto.core.network.local import colours_in
from napari_gaussproto.core.network.stride import to_stride

# Values of one level, brought to the output stride, that are held at a time.
_BAND_VALUES = 1 << 25


@dataclass(frozen=True)
class EncodedImage:
    """The pyramid of an image; it stays valid while the backbone does not learn.

    Attributes
    ----------
    pyramid : tuple of Tensor
        (1, width, h, w) each, at the strides of the extractor.
    partition : Partition
    backbone : Backbone
        The one that computed them.
    miniature : Miniature
        The image itself, as small as its patches are.
    source : ImageSource
        The image itself, to which outlines are drawn.
    encodings : mapping
        Cells as necks see them that still exist; see `latents_of_image`.
    """

    pyramid: tuple[Tensor, ...]
    partition: Partition
    backbone: Backbone
    miniature: Miniature
    source: ImageSource
    encodings: WeakKeyDictionary[nn.Module, Encoding] = field(
        default_factory=WeakKeyDictionary, repr=False, compare=False
    )

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the image in pixels."""
        return self.partition.shape

    @property
    def n_bytes(self) -> int:
        """Memory that the pyramid and the cells take."""
        # A list of the keys, which is made in one step: another thread may be adding cells.
        necks = [reference() for reference in self.encodings.keyrefs()]
        known = [self.encodings.get(neck) for neck in necks if neck is not None]
        cells = [encoding.latents for encoding in known if encoding is not None]
        values = sum(v.numel() * v.element_size() for v in (*self.pyramid, *cells))
        return values + self.miniature.pixels.nbytes

    def center(self, cell: int) -> tuple[int, int]:
        """As `Partition.center`."""
        return self.partition.center(cell)

    def picture(self, y: int, x: int) -> Patches:
        """As `cut_patch`, without the image."""
        return self.miniature.cut(y, x)

    @property
    def reach(self) -> int:
        """Pixels of the image across a picture."""
        return PATCH_PIXELS * self.miniature.shrunk

    @torch.no_grad()
    def features(self, cells: Tensor, stride: int, *, most: int = _BAND_VALUES) -> Tensor:
        """Features (K, F) of some cells, all levels side by side; see `Neck.points`.

        Parameters
        ----------
        cells : (K,) Tensor of int
        stride : int
            The model's output stride.
        most : int
            Values that may be held at a time: side by side, all channels at the output stride
            would take several times the memory of the pyramid itself.
        """
        finest, first = self.pyramid[0], self.backbone.strides[0]
        size = (finest.shape[-2] * first // stride, finest.shape[-1] * first // stride)
        width = max(1, most // (size[0] * size[1]))
        parts = []
        for level in self.pyramid:
            for channels in level.split(width, dim=1):
                pooled = self.partition.features(to_stride(channels, size)[0])
                parts.append(pooled[cells.to(pooled.device)])
        return torch.cat(parts, dim=1)


def encode_pyramid(
    image: Any, model: PrototypeSegmenter, *, tile: TileSize = "auto"
) -> EncodedImage:
    """Backbone features of an image, without the steps."""
    return run(encode_pyramid_steps(image, model, tile=tile))


def encode_pyramid_steps(
    image: Any, model: PrototypeSegmenter, *, tile: TileSize = "auto"
) -> Generator[Tile, None, EncodedImage]:
    """Backbone and local features of an image, one generator step a tile.

    Parameters
    ----------
    image : array or ImageSource
        See `ImageSource.from_array`.
    model : PrototypeSegmenter
        Its backbone and partition are used; neck and prototypes are not.
    tile : "auto", None or int
        See `segment`.

    Raises
    ------
    ImageError, ConfigError
        See `maps_of_image`; also when the image does not suit the model.
    """
    source = as_source(image, model)
    partition = run(model.partitioner.steps(source))
    backbone, shrunk = model.extractor.backbone, model.config.downsample
    strides = [stride * shrunk for stride in model.extractor.strides]
    levels = yield from maps_of_image(source, model, model.extractor.pyramid, strides, tile)
    miniature = Miniature.of(source, model.cell_size)
    return EncodedImage(tuple(levels), partition, backbone, miniature, source)


@torch.no_grad()
def latents_of_image(model: PrototypeSegmenter, encoded: EncodedImage) -> Encoding:
    """Cells of an encoded image: the same as `encode_steps`, without the backbone."""
    extractor, pyramid = model.extractor, list(encoded.pyramid)
    known = encoded.encodings.get(extractor.neck)
    if known is not None:
        return known
    maps = [extractor.neck(pyramid)[0]]
    if extractor.has_local:
        maps.append(colours_in(pyramid, model.config.channels)[0])
    plain = pooled(maps, encoded.partition, model, encoded.source)
    level = pyramid[extractor.context_level][0]
    encoding = with_context(plain, level, model, encoded.source)
    encoded.encodings[extractor.neck] = encoding
    return encoding
