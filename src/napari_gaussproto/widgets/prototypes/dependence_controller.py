"""From a place that was explained to a map of what its answer depends on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from qtpy.QtCore import QObject

from napari_gaussproto.core.model.maps import OUTLINES
from napari_gaussproto.jobs.running import run_job
from napari_gaussproto.widgets.layers.overlays import WHY, show_dependence
from napari_gaussproto.widgets.layers.placement import layer_of, train_image, undisturbed
from napari_gaussproto.widgets.prototypes.why_panel import DependencePanel
from napari_gaussproto.widgets.shared.dock import Connections, Dock
from napari_gaussproto.widgets.shared.state import ImageResult, OnImage
from napari_gaussproto.widgets.shared.workers import Runner

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_gaussproto.core.explain.dependence import Dependence, Probed
    from napari_gaussproto.core.model.stack import StackSegmentation
    from napari_gaussproto.jobs.large.why import Explained


class Asked(NamedTuple):
    """A place that was explained, and by which segmentation: an edit makes another one.

    Attributes
    ----------
    on : OnImage
        A result, or answers about a large image.
    by : StackSegmentation or Explained
    """

    on: OnImage
    by: StackSegmentation | Explained
    leading: tuple[int, ...]
    y: int
    x: int

    @property
    def job(self) -> partial[Any]:
        """The work of a thread that finds out what its answer depends on."""
        if not isinstance(self.on, ImageResult):
            return partial(run_job, "large.why", "dependence_job", self.by)
        about = (self.by, self.on.model, self.leading, self.y, self.x)
        return partial(run_job, "insight", "dependence_job", train_image(self.on.source), *about)


class DependenceController(QObject):
    """Computes the map for the place that was explained last, shows it and hides it."""

    def __init__(self, dock: Dock, panel: DependencePanel) -> None:
        super().__init__(dock)
        self._viewer, self._panel = dock.viewer, panel
        self._place: Asked | None = None
        self._found: Dependence | None = None
        self._layer: Layer | None = None
        # Layers that the map took the place of.
        self._hidden: list[Layer] = []
        self.runner = Runner(self)
        self.runner.progressed.connect(self._on_progress)
        self.runner.succeeded.connect(self._show)
        self.runner.failed.connect(partial(dock.messages.report, quietly=True))
        self.runner.finished.connect(self._refresh)
        self._connections = Connections(self)
        for signal, slot in (
            (dock.state.shown_changed, self._give_way),
            (dock.state.prototype_changed, self._give_way),
            (dock.viewer.layers.events.removed, self._on_removed),
        ):
            self._connections.add(signal, slot)
        panel.button.clicked.connect(self.press)
        self._refresh()

    def follow(self, place: Asked | None) -> None:
        """Turn to another place; what was computed for the former one is hidden."""
        if place == self._place:
            return
        self.runner.cancel()
        self._hide()
        self._place, self._found = place, None
        self._refresh()

    def press(self) -> None:
        """Compute the map or show it again, cancel, or hide the map."""
        place = self._place
        if self.runner.running:
            self.runner.cancel()
        elif self._is_shown:
            self._hide()
        elif self._found is not None:
            self._show(self._found)
        elif place is not None and place.on.source in self._viewer.layers:
            self._panel.progress.setRange(0, 0)
            self.runner.start(place.job)
        self._refresh()

    @property
    def _is_shown(self) -> bool:
        layer = self._layer
        return layer is not None and layer in self._viewer.layers and bool(layer.visible)

    def _on_progress(self, done: Probed) -> None:
        self._panel.progress.setRange(0, done.total)
        self._panel.progress.setValue(done.index)

    def _show(self, found: Dependence) -> None:
        place = self._place
        if place is None or place.on.source not in self._viewer.layers:
            return
        self._found, result = found, place.on
        kept = [layer_of(self._viewer, result, role) for role in (WHY, OUTLINES)]
        with undisturbed(self._viewer):
            layer = show_dependence(self._viewer, result, found, place.leading)
            for other in (result.labels, *result.maps.values()):
                if other in self._viewer.layers and other.visible and other not in (layer, *kept):
                    other.visible = False
                    self._hidden.append(other)
        if layer is not self._layer:
            self._layer = layer
            self._connections.add(layer.events.visible, self._refresh)
        self._panel.say(found.sentence)
        self._refresh()

    def _hide(self) -> None:
        """Hide the map, and show what was in view before."""
        if self._layer is not None and self._is_shown:
            self._layer.visible = False
        for layer in self._hidden:
            layer.visible = True
        self._hidden = []

    def _give_way(self, chosen: object = None) -> None:
        """Hide the map where something else was chosen to be seen."""
        self._hidden = []
        self._hide()

    def _on_removed(self, event: Any) -> None:
        if event.value is self._layer:
            self._layer = None
            self._hide()
            self._refresh()

    def _refresh(self, event: object = None) -> None:
        shown = self._is_shown
        self._panel.show_state(
            asked=self._place is not None, running=self.runner.running, shown=shown
        )
        if not shown:
            self._panel.say("")
