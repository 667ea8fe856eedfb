"""Labels of a large image on disk, at several resolutions, which fill in tile by tile."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from filelock import FileLock, Timeout

from napari_gaussproto.core.base.atomic import replacing
from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.imaging.label_store import ATTRIBUTE
from napari_gaussproto.core.imaging.ngff import label_metadata
from napari_gaussproto.core.imaging.tiles import Area, area_of

# Sides are halved until both are at most this many pixels, and stored in chunks of as many.
_SMALLEST = _CHUNK = 512
# The array that says which tiles are finished.
_TILES = "tiles"


@dataclass(frozen=True)
class NewLabels:
    """What a pyramid is made for; only one that was made for just this is gone on with.

    Attributes
    ----------
    shape : tuple of int
        (..., H, W).
    classes : sequence of SegmentationClass
    about : dict of str to str
        Tells the image and the work apart from all others.
    side : int
        Of a tile in pixels; one that is gone on with keeps its own.
    scale, translate : sequence of float, optional
        Of the image, a value for each axis.
    """

    shape: tuple[int, ...]
    classes: Sequence[SegmentationClass]
    about: dict[str, str]
    side: int
    scale: Sequence[float] | None = None
    translate: Sequence[float] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What is stored, and compared when it is opened again."""
        classes = [known.model_dump() for known in self.classes]
        return {"shape": list(self.shape), "classes": classes, "about": self.about}


class LabelPyramid:
    """An OME-Zarr folder of uint8, class index + 1; 0 where there is no data and where no tile is.

    It belongs to one process until it is closed. A kill at any moment leaves whole tiles: what a
    tile holds is written before it counts as finished.

    Attributes
    ----------
    levels : list of array-like
        (..., H, W), and each half the one before; they may be read while tiles are written. Of a
        single plane the coarsest one is in memory, so that it can be shown at once.
    side : int
        Of a tile in pixels.
    counts : (P, rows, columns, C + 1) ndarray of int
        Pixels of each label in each finished tile of each plane; 0 of others.
    """

    def __init__(self, path: Path, group: Any, lock: FileLock) -> None:
        self.path, self._lock = path, lock
        known = group.attrs[ATTRIBUTE]
        self.side = int(known["side"])
        count = sum(name.isdecimal() for name in group.array_keys())
        self._stored = [group[str(level)] for level in range(count)]
        self.levels: list[Any] = list(self._stored)
        self._overview: npt.NDArray[np.uint8] | None = None
        if self._stored[0].ndim == 2:
            self._overview = self.levels[-1] = np.array(self._stored[-1][:])
        self._tiles = group[_TILES]
        self.counts: npt.NDArray[np.int64] = np.array(self._tiles[:])

    @property
    def shape(self) -> tuple[int, ...]:
        """(..., H, W)."""
        return tuple(self._stored[0].shape)

    @property
    def finished(self) -> npt.NDArray[np.bool_]:
        """Which tiles are finished, (P, rows, columns)."""
        return np.asarray(self.counts.any(-1))

    def area(self, row: int, column: int) -> Area:
        """Pixels of a tile: y0, x0, y1, x1."""
        return area_of(row, column, self.side, *self.shape[-2:])

    def write(self, plane: int, row: int, column: int, labels: npt.NDArray[np.uint8]) -> None:
        """Write the labels (h, w) of a tile, which is finished then.

        Raises
        ------
        OSError
            When the disk is full, for example.
        """
        y0, x0, _, _ = self.area(row, column)
        leading = self.shape[:-2]
        at = tuple(int(n) for n in np.unravel_index(plane, leading)) if leading else ()
        for number, level in enumerate(self._stored):
            step = 2**number
            # The nearest pixel: between two classes there is no third.
            coarse = labels[-y0 % step :: step, -x0 % step :: step]
            y, x = -(-y0 // step), -(-x0 // step)
            place: tuple[Any, ...] = (
                *at,
                slice(y, y + coarse.shape[0]),
                slice(x, x + coarse.shape[1]),
            )
            level[place] = coarse
        if self._overview is not None:
            self._overview[place] = coarse
        counts = np.bincount(labels.ravel(), minlength=self.counts.shape[-1])
        self._tiles[plane, row, column] = counts
        self.counts[plane, row, column] = counts

    def close(self) -> None:
        """Let others go on with it."""
        _unlock(self._lock)


def open_pyramid(folder: Path, stem: str, new: NewLabels) -> LabelPyramid:
    """The pyramid of a folder that was made for the same, or a new one under a free name.

    That is ``STEM.labels.ome.zarr``, or with a number where this is something else.

    Raises
    ------
    ConfigError
        When nothing can be written there, or another process writes the same labels.
    """
    number = 1
    while True:
        name = stem if number == 1 else f"{stem}-{number}"
        path = folder / f"{name}.labels.ome.zarr"
        if not path.exists() or _is_for(path, new):
            break
        number += 1
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f".{path.name}.lock", thread_local=False)
        lock.acquire(timeout=0)
        try:
            if not path.exists():
                with replacing(path) as partial:
                    _create(partial, path.name, new)
            return LabelPyramid(path, zarr.open_group(str(path), mode="r+"), lock)
        except BaseException:
            _unlock(lock)
            raise
    except Timeout as error:
        raise ConfigError(
            f"Another program is writing “{path}”: wait for its end, or choose another folder."
        ) from error
    except OSError as error:
        raise ConfigError(
            f"“{path}” cannot be written ({error.strerror or error}): choose another folder."
        ) from error


def _unlock(lock: FileLock) -> None:
    # Its file goes first: another program that had it by then would lose it. Windows keeps files
    # that are open.
    with suppress(OSError):
        Path(lock.lock_file).unlink()
    lock.release()


def _is_for(path: Path, new: NewLabels) -> bool:
    """Whether a path is a pyramid that was made for just this."""
    try:
        known = zarr.open_group(str(path), mode="r").attrs[ATTRIBUTE]
    except Exception:  # zarr has an error of its own for everything that is no group
        return False
    return isinstance(known, dict) and {key: known.get(key) for key in new.facts} == new.facts


def _create(path: Path, name: str, new: NewLabels) -> None:
    group = zarr.open_group(str(path), mode="w")
    *leading, height, width = new.shape
    shapes = [new.shape]
    while max(shapes[-1][-2:]) > _SMALLEST:
        shapes.append((*leading, -(-shapes[-1][-2] // 2), -(-shapes[-1][-1] // 2)))
    for level, shape in enumerate(shapes):
        chunks = (*(1 for _ in leading), *(min(_CHUNK, side) for side in shape[-2:]))
        group.create_array(str(level), shape=shape, chunks=chunks, dtype="uint8", fill_value=0)
    grid = (-(-height // new.side), -(-width // new.side), len(new.classes) + 1)
    planes = int(np.prod(leading, dtype=int))
    group.create_array(
        _TILES, shape=(planes, *grid), chunks=(1, 1, *grid[1:]), dtype="int64", fill_value=0
    )
    about = (name, len(new.shape), len(shapes), new.classes, new.scale, new.translate)
    group.attrs["ome"] = label_metadata(*about)
    group.attrs[ATTRIBUTE] = {**new.facts, "side": new.side}
