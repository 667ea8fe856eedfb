"""Measure many images: cover of classes and regions, and every object in them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_gaussproto.core.base.errors import ConfigError, GaussProtoError, ImageError
from napari_gaussproto.core.base.steps import WithValue
from napari_gaussproto.core.imaging.label_store import LARGE
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.measure.tiled import TiledPieces
from napari_gaussproto.core.measure.units import PixelSize
from napari_gaussproto.core.model.encode import TileSize, as_source
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.model.stack import plane_sources
from napari_gaussproto.io.batch.corrections import Corrections
from napari_gaussproto.io.batch.cover import changed
from napari_gaussproto.io.batch.inputs import Found, Item
from napari_gaussproto.io.batch.manifest import Manifest, check_order, named, read_manifest
from napari_gaussproto.io.batch.outputs import open_labels_of
from napari_gaussproto.io.batch.regions import Polygons, Regions, read_regions
from napari_gaussproto.io.geo import georeference_of
from napari_gaussproto.io.images import (
    TIFF_SUFFIXES,
    channel_axis_in,
    nodata_of,
    read_image,
    read_mask,
    read_mask_stack,
)
from napari_gaussproto.io.pixel_size import pixel_size_of
from napari_gaussproto.io.stacks import Stack, stack_in
from napari_gaussproto.jobs.batch.one_image import BatchStep
from napari_gaussproto.jobs.batch.plane_tables import (
    Overrule,
    PlaneMeasure,
    Tables,
    check_objects,
    joined,
    with_origin,
)

_MASKS = (".png", ".tif", ".tiff", ".npy")
# The last one is what `export_steps` writes.
_REGIONS = (".geojson", ".json", ".labels.geojson")
# So many regions are called by their names in a note.
_NAMED = 3


@dataclass(frozen=True)
class MeasureRequest:
    """What to measure, and how.

    Attributes
    ----------
    pixel_size : PixelSize or None
        Of all images; by default what each file says.
    least_area : int
        Smaller objects are left out, in pixels.
    regions : Path or None
        GeoJSON for all images, or a folder with one for each, by the image's name.
    instances : Path or None
        A folder with an image of numbers for each image: the objects, in the place of connected
        pieces of a class.
    labels : Path or None
        A folder of results, whose label files say the classes, with what a person corrected there.
    channel_axis : int or None
        See `BatchRequest`.
    corrections : Path or None
        A project: what was drawn there on these images overrules the classes.
    grey : bool
        See `BatchRequest`.
    most : int
        Pixels above which an image, or a plane, is measured tile by tile.
    scratch : Path or None
        A folder for what does not fit into memory meanwhile; by default that of the system.
    """

    model: PrototypeSegmenter
    found: Found
    tile: TileSize = "auto"
    pixel_size: PixelSize | None = None
    least_area: int = 16
    regions: Path | None = None
    instances: Path | None = None
    labels: Path | None = None
    channel_axis: int | None = None
    corrections: Path | None = None
    grey: bool = False
    most: int = LARGE
    scratch: Path | None = None


@dataclass
class Measured:
    """Tables of all images, and why some were left out.

    Attributes
    ----------
    objects, areas : DataFrame
        See `object_table` and `area_table`; with the image's name and the plane, from 1, in front.
    left_out : dict of str to str
    notes : list of str
        What to know of the labels and regions of some images.
    pieces : list of (H, W) ndarray of int, or of TiledPieces
        Numbers of the objects of each plane of the image that is shown; else none are kept.
    """

    objects: pd.DataFrame = field(default_factory=pd.DataFrame)
    areas: pd.DataFrame = field(default_factory=pd.DataFrame)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    pieces: Sequence[npt.NDArray[np.int32] | TiledPieces] = field(default_factory=list)

    def object_at(self, plane: int, y: int, x: int) -> int | None:
        """Row of the object at a pixel of the image that is shown; None where there is none."""
        number = self.pieces[plane][y, x]
        table = self.objects
        rows = np.flatnonzero((table["plane"] == plane + 1) & (table["object"] == number))
        return int(rows[0]) if number and len(rows) else None


def measure_steps(request: MeasureRequest) -> Generator[BatchStep, None, Measured]:
    """Segment and measure images, one generator step a tile; what cannot be is left out.

    Raises
    ------
    ConfigError
        When the regions or the folders cannot be used.
    """
    manifest = Manifest() if request.labels is None else _results(request.labels, request.model)
    common = None
    if request.regions is not None and not request.regions.is_dir():
        common = read_regions(request.regions)
    if request.instances is not None and not request.instances.is_dir():
        raise ConfigError(f"There is no folder “{request.instances}” with objects: check its name.")
    drawn = None
    if request.corrections is not None:
        drawn = Corrections(request.corrections, request.model.classes)
    measured = Measured(left_out=dict(request.found.left_out))
    items = named(request.found.paths, request.found.root, manifest)
    work = ImageMeasure(request, manifest, common, drawn)
    found: list[Tables] = []
    for done, item in enumerate(items):
        yield BatchStep(item.name, done, len(items))
        try:
            for share in (steps := WithValue(work.tables(item))):
                yield BatchStep(item.name, done, len(items), share)
        except GaussProtoError as error:
            measured.left_out[item.name] = str(error)
            continue
        found.append(steps.value)
        measured.notes += _about_labels(request, item.name, manifest)
        measured.notes += _notes(request, item.name, steps.value[1])
    if found:
        measured.objects, measured.areas = joined(found)
    return measured


class ImageMeasure:
    """Measures one image after the other.

    Parameters
    ----------
    request : MeasureRequest
    manifest : Manifest
        Of the folder with labels.
    common : Regions, optional
        Of all images.
    drawn : Corrections, optional
    """

    def __init__(
        self,
        request: MeasureRequest,
        manifest: Manifest,
        common: Regions | None = None,
        drawn: Corrections | None = None,
    ) -> None:
        self.request, self.manifest = request, manifest
        self.common, self.drawn = common, drawn

    def tables(self, item: Item) -> Generator[float, None, Tables]:
        """Tables of an image or of all planes of a stack, one generator step a tile.

        Raises
        ------
        GaussProtoError
            When it does not suit the model, or labels or objects are none of it.
        """
        request, path = self.request, item.path
        assert path is not None  # items of files
        image, channels = read_image(path), request.model.config.channels
        stack = stack_in(path, image, channels, request.channel_axis, grey=request.grey)
        source_of: Callable[[int], ImageSource]
        if stack is None:
            axis = channel_axis_in(path, request.channel_axis)
            only = as_source(image, request.model, axis)
            shape: tuple[int, ...] = (only.height, only.width)
            source_of = partial(_same, only)
        else:
            shape = stack.shape
            about = (stack.array, request.model)
            source_of = plane_sources(*about, rgb=stack.has_channels, nodata=nodata_of(path))
        overrule, corrected = self._overrule(item, only if stack is None else stack, shape)
        found: list[Tables] = []
        count = int(np.prod(shape[:-2], dtype=int))
        way = PlaneMeasure(
            request.model,
            request.tile,
            request.least_area,
            request.pixel_size or pixel_size_of(path),
            _regions(request, item, self.common),
            request.most,
            request.scratch,
        )
        for number, at in enumerate(np.ndindex(*shape[:-2])):
            steps = way.steps(source_of(number), overrule.plane(at))
            for share in (work := WithValue(steps)):
                yield (number + share) / count
            found.append(with_origin(work.value, item.name, number, corrected=corrected))
        return joined(found)

    def _overrule(
        self, item: Item, image: ImageSource | Stack, shape: tuple[int, ...]
    ) -> tuple[Overrule, bool]:
        """What overrules the model, with the axes of the image, and whether a person's counts."""
        request = self.request
        stored, changed = _stored(request, item, self.manifest, shape)
        own = None if self.drawn is None else self.drawn.of(image, item)[0]
        instances = None if request.instances is None else _instances(request, item, shape)
        return Overrule(stored, own, instances), changed or own is not None


