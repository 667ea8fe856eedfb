"""What the buttons of the Edit part do: each is an edit of `jobs.changes` for the session."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject

from napari_gaussproto.jobs.requests import Seen
from napari_gaussproto.jobs.running import run_job
from napari_gaussproto.widgets.layers.overlays import (
    brush_layer,
    brushed,
    hide_changed,
    is_scratch,
    reset_brushed,
    show_changed,
)
from napari_gaussproto.widgets.layers.placement import train_image
from napari_gaussproto.widgets.prototypes.edit_panel import EditPanel
from napari_gaussproto.widgets.prototypes.edit_session import EditSession
from napari_gaussproto.widgets.shared.dock import Dock
from napari_gaussproto.widgets.shared.state import ImageResult

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_gaussproto.core.measure.compare import Comparison
    from napari_gaussproto.core.model.segmentation import Prototype
    from napari_gaussproto.jobs.edit import EditResult


class EditController(QObject):
    """Turns a person's wishes into edits of the chosen prototype."""

    def __init__(self, dock: Dock, session: EditSession, panel: EditPanel) -> None:
        super().__init__(dock)
        self._viewer, self._state, self._messages = dock.viewer, dock.state, dock.messages
        self._session, self._panel = session, panel
        self._label_layers: list[Labels] = []
        self._named: WeakSet[Labels] = WeakSet()
        # The last edit's, with the result that it is about.
        self._compared: tuple[ImageResult, Comparison] | None = None
        panel.on_off.clicked.connect(lambda: self._edit_chosen("turn", not panel.shows_active))
        panel.class_choice.activated.connect(self._reassign)
        panel.merge_button.clicked.connect(self._merge)
        panel.split_button.clicked.connect(lambda: self._edit_chosen("split", self._seen()))
        panel.delete_button.clicked.connect(lambda: self._edit_chosen("delete"))
        panel.brush.clicked.connect(self._brush)
        panel.add_button.clicked.connect(self._add_brushed)
        panel.train_button.clicked.connect(self.train_away)
        panel.cancel_button.clicked.connect(self._cancel)
        panel.changes.toggled.connect(self._on_changes_wanted)
        session.progressed.connect(self._on_progress)
        session.changed.connect(self._on_changed)
        session.busy_changed.connect(self._on_busy)

    # -- edits of one prototype -------------------------------------------------------------

    def switch(self, m: int, on: bool) -> None:
        """Turn a prototype on or off."""
        self._edit(m, "turn", on)

    def rename(self, m: int, name: str) -> None:
        """Give a prototype another name."""
        self._edit(m, "rename", name)

    def _reassign(self, class_index: int) -> None:
        shown = self._shown(self._state.prototype)
        if shown is not None and shown.class_index != class_index:
            self._edit_chosen("reassign", class_index)

    def _merge(self) -> None:
        other = self._shown(int(self._panel.siblings.currentData()))
        if other is not None:
            self._edit_chosen("merge", other, self._seen())

    def _edit_chosen(self, change: str, *arguments: Any) -> None:
        self._edit(self._state.prototype, change, *arguments)

    def _edit(self, m: int, change: str, *arguments: Any) -> None:
        """Make a change of `jobs.changes` to the prototype at a place of the gallery."""
        prototype = self._shown(m)
        if prototype is not None:
            work = partial(run_job, "changes", change, *arguments, prototype)
            self._session.apply(work, truth=self._truth())

    def _shown(self, m: int) -> Prototype | None:
        """The prototype that a person sees at a place."""
        result = self._state.current
        prototypes = [] if result is None else result.segmentation.prototypes
        return prototypes[m] if 0 <= m < len(prototypes) else None

    def _seen(self) -> Seen | None:
        """The current image as a person sees it now."""
        result, model = self._state.current, self._state.model
        if result is None or model is None:
            return None
        return Seen(result.segmentation, train_image(result.source), model)

    # -- a new prototype --------------------------------------------------------------------

    def _brush(self) -> None:
        result = self._state.current
        if result is not None:
            self._state.show(likelihood=False)
            brush_layer(self._viewer, result)
            self._messages.tell("Paint an example of the new prototype, then press Add.")

    def _add_brushed(self) -> None:
        result = self._state.current
        if result is None:
            return
        mask = brushed(self._viewer, result)
        if mask is None:
            self._messages.tell("Nothing is painted yet: press Brush and paint an example.")
            return
        self.add_prototype(self._panel.new_class.currentIndex(), mask)
        reset_brushed(self._viewer, result)

    def add_prototype(self, class_index: int, mask: npt.NDArray[np.bool_]) -> None:
        """Make a prototype of the cells inside a mask (..., H, W)."""
        seen = self._seen()
        if seen is not None:
            work = partial(run_job, "changes", "add", class_index, mask, seen)
            self._session.apply(work, lambda model: len(model.prototypes) - 1, self._truth())

    # -- training one away ------------------------------------------------------------------

    def refresh_labels(self, event: object = None) -> None:
        """Offer the label layers that fit the current image."""
        from napari.layers import Labels

        result = self._state.current
        if result is None:
            return
        found = [layer for layer in self._viewer.layers if isinstance(layer, Labels)]
        for layer in found:
            if layer not in self._named:
                self._named.add(layer)
                layer.events.name.connect(self.refresh_labels)
        shape = result.segmentation.labels.shape
        fitting = (la for la in found if not la.multiscale and tuple(la.data.shape) == shape)
        self._label_layers = [layer for layer in fitting if not is_scratch(layer)]
        self._panel.offer_labels([layer.name for layer in self._label_layers])

    def train_away(self) -> None:
        """Remove the chosen prototype and let the others learn to do without it."""
        seen, prototype = self._seen(), self._shown(self._state.prototype)
        if seen is None or prototype is None:
            return
        labels = self._chosen_labels()
        work = partial(run_job, "changes", "train_away", labels, seen, prototype)
        self._session.apply(work, truth=labels)

    def _cancel(self) -> None:
        if self._session.busy:
            self._session.cancel()
            self._messages.tell("Cancelled.")

    def _chosen_labels(self) -> npt.NDArray[Any] | None:
        """A copy of the labels of the chosen layer; a person may go on painting."""
        index = self._panel.labels.currentIndex() - 1
        found = 0 <= index < len(self._label_layers)
        return np.array(self._label_layers[index].data) if found else None

    def _truth(self) -> npt.NDArray[Any] | None:
        """Labels to tell the IoU by; only those that fit, as an edit needs none."""
        result, labels = self._state.current, self._chosen_labels()
        if result is None or labels is None:
            return None
        fits = labels.shape == result.segmentation.labels.shape
        fits = fits and 0 <= labels.min() <= labels.max() <= len(result.segmentation.classes)
        return labels if fits else None

    # -- results ----------------------------------------------------------------------------

    def _on_progress(self, step: Any) -> None:
        if hasattr(step, "total"):
            self._panel.show_progress(step.step / step.total)

    def _on_busy(self, busy: bool) -> None:
        if not busy:
            self._panel.show_progress(None)

    def _on_changed(self, edit: EditResult, result: ImageResult | None) -> None:
        if edit.comparison is None or result is None:
            return
        self._compared = (result, edit.comparison)
        text = edit.comparison.summary(result.segmentation.classes)
        if edit.rejection is not None:
            found = edit.rejection
            text += (
                f" Accuracy on the labelled cells: {found.before:.1%} before, "
                f"{found.masked:.1%} without it, {found.after:.1%} after training. It was trained "
                "on these labels, so expect less elsewhere."
            )
        self._messages.tell(text)
        self._on_changes_wanted(self._panel.changes.isChecked())

    def hide_former_change(self, result: ImageResult) -> None:
        """Hide what an edit changed in a result that was replaced by another one since."""
        compared = self._compared
        if compared is None or compared[0] is result:
            return
        if compared[0].source is result.source:
            self._compared = None
            hide_changed(self._viewer, result)

    def _on_changes_wanted(self, wanted: bool) -> None:
        result = self._state.current
        if result is None:
            return
        if not wanted:
            hide_changed(self._viewer, result)
        elif self._compared is not None and self._compared[0] is result:
            show_changed(self._viewer, result, self._compared[1].changed)
