"""Measure many images: cover of classes and regions, and every object in them."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_gaussproto.core.base.errors import ConfigError, GaussProtoError, ImageError
from napari_gaussproto.core.base.steps import WithValue
from napari_gaussproto.core.labels.check import check_labels
from napari_gaussproto.core.labels.pieces import components, large_enough
from napari_gaussproto.core.measure.areas import area_table, region_of
from napari_gaussproto.core.measure.objects import object_table
from napari_gaussproto.core.measure.units import PixelSize
from napari_gaussproto.core.model.encode import TileSize, as_source
from napari_gaussproto.core.model.predict import segment_steps
from napari_gaussproto.core.model.segmentation import Segmentation
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.io.batch.corrections import Corrections, array_digest
from napari_gaussproto.io.batch.inputs import Found, Item
from napari_gaussproto.io.batch.manifest import Manifest, named, read_manifest
from napari_gaussproto.io.batch.outputs import read_label_file
from napari_gaussproto.io.batch.regions import Polygons, read_regions, region_masks
from napari_gaussproto.io.images import channel_axis_in, read_image, read_mask
from napari_gaussproto.io.pixel_size import pixel_size_of
from napari_gaussproto.jobs.batch.one_image import LARGE, BatchStep

_MASKS = (".png", ".tif", ".tiff", ".npy")
PREDICTED, CORRECTED = "predicted", "with corrections"


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


@dataclass
class Measured:
    """Tables of all images, and why some were left out.

    Attributes
    ----------
    objects, areas : DataFrame
        See `object_table` and `area_table`; with the image's name in front.
    left_out : dict of str to str
    pieces : list of (H, W) ndarray of int
        Numbers of the objects of each plane of the image that is shown; else none are kept.
    """

    objects: pd.DataFrame = field(default_factory=pd.DataFrame)
    areas: pd.DataFrame = field(default_factory=pd.DataFrame)
    left_out: dict[str, str] = field(default_factory=dict)
    pieces: list[npt.NDArray[np.int32]] = field(default_factory=list)

    def object_at(self, plane: int, y: int, x: int) -> int | None:
        """Row of the object at a pixel of the image that is shown; None where there is none."""
        number = self.pieces[plane][y, x]
        table = self.objects
        rows = np.flatnonzero((table["plane"] == plane) & (table["object"] == number))
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
    sentence = "There is no such file: check the name and the folder."
    measured = Measured(left_out={str(path): sentence for path in request.found.missing})
    items = named(request.found.paths, request.found.root, manifest)
    objects: list[pd.DataFrame] = []
    areas: list[pd.DataFrame] = []
    for done, item in enumerate(items):
        yield BatchStep(item.name, done, len(items))
        try:
            image = _image(item)
            segmentation = yield from _segmented(request, item, image, done, len(items))
            labels, how = _labels(request, item, manifest, segmentation)
            if drawn is not None:
                own, _ = drawn.of(image, segmentation.shape, item)
                if own is not None:
                    labels, how = np.where((own > 0) & (labels > 0), own, labels), CORRECTED
            regions = _regions(request, item, common)
            pieces = _pieces(request, item, labels)
        except GaussProtoError as error:
            measured.left_out[item.name] = str(error)
            continue
        masks = region_masks(regions, labels.shape)
        found = measured_image(segmentation, labels, pieces, masks, _size(request, item))
        for tables, table in zip((objects, areas), found, strict=True):
            table.insert(0, "image", item.name)
            table["labels"] = how
            tables.append(table)
    if areas:
        measured.objects = pd.concat(objects, ignore_index=True)
        measured.areas = pd.concat(areas, ignore_index=True)
    return measured


def measured_image(
    segmentation: Segmentation,
    labels: npt.NDArray[Any],
    pieces: npt.NDArray[np.int64],
    regions: Mapping[str, npt.NDArray[np.bool_]],
    pixel_size: PixelSize | None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of objects and of areas of one image.

    Parameters
    ----------
    segmentation : Segmentation
    labels : (H, W) ndarray of int
        Class index + 1, as predicted or as corrected.
    pieces : (H, W) ndarray of int
        Numbers of the objects.
    regions : mapping of str to (H, W) ndarray of bool
    pixel_size : PixelSize or None
    """
    classes = segmentation.classes
    objects = object_table(pieces, labels, classes, segmentation, pixel_size)
    objects.insert(1, "region", region_of(pieces, regions))
    return objects, area_table(labels, classes, regions, pixel_size)


def _image(item: Item) -> Any:
    assert item.path is not None  # items of files
    return read_image(item.path)


def _segmented(
    request: MeasureRequest, item: Item, image: Any, done: int, total: int
) -> Generator[BatchStep, None, Segmentation]:
    assert item.path is not None
    axis = channel_axis_in(item.path, request.channel_axis)
    source = as_source(image, request.model, axis)
    if source.height * source.width > LARGE:
        raise ImageError(
            f"“{item.path.name}” has more than {LARGE // 1_000_000} megapixels: cut it into parts "
            "to measure it."
        )
    for tile in (work := WithValue(segment_steps(source, request.model, tile=request.tile))):
        yield BatchStep(item.name, done, total, tile.index / tile.total)
    return work.value


def _size(request: MeasureRequest, item: Item) -> PixelSize | None:
    assert item.path is not None
    return request.pixel_size or pixel_size_of(item.path)


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


def _labels(
    request: MeasureRequest, item: Item, manifest: Manifest, segmentation: Segmentation
) -> tuple[npt.NDArray[Any], str]:
    """Labels of an image (H, W), and whether a person changed them."""
    predicted = segmentation.labels
    entry = manifest.images.get(item.name)
    if request.labels is None or entry is None:
        return predicted, PREDICTED
    path = request.labels / entry.labels
    about = f"The labels in “{path.name}”"
    stored = check_labels(read_label_file(path), predicted.shape, len(segmentation.classes), about)
    changed = entry.corrected or array_digest(stored) != entry.labels_digest
    return stored, CORRECTED if changed else PREDICTED


def _regions(
    request: MeasureRequest, item: Item, common: dict[str, Polygons] | None
) -> dict[str, Polygons]:
    if common is not None or request.regions is None:
        return common or {}
    path = _beside(request.regions, item, (".geojson", ".json"))
    return {} if path is None else read_regions(path)


def _pieces(request: MeasureRequest, item: Item, labels: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    if request.instances is None:
        return components(labels, request.least_area)
    path = _beside(request.instances, item, _MASKS)
    if path is None:
        raise ImageError(f"“{request.instances}” holds no objects for it: add a file of its name.")
    given = read_mask(path)
    if given.shape != labels.shape:
        raise ImageError(
            f"The objects in “{path}” are {' × '.join(map(str, given.shape))} pixels and the image "
            f"{labels.shape[0]} × {labels.shape[1]}: give objects of the same image."
        )
    return large_enough(given, request.least_area)


def _beside(folder: Path, item: Item, suffixes: tuple[str, ...]) -> Path | None:
    """The file of an image in another folder, that mirrors its own or holds all of them."""
    name = PurePosixPath(item.name)
    stem = name.stem.removesuffix(".ome")
    for place in (folder / name.parent, folder):
        for suffix in suffixes:
            if (path := place / f"{stem}{suffix}").is_file():
                return path
    return None
