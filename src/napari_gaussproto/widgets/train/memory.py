"""What a Train dock that is closed leaves to the next one of the same viewer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakMethod

if TYPE_CHECKING:
    from napari_gaussproto.core.base.config import SegmentationClass
    from napari_gaussproto.widgets.train.fitting.beginning import Beginning


@dataclass(frozen=True)
class TrainMemory:
    """Where the work of a viewer stands: class table, folder of the project, next fit."""

    classes: tuple[SegmentationClass, ...]
    folder: Path | None
    beginning: Beginning


_retirements: WeakKeyDictionary[Any, WeakMethod[Callable[[], None]]] = WeakKeyDictionary()
_memories: WeakKeyDictionary[Any, TrainMemory] = WeakKeyDictionary()


def remember(viewer: Any, memory: TrainMemory) -> None:
    """Keep where the work of a viewer stands."""
    _memories[_real(viewer)] = memory


def take_over(viewer: Any, retire: Callable[[], None]) -> TrainMemory | None:
    """Become the dock of a viewer; a former one, if napari keeps it alive, retires.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    retire : method
        Of the new dock: called when yet another one takes over.

    Returns
    -------
    TrainMemory or None
        Where the work stands; None when this is the first dock.
    """
    real = _real(viewer)
    former = _retirements.get(real)
    if former is not None and (alive := former()) is not None:
        alive()
    _retirements[real] = WeakMethod(retire)
    return _memories.get(real)


def _real(viewer: Any) -> Any:
    # Plugins may be handed a proxy; what is kept belongs to the viewer behind it.
    return getattr(viewer, "__wrapped__", viewer)
