"""Computes what the tabs “Look next” and “Space” show, when they are open."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QTabWidget

from napari_gaussproto.jobs.running import run_job
from napari_gaussproto.widgets.layers.placement import plane_in_view, train_image
from napari_gaussproto.widgets.prototypes.places_panel import PlacesPanel
from napari_gaussproto.widgets.prototypes.space_panel import SpacePanel
from napari_gaussproto.widgets.shared.dock import Connections, Dock
from napari_gaussproto.widgets.shared.state import ImageResult
from napari_gaussproto.widgets.shared.workers import Runner, single_shot

if TYPE_CHECKING:
    from napari_gaussproto.core.explain.projection import Projection
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
    from napari_gaussproto.core.model.stack import StackSegmentation

# Milliseconds after the last edit.
_REST = 150


class TabComputation(QObject):
    """Computes the places worth a look and the latent space for the tab that is open."""

    def __init__(
        self, dock: Dock, tabs: QTabWidget, places: PlacesPanel, space: SpacePanel
    ) -> None:
        super().__init__(dock)
        self._viewer, self._state = dock.viewer, dock.state
        self._tabs, self._places, self._space = tabs, places, space
        self._stale = {"places", "space"}
        # What is being computed, "places" or "space", and from what.
        self._computing: tuple[str, StackSegmentation, tuple[int, ...]] | None = None
        self.runner = Runner(self)
        self.runner.succeeded.connect(self._show)
        self.runner.failed.connect(partial(dock.messages.report, quietly=True))
        self._later = single_shot(self, _REST, self._compute)
        tabs.currentChanged.connect(self._on_tab)
        Connections(self).add(dock.viewer.dims.events.current_step, self._on_dims)

    def mark_stale(self) -> None:
        """What was computed is of another result now."""
        self._stale = {"places", "space"}
        self._on_tab()

    def leading(self, result: ImageResult) -> tuple[int, ...]:
        """Which plane of a stack is in view."""
        return plane_in_view(self._viewer, result.source, result.segmentation.leading)

    def _on_tab(self, index: int = 0) -> None:
        if self._wanted() is not None:
            self._later.start()

    def _on_dims(self, event: object = None) -> None:
        result = self._state.current
        if result is not None and result.segmentation.leading:
            self._stale.add("places")
            self._on_tab()

    def _wanted(self) -> str | None:
        """What the open tab lacks."""
        for name, panel in (("places", self._places), ("space", self._space)):
            if self._tabs.currentWidget() is panel and name in self._stale:
                return name
        return None

    def _compute(self) -> None:
        result, wanted = self._state.current, self._wanted()
        if result is None or result.model is None or wanted is None:
            return
        segmentation, leading = result.segmentation, self.leading(result)
        self._computing = (wanted, segmentation, leading)
        if wanted == "space":
            self.runner.start(partial(_space_steps, segmentation, result.model))
            return
        about = (segmentation, train_image(result.source), leading, result.model)
        self.runner.start(partial(run_job, "insight", "places_job", *about))

    def _show(self, found: Any) -> None:
        result, computed = self._state.current, self._computing
        if result is None or result.model is None or computed is None:
            return
        if computed[1:] != (result.segmentation, self.leading(result)):
            return  # of something else than what is shown now; that is computed next
        self._stale.discard(computed[0])
        if isinstance(found, list):
            self._places.show_strokes(result.model.card.strokes)
            for places in found:
                self._places.show_places(places.kind, places.places, places.pictures)
            return
        active = result.model.layer.active.tolist()
        colors = [c.color for c in result.segmentation.classes]
        view = self._space.ready_view(found.method)
        view.show_projection(found, result.model.prototypes, active, colors)
        view.select(self._state.prototype)


def _space_steps(
    segmentation: StackSegmentation, model: PrototypeSegmenter
) -> Generator[None, None, Projection]:
    """Load the library that draws, which takes a while, and project the latent space."""
    import_module("napari_gaussproto.widgets.prototypes.space_view")
    return (yield from run_job("insight", "space_job", segmentation, model))
