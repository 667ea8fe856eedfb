"""What a viewer holds after each round of work: counted, so that what grows is found."""

from __future__ import annotations

import gc
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import napari.layers
import psutil
import torch
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QApplication
from superqt.utils import WorkerBase

OURS = "napari_gaussproto"
MB = 1_000_000
# With PySide6 some workers stay when they have ended, empty, and nothing in Python holds them.
_KEPT_BY_QT = WorkerBase


@dataclass(frozen=True)
class Holdings:
    """What was there at one moment.

    Attributes
    ----------
    counts : dict
        Objects of our classes by the names of these, tensors, layers, objects of Qt in the
        window, callbacks of the viewer's events, and threads of the process.
    n_objects : int
        Everything that Python's collector of garbage knows.
    n_bytes : int
        Resident memory of the process.
    """

    counts: dict[str, int]
    n_objects: int
    n_bytes: int


@dataclass
class Watch:
    """Holdings of one viewer after each round."""

    viewer: Any
    seen: list[Holdings] = field(default_factory=list)

    def look(self) -> None:
        """Count once more."""
        gc.collect()
        known = gc.get_objects()
        counts: Counter[str] = Counter()
        for thing in known:
            kind = type(thing)
            if kind.__module__.startswith(OURS) and not issubclass(kind, _KEPT_BY_QT):
                counts[f"{kind.__module__}.{kind.__qualname__}"] += 1
            elif issubclass(kind, torch.Tensor):
                counts["tensors"] += 1
            elif issubclass(kind, napari.layers.Layer):
                counts["layers"] += 1
        windows = QApplication.topLevelWidgets()
        counts["objects of Qt"] = sum(len(window.findChildren(QObject)) for window in windows)
        counts["callbacks"] = _callbacks(self.viewer)
        process = psutil.Process()
        counts["threads"] = process.num_threads()
        self.seen.append(Holdings(dict(counts), len(known), process.memory_info().rss))

    def growth(self, first: int) -> dict[str, int]:
        """By how much the greatest of the last third exceeds that of the first rounds counted.

        Parameters
        ----------
        first : int
            The round from which on nothing should grow: before, modules are loaded and caches
            filled.
        """
        third = max(1, (len(self.seen) - first) // 3)
        before, after = self.seen[first : first + third], self.seen[-third:]
        names = {name for seen in after for name in seen.counts}
        most = {name: _most(name, after) - _most(name, before) for name in names}
        return {name: n for name, n in sorted(most.items()) if n > 0}

    def told(self, first: int) -> str:
        """What was found, in one line."""
        last = self.seen[-1]
        kinds = ("layers", "tensors", "objects of Qt", "callbacks", "threads")
        counts = ", ".join(f"{name} {last.counts.get(name, 0)}" for name in kinds)
        return (
            f"{len(self.seen) - first} rounds: {counts}; grew: {self.growth(first) or 'nothing'}; "
            f"a round {self.objects_a_round(first):.0f} objects of Python and "
            f"{self.bytes_a_round(first) / MB:.2f} MB"
        )

    def bytes_a_round(self, first: int) -> float:
        """Slope of the resident memory over the rounds, in bytes."""
        return _slope([seen.n_bytes for seen in self.seen[first:]])

    def objects_a_round(self, first: int) -> float:
        """Slope of the number of all objects of Python over the rounds."""
        return _slope([seen.n_objects for seen in self.seen[first:]])


def _most(name: str, seen: list[Holdings]) -> int:
    return max(holdings.counts.get(name, 0) for holdings in seen)


def _slope(values: list[int]) -> float:
    """Of the line through the values, by least squares."""
    mean = (len(values) - 1) / 2
    steps = [number - mean for number in range(len(values))]
    return sum(s * v for s, v in zip(steps, values, strict=True)) / sum(s * s for s in steps)


def _callbacks(viewer: Any) -> int:
    """Functions that are connected to events of the viewer, of its layers, and of its parts."""
    parts = (viewer, viewer.layers, viewer.layers.selection, viewer.cursor, viewer.dims)
    groups = [part.events for part in parts]
    emitters = [group[name] for group in groups for name in group.emitters]
    tools = (viewer.mouse_drag_callbacks, viewer.mouse_move_callbacks)
    return sum(len(emitter.callbacks) for emitter in emitters) + sum(map(len, tools))
