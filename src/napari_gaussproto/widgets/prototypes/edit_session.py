"""Edit the model in a thread, and show what that changed in every layer it concerns."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import numpy.typing as npt
from qtpy.QtCore import QObject, Signal

from napari_gaussproto.core.base.steps import run
from napari_gaussproto.jobs.requests import Before, EditRequest, Shown
from napari_gaussproto.jobs.running import run_job
from napari_gaussproto.widgets.layers.class_layers import show_labels
from napari_gaussproto.widgets.layers.placement import undisturbed
from napari_gaussproto.widgets.layers.prototype_map import prototype_map
from napari_gaussproto.widgets.layers.results import redraw
from napari_gaussproto.widgets.shared.dock import Dock
from napari_gaussproto.widgets.shared.job_queue import JobQueue
from napari_gaussproto.widgets.shared.preferences import remember_model
from napari_gaussproto.widgets.shared.workers import Runner

if TYPE_CHECKING:
    from napari_gaussproto.core.editing.undo import EditHistory
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
    from napari_gaussproto.jobs.edit import EditResult, Redrawn
    from napari_gaussproto.jobs.requests import Change, Select
    from napari_gaussproto.widgets.shared.state import ImageResult

FOREIGN = "Another model made this segmentation: press Segment again to see and edit this one."
_REPLACED = "Another model came into use during the edit: the edit was given up."


class EditSession(QObject):
    """Applies edits one after the other and shows their results.

    Notes
    -----
    Its signals:

    changed(EditResult, ImageResult or None)
        An edit, undo or redo is in force and shown; with what shows the image that is compared.
    failed()
        An edit is not in force; the person was told why.
    """

    changed = Signal(object, object)
    failed = Signal()
    progressed = Signal(object)
    busy_changed = Signal(bool)
    saved = Signal(Path)

    def __init__(self, dock: Dock) -> None:
        super().__init__(dock)
        self._viewer, self._state, self._messages = dock.viewer, dock.state, dock.messages
        self._map = prototype_map(dock.viewer)
        self._waiting: list[EditRequest] = []
        self._current: EditRequest | None = None
        # The results that the current edit redraws, by the key of their image.
        self._redrawing: dict[Any, ImageResult] = {}
        # What the current edit began with: a result is only good for these.
        self._undo: EditHistory | None = None
        self._model: PrototypeSegmenter | None = None
        # Which prototype was chosen when an edit, an undo or a redo left a version of the model.
        self._chosen: WeakKeyDictionary[PrototypeSegmenter, int] = WeakKeyDictionary()
        self.runner = Runner(self)
        self.runner.progressed.connect(self.progressed)
        self.runner.succeeded.connect(self._on_result)
        self.runner.failed.connect(self._on_failure)
        self.runner.finished.connect(self._on_finished)
        self._saver = JobQueue(self)
        self._saver.failed.connect(dock.messages.report)

    # -- requests ---------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether an edit is being worked on, or waits."""
        return self._current is not None or bool(self._waiting)

    @property
    def editable(self) -> bool:
        """Whether edits of the current model would show in the current image."""
        current, model = self._state.current, self._state.model
        return model is not None and (current is None or _made_by(current, model))

    def apply(
        self, change: Change, select: Select | None = None, truth: npt.NDArray[Any] | None = None
    ) -> None:
        """Apply an edit; see `EditRequest` for what it and the true labels (..., H, W) are."""
        self.ask(EditRequest("edit", change, select, truth))

    def undo(self) -> None:
        """Take the last edit back."""
        undo = self._state.undo
        if undo is not None and (version := undo.undone) is not None and not self.busy:
            self._go_to("undo", version)

    def redo(self) -> None:
        """Do again what was taken back."""
        undo = self._state.undo
        if undo is not None and (version := undo.redone) is not None and not self.busy:
            self._go_to("redo", version)

    def _go_to(self, kind: Literal["undo", "redo"], version: PrototypeSegmenter) -> None:
        """Go to a version of the model, with the prototype that was chosen when it was left."""
        chosen = self._chosen.get(version)
        select = None if chosen is None else (lambda _: chosen)
        self.ask(EditRequest(kind, lambda _: version, select))

    def catch_up(self) -> None:
        """Decode again by the current model, after a result came that an older one made."""
        self.ask(EditRequest("again", lambda model: model))

    def cancel(self) -> None:
        """Give up the edit being worked on, and those that wait."""
        self._waiting.clear()
        self.runner.cancel()

    def save(self, path: Path) -> None:
        """Write the current model to a file."""
        if self._state.model is not None:
            job = run_job("edit", "save_job", self._state.model, path)
            self._saver.put(partial(run, job), self._on_saved)

    # -- one after the other ----------------------------------------------------------------

    def cancel_stale(self, model: object = None) -> None:
        """Give up what is at work or waits for a model that is not the current one any more."""
        if self._current is None or self._state.undo is self._undo:
            return
        edits = [r for r in (self._current, *self._waiting) if r.kind != "again"]
        self.cancel()
        if edits:
            self._refuse(_REPLACED)

    def ask(self, request: EditRequest) -> None:
        """Let an edit wait for its turn."""
        if request.kind != "again" and not self.editable:
            self._refuse(FOREIGN)
            return
        self._waiting.append(request)
        if self._current is None:
            self._start()

    def _start(self) -> None:
        state = self._state
        if state.model is None or not self._waiting:
            return
        self._current = self._waiting.pop(0)
        self._undo, self._model = state.undo, state.model
        model = state.model
        results = [o for o in state.results.values() if _made_by(o, model)]
        # The current image comes first, and is the one that is compared.
        results.sort(key=lambda result: result is not state.current)
        self._redrawing = {result.source.unique_id: result for result in results}
        before = [Before(k, o.segmentation, list(o.maps)) for k, o in self._redrawing.items()]
        key, prototypes = None, []
        if state.current is not None:
            key = state.current.source.unique_id
            prototypes = state.current.segmentation.prototypes
        shown = Shown(key, prototypes, state.prototype, state.quantity)
        self._chosen[model] = state.prototype
        about = (self._current, model, before, shown)
        self.busy_changed.emit(True)
        self.runner.start(partial(run_job, "edit", "edit_job", *about))

    def _on_result(self, edit: EditResult) -> None:
        state = self._state
        if state.undo is not self._undo or state.model is not self._model:
            self._refuse(_REPLACED)
            return
        self._move_undo(edit.model)
        with undisturbed(self._viewer):
            for redrawn in edit.redrawn:
                # An image that was segmented again meanwhile has a new result; the layers
                # are that one's now.
                result = self._redrawing[redrawn.key]
                if state.results.get(result.source) is result:
                    self._show(result, redrawn, edit.model)
            state.set_edited_model(edit.model)
            current = state.current
            if current is not None and current.model is edit.model:
                state.prototype = edit.prototype
                state.set_result(current)
                if edit.values is not None and current is self._redrawing.get(edit.key):
                    self._map.show(current, edit.prototype, edit.values)
                else:
                    self._map.refresh()
        self.changed.emit(edit, self._redrawing.get(edit.key))
        late = (o for o in state.results.values() if o.model is not edit.model)
        if any(_made_by(result, edit.model) for result in late):
            self.catch_up()

    def _move_undo(self, model: PrototypeSegmenter) -> None:
        undo, request = self._state.undo, self._current
        if undo is None or request is None:
            return
        if request.kind == "edit":
            undo.push(model)
        elif request.kind == "undo":
            undo.undo()
        elif request.kind == "redo":
            undo.redo()

    def _show(self, result: ImageResult, redrawn: Redrawn, model: PrototypeSegmenter) -> None:
        result.segmentation, result.model = redrawn.segmentation, model
        undo = self._state.undo
        result.provenance = result.provenance.with_edits(undo.names if undo else [])
        if result.source not in self._viewer.layers:
            return
        known = result.labels is not None and result.labels in self._viewer.layers
        if known or result is self._state.current:
            show_labels(self._viewer, result, redrawn.segmentation.labels)
        redraw(self._viewer, result, redrawn.maps)

    def _refuse(self, sentence: str) -> None:
        self._messages.warn(sentence)
        self.failed.emit()

    def _on_failure(self, error: Exception) -> None:
        self.failed.emit()
        self._messages.report(error)

    def _on_finished(self) -> None:
        self._current = self._undo = self._model = None
        self._redrawing = {}
        self.busy_changed.emit(False)
        self._start()

    def _on_saved(self, written: tuple[Path, PrototypeSegmenter]) -> None:
        path, model = written
        self._state.mark_saved(model, path)
        remember_model(path)
        self.saved.emit(path)


def _made_by(result: ImageResult, model: PrototypeSegmenter) -> bool:
    """Whether a version of a model made a result, so that this one can decode its cells."""
    return result.model is not None and result.model.extractor is model.extractor
