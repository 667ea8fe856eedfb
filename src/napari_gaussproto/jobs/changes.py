"""Edits of a model, as a thread makes them: each takes what a person saw, and the model last.

Other edits may come before one that waits, so a prototype's place is looked up in the model.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.editing import edits
from napari_gaussproto.core.editing.edits import index_of
from napari_gaussproto.core.editing.stack_cells import (
    cutter,
    latents_of,
    nearest_to_mean,
    rows_inside,
    targets_of,
)
from napari_gaussproto.core.model.segmentation import Prototype
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.reject import Rejection, present_targets, reject_steps
from napari_gaussproto.jobs.requests import Seen

_PATCHES = 8


def turn(on: bool, prototype: Prototype, model: PrototypeSegmenter) -> PrototypeSegmenter:
    """Turn a prototype on or off."""
    change = edits.turn_on if on else edits.turn_off
    return change(model, index_of(model, prototype))


def _of_one(edit: Callable[..., PrototypeSegmenter]) -> Callable[..., PrototypeSegmenter]:
    """An edit of one prototype, given before the model: it is looked up there."""

    def change(*arguments: Any) -> PrototypeSegmenter:
        *further, prototype, model = arguments
        return edit(model, index_of(model, prototype), *further)

    return change


rename, reassign, delete = _of_one(edits.rename), _of_one(edits.reassign), _of_one(edits.delete)


def merge(
    second: Prototype, seen: Seen, prototype: Prototype, model: PrototypeSegmenter
) -> PrototypeSegmenter:
    """Merge a second prototype into one."""
    places = index_of(model, prototype), index_of(model, second)
    return edits.merge(model, *places, latents_of(seen.segmentation))


def split(seen: Seen, prototype: Prototype, model: PrototypeSegmenter) -> PrototypeSegmenter:
    """Split a prototype by its cells in the image."""
    cells = latents_of(seen.segmentation)
    return edits.split(model, index_of(model, prototype), cells=cells, cut=_cutter(seen))


def add(
    class_index: int, mask: npt.NDArray[np.bool_], seen: Seen, model: PrototypeSegmenter
) -> PrototypeSegmenter:
    """Make a prototype of the cells inside a mask (..., H, W) of the image."""
    latents, rows = latents_of(seen.segmentation), rows_inside(seen.segmentation, mask)
    nearest = nearest_to_mean(latents, rows, _PATCHES) if len(rows) else None
    patches = None if nearest is None else _cutter(seen)(nearest)
    return edits.add(model, class_index, latents[rows], patches=patches)


def train_away(
    labels: npt.NDArray[Any] | None, seen: Seen, prototype: Prototype, model: PrototypeSegmenter
) -> Generator[Any, None, Rejection]:
    """Remove a prototype and train the others to do without it.

    Labels (..., H, W) must stay right; by default, the result where other prototypes made it.
    """
    m = index_of(model, prototype)
    cells = latents_of(seen.segmentation)
    if labels is None:
        target, weight = present_targets(model, m, cells)
    else:
        target, weight = targets_of(seen.segmentation, labels)
    return (yield from reject_steps(model, m, cells, target, weight))


def _cutter(seen: Seen) -> Any:
    image = seen.image
    about = (image.pixels, image.rgb, seen.model, seen.segmentation)
    return cutter(*about, nodata=image.nodata)
