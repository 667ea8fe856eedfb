"""What the docks of one viewer share: model, edits, results, chosen prototype, what is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar
from weakref import WeakKeyDictionary, WeakSet, ref

from psygnal import Signal

from napari_gaussproto.core.model.card import Provenance
from napari_gaussproto.core.model.maps import QUANTITIES, MapRole, Quantity
from napari_gaussproto.jobs.caches import RegionMemo
from napari_gaussproto.jobs.requests import Drawn, ModelKey
from napari_gaussproto.widgets.shared.workarounds import bare, guard_canvas

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

    from napari_gaussproto.core.editing.undo import EditHistory
    from napari_gaussproto.core.labels.annotations import Annotations
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
    from napari_gaussproto.core.model.stack import StackSegmentation
    from napari_gaussproto.jobs.large.order import Streamed


@dataclass
class ImageResult:
    """The last segmentation of one image layer and the layers that show it.

    Attributes
    ----------
    provenance : Provenance
        Goes into the layers' metadata.
    labels_checksum : int
        Of the labels as they were written, to notice what a person painted since.
    """

    source: Image
    segmentation: StackSegmentation
    provenance: Provenance
    labels: Labels | None = None
    labels_checksum: int = 0
    maps: dict[MapRole, Layer] = field(default_factory=dict)
    model: PrototypeSegmenter | None = None

    @property
    def ndim(self) -> int:
        """Axes of the labels; the image may have one more in front, for its channels."""
        return len(self.segmentation.leading) + 2

    def remove_pinned(self) -> None:
        """Leave pinned maps as they are: the same number may name another prototype now."""
        self.maps = {role: layer for role, layer in self.maps.items() if not role.is_pinned}


class OnImage(Protocol):
    """What layers lie over an image for: its result, or answers about places in it."""

    maps: dict[MapRole, Layer]

    @property
    def source(self) -> Image:
        """The image."""

    @property
    def labels(self) -> Labels | None:
        """The layer with its labels."""

    @property
    def ndim(self) -> int:
        """Axes of these layers; the image may have one more in front, for its channels."""

    @property
    def provenance(self) -> Provenance:
        """What goes into the metadata of these layers."""


class KeptEdits(NamedTuple):
    """The edits of a model that is not the current one just now, and whether a file holds them."""

    key: ModelKey
    undo: EditHistory
    is_saved: bool


class Turn(NamedTuple):
    """A photograph that was turned upright: how, and the names of the layers that turned along."""

    orientation: int
    along: list[str]


# Reads a setting of a dock, and writes it; what is written may be of another version, or damaged.
Setting = tuple[Callable[[], Any], Callable[[Any], None]]


class DockSettings:
    """What is set in the docks of a viewer, so that a project can keep it.

    What is restored for a dock that is not open waits for it; what was set in one that was closed
    stays.
    """

    def __init__(self) -> None:
        self._docks: dict[str, Mapping[str, Setting]] = {}
        self._waiting: dict[str, dict[str, Any]] = {}

    def join(self, dock: str, settings: Mapping[str, Setting]) -> None:
        """A dock opens."""
        self._docks[dock] = settings
        self._apply(dock)

    def leave(self, dock: str, settings: Mapping[str, Setting]) -> None:
        """A dock closes, unless another one has taken its place."""
        if self._docks.get(dock) is settings:
            self._waiting[dock] = self._values(dock)
            del self._docks[dock]

    def values(self) -> dict[str, dict[str, Any]]:
        """All settings, by the dock and the name."""
        return self._waiting | {dock: self._values(dock) for dock in self._docks}

    def restore(self, values: Mapping[str, dict[str, Any]]) -> None:
        """Set what was set once."""
        self._waiting = dict(values)
        for dock in self._docks:
            self._apply(dock)

    def _values(self, dock: str) -> dict[str, Any]:
        return {name: read() for name, (read, _) in self._docks[dock].items()}

    def _apply(self, dock: str) -> None:
        wanted = self._waiting.pop(dock, {})
        for name, (_, write) in self._docks[dock].items():
            if name in wanted:
                write(wanted[name])


class OpenProject(NamedTuple):
    """The project that a person works in, as far as others may use it.

    Attributes
    ----------
    labelled : int
        How many images are labelled in it.
    drawn : callable
        Saves what is drawn now, and gives what a thread gets all of it by.
    drawn_on : callable
        What is drawn on an open image; None for nothing.
    """

    name: str
    labelled: int
    drawn: Callable[[], Callable[[], Annotations]]
    drawn_on: Callable[[Image], Drawn | None]


FITTED = "fit "


def is_fitted(key: ModelKey) -> bool:
    """Whether a model's key is that of one fitted in this viewer, which no file holds."""
    return key[0].startswith(FITTED)


