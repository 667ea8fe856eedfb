"""A part of a large image, segmented as its labels were, so that places in it can be explained."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.explain.dependence import Dependence, Probed, dependence_steps
from napari_gaussproto.core.explain.explain import NO_DATA, Explanation, explain, explain_mask
from napari_gaussproto.core.imaging.masks import component_at
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.imaging.tiles import Area, area_of
from napari_gaussproto.core.model.encode import Tile
from napari_gaussproto.core.model.predict import segmented_tiles
from napari_gaussproto.core.model.segmentation import Segmentation
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter


@dataclass(frozen=True, eq=False)
class Part:
    """A tile of a large image, with all that a model says of it.

    Attributes
    ----------
    segmentation : Segmentation
        (h, w), of the tile and its surroundings.
    top, left : int
        Pixel of the image where that begins.
    area : Area
        Pixels of the tile: there the labels are those of the whole image.
    size : tuple of int
        (H, W) of the image.
    """

    segmentation: Segmentation
    top: int
    left: int
    area: Area
    size: tuple[int, int]

    def holds(self, y: int, x: int) -> bool:
        """Whether a pixel of the image lies in the tile."""
        y0, x0, y1, x1 = self.area
        return y0 <= y < y1 and x0 <= x < x1

    def explain(self, y: int, x: int) -> Explanation:
        """Explain a pixel of the image by the cell that holds it.

        Raises
        ------
        ImageError
            When it holds no data, or lies elsewhere.
        """
        return self._moved(explain(self.segmentation, *self._inside(y, x)), 1)

    def explain_component(self, y: int, x: int) -> Explanation:
        """Explain the connected pixels of one class around a pixel, as far as the tile goes.

        Raises
        ------
        ImageError
            As `explain`.
        """
        y, x = self._inside(y, x)
        labels, (y0, x0, y1, x1) = self.segmentation.labels, self.area
        if not labels[y, x]:
            raise ImageError(NO_DATA)
        tile = (slice(y0 - self.top, y1 - self.top), slice(x0 - self.left, x1 - self.left))
        mask = np.zeros(labels.shape, bool)
        mask[tile] = own = component_at(labels[tile], y - tile[0].start, x - tile[1].start)
        sides = (own[0], own[:, 0], own[-1], own[:, -1])
        ends = zip(self.area, (0, 0, *self.size), sides, strict=True)
        is_cut = any(end != last and bool(side.any()) for end, last, side in ends)
        return replace(self._moved(explain_mask(self.segmentation, mask), 1), is_cut=is_cut)

    def inside(self, explanation: Explanation) -> Explanation:
        """An explanation whose pixels are those of `segmentation`, as figures want it."""
        return self._moved(explanation, -1)

    def dependence_steps(
        self, source: ImageSource, model: PrototypeSegmenter, y: int, x: int
    ) -> Generator[Probed, None, Dependence]:
        """As `napari_gaussproto.core.explain.dependence.dependence_steps`, in pixels of the image.

        Parameters
        ----------
        source : ImageSource
            The whole image.
        model : PrototypeSegmenter
            That made the labels.
        y, x : int

        Raises
        ------
        ImageError
            As `explain`.
        """
        (height, width), model = self.segmentation.shape, model.suited_to(source.pixels)
        part = source.part(self.top, self.left, self.top + height, self.left + width)
        about = (part, model, self.segmentation, *self._inside(y, x))
        found = yield from dependence_steps(*about)
        return replace(
            found,
            y=found.y + self.top,
            x=found.x + self.left,
            top=found.top + self.top,
            left=found.left + self.left,
        )

    def _inside(self, y: int, x: int) -> tuple[int, int]:
        """A pixel of the image as one of the segmentation."""
        if not self.holds(y, x):
            raise ImageError(f"Pixel ({y}, {x}) lies in another part of the image: take that.")
        return y - self.top, x - self.left

    def _moved(self, found: Explanation, way: int) -> Explanation:
        down, right = way * self.top, way * self.left
        return replace(
            found,
            y=found.y + down,
            x=found.x + right,
            top=found.top + down,
            left=found.left + right,
        )


def part_steps(
    source: ImageSource,
    model: PrototypeSegmenter,
    side: int,
    y: int,
    x: int,
    follow_edges: bool | None = None,
) -> Generator[Tile, None, Part]:
    """Segment the tile of a large image that holds a pixel, one generator step a tile.

    It is computed as `napari_gaussproto.core.model.stream.stream_steps` does, from the same window,
    so that its labels are the same ones.

    Parameters
    ----------
    source : ImageSource
    model : PrototypeSegmenter
    side : int
        Of a tile in pixels.
    y, x : int
        The pixel.
    follow_edges : bool, optional
        See `Segmentation.with_outlines`; by default as the model says.

    Raises
    ------
    ImageError, ConfigError
        As `napari_gaussproto.core.model.predict.segment`, and for a pixel outside the image.
    """
    if not (0 <= y < source.height and 0 <= x < source.width):
        raise ImageError(f"Pixel ({y}, {x}) lies outside the image: click inside it.")
    area = area_of(y // side, x // side, side, source.height, source.width)
    tiles = segmented_tiles(source, model, side, within=area, follow_edges=follow_edges)
    for tile, at, found in tiles:
        part = Part(
            found,
            tile.y0 - at[0].start,
            tile.x0 - at[1].start,
            (tile.y0, tile.x0, tile.y1, tile.x1),
            (source.height, source.width),
        )
        if part.holds(y, x):  # always, unless memory was too short for the whole tile
            tiles.close()
            return part
        yield tile
    raise ImageError(f"Pixel ({y}, {x}) lies in no tile: click inside the image.")
