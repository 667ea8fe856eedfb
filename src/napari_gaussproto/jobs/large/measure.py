"""What the Segment dock asks of a thread to measure a large image, tile by tile."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from napari_gaussproto.core.base.steps import WithValue
from napari_gaussproto.core.measure.tiled import PREFIX, TiledPieces, pieces_in
from napari_gaussproto.core.measure.units import PixelSize
from napari_gaussproto.io.batch.corrections import Corrections
from napari_gaussproto.io.stacks import Stack
from napari_gaussproto.jobs.batch.measure import Measured
from napari_gaussproto.jobs.batch.plane_tables import (
    Overrule,
    PlaneMeasure,
    Tables,
    check_objects,
    joined,
    with_origin,
)
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
    drawn = _drawn(order)
    overrule = Overrule(
        made.labels, drawn, check_objects(order.instances, tuple(made.labels.shape))
    )
    about = (made.model, made.side, order.least_area, size, order.regions)
    way, source_of = PlaneMeasure(*about), sources_of(made)
    # Beside the labels, where there is room for as much as they take.
    folder = TemporaryDirectory(dir=made.path.parent, prefix=PREFIX, ignore_cleanup_errors=True)
    found: list[Tables] = []
    pieces: list[TiledPieces] = []
    for number, at in enumerate(np.ndindex(*leading)):
        place = Path(folder.name) / str(number)
        kept = pieces_in(place, *sizes)
        yield Stage("Measuring", _PARTS * number, _PARTS * count)
        for share in (work := WithValue(way.fill(kept, source_of(number), overrule.plane(at)))):
            yield Stage("Measuring", round(_PARTS * (number + share)), _PARTS * count)
        found.append(with_origin(work.value, order.name, number, corrected=drawn is not None))
        pieces.append(kept)
    return KeptPieces(*joined(found), pieces=pieces, folder=folder)


def _drawn(order: LargeMeasure) -> Any:
    """What was drawn, (..., H, W), by the classes of the model; None for nothing."""
    made = order.made
    if order.drawn is None:
        return None
    image = Stack(made.pixels, made.rgb, "") if made.leading else sources_of(made)(0)
    return Corrections(order.drawn(), made.model.classes).of(image)[0]
