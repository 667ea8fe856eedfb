"""Pieces of label images as one COCO file: polygons, and run lengths where a piece has holes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto import __version__
from napari_gaussproto.core.base.atomic import replacing
from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.io.label_files.pieces import Piece, pieces_of


class CocoFile:
    """A COCO file that is being written, image by image; see `coco_file`.

    The file is written as it grows: annotations of thousands of photographs do not fit into memory.
    """

    def __init__(self, file: IO[str], least_area: int) -> None:
        self._file, self._least_area = file, least_area
        self._images: list[dict[str, Any]] = []
        self._count = 0

    def add(self, name: str, labels: npt.NDArray[Any]) -> None:
        """Add labels (H, W) of an image of that file name: an annotation for each piece."""
        height, width = labels.shape
        number = len(self._images) + 1
        self._images.append({"id": number, "file_name": name, "width": width, "height": height})
        for piece in pieces_of(labels, self._least_area):
            self._file.write(",\n" if self._count else "\n")
            self._count += 1
            about = {"id": self._count, "image_id": number, **_annotation(piece, labels.shape)}
            json.dump(about, self._file, separators=(",", ":"))

    def end(self, classes: Sequence[SegmentationClass]) -> None:
        """Write what follows the annotations."""
        categories = [
            {"id": value, "name": entry.name, "supercategory": "", "color": entry.color}
            for value, entry in enumerate(classes, start=1)
        ]
        info = {"description": f"napari-gaussproto {__version__}"}
        for key, value in (("images", self._images), ("categories", categories), ("info", info)):
            self._file.write(f'],\n"{key}":' if key == "images" else f',\n"{key}":')
            json.dump(value, self._file, ensure_ascii=False)
        self._file.write("}\n")


@contextmanager
def coco_file(
    path: Path, classes: Sequence[SegmentationClass], least_area: int = 1
) -> Iterator[CocoFile]:
    """A COCO file to fill, which takes its name when the block ends well."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.write('{"annotations":[')
        made = CocoFile(file, least_area)
        yield made
        made.end(classes)


def _annotation(piece: Piece, shape: tuple[int, ...]) -> dict[str, Any]:
    height, width = piece.mask.shape
    polygons = piece.polygons()
    has_holes = any(len(part) > 1 for part in polygons)
    outline: Any = [np.ravel(part[0][:-1]).tolist() for part in polygons]
    return {
        "category_id": piece.value,
        "segmentation": _run_lengths(piece, shape) if has_holes else outline,
        "area": piece.area,
        "bbox": [piece.left, piece.top, width, height],
        "iscrowd": 0,
    }


def _run_lengths(piece: Piece, shape: tuple[int, ...]) -> dict[str, Any]:
    """Numbers of pixels outside, inside and so on, column by column, as plain numbers."""
    height, width = shape
    columns = np.zeros((piece.mask.shape[1], height), np.bool_)
    columns[:, piece.top : piece.top + piece.mask.shape[0]] = piece.mask.T
    inside = np.concatenate([[False], columns.ravel(), [False]])
    # Where it changes, counted in the whole image; the first number is of what is outside.
    changes = np.flatnonzero(inside[1:] != inside[:-1]) + piece.left * height
    counts = np.diff(np.concatenate([[0], changes, [height * width]])).tolist()
    return {"size": [height, width], "counts": counts if counts[-1] else counts[:-1]}
