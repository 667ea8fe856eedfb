"""Words on the canvas: what the map in view shows, and which prototype a slider stands at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

from napari_gaussproto.core.model.maps import STACK
from napari_gaussproto.widgets.layers.legends import legend_of
from napari_gaussproto.widgets.shared.preferences import PLUGIN
from napari_gaussproto.widgets.shared.state import SharedState, per_viewer, state_of
from napari_gaussproto.widgets.shared.tags import role_of

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

# The axis of a stack of maps, until its slider says which prototype it stands at.
PROTOTYPE_AXIS = "prototype"


class Captions:
    """Keeps the text of a viewer's canvas at the uppermost map in view.

    The scale beside the map is napari's colour bar, which has numbers only. A text that a person
    put on the canvas is left alone.
    """

    def __init__(self, viewer: Viewer, state: SharedState) -> None:
        # A table keeps this object while its viewer lives; a strong reference would keep both.
        self._viewer, self._state = ref(viewer), state
        self._said = ""
        viewer.layers.events.removed.connect(self.refresh)
        viewer.layers.events.reordered.connect(self.refresh)
        viewer.dims.events.current_step.connect(self.refresh)

    def follow(self, layer: Layer) -> None:
        """Say what a new map shows whenever it is in view."""
        layer.events.visible.connect(self.refresh)
        layer.events.name.connect(self.refresh)
        self.refresh()

    def refresh(self, event: object = None) -> None:
        """Write what is in view now."""
        viewer = self._viewer()
        if viewer is None:
            return
        overlay = canvas_text(viewer)
        if overlay.visible and overlay.text != self._said:
            return
        text = next((text for layer in reversed(viewer.layers) if (text := self._of(layer))), "")
        for layer in viewer.layers:
            self._name_slider(viewer, layer)
        if text == self._said and overlay.visible == bool(text):
            return
        overlay.text = self._said = text
        overlay.position, overlay.visible = "top_right", bool(text)

    def _of(self, layer: Layer) -> str:
        role = role_of(layer) if layer.visible else None
        legend = None if role is None else legend_of(role, self._state.quantity)
        if legend is None:
            return ""
        name = layer.name
        if role == STACK and (prototype := self._prototype(layer)):
            name = f"{name}: {prototype}"
        return "\n".join((name, *legend))

    def _prototype(self, layer: Layer) -> str | None:
        """The prototype that the slider of a stack of maps stands at."""
        viewer, names = self._viewer(), layer.metadata[PLUGIN].get("prototypes", [])
        if viewer is None or not names or viewer.dims.ndim < layer.ndim:
            return None
        place = round(float(viewer.dims.point[viewer.dims.ndim - layer.ndim]))
        return str(names[min(max(place, 0), len(names) - 1)])

    def _name_slider(self, viewer: Viewer, layer: Layer) -> None:
        if role_of(layer) != STACK:
            return
        name = self._prototype(layer) if layer.visible else None
        axis, labels = viewer.dims.ndim - layer.ndim, list(viewer.dims.axis_labels)
        if axis < 0 or labels[axis] == (name or PROTOTYPE_AXIS):
            return
        labels[axis] = name or PROTOTYPE_AXIS
        viewer.dims.axis_labels = labels


def canvas_text(viewer: Viewer) -> Any:
    """The text over a viewer's canvas; its place is another one since napari 0.9."""
    canvas = getattr(viewer, "canvas", None)
    return viewer.text_overlay if canvas is None else canvas.overlays.text


@per_viewer
def captions(viewer: Viewer) -> Captions:
    """The words of a viewer."""
    return Captions(viewer, state_of(viewer))
