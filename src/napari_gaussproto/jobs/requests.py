"""What threads are asked with: plain data that may cross threads."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy.typing as npt

from napari_gaussproto.core.base.config import NewModel, SegmentationClass
from napari_gaussproto.core.model.maps import MapRole, Quantity

if TYPE_CHECKING:
    from napari_gaussproto.core.labels.annotations import Annotations
    from napari_gaussproto.core.model.encode import TileSize
    from napari_gaussproto.core.model.segmentation import Prototype
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
    from napari_gaussproto.core.model.stack import StackSegmentation
    from napari_gaussproto.core.training.reject import Rejection
    from napari_gaussproto.io.batch.regions import Polygons
    from napari_gaussproto.jobs.caches import PyramidCache, RegionMemo
    from napari_gaussproto.jobs.closed_images import ClosedImages
    from napari_gaussproto.jobs.train_image import TrainImage

    Changed = PrototypeSegmenter | Rejection
    Change = Callable[[PrototypeSegmenter], Changed | Generator[Any, None, Changed]]
    Select = Callable[[PrototypeSegmenter], int]

# Labels of a person, (..., H, W), and their classes.
Drawn = tuple[npt.NDArray[Any], tuple[SegmentationClass, ...]]


# File, change time and device of a model.
ModelKey = tuple[str, float, str]


@dataclass(frozen=True)
class Start:
    """Where a fit begins: a model, the file of one, or a new one; one of the three is given.

    A model beside a new one is what this became for earlier photographs: it serves as long as it
    would be the same for those that are labelled now.
    """

    model: PrototypeSegmenter | None = None
    file: Path | None = None
    new: NewModel | None = None
    device: str = "auto"


@dataclass(frozen=True)
class SegmentRequest:
    """Everything a run needs, taken from the GUI before the thread starts.

    Attributes
    ----------
    file : str or None
        That the image was read from.
    model_file : Path or None
        None runs the known model of ``known_key``, which is in no file.
    extras : frozenset of str
        Of ``"probability"``, ``"novelty"``, ``"uncertainty"``, ``"outlines"``.
    cell_size : int or None
        Nominal side of a cell, in pixels; see `PrototypeSegmenter.with_cells`.
    present : list of MapRole
        Roles of the maps of the ``former_model``, the last run's; they are brought up to date.
    known_models : mapping
        Models that were read before, with a person's edits, by their keys.
    follow_edges : bool or None
        As `FitRequest` says.
    """

    pixels: Any
    rgb: bool
    file: str | None
    model_file: Path | None
    device: str
    tile: TileSize
    extras: frozenset[str]
    prototype: int
    cell_size: int | None
    present: list[MapRole]
    former_model: PrototypeSegmenter | None
    known_key: ModelKey | None
    known_models: Mapping[ModelKey, PrototypeSegmenter]
    memo: RegionMemo
    follow_edges: bool | None = None


@dataclass(frozen=True)
class BatchOrder:
    """Many images that are to be segmented into a folder, as the Segment dock asks for it.

    Attributes
    ----------
    images : list of TrainImage
        Open ones.
    folder : Path or None
        With image files, in the place of open images.
    out : Path
        For the results.
    labels : str
        See `Outputs`.
    tables, least_area
        See `Outputs`.
    drawn : callable or None
        Gives all labels of the open project, which overrule predictions.
    closed : callable or None
        Gives all labels of the open project, whose images are segmented, too, if they are not open.
    """

    model_file: Path | None
    device: str
    known_key: ModelKey | None
    known_models: Mapping[ModelKey, PrototypeSegmenter]
    cell_size: int | None
    tile: TileSize
    images: Sequence[TrainImage]
    folder: Path | None
    out: Path
    labels: str = "tiff"
    maps: bool = False
    tables: bool = False
    least_area: int = 16
    follow_edges: bool | None = None
    drawn: Callable[[], Annotations] | None = None
    closed: Callable[[], Annotations] | None = None


@dataclass(frozen=True)
class MeasureOrder:
    """What to measure of the image that is shown.

    Attributes
    ----------
    labels : (..., H, W) ndarray
        Class index + 1, as they are in the viewer, with what was painted there.
    drawn : tuple or None
        What is drawn on this image in the open project, which overrules them: labels (..., H, W),
        and the classes that these are of.
    instances : ndarray or None
        (H, W) or (..., H, W): objects, in the place of connected pieces of a class.
    regions : dict of str to list
        In pixels; see `Regions.in_pixels`.
    pixel_size : str
        Such as "0.5mm"; empty where it is not known.
    least_area : int
        Smaller objects are left out, in pixels.
    """

    name: str
    segmentation: StackSegmentation
    labels: npt.NDArray[Any]
    instances: npt.NDArray[Any] | None
    regions: Mapping[str, Polygons]
    pixel_size: str
    least_area: int
    drawn: Drawn | None = None


@dataclass(frozen=True)
class Seen:
    """An image as a person sees it who asks for an edit: an edit may need its cells."""

    segmentation: StackSegmentation
    image: TrainImage
    model: PrototypeSegmenter


@dataclass(frozen=True)
class EditRequest:
    """An edit that waits for its turn.

    Attributes
    ----------
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
    follow_edges : bool or None
        Whether borders of classes follow the photograph's edges; None as the model says.
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
    follow_edges: bool | None = None
    closed: ClosedRequest | None = None


@dataclass(frozen=True)
class CompareRequest:
    """Which of two starts suits the strokes better.

    Attributes
    ----------
    fit : FitRequest
        As the last fit's, with the start that is in use.
    rival : Start
        The other one.
    """

    fit: FitRequest
    rival: Start


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
    semi : dict of str to float
        Weights of what is learned from pixels without labels, by the names of `SemiSettings`.
    unlabelled : list of TrainImage
        Open images without annotations that may teach too.
    checkpoint : Path or None
        Where the state of the training is kept, to go on after a kill.
    in_use : PrototypeSegmenter or None
        The model that was fitted last; it is kept where the training comes to the same.
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
    in_use: PrototypeSegmenter | None
    stop: Callable[[], bool]
    given_up: Callable[[], bool]
    seed: int = 0
