"""Segment the planes of a stack into one file of labels, with a row of the table for each."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.steps import WithValue
from napari_gaussproto.core.imaging.label_store import new_label_store
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.labels.annotations import overruled
from napari_gaussproto.core.labels.check import Labels
from napari_gaussproto.core.model.encode import TileSize
from napari_gaussproto.core.model.predict import labelled_tiles, segment_steps
from napari_gaussproto.core.model.segmentation import Segmentation
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.model.stack import plane_sources
from napari_gaussproto.io.batch.cover import fill_cover, sum_up
from napari_gaussproto.io.batch.manifest import Entry, PlaneEntry, plane_of
from napari_gaussproto.io.batch.outputs import (
    Outputs,
    all_maps,
    check_format,
    write_overview,
    write_stack_maps,
)
from napari_gaussproto.io.batch.report import write_thumbnail
from napari_gaussproto.io.stacks import Stack


@dataclass
class StackWork:
    """A stack that is segmented, and what comes of it.

    Attributes
    ----------
    out : Path
        Folder for maps and pictures.
    name : str
        Of the file, as tables call it.
    drawn : (..., H, W) ndarray or None
        What a person drew, which overrules.
    kept : (..., H, W) array-like or None
        Labels of a person in the place of the model's.
    most : int
        Pixels of a stack, or a plane, above which labels are streamed to disk.
    labels : (..., H, W) array-like
        Class index + 1; None until the work is done, and where they were streamed.
    maps : list of (M, h, w) ndarray
        Typicality at cell resolution on every plane, where that is wanted.
    last : Segmentation or None
        A plane's, where maps are wanted.
    """

    model: PrototypeSegmenter
    stack: Stack
    entry: Entry
    out: Path
    outputs: Outputs
    name: str
    most: int
    tile: TileSize = "auto"
    follow_edges: bool | None = None
    nodata: float | None = None
    drawn: Labels | None = None
    kept: Any = None
    labels: Labels | None = None
    maps: list[npt.NDArray[np.float32]] = field(default_factory=list)
    last: Segmentation | None = None

    @property
    def is_streamed(self) -> bool:
        """Whether labels go to disk while they are made."""
        return int(np.prod(self.stack.shape)) > self.most

    def steps(self, store: Path) -> Generator[float, None, None]:
        """Segment all planes, one generator step a tile: the share that is done.

        Closed early, it leaves no labels. Large ones are streamed into ``store``.

        Raises
        ------
        ImageError
            When the planes do not suit the model, or the format holds no stack.
        """
        entry, shape = self.entry, self.stack.shape
        rgb = self.stack.has_channels
        source_of = plane_sources(self.stack.array, self.model, rgb=rgb, nodata=self.nodata)
        (*leading, entry.height, entry.width) = shape
        entry.leading = list(leading)
        if not self.is_streamed:
            check_format(self.outputs, len(shape))
            self.labels = np.zeros(shape, np.uint8)
            yield from self._fill(self.labels, source_of)
        else:
            classes = [c.model_dump() for c in self.model.classes]
            about = {"model": self.model.card.name, "classes": classes}
            with new_label_store(store, shape, about) as labels:
                yield from self._fill(labels, source_of)
        sum_up(entry, self.model.classes)

    def _fill(self, labels: Any, source_of: Any) -> Generator[float, None, None]:
        count = self.stack.count
        for number, at in enumerate(np.ndindex(*self.stack.shape[:-2])):
            source: ImageSource = source_of(number)
            if source.height * source.width > self.most:
                fill = self._fill_large(labels, at, source)
            else:
                fill = self._fill_plane(labels, at, source, plane_of("", number, count))
            for share in (work := WithValue(fill)):
                yield (number + share) / count
            self.entry.planes.append(work.value)

    def _fill_plane(
        self, labels: Any, at: tuple[int, ...], source: ImageSource, plane: str
    ) -> Generator[float, None, PlaneEntry]:
        for tile in (work := WithValue(segment_steps(source, self.model, tile=self.tile))):
            yield tile.index / tile.total
        found = work.value
        if self.follow_edges is not None:
            found = found.with_outlines(self.follow_edges)
        if self.drawn is not None:
            found = found.with_labels(self.drawn[at])
        if self.kept is not None:
            found = found.relabelled(np.asarray(self.kept[at]))
        labels[at] = found.labels
        results = f"{self.entry.results}{plane}"
        write_thumbnail(self.out, results, source, found)
        if self.outputs.overview:
            title = f"{self.name}{plane} · {self.model.card.name}"
            write_overview(self.out, results, source, found, title)
        if self.outputs.maps and not self.is_streamed:
            self.maps.append(all_maps(found))
            self.last = found
        return PlaneEntry(
            cover=found.cover(),
            data_share=found.data_share,
            novelty=found.photo_novelty(),
            uncertainty=found.mean_uncertainty(),
            remarks=found.remarks(),
        )

    def _fill_large(
        self, labels: Any, at: tuple[int, ...], source: ImageSource
    ) -> Generator[float, None, PlaneEntry]:
        counts = np.zeros(len(self.model.classes) + 1, np.int64)
        about = (source, self.model, self.tile)
        for tile, values in labelled_tiles(*about, follow_edges=self.follow_edges):
            place: tuple[Any, ...] = (*at, slice(tile.y0, tile.y1), slice(tile.x0, tile.x1))
            if self.drawn is not None:
                values = overruled(values, self.drawn[place])
            if self.kept is not None:
                values = np.asarray(self.kept[place])
            labels[place] = values
            counts += np.bincount(values.ravel(), minlength=len(counts))
            yield tile.index / tile.total
        entry = PlaneEntry()
        fill_cover(entry, counts, self.model.classes)
        return entry

    def write_maps(self) -> None:
        """Write the maps, where they are wanted.

        Raises
        ------
        OSError
            When the folder cannot be written to.
        """
        if self.last is not None:
            maps = np.stack(self.maps).reshape(*self.entry.leading, *self.maps[0].shape)
            axes, results = f"{self.stack.axes}CYX", self.entry.results
            write_stack_maps(self.out, results, maps, self.last, axes)
