"""Measure one plane: at once, or tile by tile where it is large."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.base.steps import WithValue
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.labels.annotations import overruled
from napari_gaussproto.core.labels.check import check_labels
from napari_gaussproto.core.labels.pieces import components, large_enough
from napari_gaussproto.core.measure.areas import area_table, table_of_counts
from napari_gaussproto.core.measure.objects import object_table, table_of
from napari_gaussproto.core.measure.regions import RegionMask
from napari_gaussproto.core.measure.tiled import TiledPieces, tiled_pieces
from napari_gaussproto.core.measure.units import PixelSize
from napari_gaussproto.core.model.encode import TileSize
from napari_gaussproto.core.model.predict import segment_steps, segmented_tiles
from napari_gaussproto.core.model.segmentation import Segmentation
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.io.batch.manifest import Entry
from napari_gaussproto.io.batch.outputs import Outputs
from napari_gaussproto.io.batch.regions import Polygons, region_masks
from napari_gaussproto.io.batch.tables import AREAS, OBJECTS, write_table

PREDICTED, CORRECTED = "predicted", "with corrections"
# Objects and areas.
Tables = tuple[pd.DataFrame, pd.DataFrame]


@dataclass(frozen=True)
class Overrule:
    """What is taken instead of what the model says; arrays (..., H, W), in memory or not.

    Attributes
    ----------
    stored : array-like or None
        Labels, instead of predicted ones.
    drawn : array-like or None
        Labels that overrule where they are not 0 and there is data.
    instances : array-like or None
        Objects, instead of connected pieces.
    """

    stored: Any = None
    drawn: Any = None
    instances: Any = None

    def labels(self, predicted: npt.NDArray[Any], at: Any, n_classes: int) -> npt.NDArray[Any]:
        """Labels (h, w) of a window, where they were predicted.

        Raises
        ------
        LabelError
            When those that are stored are no classes.
        """
        labels = predicted
        if self.stored is not None:
            labels = check_labels(np.asarray(self.stored[at]), predicted.shape, n_classes)
        return labels if self.drawn is None else overruled(labels, np.asarray(self.drawn[at]))

    def plane(self, at: tuple[int, ...]) -> Overrule:
        """Of one plane, where arrays have axes in front; objects of a single one are those of all.

        What is on disk stays there.
        """
        return Overrule(*(_plane(a, at) for a in (self.stored, self.drawn, self.instances)))


def _plane(array: Any, at: tuple[int, ...]) -> Any:
    if array is None or np.ndim(array) == 2:
        return array
    return array[at] if isinstance(array, np.ndarray) else _Plane(array, at)


@dataclass(frozen=True)
class _Plane:
    """A plane of a stack on disk."""

    array: Any
    at: tuple[int, ...]

    def __getitem__(self, window: tuple[slice, slice]) -> Any:
        """A window of it."""
        return self.array[(*self.at, *window)]


@dataclass(frozen=True)
class PlaneMeasure:
    """How planes are measured.

    Attributes
    ----------
    least_area : int
        Smaller objects are left out, in pixels.
    pixel_size : PixelSize or None
    regions : mapping of str to polygons, as lists of (N, 2) rings
    most : int
        Pixels above which a plane is measured tile by tile.
    scratch : Path or None
        A folder for what does not fit into memory.
    """

    model: PrototypeSegmenter
    tile: TileSize
    least_area: int
    pixel_size: PixelSize | None
    regions: Mapping[str, Polygons] = field(default_factory=dict)
    most: int = 0
    scratch: Path | None = None

    def steps(self, source: ImageSource, overrule: Overrule) -> Generator[float, None, Tables]:
        """Segment a plane and measure it, one generator step a tile: the share that is done.

        Raises
        ------
        GaussProtoError
            When the image does not suit the model, or labels are none of it.
        """
        shape = (source.height, source.width)
        if source.height * source.width > self.most:
            return (yield from self._large(source, overrule, shape))
        steps = segment_steps(source, self.model, tile=self.tile)
        for tile in (work := WithValue(steps)):
            yield tile.index / tile.total
        found, everything = work.value, (slice(None), slice(None))
        labels = overrule.labels(found.labels, everything, len(found.classes))
        if overrule.instances is None:
            pieces = components(labels, self.least_area)
        else:
            pieces = large_enough(np.asarray(overrule.instances), self.least_area)
        return measured_image(
            found, labels, pieces, region_masks(self.regions, shape), self.pixel_size
        )

    def _large(
        self, source: ImageSource, overrule: Overrule, shape: tuple[int, int]
    ) -> Generator[float, None, Tables]:
        about = (shape, len(self.model.classes), list(self.regions), self.least_area, self.scratch)
        with tiled_pieces(*about) as made:
            return (yield from self.fill(made, source, overrule))

    def fill(
        self, made: TiledPieces, source: ImageSource, overrule: Overrule
    ) -> Generator[float, None, Tables]:
        """Measure a plane tile by tile into what takes the tiles, whatever its size.

        Raises
        ------
        GaussProtoError
            As `steps`.
        """
        model, names = self.model, list(self.regions)
        for tile, at, found in segmented_tiles(source, model, self.tile):
            area = (tile.y0, tile.x0, tile.y1, tile.x1)
            own = (slice(tile.y0, tile.y1), slice(tile.x0, tile.x1))
            labels = overrule.labels(found.labels[at], own, len(model.classes))
            masks = region_masks(self.regions, labels.shape, (tile.y0, tile.x0))
            given = overrule.instances
            objects = None if given is None else np.asarray(given[own])
            made.add(area, labels, found, (at[0].start, at[1].start), masks, objects)
            yield tile.index / tile.total
        numbers, sums = made.end()
        prototypes = [known.name for known in model.prototypes]
        pixels = (self.pixel_size, names)
        objects_of = table_of(sums, numbers, model.classes, prototypes, *pixels)
        return objects_of, table_of_counts(made.counts, model.classes, names, self.pixel_size)


def measured_image(
    segmentation: Segmentation,
    labels: npt.NDArray[Any],
    pieces: npt.NDArray[np.int64],
    regions: Mapping[str, RegionMask],
    pixel_size: PixelSize | None,
) -> Tables:
    """Tables of objects and of areas of one image.

    Parameters
    ----------
    segmentation : Segmentation
    labels : (H, W) ndarray of int
        Class index + 1, as predicted or as corrected.
    pieces : (H, W) ndarray of int
        Numbers of the objects.
    regions : mapping of str to RegionMask
    pixel_size : PixelSize or None
    """
    classes = segmentation.classes
    objects = object_table(pieces, labels, classes, segmentation, pixel_size, regions)
    return objects, area_table(labels, classes, regions, pixel_size)


def check_objects(given: Any, shape: tuple[int, ...], where: str = "") -> Any:
    """Objects, if they are of an image of this shape (..., H, W), or of one of its planes.

    Raises
    ------
    LabelError
    """
    if given is not None and tuple(given.shape) not in (shape, shape[-2:]):
        own, other = (" × ".join(map(str, sides)) for sides in (given.shape, shape))
        raise LabelError(
            f"The objects{where} are {own} pixels and the image {other}: choose objects of this "
            "image."
        )
    return given


def joined(found: Sequence[Tables]) -> Tables:
    """The rows of several tables of objects, and of as many of areas."""
    objects, areas = (pd.concat(tables, ignore_index=True) for tables in zip(*found, strict=True))
    return objects, areas


def with_origin(found: Tables, image: str, number: int, *, corrected: bool) -> Tables:
    """Tables that say of which plane of which image they are, and whose labels count."""
    for table in found:
        table.insert(0, "image", image)
        table.insert(1, "plane", number + 1)
        table["labels"] = CORRECTED if corrected else PREDICTED
    return found


def write_tables_of(
    out: Path,
    outputs: Outputs,
    name: str,
    entry: Entry,
    segmentation: Segmentation,
    size: PixelSize | None,
) -> None:
    """Measure an image that was just segmented; see `write_tables`."""
    labels = segmentation.labels
    pieces = components(labels, outputs.least_area)
    found = measured_image(segmentation, labels, pieces, {}, outputs.pixel_size or size)
    write_tables(out, outputs, entry, with_origin(found, name, 0, corrected=entry.corrected))


def write_tables(out: Path, outputs: Outputs, entry: Entry, found: Tables) -> None:
    """Write the tables of an image beside its labels, and note what they were made of.

    Raises
    ------
    OSError
        When the folder cannot be written to.
    """
    for table, ending in zip(found, (OBJECTS, AREAS), strict=True):
        write_table(table, table_file(out, entry, ending))
    entry.measured = outputs.measured_as(entry.labels_digest)


def table_file(out: Path, entry: Entry, ending: str) -> Path:
    """Where a table of an image is in the folder of results."""
    return out / f"{entry.results}.{ending}.csv"
