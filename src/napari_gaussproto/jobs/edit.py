"""What an edit asks of a thread: the edited model, and all that is shown by it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_gaussproto.jobs.libraries import load_libraries
from napari_gaussproto.widgets.layers.prototype_map import values_of
from napari_gaussproto.widgets.shared.state import Outcome, Quantity

if TYPE_CHECKING:
    from napari_gaussproto.core.measure.compare import Comparison
    from napari_gaussproto.core.model.segmentation import Prototype
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
    from napari_gaussproto.core.model.stack import StackSegmentation
    from napari_gaussproto.core.training.reject import Rejection

    Edit = Callable[[PrototypeSegmenter], PrototypeSegmenter]
    Steps = Callable[[PrototypeSegmenter], Generator[Any, None, PrototypeSegmenter | Rejection]]
    Select = Callable[[PrototypeSegmenter], int]

Maps = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Before:
    """What a thread needs to know of an outcome."""

    outcome: Outcome
    segmentation: StackSegmentation
    roles: list[str]


@dataclass(frozen=True)
class Redrawn:
    """An image decoded again."""

    outcome: Outcome
    segmentation: StackSegmentation
    maps: Maps


@dataclass(frozen=True)
class EditResult:
    """What a thread gives back.

    Attributes
    ----------
    model : PrototypeSegmenter
    redrawn : list of Redrawn
        All images whose cells the model's extractor made.
    prototype : int
        The one to select.
    outcome : Outcome or None
        That of the image which was the current one, if it was decoded again.
    values : ndarray or None
        The map of the prototype on that image.
    comparison : Comparison or None
        Of that image, before and after an edit.
    rejection : Rejection or None
    seconds : float
    """

    model: PrototypeSegmenter
    redrawn: list[Redrawn]
    prototype: int
    outcome: Outcome | None
    values: npt.NDArray[np.float32] | None
    comparison: Comparison | None
    rejection: Rejection | None
    seconds: float


@dataclass(frozen=True)
class Request:
    """An edit that waits for its turn; ``kind`` decides what happens to the history.

    ``truth`` holds labels (..., H, W) of the current image to tell its IoU by.
    """

    kind: Literal["edit", "undo", "redo", "again"]
    steps: Steps
    select: Select | None = None
    truth: npt.NDArray[Any] | None = field(default=None, compare=False)


def one_step(edit: Edit, model: PrototypeSegmenter) -> Generator[Any, None, PrototypeSegmenter]:
    """An edit as a generator of one step."""
    yield
    return edit(model)


def no_step(
    version: PrototypeSegmenter, model: PrototypeSegmenter
) -> Generator[Any, None, PrototypeSegmenter]:
    """Another version of the model, as it is."""
    yield
    return version


def as_it_is(model: PrototypeSegmenter) -> Generator[Any, None, PrototypeSegmenter]:
    """The model itself, to decode again by it."""
    yield
    return model


def edit_job(
    request: Request,
    model: PrototypeSegmenter,
    before: list[Before],
    current: Outcome | None,
    prototype: int,
    quantity: Quantity,
) -> Generator[Any, None, EditResult]:
    """Edit, decode every image again and compute all that is shown of it.

    ``prototype`` is the chosen one's place in the current result; it stays the chosen one where
    it is in the edited model.
    """
    load_libraries()
    from napari_gaussproto.core.base.device import one_thread
    from napari_gaussproto.core.measure.compare import compare
    from napari_gaussproto.core.training.reject import Rejection

    start = time.monotonic()
    found = yield from request.steps(model)
    rejection = found if isinstance(found, Rejection) else None
    edited = found.model if isinstance(found, Rejection) else found
    redrawn, shown, values, comparison = [], None, None, None
    seen = model.prototypes if current is None else current.segmentation.prototypes
    chosen = request.select(edited) if request.select else _same(edited, seen, prototype)
    for entry in before:
        with one_thread():
            segmentation = entry.segmentation.decoded_by(edited)
            drawn = Redrawn(entry.outcome, segmentation, maps_of(segmentation, entry.roles))
            _ = segmentation.labels, segmentation.cover, segmentation.prototype_share()
            if entry.outcome is current:
                shown, values = current, values_of(segmentation, chosen, quantity)
                if request.kind != "again":
                    comparison = compare(entry.segmentation, segmentation, request.truth)
        redrawn.append(drawn)
        yield
    seconds = time.monotonic() - start
    return EditResult(edited, redrawn, chosen, shown, values, comparison, rejection, seconds)


def _same(model: PrototypeSegmenter, seen: list[Prototype], position: int) -> int:
    """The prototype at a position of what was seen, or else the one that took its place."""
    from napari_gaussproto.core.base.errors import EditError
    from napari_gaussproto.core.editing.edits import index_of

    try:
        return index_of(model, seen[position])
    except (EditError, IndexError):
        return min(position, len(model.prototypes) - 1)


def maps_of(segmentation: StackSegmentation, roles: list[str]) -> Maps:
    """New values for the maps besides the likelihood that an image has."""
    maps: Maps = {}
    for role in roles:
        if role == "novelty":
            maps[role] = segmentation.novelty()
        elif role == "uncertainty":
            maps[role] = segmentation.uncertainty()
        elif role.startswith("probability "):
            c = int(role.split()[1])
            if c < len(segmentation.classes):
                maps[role] = segmentation.class_probability(c)
        elif role == "stack" and not segmentation.leading:
            maps[role] = likelihoods(segmentation)
    return maps


def likelihoods(segmentation: StackSegmentation) -> npt.NDArray[np.float32]:
    """Likelihood of all prototypes of one image, (M, h, w)."""
    count = len(segmentation.prototypes)
    return np.stack([segmentation.likelihood(m) for m in range(count)])


def save_job(
    model: PrototypeSegmenter, path: Path
) -> Generator[Any, None, tuple[Path, PrototypeSegmenter]]:
    """Write a model under the name of its file; returns where, and the model as it was."""
    load_libraries()
    from napari_gaussproto.core.editing.edits import named
    from napari_gaussproto.core.model.model_file import save_model

    yield
    return save_model(named(model, path.stem), path), model