class SharedState:
    """Evented state of one viewer; a dock changes it, all docks hear of it."""

    model_changed = Signal(object)
    result_changed = Signal(object)
    streamed_changed = Signal(object)  # a large Image: its labels can be seen from now on
    result_closed = Signal(object)  # an ImageResult: its image was removed from the viewer
    prototype_changed = Signal(int)
    shown_changed = Signal()
    outlines_changed = Signal()
    project_changed = Signal()
    read_anew = Signal(object)  # an Image whose axes mean something else now
    image_noted = Signal(object)  # an Image that is at work from now on
    image_chosen = Signal(object)  # an Image that a person chose in a dock, for all of them
    turned = Signal(object, int, object)  # an Image, by which orientation, its pixels before

    def __init__(self) -> None:
        self.model: PrototypeSegmenter | None = None
        self.model_key: ModelKey | None = None
        self.undo: EditHistory | None = None
        self.saved: PrototypeSegmenter | None = None
        self.results: dict[Any, ImageResult] = {}
        # Layers that docks hid when another image was picked; what a person hid is not here.
        self.hidden: WeakSet[Any] = WeakSet()
        # How labels of large images are made, of which no result is kept.
        self.streamed: WeakKeyDictionary[Any, Streamed] = WeakKeyDictionary()
        self.memos: WeakKeyDictionary[Any, RegionMemo] = WeakKeyDictionary()
        self.turns: WeakKeyDictionary[Any, Turn] = WeakKeyDictionary()
        self._kept: dict[tuple[str, float], KeptEdits] = {}
        self.current: ImageResult | None = None
        self._image: Callable[[], Image | None] = lambda: None
        self.settings = DockSettings()
        self.project: OpenProject | None = None
        self.prototype = 0
        self.quantity: Quantity = "typicality"
        self.shows_likelihood = False
        # Whether borders of classes follow the photograph's edges; None as each model says.
        self.follow_edges: bool | None = None
        self.settings.join("viewer", self._own_settings())

    def _own_settings(self) -> dict[str, Setting]:
        def set_edges(value: Any) -> None:
            if isinstance(value, bool):
                self.choose_outlines(value)

        def set_quantity(value: Any) -> None:
            if value in QUANTITIES:
                self.show(quantity=value)

        return {
            "follow_edges": (lambda: self.follow_edges, set_edges),
            "quantity": (lambda: self.quantity, set_quantity),
        }

    def set_model(self, model: PrototypeSegmenter, key: ModelKey) -> None:
        """Make a loaded model the current one; ``key`` is file, change time and device.

        While the key is the same the current model stays, with its edits. A model that was
        the current one before comes back with the edits made to it then, on any device.
        """
        from napari_gaussproto.core.editing.undo import EditHistory

        if key == self.model_key or self._is_version_of_current(model, key):
            return
        self._keep_edits()
        kept = None if is_fitted(key) else self._kept.pop(key[:2], None)
        undo, is_saved = EditHistory(model), True
        if kept is not None:
            undo, is_saved = kept.undo, kept.is_saved
            if undo.model.extractor is not model.extractor:
                undo = undo.with_extractor(model.extractor)
        self.model, self.model_key, self.undo = undo.model, key, undo
        self.saved = undo.model if is_saved else None
        self.model_changed.emit(self.model)

    def _is_version_of_current(self, model: PrototypeSegmenter, key: ModelKey) -> bool:
        """Whether only the change time differs, as when it was saved while it was at work."""
        if self.model is None or self.model_key is None:
            return False
        return self.model_key[0] == key[0] and self.model.extractor is model.extractor

    def _keep_edits(self) -> None:
        """Put the edits of the current model aside; one that was fitted here cannot come back."""
        key, undo = self.model_key, self.undo
        if key is None or undo is None or is_fitted(key):
            return
        if undo.can_undo or undo.can_redo:
            self._kept[key[:2]] = KeptEdits(key, undo, self.saved is undo.model)

    def known_models(self) -> Mapping[ModelKey, PrototypeSegmenter]:
        """Models that need not be read from their files, with their edits, by their keys."""
        known = {kept.key: kept.undo.model for kept in self._kept.values()}
        if self.model is not None and self.model_key is not None:
            known[self.model_key] = self.model
        return known

    def mark_saved(self, model: PrototypeSegmenter, path: Path) -> None:
        """Note that a file holds a model, which may have been edited on since.

        Saved over the file that it came from, the current model stays the one of that file.
        """
        key, current = self.model_key, self.model
        if key is None or current is None or current.extractor is not model.extractor:
            return
        self.saved, own = model, Path(key[0])
        if not is_fitted(key) and own.exists() and own.samefile(path):
            self.model_key = (key[0], own.stat().st_mtime, key[2])

    @property
    def image(self) -> Image | None:
        """The image at work, which docks that open later begin with."""
        return self._image()

    def note_image(self, image: Image) -> None:
        """Say which image is at work."""
        self._image = ref(image)
        self.image_noted.emit(image)

    def choose_image(self, image: Image) -> None:
        """Put an image to work in all docks, as a person chose it in one."""
        self.note_image(image)
        self.image_chosen.emit(image)

    def memo_of(self, image: Image) -> RegionMemo:
        """What is kept of the cells of an image, so that they are not cut again."""
        return self.memos.setdefault(image, RegionMemo())

    def set_edited_model(self, model: PrototypeSegmenter) -> None:
        """Make another version of the current model the current one."""
        self.model = model
        self.model_changed.emit(model)

    def set_result(self, result: ImageResult) -> None:
        """Make a new result the current one of its image."""
        former = self.results.get(result.source)
        if former is not None and former.model is not result.model:
            result.remove_pinned()
        self.results[result.source] = result
        self.current = result
        self.prototype = min(self.prototype, len(result.segmentation.prototypes) - 1)
        self.result_changed.emit(result)

    def set_streamed(self, image: Image, made: Streamed) -> None:
        """Say how the labels of a large image are made, from which on they can be seen."""
        self.streamed.pop(image, None)  # the last one in it was segmented last
        self.streamed[image] = made
        self.streamed_changed.emit(image)

    def remove_result(self, event: Any) -> None:
        """Remove the result of an image that was removed from the viewer."""
        result = self.forget_result(event.value)
        if result is not None:
            self.result_closed.emit(result)

    def forget_result(self, image: Image) -> ImageResult | None:
        """Remove the result of an image, and return it; None if there is none."""
        result = self.results.pop(image, None)
        if result is not None and result is self.current:
            self.current = None
        return result

    def show(self, *, quantity: Quantity | None = None, likelihood: bool | None = None) -> None:
        """Choose what the likelihood layer holds, and whether it or the classes are seen."""
        before = (self.quantity, self.shows_likelihood)
        wanted = (quantity or before[0], before[1] if likelihood is None else likelihood)
        if wanted != before:
            self.quantity, self.shows_likelihood = wanted
            self.shown_changed.emit()

    def choose_outlines(self, follow: bool) -> None:
        """Choose whether borders of classes follow the photograph's edges, in all images."""
        if follow != self.follow_edges:
            self.follow_edges = follow
            self.outlines_changed.emit()

    def set_project(self, project: OpenProject | None) -> None:
        """Say what is labelled now in the open project, or that none is open any more."""
        self.project = project
        self.project_changed.emit()

    def select_prototype(self, m: int) -> None:
        """Choose the prototype whose likelihood is shown."""
        if m != self.prototype:
            self.prototype = m
            self.prototype_changed.emit(m)


T = TypeVar("T")


def per_viewer(make: Callable[[Viewer], T]) -> Callable[[Viewer], T]:
    """What makes something for a viewer makes it on first use, and once."""
    made: WeakKeyDictionary[Viewer, T] = WeakKeyDictionary()

    @wraps(make)
    def of(viewer: Viewer) -> T:
        # Plugins may be handed a proxy; what is made belongs to the viewer behind it.
        real = bare(viewer)
        if real not in made:
            made[real] = make(real)
        return made[real]

    return of


@per_viewer
def state_of(viewer: Viewer) -> SharedState:
    """The state of a viewer."""
    state = SharedState()
    # A result holds its image and its layers, however weak the table's keys are.
    viewer.layers.events.removed.connect(state.remove_result)
    guard_canvas(viewer)
    return state
