"""Click a component of a prediction to make it labels."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject

from napari_gaussproto.core.base.errors import GaussProtoError
from napari_gaussproto.widgets.shared.messages import Messages
from napari_gaussproto.widgets.train.annotation.annotation_layer import AnnotationLayer

if TYPE_CHECKING:
    from napari.viewer import Viewer

# A hand is never quite still during a click; in pixels of the screen.
_STILL = 3


class AcceptTool(QObject):
    """While it is on, a click accepts the component below it; dragging still moves the image."""

    def __init__(self, viewer: Viewer, messages: Messages, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._messages = viewer, messages
        self._annotation: AnnotationLayer | None = None
        self._mode = ""

    @property
    def on(self) -> bool:
        """Whether the tool listens."""
        return self._annotation is not None

    def switch(self, annotation: AnnotationLayer | None) -> None:
        """Listen for clicks on an image; None ends it and gives the brush back."""
        if self._annotation is not None:
            self._viewer.mouse_drag_callbacks.remove(self._on_drag)
            layer = self._annotation.layer
            if layer is not None and str(layer.mode) == "pan_zoom" and self._mode:
                layer.mode = self._mode
        self._annotation = annotation
        if annotation is not None:
            self._viewer.mouse_drag_callbacks.append(self._on_drag)
            layer = annotation.show()
            self._mode, layer.mode = str(layer.mode), "pan_zoom"

    def _on_drag(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        start, moved = np.array(event.pos, float), False
        yield
        while event.type == "mouse_move":
            moved = moved or bool(np.abs(np.array(event.pos, float) - start).max() > _STILL)
            yield
        annotation = self._annotation
        if moved or event.button != 1 or annotation is None or annotation.layer is None:
            return
        if str(annotation.layer.mode) != "pan_zoom":
            return  # a person took the brush up again, and paints
        self.accept(annotation, event.position)

    def accept(self, annotation: AnnotationLayer, position: Any) -> None:
        """Accept the component at a point in world coordinates."""
        point = annotation.image.world_to_data(position)
        pixel = tuple(round(float(value)) for value in point)
        try:
            edit = annotation.record.accept_component(*pixel)
        except GaussProtoError as error:
            self._messages.tell(str(error))
            return
        annotation.apply(edit)
        self._messages.tell(
            f"{len(edit):,} pixels are labels now; Ctrl+Z takes them back."
            if len(edit)
            else "This region is labelled already."
        )