def _same(source: ImageSource, number: int) -> ImageSource:
    """The one plane of a picture."""
    return source


def _results(folder: Path, model: PrototypeSegmenter) -> Manifest:
    manifest = read_manifest(folder)
    if not manifest.images:
        raise ConfigError(f"“{folder}” holds no results: give a folder that predict wrote.")
    theirs, ours = ([c.name for c in classes] for classes in (manifest.classes, model.classes))
    if theirs != ours:
        raise ConfigError(
            f"The labels in “{folder}” are {', '.join(theirs)}, by “{manifest.model['name']}”, and "
            f"“{model.card.name}” knows {', '.join(ours)}: give --model the one that made them."
        )
    return manifest


def _stored(
    request: MeasureRequest, item: Item, manifest: Manifest, shape: tuple[int, ...]
) -> tuple[Any, bool]:
    """Labels (..., H, W) in the folder of results, and whether a person changed them.

    Raises
    ------
    ImageError, LabelError
        When they are of another image, or cannot be read.
    """
    entry = manifest.images.get(item.name)
    if request.labels is None or entry is None:
        return None, False
    # Of an image that was open in a viewer nothing but the name is known.
    if entry.source is not None and item.path and not entry.source.is_unchanged(item.path):
        raise ImageError(
            f"“{item.path.name}” is another image now than its labels in “{request.labels}” are "
            "of: call predict again."
        )
    check_order(item.name, entry, request.model.classes)
    path, count = request.labels / entry.labels, len(request.model.classes)
    stored = open_labels_of(path, shape, count)
    theirs = changed(entry.label_file, path, lambda: stored, count) is not None
    return stored, entry.corrected or theirs


