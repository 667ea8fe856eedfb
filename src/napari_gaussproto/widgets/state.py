"""What the docks of one viewer share: model, edits, results, chosen prototype, what is shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

from psygnal import Signal

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

    from napari_gaussproto.core.history import EditHistory
    from napari_gaussproto.core.segmenter import PrototypeSegmenter
    from napari_gaussproto.core.stack import StackSegmentation
    from napari_gaussproto.widgets.follow import PrototypeMap

Quantity = Literal["typicality", "responsibility", "log-likelihood"]


@dataclass
class Outcome:
    """The last segmentation of one image layer and the layers that show it.

    Attributes
    ----------
    source : Image
        The layer that was segmented.
    segmentation : StackSegmentation
    provenance : dict
        Model, version and settings; goes into the layers' metadata.
    labels : Labels or None
    labels_checksum : int
        Of the labels as they were written, to notice what a person painted since.
    maps : dict
        Role -> layer, for example ``"likelihood"`` or ``"novelty"``.
    model : PrototypeSegmenter or None
        The one that made the segmentation.
    """

    source: Image
    segmentation: StackSegmentation
    provenance: dict[str, Any]
    labels: Labels | None = None
    labels_checksum: int = 0
    maps: dict[str, Layer] = field(default_factory=dict)
    model: PrototypeSegmenter | None = None


FITTED = "fit "


def is_fitted(key: tuple[str, float, str]) -> bool:
    """Whether a model's key is that of one fitted in this viewer, which no file holds."""
    return key[0].startswith(FITTED)


class SharedState:
    """Evented state of one viewer; a dock changes it, all docks hear of it."""

    model_changed = Signal(object)
    outcome_changed = Signal(object)
    prototype_changed = Signal(int)
    shown_changed = Signal()

    def __init__(self) -> None:
        self.model: PrototypeSegmenter | None = None
        self.model_key: tuple[str, float, str] | None = None
        self.history: EditHistory | None = None
        self.saved: PrototypeSegmenter | None = None
        self.outcomes: WeakKeyDictionary[Any, Outcome] = WeakKeyDictionary()
        self.current: Outcome | None = None
        self.prototype = 0
        self.quantity: Quantity = "typicality"
        self.shows_likelihood = False
        self.prototype_map: PrototypeMap | None = None

    def set_model(self, model: PrototypeSegmenter, key: tuple[str, float, str]) -> None:
        """Make a loaded model the current one; ``key`` is file, change time and device.

        While the key is the same the current model stays, with its edits.
        """
        from napari_gaussproto.core.history import EditHistory

        if key != self.model_key:
            self.model, self.model_key = model, key
            self.history, self.saved = EditHistory(model), model
            self.model_changed.emit(model)

    def set_edited_model(self, model: PrototypeSegmenter) -> None:
        """Make another version of the current model the current one."""
        self.model = model
        self.model_changed.emit(model)

    def set_outcome(self, outcome: Outcome) -> None:
        """Make a new result the current one of its image."""
        self.outcomes[outcome.source] = outcome
        self.current = outcome
        count = len(outcome.segmentation.prototypes)
        self.prototype = min(self.prototype, count - 1)
        self.outcome_changed.emit(outcome)

    def show(self, *, quantity: Quantity | None = None, likelihood: bool | None = None) -> None:
        """Choose what the likelihood layer holds, and whether it or the classes are seen."""
        before = (self.quantity, self.shows_likelihood)
        if quantity is not None:
            self.quantity = quantity
        if likelihood is not None:
            self.shows_likelihood = likelihood
        if (self.quantity, self.shows_likelihood) != before:
            self.shown_changed.emit()

    def select_prototype(self, m: int) -> None:
        """Choose the prototype whose likelihood is shown."""
        if m != self.prototype:
            self.prototype = m
            self.prototype_changed.emit(m)


_states: WeakKeyDictionary[Any, SharedState] = WeakKeyDictionary()


def state_of(viewer: Viewer) -> SharedState:
    """The state of a viewer, made on first use."""
    # Plugins may be handed a proxy; the state belongs to the viewer behind it.
    real = getattr(viewer, "__wrapped__", viewer)
    if real not in _states:
        _states[real] = SharedState()
    return _states[real]
