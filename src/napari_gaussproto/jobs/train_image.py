"""An image and what is drawn on it, and how far a job is: plain data for threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_gaussproto.core.imaging.gaps import Gaps
from napari_gaussproto.core.imaging.tiles import Area
from napari_gaussproto.core.labels.check import Labels
from napari_gaussproto.core.labels.codes import Snapshot
from napari_gaussproto.core.labels.strokes import Data
from napari_gaussproto.io.images import nodata_of


@dataclass(frozen=True)
class TrainImage:
    """An image layer, as a thread may see it.

    Attributes
    ----------
    key : object
        Tells images apart, for what is kept of them.
    pixels : (..., H, W) or, for colours, (..., H, W, C) array-like
    codes : Snapshot or None
        Codes (..., H, W), see `Corrections`. None without annotations.
    file : str or None
        That it was read from.
    is_open : bool
        False when the layer was removed from the viewer since.
    window : Area or None
        Which pixels of the picture in that file it shows, if it is a window of it.
    """

    key: Any
    pixels: Any
    rgb: bool
    codes: Snapshot | None = None
    name: str = ""
    file: str | None = None
    is_open: bool = True
    window: Area | None = None

    @property
    def nodata(self) -> float | None:
        """The value of pixels without data, if the file says one."""
        return nodata_of_file(self.file, self.pixels)

    def plane(self, leading: tuple[int, ...]) -> Any:
        """Pixels of one plane, (H, W) or (H, W, C), by its place in the leading axes."""
        # An empty index would read the whole of an array on disk.
        return self.pixels[leading] if leading else self.pixels

    def data_of(self, planes: Sequence[int]) -> list[Data | None]:
        """Which pixels (H, W) of some labelled planes hold data; None where all do."""
        shape = self.pixels.shape[:-1] if self.rgb else self.pixels.shape
        if self.codes is None or tuple(shape) != self.codes.shape:
            return [None] * len(planes)
        has_alpha = self.rgb and self.pixels.shape[-1] == 4
        gaps = Gaps(2 if self.rgb else None, has_alpha, self.nodata)
        if not gaps.possible(self.pixels):
            return [None] * len(planes)
        places = [np.unravel_index(plane, shape[:-2]) for plane in planes]
        missing = [gaps.find(np.asanyarray(self.pixels[place])) for place in places]
        return [None if gap is None else ~gap for gap in missing]

    def labelled_planes(self) -> list[tuple[int, Labels]]:
        """Number, in C order of the leading axes, and labels (H, W) of every labelled plane."""
        return [] if self.codes is None else self.codes.labelled_planes


def named_with_file(name: str, file: str | None) -> str:
    """The name of a layer, and that of its file where that is another one."""
    path = None if file is None else Path(file)
    return name if path is None or name in (path.stem, path.name) else f"{name} ({path.name})"


def nodata_of_file(file: str | None, pixels: Any) -> float | None:
    """The value of pixels without data, if the file of a layer says one.

    napari's readers give the pixels alone. In windows that were scaled there is none.
    """
    return None if file is None else nodata_of(file, pixels.dtype)


@dataclass(frozen=True)
class Stage:
    """A step of the work, for the progress bar.

    Attributes
    ----------
    done, total : int
        Parts of it; both 0 where they are not counted.
    keep : bool
        Whether it must be shown, however soon after another one: it lasts.
    """

    text: str
    done: int = 0
    total: int = 0
    keep: bool = False
