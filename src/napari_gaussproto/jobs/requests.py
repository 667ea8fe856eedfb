"""What a fit is asked with, and what it gives back: plain data that may cross threads."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_gaussproto import __version__
from napari_gaussproto.core.base.config import NewModel, SegmentationClass
from napari_gaussproto.core.model.card import now
from napari_gaussproto.core.model.maps import MapRole, Maps, Quantity

if TYPE_CHECKING:
    from napari_gaussproto.core.labels.annotations import Annotations
    from napari_gaussproto.core.model.encode import TileSize
    from napari_gaussproto.core.model.segmentation import Prototype
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
    from napari_gaussproto.core.model.stack import StackSegmentation
    from napari_gaussproto.core.training.reject import Rejection
    from napari_gaussproto.jobs.caches import PyramidCache, RegionMemo
    from napari_gaussproto.jobs.closed_images import ClosedImages
    from napari_gaussproto.jobs.train_image import TrainImage

    Changed = PrototypeSegmenter | Rejection
    Change = Callable[[PrototypeSegmenter], Changed | Generator[Any, None, Changed]]
    Select = Callable[[PrototypeSegmenter], int]

# File, change time and device of a model.
ModelKey = tuple[str, float, str]
Judgement = Literal["too few strokes", "no gain", "right already"]


@dataclass(frozen=True)
class Start:
    """Where a fit begins: a model, the file of one, or a new one; one of the three is given."""

    model: PrototypeSegmenter | None = None
    file: Path | None = None
    new: NewModel | None = None
    device: str = "auto"


@dataclass(frozen=True)
class SegmentRequest:
    """Everything a run needs, taken from the GUI before the thread starts.

    Attributes
    ----------
    model_file : Path or None
        None runs the known model of ``known_key``, which is in no file.
    extras : frozenset of str
        Of ``"probability"``, ``"novelty"``, ``"uncertainty"``, ``"outlines"``.
    prototype : int
        Whose likelihood is shown first.
    region_size : int
        Nominal side of a superpixel, in pixels; grid models take no notice.
    present : list of MapRole
        Roles of the maps that the last run of this image left, which are brought up to date.
    former_model : PrototypeSegmenter or None
        The one that they show.
    known_models : mapping
        Models that were read before, with a person's edits, by their keys.
    """

    pixels: Any
    rgb: bool
    model_file: Path | None
    device: str
    tile: TileSize
    extras: frozenset[str]
    prototype: int
    region_size: int
    present: list[MapRole]
    former_model: PrototypeSegmenter | None
    known_key: ModelKey | None
    known_models: Mapping[ModelKey, PrototypeSegmenter]
    memo: RegionMemo


@dataclass(frozen=True)
class Seen:
    """An image as a person sees it who asks for an edit: an edit may need its cells."""

    segmentation: StackSegmentation
    pixels: Any
    rgb: bool
    model: PrototypeSegmenter


@dataclass(frozen=True)
class EditRequest:
    """An edit that waits for its turn.

    Attributes
    ----------
    kind : str
        Decides how the undo list changes.
    change : callable
        Gives the edited model, or the result of a training without one of its prototypes; a
        generator function if that takes a while.
    select : callable or None
        Names the prototype of the edited model to choose; else the chosen one stays.
    truth : ndarray or None
        Labels (..., H, W) of the current image, to tell its IoU by.
    """

    kind: Literal["edit", "undo", "redo", "again"]
    change: Change
    select: Select | None = None
    truth: npt.NDArray[Any] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Before:
    """What a thread needs to know of a result: the image's key, and roles of its maps."""

    key: Any
    segmentation: StackSegmentation
    roles: Sequence[MapRole]


@dataclass(frozen=True)
class Shown:
    """What is in view when an edit begins.

    The key of the current image, None where there is none; the prototypes of its segmentation,
    and the chosen one's place among them.
    """

    key: Any
    prototypes: Sequence[Prototype]
    prototype: int
    quantity: Quantity


