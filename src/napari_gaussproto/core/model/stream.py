"""Segment a large image into labels that fill in while it runs, what is looked at first."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np

from napari_gaussproto.core.imaging.label_pyramid import LabelPyramid
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.imaging.tiles import Area, Focus
from napari_gaussproto.core.model.predict import labelled_tiles
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter


@dataclass(frozen=True)
class StreamTile:
    """A finished tile: how many are done of all, those of earlier runs included, and where it is.

    Attributes
    ----------
    done, total : int
    before : int
        How many were done before this run.
    plane : int
        Its number in C order.
    area : Area
        Its pixels.
    """

    done: int
    total: int
    before: int
    plane: int
    area: Area

    @property
    def keep(self) -> bool:
        """Whether who shows steps must not leave it out; every tile is to be seen."""
        return True


def stream_steps(
    source_of: Callable[[int], ImageSource],
    model: PrototypeSegmenter,
    labels: LabelPyramid,
    focus: Focus,
    follow_edges: bool | None = None,
) -> Generator[StreamTile, None, None]:
    """Segment what is missing in a pyramid, one generator step a tile.

    Closed early, it leaves what is done, and a later call goes on. One tile is in memory.

    Parameters
    ----------
    source_of : callable
        Gives the image of a plane by its number.
    model : PrototypeSegmenter
    labels : LabelPyramid
    focus : Focus
        The next tile is always the one nearest to what is looked at then.
    follow_edges : bool, optional
        See `Segmentation.with_outlines`; by default as the model says.

    Raises
    ------
    ImageError
        When the image does not suit the model, or its storage fails.
    ConfigError
        When memory does not suffice for the smallest tile.
    OSError
        When labels cannot be written.
    """
    finished = labels.finished
    total, before = finished.size, int(finished.sum())
    todo = np.argwhere(~finished)
    areas = np.array([labels.area(row, column) for _, row, column in todo], int).reshape(-1, 4)
    known: tuple[int, ImageSource] | None = None
    for done in range(before + 1, total + 1):
        index = focus.nearest(todo[:, 0], areas)
        plane, row, column = (int(n) for n in todo[index])
        if known is None or known[0] != plane:
            known = (plane, source_of(plane))
        area = labels.area(row, column)
        labels.write(plane, row, column, _tile(known[1], model, labels.side, area, follow_edges))
        todo, areas = np.delete(todo, index, 0), np.delete(areas, index, 0)
        yield StreamTile(done, total, before, plane, area)


def _tile(
    source: ImageSource,
    model: PrototypeSegmenter,
    side: int,
    area: Area,
    follow_edges: bool | None,
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Labels (h, w) of a tile, put together where memory suffices for parts of it only."""
    y0, x0, y1, x1 = area
    labels = np.zeros((y1 - y0, x1 - x0), np.uint8)
    parts = labelled_tiles(source, model, side, within=area, follow_edges=follow_edges)
    for part, values in parts:
        labels[part.y0 - y0 : part.y1 - y0, part.x0 - x0 : part.x1 - x0] = values
    return labels