def _regions(request: MeasureRequest, item: Item, common: Regions | None) -> dict[str, Polygons]:
    if request.regions is None:
        return {}
    path = None if common is not None else _beside(request.regions, item, _REGIONS)
    regions = common if path is None else read_regions(path)
    if regions is None:
        return {}
    place = georeference_of(item.path) if regions.need_place and item.path is not None else None
    return regions.in_pixels(place)


def _about_labels(request: MeasureRequest, name: str, manifest: Manifest) -> list[str]:
    """What to know of the labels of an image: that there are none in the folder of results."""
    if request.labels is None or name in manifest.images:
        return []
    return [f"{name} is not in “{request.labels}”: predicted"]


def _notes(request: MeasureRequest, name: str, areas: pd.DataFrame) -> list[str]:
    """What to know of the regions of an image: that there are none, or none of its pixels."""
    if request.regions is None:
        return []
    regions = areas[areas["region"] != ""].groupby("region", sort=False)["pixels"].sum()
    if regions.empty:
        return [f"{name}: “{request.regions}” holds no regions for it"]
    nowhere = list(regions.index[regions == 0])
    if not nowhere:
        return []
    more = f" and {len(nowhere) - _NAMED} more" if len(nowhere) > _NAMED else ""
    listed = ", ".join(nowhere[:_NAMED]) + more
    return [f"{name}: regions that hold none of its pixels with data: {listed}"]


def _instances(request: MeasureRequest, item: Item, shape: tuple[int, ...]) -> Any:
    """Objects of an image, (..., H, W), or of all planes of a stack, (H, W)."""
    assert request.instances is not None
    path = _beside(request.instances, item, _MASKS)
    if path is None:
        raise ImageError(f"“{request.instances}” holds no objects for it: add a file of its name.")
    is_stack = len(shape) > 2 and path.suffix in TIFF_SUFFIXES
    given = read_mask_stack(path) if is_stack else read_mask(path)
    return check_objects(given, shape, f" in “{path}”")


def _beside(folder: Path, item: Item, suffixes: tuple[str, ...]) -> Path | None:
    """The file of an image in another folder, that mirrors its own or holds all of them."""
    name = PurePosixPath(item.name)
    stem = name.stem.removesuffix(".ome")
    for place in (folder / name.parent, folder):
        for suffix in suffixes:
            if (path := place / f"{stem}{suffix}").is_file():
                return path
    return None
