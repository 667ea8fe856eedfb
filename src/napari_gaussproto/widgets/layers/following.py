"""Layers of this plugin follow their image: they are named after it, and go with it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from qtpy.QtCore import QTimer

from napari_gaussproto.widgets.layers.placement import layers_to_remove
from napari_gaussproto.widgets.shared.preferences import PLUGIN
from napari_gaussproto.widgets.shared.state import ImageResult, SharedState, per_viewer, state_of
from napari_gaussproto.widgets.shared.tags import is_ours

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.viewer import Viewer

_BETWEEN = " – "


class Following:
    """Watches the images of one viewer."""

    def __init__(self, viewer: Viewer) -> None:
        # What is kept by the viewer must not keep it.
        self._viewer = ref(viewer)
        self._names: WeakKeyDictionary[Image, str] = WeakKeyDictionary()
        state: SharedState = state_of(viewer)
        state.result_changed.connect(self._on_result)
        state.result_closed.connect(self._on_closed)
        for result in list(state.results.values()):
            self._on_result(result)

    def _on_result(self, result: ImageResult) -> None:
        self.watch(result.source)

    def watch(self, image: Image) -> None:
        """Name layers after an image from now on."""
        if image not in self._names:
            self._names[image] = image.name
            image.events.name.connect(partial(self._on_name, ref(image)))

    def _on_name(self, weak: Any, event: object = None) -> None:
        """Name the layers anew that were called after an image."""
        viewer, image = self._viewer(), weak()
        if viewer is None or image is None or image not in viewer.layers:
            return
        former, self._names[image] = self._names[image] + _BETWEEN, image.name
        for layer in viewer.layers:
            if is_ours(layer) and layer.name.startswith(former):
                layer.name = image.name + _BETWEEN + layer.name.removeprefix(former)

    def _on_closed(self, result: ImageResult) -> None:
        """Remove what showed the result of an image that was closed, but for a person's work."""
        viewer = self._viewer()
        if viewer is None:
            return
        layers, begins = layers_to_remove(viewer, result), result.source.name + _BETWEEN
        layers += [
            layer
            for layer in viewer.layers
            if layer.metadata.get(PLUGIN, {}).get("earlier", False)
            and layer.name.startswith(begins)
        ]
        # After napari has finished with the image; the result itself is free before.
        QTimer.singleShot(0, partial(self._remove, layers))

    def _remove(self, layers: list[Layer]) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        for layer in layers:
            if layer in viewer.layers:
                viewer.layers.remove(layer)


@per_viewer
def follow_images(viewer: Viewer) -> Following:
    """Let layers follow the images of a viewer from now on."""
    return Following(viewer)
