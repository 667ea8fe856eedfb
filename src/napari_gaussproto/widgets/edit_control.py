"""What the buttons of the Edit part do: each is a pure edit, handed to the session."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, Signal

from napari_gaussproto.widgets.edit_job import EditResult
from napari_gaussproto.widgets.edits import EditSession
from napari_gaussproto.widgets.layers import pixels_of
from napari_gaussproto.widgets.prototypes_edit import PRESENT, EditPanel
from napari_gaussproto.widgets.scratch_layers import (
    brush_layer,
    brushed,
    hide_changed,
    show_changed,
    wipe,
)
from napari_gaussproto.widgets.state import SharedState

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

    from napari_gaussproto.core.compare import Comparison
    from napari_gaussproto.core.reject import Rejection
    from napari_gaussproto.core.segmenter import PrototypeSegmenter
    from napari_gaussproto.core.stack import StackSegmentation

_PATCHES = 8


class EditController(QObject):
    """Turns a person's wishes into edits of the chosen prototype.

    Signals
    -------
    reported(str)
        A sentence for the person.
    """

    reported = Signal(str)

    def __init__(
        self,
        viewer: Viewer,
        state: SharedState,
        session: EditSession,
        panel: EditPanel,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._state, self._session, self._panel = viewer, state, session, panel
        self._label_layers: list[Labels] = []
        self._comparison: Comparison | None = None
        panel.switched.connect(lambda on: self.switch(state.prototype, on))
        panel.reassigned.connect(self.reassign)
        panel.merged.connect(self.merge)
        panel.split.connect(self.split)
        panel.deleted.connect(self.delete)
        panel.brush_wanted.connect(self.brush)
        panel.added.connect(self.add_brushed)
        panel.trained_away.connect(self.train_away)
        panel.cancelled.connect(session.cancel)
        panel.changes_wanted.connect(self._on_changes_wanted)
        session.progressed.connect(self._on_progress)
        session.changed.connect(self._on_changed)
        session.busy_changed.connect(self._on_busy)

    # -- edits of one prototype -------------------------------------------------------------

    def switch(self, m: int, on: bool) -> None:
        """Turn a prototype on or off."""
        from napari_gaussproto.core import edit

        self._session.apply(lambda model: (edit.turn_on if on else edit.turn_off)(model, m))

    def rename(self, m: int, name: str) -> None:
        """Give a prototype another name."""
        from napari_gaussproto.core import edit

        # The one renamed stays chosen, though its name is another.
        self._session.apply(lambda model: edit.rename(model, m, name), lambda model: m)

    def reassign(self, class_index: int) -> None:
        """Give the chosen prototype to another class."""
        from napari_gaussproto.core import edit

        m, model = self._state.prototype, self._state.model
        if model is None or model.prototypes[m].class_index == class_index:
            return
        self._session.apply(lambda model: edit.reassign(model, m, class_index), lambda model: m)

    def merge(self, other: int) -> None:
        """Merge another prototype into the chosen one."""
        from napari_gaussproto.core import edit

        m, cells = self._state.prototype, self._latents()
        self._session.apply(
            lambda model: edit.merge(model, m, other, cells), lambda model: m - (other < m)
        )

    def split(self) -> None:
        """Split the chosen prototype by its cells in the current image."""
        from napari_gaussproto.core import edit

        m, cells, cut = self._state.prototype, self._latents(), self._cutter()
        self._session.apply(lambda model: edit.split(model, m, cells, cut), lambda model: m)

    def delete(self) -> None:
        """Remove the chosen prototype."""
        from napari_gaussproto.core import edit

        m = self._state.prototype
        self._session.apply(lambda model: edit.delete(model, m))

    # -- a new prototype --------------------------------------------------------------------

    def brush(self) -> None:
        """Get the layer to paint a new prototype in ready."""
        outcome = self._state.current
        if outcome is not None:
            self._state.show(likelihood=False)
            brush_layer(self._viewer, outcome)
            self.reported.emit("Paint an example of the new prototype, then press Add.")

    def add_brushed(self, class_index: int) -> None:
        """Make a prototype of what was painted."""
        outcome = self._state.current
        if outcome is None:
            return
        mask = brushed(self._viewer, outcome)
        if mask is None:
            self.reported.emit("Nothing is painted yet: press Brush and paint an example.")
            return
        self.add_region(class_index, mask)
        wipe(self._viewer, outcome)

    def add_region(self, class_index: int, mask: npt.NDArray[np.bool_]) -> None:
        """Make a prototype of the cells of a region (..., H, W)."""
        outcome, cut = self._state.current, self._cutter()
        if outcome is None:
            return
        segmentation = outcome.segmentation

        def add(model: PrototypeSegmenter) -> PrototypeSegmenter:
            from napari_gaussproto.core import edit
            from napari_gaussproto.core.stack_cells import (
                latents_of,
                nearest_to_mean,
                rows_inside,
            )

            latents, rows = latents_of(segmentation), rows_inside(segmentation, mask)
            patches = cut(nearest_to_mean(latents, rows, _PATCHES)) if len(rows) else None
            return edit.add(model, class_index, latents[rows], patches=patches)

        self._session.apply(add, lambda model: len(model.prototypes) - 1)

    # -- rejecting for good -----------------------------------------------------------------

    def refresh_labels(self) -> None:
        """Offer the label layers that fit the current image."""
        from napari.layers import Labels

        outcome = self._state.current
        if outcome is None:
            return
        shape = outcome.segmentation.labels.shape
        self._label_layers = [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, Labels) and tuple(layer.data.shape) == shape
        ]
        self._panel.offer_labels([layer.name for layer in self._label_layers])

    def train_away(self) -> None:
        """Remove the chosen prototype and let the others learn to do without it."""
        outcome = self._state.current
        if outcome is None:
            return
        m, segmentation = self._state.prototype, outcome.segmentation
        index = self._panel.labels.currentIndex() - 1
        labels = None
        if self._panel.labels.currentText() != PRESENT and index < len(self._label_layers):
            labels = np.array(self._label_layers[index].data)  # a person may go on painting
        steps = partial(_train_away_steps, m, segmentation, labels)
        self._session.apply_steps(steps, truth=labels)

    # -- what comes back --------------------------------------------------------------------

    def _on_progress(self, step: Any) -> None:
        if hasattr(step, "total"):
            self._panel.show_progress(step.step / step.total)

    def _on_busy(self, busy: bool) -> None:
        if not busy:
            self._panel.show_progress(None)

    def _on_changed(self, result: EditResult) -> None:
        outcome = self._state.current
        if result.comparison is None or outcome is None:
            return
        self._comparison = result.comparison
        self.reported.emit(self.summary(result, outcome.segmentation))
        self._on_changes_wanted(self._panel.changes.isChecked())

    def summary(self, result: EditResult, segmentation: StackSegmentation) -> str:
        """What an edit changed, in a sentence or two."""
        text = "" if result.comparison is None else result.comparison.summary(segmentation.classes)
        if result.rejection is not None:
            found = result.rejection
            text += (
                f" Accuracy on the labelled cells: {found.before:.1%} before, "
                f"{found.masked:.1%} without it, {found.after:.1%} after training."
            )
        return text

    def _on_changes_wanted(self, wanted: bool) -> None:
        outcome = self._state.current
        if outcome is None:
            return
        comparison = self._comparison
        if not wanted:
            hide_changed(self._viewer, outcome)
        elif comparison and comparison.changed.shape == outcome.segmentation.labels.shape:
            show_changed(self._viewer, outcome, comparison.changed)

    # -- the current image ------------------------------------------------------------------

    def _latents(self) -> Any:
        from napari_gaussproto.core.stack_cells import latents_of

        outcome = self._state.current
        return None if outcome is None else latents_of(outcome.segmentation)

    def _cutter(self) -> Any:
        from napari_gaussproto.core.stack_cells import cutter

        outcome, model = self._state.current, self._state.model
        if outcome is None or model is None:
            return None
        source = outcome.source
        return cutter(pixels_of(source), bool(source.rgb), model, outcome.segmentation)


def _train_away_steps(
    m: int,
    segmentation: StackSegmentation,
    labels: npt.NDArray[Any] | None,
    model: PrototypeSegmenter,
) -> Generator[Any, None, Rejection]:
    from napari_gaussproto.core.reject import present_targets, reject_steps
    from napari_gaussproto.core.stack_cells import latents_of, targets_of

    cells = latents_of(segmentation)
    if labels is None:
        target, weight = present_targets(model, m, cells)
    else:
        target, weight = targets_of(segmentation, labels)
    return (yield from reject_steps(model, m, cells, target, weight))
