"""What a Train dock that is closed leaves to the next one of the same viewer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

if TYPE_CHECKING:
    from napari_gaussproto.core.base.config import SegmentationClass
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
    from napari_gaussproto.widgets.train.dock import TrainWidget


@dataclass
class TrainMemory:
    """Where the work of a viewer stands.

    Attributes
    ----------
    classes : tuple of SegmentationClass
    folder : Path or None
        Of the project.
    beginnings : tuple of PrototypeSegmenter or None
        See `FitController.beginnings`.
    """

    classes: tuple[SegmentationClass, ...]
    folder: Path | None
    beginnings: tuple[PrototypeSegmenter | None, PrototypeSegmenter | None]


_docks: WeakKeyDictionary[Any, ref[TrainWidget]] = WeakKeyDictionary()
_memories: WeakKeyDictionary[Any, TrainMemory] = WeakKeyDictionary()


def remember(viewer: Any, memory: TrainMemory) -> None:
    """Keep where the work of a viewer stands."""
    _memories[_real(viewer)] = memory


def take_over(viewer: Any, dock: TrainWidget) -> TrainMemory | None:
    """Make a dock the one of its viewer; a former one, if napari keeps it alive, lets go.

    Returns
    -------
    TrainMemory or None
        Where the work stands; None when this is the first dock.
    """
    real = _real(viewer)
    former = _docks.get(real)
    alive = None if former is None else former()
    if alive is not None:
        alive.abandon()
    _docks[real] = ref(dock)
    return _memories.get(real)


def _real(viewer: Any) -> Any:
    # Plugins may be handed a proxy; what is kept belongs to the viewer behind it.
    return getattr(viewer, "__wrapped__", viewer)
