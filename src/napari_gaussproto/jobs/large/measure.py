"""What the Segment dock asks of a thread to measure a large image, tile by tile."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.base.steps import WithValue
from napari_gaussproto.core.imaging.tiles import Area
from napari_gaussproto.core.labels.annotations import values_between
from napari_gaussproto.core.labels.check import check_labels
from napari_gaussproto.core.measure.tiled import PREFIX, TiledPieces, pieces_in
from napari_gaussproto.core.measure.units import PixelSize
from napari_gaussproto.jobs.batch.measure import Measured
from napari_gaussproto.jobs.batch.plane_tables import Overrule, PlaneMeasure, Tables, with_origin
from napari_gaussproto.jobs.large.fill import sources_of
from napari_gaussproto.jobs.large.order import LargeMeasure
from napari_gaussproto.jobs.train_image import Stage

# Parts of the work that the progress counts.
_PARTS = 1000


@dataclass
class KeptPieces(Measured):
    """Tables whose objects can be found in the image: their pixels are in a folder meanwhile.

    Attributes
    ----------
    folder : TemporaryDirectory
        It goes with these tables.
    """

    folder: TemporaryDirectory[str] | None = field(default=None, repr=False)


def measure_job(order: LargeMeasure) -> Generator[Stage, None, KeptPieces]:
    """Measure every plane of a large image by its labels on disk.

    In memory is one tile at a time, and what is summed up of the objects.

    Raises
    ------
    GaussProtoError
        When the size of a pixel is none, or labels or objects do not suit the image.
    """
    made, size = order.made, None
    if order.pixel_size.strip():
        size = PixelSize.parse(order.pixel_size)
    leading, shape, count = made.leading, made.shape, int(np.prod(made.leading, dtype=int))
    sizes = (shape, len(made.model.classes), len(order.regions), order.least_area)
    drawn, instances = _drawn(order), _instances(order)
    about = (made.model, made.side, order.least_area, size, order.regions)
    way, source_of = PlaneMeasure(*about), sources_of(made)
    # Beside the labels, where there is room for as much as they take.
    folder = TemporaryDirectory(dir=made.path.parent, prefix=PREFIX, ignore_cleanup_errors=True)
    found: list[Tables] = []
    pieces: list[TiledPieces] = []
    for number, at in enumerate(np.ndindex(*leading)):
        place = Path(folder.name) / str(number)
        kept = pieces_in(place, *sizes)
        overrule = Overrule(_plane(made.labels, at), _plane(drawn, at), _plane(instances, at))
        yield Stage("Measuring", _PARTS * number, _PARTS * count)
        for share in (work := WithValue(way.fill(kept, source_of(number), overrule))):
            yield Stage("Measuring", round(_PARTS * (number + share)), _PARTS * count)
        name = order.name if count == 1 else f"{order.name}/plane {number + 1}"
        found.append(with_origin(work.value, name, number, corrected=drawn is not None))
        pieces.append(kept)
    objects, areas = (pd.concat(tables, ignore_index=True) for tables in zip(*found, strict=True))
    return KeptPieces(objects, areas, pieces=pieces, folder=folder)


def _plane(array: Any, at: tuple[int, ...]) -> Any:
    """A plane of what has the axes of the labels, or is one; read where it is asked for."""
    if array is None or not at or np.ndim(array) == 2:
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


def _drawn(order: LargeMeasure) -> Any:
    """What was drawn, (..., H, W), by the classes of the model; None for nothing."""
    made, parts = order.made, order.parts
    if order.drawn is not None:
        given, own = order.drawn
        given = check_labels(given, tuple(made.labels.shape), len(own))
        return values_between(own, made.model.classes, [given])[given] if given.any() else None
    if parts is None:
        return None
    values = values_between(
        parts.classes, made.model.classes, [labels for _, labels in parts.parts]
    )
    return _Painted([(area, values[labels]) for area, labels in parts.parts])


@dataclass(frozen=True)
class _Painted:
    """Labels in windows of an image, read as if they were one array (H, W); 0 between them."""

    parts: Sequence[tuple[Area, npt.NDArray[np.uint8]]]
    ndim: int = 2

    def __getitem__(self, window: tuple[slice, slice]) -> npt.NDArray[np.uint8]:
        """A window of them."""
        rows, columns = window
        found = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
        for (y0, x0, y1, x1), labels in self.parts:
            top, bottom = max(y0, rows.start), min(y1, rows.stop)
            left, right = max(x0, columns.start), min(x1, columns.stop)
            if top < bottom and left < right:
                own = labels[top - y0 : bottom - y0, left - x0 : right - x0]
                place = found[top - rows.start :, left - columns.start :]
                place = place[: bottom - top, : right - left]
                np.copyto(place, own, where=own > 0)
        return found


def _instances(order: LargeMeasure) -> Any:
    given, shape = order.instances, tuple(order.made.labels.shape)
    if given is not None and tuple(given.shape) not in (shape, shape[-2:]):
        raise LabelError(
            f"The objects are {tuple(given.shape)} pixels large and the image {shape}: "
            "choose objects of this image."
        )
    return given
