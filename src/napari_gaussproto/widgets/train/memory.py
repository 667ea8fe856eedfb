"""What a Train dock that is closed leaves to the next one of the same viewer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakMethod

from qtpy.QtWidgets import QWidget

from napari_gaussproto.widgets.shared.forms import setting
from napari_gaussproto.widgets.train.storage.reopening import CLOSED

if TYPE_CHECKING:
    from napari_gaussproto.core.base.config import SegmentationClass
    from napari_gaussproto.jobs.storage import LostLabels
    from napari_gaussproto.widgets.shared.state import Setting, SharedState
    from napari_gaussproto.widgets.train.annotation.class_changes import TableHistory
    from napari_gaussproto.widgets.train.fitting.beginning import Beginning
    from napari_gaussproto.widgets.train.fitting.budget import BudgetPanel
    from napari_gaussproto.widgets.train.fitting.fit_controller import FitController
    from napari_gaussproto.widgets.train.fitting.start_panel import StartPanel


@dataclass(frozen=True)
class TrainMemory:
    """Where the work of a viewer stands.

    Attributes
    ----------
    classes : tuple of SegmentationClass
    folder : Path or None
        Of the project.
    beginning : Beginning
        Where the next fit begins.
    start : Path or str
        What was chosen to begin with, besides the model in use; see `StartPanel`.
    changes : TableHistory
        Of the class table, to be taken back.
    forgotten : dict
        What these changes made of labels of the project; see `ProjectSession`.
    """

    classes: tuple[SegmentationClass, ...]
    folder: Path | None
    beginning: Beginning
    start: Path | str
    changes: TableHistory
    forgotten: LostLabels


# By the state that all docks of a viewer share.
_closers: WeakKeyDictionary[SharedState, WeakMethod[Callable[[], None]]] = WeakKeyDictionary()
_memories: WeakKeyDictionary[SharedState, TrainMemory] = WeakKeyDictionary()


def remember(state: SharedState, memory: TrainMemory) -> None:
    """Keep where the work of a viewer stands."""
    _memories[state] = memory


def take_over(state: SharedState, close: Callable[[], None]) -> TrainMemory | None:
    """Become the dock of a viewer and get where its work stands; None for the first dock.

    A former dock that napari keeps alive is closed, and ``close``, a method of the new one, is
    called when yet another one takes over.
    """
    former = _closers.get(state)
    if former is not None and (alive := former()) is not None:
        alive()
    _closers[state] = WeakMethod(close)
    return _memories.get(state)


def kept_settings(
    start: StartPanel, fits: FitController, live: QWidget, closed: QWidget, budget: BudgetPanel
) -> dict[str, Setting]:
    """What projects keep of the settings of the dock; the model in use is one of their versions."""
    named: dict[str, QWidget] = {
        "features": start.backbone,
        "detail": start.detail,
        "region_size": start.region,
        "live": live,
        CLOSED: closed,
        "unit": budget.unit,
        "amount": budget.amount,
    }
    settings = {name: setting(widget) for name, widget in (named | budget.boxes).items()}
    # Behind what a new model is like.
    return settings | {"start": _start_setting(start, fits)}


def _start_setting(start: StartPanel, fits: FitController) -> Setting:
    """What quick fits begin with; nothing where that is the model in use."""

    def read() -> str:
        return "" if start.goes_on else str(start.chosen)

    def write(value: Any) -> None:
        known = isinstance(value, str) and value != ""
        if known and (start.recall(value) or start.recall(Path(value))):
            fits.begin_again_with(start.start())

    return read, write
