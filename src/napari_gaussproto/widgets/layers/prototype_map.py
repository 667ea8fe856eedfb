"""The one layer per image that shows the chosen prototype, whichever dock chooses it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, ref

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.model.maps import LIKELIHOOD, MapRole, limits_of, values_of
from napari_gaussproto.widgets.layers.following import follow_images
from napari_gaussproto.widgets.layers.placement import layer_of, show_map, undisturbed
from napari_gaussproto.widgets.shared.state import ImageResult, SharedState, per_viewer, state_of

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

# Typicality is what people read as the likelihood of a prototype.
_TITLES = {"typicality": "likelihood"}


class PrototypeMap:
    """Keeps the likelihood layer at the prototype and quantity that the state names."""

    def __init__(self, viewer: Viewer, state: SharedState) -> None:
        # A table keeps this object while its viewer lives; a strong reference would keep both.
        self._viewer = ref(viewer)
        self._state = state
        self._limits: WeakKeyDictionary[Layer, tuple[float, float]] = WeakKeyDictionary()
        state.prototype_changed.connect(self.refresh)
        state.shown_changed.connect(self._on_shown)
        state.result_changed.connect(self._toggle)

    def refresh(self) -> None:
        """Compute and show the map of the chosen prototype."""
        result, state = self._state.current, self._state
        if result is not None:
            values = values_of(result.segmentation, state.prototype, state.quantity)
            self.show(result, state.prototype, values)
            if state.shows_likelihood:
                self._toggle()

    def _on_shown(self) -> None:
        self.refresh()
        self._toggle()

    def show(self, result: ImageResult, m: int, values: npt.NDArray[np.float32]) -> None:
        """Show a map (..., h, w), computed elsewhere, of the state's quantity."""
        viewer, quantity = self._viewer(), self._state.quantity
        if viewer is None or result.source not in viewer.layers:
            return
        what = f"{_TITLES.get(quantity, quantity)} of "
        self._show(viewer, result, m, LIKELIHOOD, what, values, self._state.shows_likelihood)

    def pin(self, m: int) -> str:
        """Keep the map of a prototype as a layer of its own; a sentence says where it is."""
        result, viewer, quantity = self._state.current, self._viewer(), self._state.quantity
        if result is None or viewer is None:
            return ""
        what = "" if quantity == "typicality" else f"{quantity} of "
        values = values_of(result.segmentation, m, quantity)
        role = MapRole.pinned(m, quantity)
        known = layer_of(viewer, result, role) is not None
        layer = self._show(viewer, result, m, role, what, values, visible=False)
        kept = "was kept before" if known else "is kept"
        eye = "" if layer.visible else ", hidden: its eye in the layer list shows it"
        return f"This map {kept} as the layer “{layer.name}”{eye}."

    def _show(
        self,
        viewer: Viewer,
        result: ImageResult,
        m: int,
        role: MapRole,
        what: str,
        values: npt.NDArray[np.float32],
        visible: bool,
    ) -> Layer:
        name = f"{result.source.name} – {what}{result.segmentation.prototypes[m].name}"
        with undisturbed(viewer):
            layer = show_map(viewer, result, role, values, name, visible=visible)
        # The common scale is set once: a person may then choose another contrast.
        limits = limits_of(result.segmentation, self._state.quantity)
        if self._limits.get(layer) != limits:
            self._limits[layer] = limits
            layer.contrast_limits_range = limits
            layer.contrast_limits = limits
        return layer

    def _toggle(self, result: object = None) -> None:
        """Show classes or likelihood; both at once would only be muddy."""
        current, viewer = self._state.current, self._viewer()
        if current is None or viewer is None:
            return
        likelihood, following = self._state.shows_likelihood, follow_images(viewer)
        following.show_classes(current.source, not likelihood)
        layer = layer_of(viewer, current, LIKELIHOOD)
        if layer is not None:
            following.set_visible(layer, current.source, likelihood)


@per_viewer
def prototype_map(viewer: Viewer) -> PrototypeMap:
    """The map of a viewer."""
    return PrototypeMap(viewer, state_of(viewer))
