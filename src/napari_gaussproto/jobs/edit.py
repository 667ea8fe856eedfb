"""What an edit asks of a thread: the edited model, and all that is shown by it."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.device import one_thread
from napari_gaussproto.core.base.errors import EditError
from napari_gaussproto.core.base.steps import driven
from napari_gaussproto.core.editing.edits import index_of, named
from napari_gaussproto.core.measure.compare import Comparison, compare
from napari_gaussproto.core.model.maps import Maps, maps_of, values_of
from napari_gaussproto.core.model.model_file import save_model
from napari_gaussproto.core.model.segmentation import Prototype
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.model.stack import StackSegmentation
from napari_gaussproto.core.training.reject import Rejection
from napari_gaussproto.jobs.requests import Before, EditRequest, Shown


@dataclass(frozen=True)
class Redrawn:
    """An image, told by its key, decoded again; its maps are (..., h, w)."""

    key: Any
    segmentation: StackSegmentation
    maps: Maps


@dataclass(frozen=True)
class EditResult:
    """What a thread gives back.

    Attributes
    ----------
    redrawn : list of Redrawn
        All images whose cells the model's extractor made.
    prototype : int
        The one to select.
    key : object
        Of the image which was the current one, if it was decoded again; else None.
    values : (..., h, w) ndarray or None
        The map of the prototype on that image.
    comparison : Comparison or None
        Of that image, before and after an edit.
    """

    model: PrototypeSegmenter
    redrawn: list[Redrawn]
    prototype: int
    key: Any
    values: npt.NDArray[np.float32] | None
    comparison: Comparison | None
    rejection: Rejection | None
    seconds: float


def edit_job(
    request: EditRequest, model: PrototypeSegmenter, before: Sequence[Before], shown: Shown
) -> Generator[Any, None, EditResult]:
    """Edit, decode every image again and compute all that is shown of it."""
    start = time.monotonic()
    found: PrototypeSegmenter | Rejection = yield from driven(request.change(model))
    rejection = found if isinstance(found, Rejection) else None
    edited = found.model if isinstance(found, Rejection) else found
    redrawn, key, values, comparison = [], None, None, None
    stays = _same(edited, shown.prototypes or model.prototypes, shown.prototype)
    chosen = request.select(edited) if request.select else stays
    for entry in before:
        with one_thread():
            segmentation = entry.segmentation.decoded_by(edited)
            drawn = Redrawn(entry.key, segmentation, maps_of(segmentation, entry.roles))
            _ = segmentation.labels, segmentation.cover, segmentation.prototype_share()
            _ = segmentation.remarks, segmentation.is_unlike
            if entry.key == shown.key:
                key, values = shown.key, values_of(segmentation, chosen, shown.quantity)
                if request.kind != "again":
                    comparison = compare(entry.segmentation, segmentation, request.truth)
        redrawn.append(drawn)
        yield None
    seconds = time.monotonic() - start
    return EditResult(edited, redrawn, chosen, key, values, comparison, rejection, seconds)


def _same(model: PrototypeSegmenter, seen: Sequence[Prototype], position: int) -> int:
    """The prototype at a position of what was seen, or else the one that took its place."""
    try:
        return index_of(model, seen[position])
    except (EditError, IndexError):
        return min(position, len(model.prototypes) - 1)


def save_job(model: PrototypeSegmenter, path: Path) -> tuple[Path, PrototypeSegmenter]:
    """Write a model under the name of its file; returns where, and the model as it was."""
    return save_model(named(model, path.stem), path), model
