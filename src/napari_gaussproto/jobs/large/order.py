"""What is asked for a large image, and what comes back: plain data that may cross threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.imaging.tiles import Area, Focus
from napari_gaussproto.core.labels.cover import cover_of
from napari_gaussproto.core.model.card import Provenance
from napari_gaussproto.jobs.requests import ModelKey

if TYPE_CHECKING:
    from napari_gaussproto.core.labels.annotations import Annotations
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
    from napari_gaussproto.io.batch.regions import Polygons


@dataclass(frozen=True)
class LargeOrder:
    """Where the labels of an image go, and what of it is looked at.

    Attributes
    ----------
    stem : str
        The name of the labels begins with it.
    scale, translate : sequence of float
        Of the layer, along the axes of the labels.
    """

    folder: Path
    stem: str
    focus: Focus
    scale: Sequence[float]
    translate: Sequence[float]


@dataclass(frozen=True)
class LargeCover:
    """How far labels are, and what they cover so far.

    Attributes
    ----------
    counts : (C + 1,) ndarray of int
        Pixels of each label, the first without data.
    done, total : int
        Tiles.
    """

    counts: npt.NDArray[np.int64]
    classes: Sequence[SegmentationClass]
    done: int
    total: int

    @property
    def data_share(self) -> float:
        """Share of the pixels so far that hold data."""
        return cover_of(self.counts, self.classes)[1]

    @property
    def shares(self) -> dict[str, float]:
        """Share of each class in these, by name."""
        return cover_of(self.counts, self.classes)[0]


@dataclass(frozen=True, eq=False)
class Streamed:
    """How the labels of a large image are made, by which parts of them can be made again.

    Attributes
    ----------
    pixels, rgb, file
        See `SegmentRequest`.
    path : Path
        Of the folder with the labels.
    model : PrototypeSegmenter
        With the cells that it was asked for.
    labels : (..., H, W) array-like of uint8
        Class index + 1, on disk; 0 where there is no data, and where no tile is yet.
    side : int
        Of a tile in pixels.
    follow_edges : bool or None
        As `FitRequest` says.
    """

    pixels: Any
    rgb: bool
    file: str | None
    path: Path
    model: PrototypeSegmenter
    labels: Any
    side: int
    follow_edges: bool | None
    provenance: Provenance

    @property
    def leading(self) -> tuple[int, ...]:
        """Lengths of the axes in front of a plane."""
        return tuple(int(n) for n in self.labels.shape[:-2])

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of a plane."""
        height, width = self.labels.shape[-2:]
        return int(height), int(width)


@dataclass(frozen=True)
class LargeMeasure:
    """What to measure of a large image; see `MeasureOrder`.

    Attributes
    ----------
    drawn : callable or None
        Gives all labels of the open project, of which those on this image and in windows of it
        overrule its labels.
    """

    name: str
    made: Streamed
    instances: Any
    regions: Mapping[str, Polygons]
    pixel_size: str
    least_area: int
    drawn: Callable[[], Annotations] | None = None


@dataclass(frozen=True)
class LargeStep:
    """Labels that can be shown from now on, or one more tile of them.

    Attributes
    ----------
    before : int
        Tiles that were finished by earlier runs.
    made : Streamed
    levels : list of array-like or None
        Of labels that were just opened; see `LabelPyramid`.
    tile : tuple of int and Area, or None
        Number of the plane, and pixels of the tile that was just finished.
    now : callable
        Gives the cover of the tiles that are finished by the time of the call.
    """

    path: Path
    cover: LargeCover
    before: int
    made: Streamed
    now: Callable[[], LargeCover]
    levels: Sequence[Any] | None = None
    tile: tuple[int, Area] | None = None

    @property
    def keep(self) -> bool:
        """Whether who shows steps must not leave it out; every tile is to be seen."""
        return True


@dataclass(frozen=True)
class LargeResult:
    """What a run gives back to the GUI; ``last`` is its last step."""

    model: PrototypeSegmenter
    key: ModelKey
    last: LargeStep
    seconds: float
