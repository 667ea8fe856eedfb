"""Labels that a change of the class table made indistinguishable from others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.strips import strips
from napari_gaussproto.core.imaging.orientation import upright
from napari_gaussproto.core.labels.check import Labels

_Places = npt.NDArray[np.signedinteger[Any]]


@dataclass(frozen=True)
class Forgotten:
    """Such labels; none by default.

    Most pixels of a photograph may be of one class, and labels lie in runs of one value.

    Attributes
    ----------
    starts, ends : (R,) ndarray
        Where runs begin and end, ascending, in the flattened labels.
    values : (R,) ndarray
        What the labels of each run were.
    """

    starts: _Places = field(default_factory=lambda: np.zeros(0, np.int64))
    ends: _Places = field(default_factory=lambda: np.zeros(0, np.int64))
    values: Labels = field(default_factory=lambda: np.zeros(0, np.uint8))

    def __len__(self) -> int:
        """Number of runs."""
        return len(self.values)

    def between(self, begin: int, end: int) -> Labels:
        """The labels of a part (K,) of the flattened labels, 0 where none was forgotten."""
        runs = slice(np.searchsorted(self.ends, begin, "right"), np.searchsorted(self.starts, end))
        number = len(self.values[runs])
        # The runs, and nothing before, between and after them.
        values, bounds = np.zeros(2 * number + 1, np.uint8), np.empty(2 * number + 2, np.int64)
        values[1::2] = self.values[runs]
        bounds[0], bounds[-1] = begin, end
        bounds[1:-1:2] = np.maximum(self.starts[runs], begin)
        bounds[2:-1:2] = np.minimum(self.ends[runs], end)
        found: Labels = np.repeat(values, np.diff(bounds))
        return found

    def turned(self, shape: tuple[int, ...], orientation: int) -> Forgotten:
        """The same of labels that were turned; see `upright`.

        Parameters
        ----------
        shape : tuple of int
            (H, W) of the labels before.
        """
        labels = self.between(0, int(np.prod(shape))).reshape(shape)
        runs = Runs(np.unique(self.values))
        for (strip,) in strips(np.ascontiguousarray(upright(labels, orientation))):
            runs.add(strip)
        return runs.forgotten


class Runs:
    """Collects runs of some values in labels, given some rows (n, W) after others."""

    def __init__(self, values: Labels) -> None:
        self._values, self._at = values, 0
        none = Forgotten()
        self._found = [(none.starts, none.ends, none.values)]

    def add(self, rows: Labels) -> None:
        """Take the next rows (N, W)."""
        flat, before = rows.ravel(), self._at
        self._at += flat.size
        for value in self._values:
            there = flat == value
            edges = np.flatnonzero(there[1:] != there[:-1]) + 1
            first, last = [0] * bool(there[:1].any()), [flat.size] * bool(there[-1:].any())
            bounds = np.concatenate([first, edges, last]).astype(np.int64) + before
            values = np.full(len(bounds) // 2, value, np.uint8)
            self._found.append((bounds[::2], bounds[1::2], values))

    @property
    def forgotten(self) -> Forgotten:
        """All runs up to now."""
        starts, ends, values = (np.concatenate(part) for part in zip(*self._found, strict=True))
        order = np.argsort(starts, kind="stable")
        return Forgotten(starts[order], ends[order], values[order])
