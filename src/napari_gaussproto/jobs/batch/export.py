"""Labels of a folder of results in the formats of other programs."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import ConfigError, GaussProtoError
from napari_gaussproto.core.labels.check import Labels, check_labels
from napari_gaussproto.io.batch.cover import of_classes
from napari_gaussproto.io.batch.manifest import Entry, check_order, locked, read_manifest, rows_of
from napari_gaussproto.io.batch.outputs import (
    Outputs,
    make_folder,
    read_label_file,
    write_label_file,
)
from napari_gaussproto.io.geo import Georeference, georeference_of
from napari_gaussproto.io.label_files.coco import coco_file
from napari_gaussproto.io.label_files.geojson import write_geojson
from napari_gaussproto.jobs.batch.one_image import BatchStep

ExportFormat = Literal["coco", "geojson", "png"]
COCO = "coco.json"

_Put = Callable[[str, Entry, npt.NDArray[Any]], None]


@dataclass
class ExportResult:
    """What was written.

    Attributes
    ----------
    images : list of str
        Names.
    left_out : dict of str to str
        Why labels of an image could not be written.
    notes : list of str
        Sentences about what was kept under another name.
    """

    images: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def export_steps(
    folder: Path, form: ExportFormat, out: Path | None = None, least_area: int = 1
) -> Generator[BatchStep, None, ExportResult]:
    """Write the labels that are in a folder of results, one generator step an image.

    They are those of the label files, so what a person corrected there counts.

    Parameters
    ----------
    folder : Path
        Results of `batch_steps`.
    form : {"coco", "geojson", "png"}
    out : Path, optional
        Another folder for what is written; for COCO also the file, ending in .json.
    least_area : int
        Smaller pieces are left out of polygons, in pixels.

    Raises
    ------
    ConfigError
        When there is nothing to write, or the folder cannot be used.
    """
    _results(folder)  # where there are none, no file of a lock is made
    out = _checked_out(out or folder, form)
    result = ExportResult()
    with locked(folder), ExitStack() as stack:
        images, classes = _results(folder)
        put = _put(form, folder, out, classes, least_area, stack, result.notes)
        labels_of = lru_cache(1)(_labels)  # the planes of a stack are in one file
        for done, (name, entry) in enumerate(images.items()):
            yield BatchStep(name, done, len(images))
            try:
                check_order(name, entry, classes)
                shape = (*entry.leading, entry.height, entry.width)
                labels = labels_of(folder, entry.labels, shape, len(classes))
            except GaussProtoError as error:
                result.left_out[name] = str(error)
                continue
            planes = labels.reshape(-1, *labels.shape[-2:])
            put(name, entry, planes[entry.plane or 0])
            result.images.append(name)
    return result


def _checked_out(out: Path, form: ExportFormat) -> Path:
    """The folder for what is written, or the COCO file, whose folder is there then.

    Raises
    ------
    ConfigError
        When it cannot be, or is the name of a file where there is one for each image.
    """
    if out.suffix.lower() == ".json" and form == "coco" and not out.is_dir():
        make_folder(out.parent)
        return out
    if out.suffix.lower() in (".json", ".geojson", ".png") and not out.is_dir():
        raise ConfigError(
            f"“{out}” is the name of a file, and {form} has a file for each image: give a folder."
        )
    make_folder(out)
    return out


def _results(folder: Path) -> tuple[dict[str, Entry], list[SegmentationClass]]:
    """Images and planes that were divided into the classes of the last run, and these.

    Raises
    ------
    ConfigError
        When there are none.
    """
    manifest = read_manifest(folder)
    images = rows_of(of_classes(manifest.images, manifest.classes))
    if not images:
        raise ConfigError(f"“{folder}” holds no results: give the folder that predict wrote.")
    return images, manifest.classes


def _labels(folder: Path, name: str, shape: tuple[int, ...], n_classes: int) -> Labels:
    """Labels (..., H, W) of an image or a stack, also as a person has saved them."""
    labels = read_label_file(folder / name, len(shape))
    return check_labels(labels, shape, n_classes, f"The labels in “{name}”")


def _put(
    form: ExportFormat,
    folder: Path,
    out: Path,
    classes: list[SegmentationClass],
    least_area: int,
    stack: ExitStack,
    notes: list[str],
) -> _Put:
    """What writes the labels (H, W) of an image."""
    if form == "coco":
        # One file for all of them, as programs for annotation expect it.
        path = out if out.suffix.lower() == ".json" and not out.is_dir() else out / COCO
        file = stack.enter_context(coco_file(path, classes, least_area))
        return lambda name, entry, labels: file.add(name, labels)
    if form == "png":
        pictures = Outputs(labels="png")  # of which a person may have corrected one
        return lambda name, entry, labels: notes.extend(
            write_label_file(out, entry.results, labels, classes, pictures, entry.model)
        )

    def put_polygons(name: str, entry: Entry, labels: npt.NDArray[Any]) -> None:
        place = Georeference.from_json(entry.georeference)
        if place is None and entry.source is not None:  # as of earlier versions
            files = [Path(entry.source.path), folder / f"{entry.results}{Outputs().label_suffix}"]
            place = next(filter(None, map(georeference_of, files)), None)
        write_geojson(out / f"{entry.results}.labels.geojson", labels, classes, place, least_area)

    return put_polygons