@dataclass(frozen=True)
class FitRequest:
    """Everything a fit needs, taken from the GUI before the thread starts.

    Attributes
    ----------
    renamed : dict of str to int or None
        From the name of a class of the start to its index now; None if it was removed.
    images : list of TrainImage
        All that are annotated.
    shown : TrainImage
        The one whose classes are shown afterwards.
    maps : list of MapRole
        Roles of the maps that the shown image has; they are computed anew.
    closed : ClosedRequest or None
        To learn from labelled images that are not open, too.
    """

    start: Start
    classes: tuple[SegmentationClass, ...]
    renamed: dict[str, int | None]
    images: Sequence[TrainImage]
    shown: TrainImage
    maps: Sequence[MapRole]
    prototype: int
    quantity: Quantity
    cache: PyramidCache
    closed: ClosedRequest | None = None


@dataclass(frozen=True)
class ClosedRequest:
    """Where labelled images are that are not open.

    Attributes
    ----------
    stored : callable
        Gives all labels of the project.
    removed : list of TrainImage
        That were labelled in this session and then removed from the viewer.
    opened : list of TrainImage
        Open images whose annotations were not asked for yet.
    """

    reader: ClosedImages
    stored: Callable[[], Annotations]
    removed: Sequence[TrainImage]
    opened: Sequence[TrainImage] = ()


@dataclass(frozen=True)
class TuneRequest:
    """What a fine-tune needs besides.

    Attributes
    ----------
    steps, minutes : float or None
        One of them is the budget.
    unlabelled : list of TrainImage
        Open images without annotations that may teach too.
    checkpoint : Path or None
        Where the state of the training is kept, to go on after a kill.
    stop : callable
        Asked after every step; True ends with the best model so far.
    given_up : callable
        Asked when the work ends too early; True if a person wanted that.
    """

    steps: int | None
    minutes: float | None
    semi: dict[str, float]
    unlabelled: Sequence[TrainImage]
    checkpoint: Path | None
    stop: Callable[[], bool]
    given_up: Callable[[], bool]
    seed: int = 0


@dataclass(frozen=True)
class FitResult:
    """What a fit gives back, with every array computed.

    Attributes
    ----------
    base : PrototypeSegmenter
        Where the fit began, to begin there again with more strokes.
    began_with : PrototypeSegmenter
        The parent of the model among the versions.
    segmentation : StackSegmentation
        Of the shown image.
    values : (..., h, w) ndarray
        The map of the prototype.
    maps : dict of MapRole to (..., h, w) ndarray
        Further maps.
    strokes, images : int
        Connected strokes, and the images that they are on.
    stopped : bool
        Before the budget was used up.
    trained : bool
        End to end; False where a quick fit was kept instead.
    seconds : float
        Without pauses.
    judgement : str or None
        What the strokes that were set aside say about a fine-tune, if not that it gained:
        "too few strokes" to set any aside; "no gain" or "right already", where a quick fit is
        kept instead.
    unknown : list of str
        Names of classes that nothing is known of yet.
    lost : list of str
        Names of closed images that nothing could be learned from.
    """

    base: PrototypeSegmenter
    model: PrototypeSegmenter
    began_with: PrototypeSegmenter
    segmentation: StackSegmentation
    prototype: int
    values: npt.NDArray[np.float32]
    maps: Maps
    measures: dict[str, float] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    strokes: int = 0
    images: int = 0
    stopped: bool = False
    trained: bool = False
    seconds: float = 0.0
    judgement: Judgement | None = None
    unknown: Sequence[str] = ()
    lost: Sequence[str] = ()


def provenance(model: PrototypeSegmenter, file: Path | None = None, **more: Any) -> dict[str, Any]:
    """What a result tells of where it comes from: the model, its file, and ``more``."""
    return {
        "model": model.card.name,
        "model_file": None if file is None else file.name,
        "model_created": model.card.created,
        "version": __version__,
        "device": str(model.device),
        **more,
        "time": now(),
    }


def lost_sentence(names: Sequence[str]) -> str:
    """What to do about closed images that could not be read; empty without any."""
    if not names:
        return ""
    shown = ", ".join(f"“{name}”" for name in names[:3])
    shown += f" and {len(names) - 3} more" if len(names) > 3 else ""
    why = "their files are gone, have changed or are not known. Open the images to learn from them."
    if len(names) == 1:
        why = "its file is gone, has changed or is not known. Open the image to learn from it."
    return f" Nothing was learned from {shown}: {why}"
