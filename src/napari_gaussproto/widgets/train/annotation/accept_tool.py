"""Make a prediction labels: its component below a click, or a whole plane."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject

from napari_gaussproto.core.base.errors import GaussProtoError
from napari_gaussproto.core.labels.codes import Snapshot
from napari_gaussproto.core.labels.corrections import CodeEdit, Corrections
from napari_gaussproto.widgets.shared.job_queue import JobQueue
from napari_gaussproto.widgets.shared.messages import Messages
from napari_gaussproto.widgets.train.annotation.annotation_layer import AnnotationLayer
from napari_gaussproto.widgets.train.annotation.annotation_set import AnnotationSet

if TYPE_CHECKING:
    from napari.viewer import Viewer

_Find = Callable[[Corrections, tuple[int, ...]], CodeEdit | GaussProtoError]
# A hand is never quite still during a click; in pixels of the screen.
_STILL = 3


class AcceptTool(QObject):
    """While it is on, a click accepts the component below it; dragging still moves the image."""

    def __init__(
        self, viewer: Viewer, annotations: AnnotationSet, messages: Messages, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._viewer, self._annotations, self._messages = viewer, annotations, messages
        self._annotation: AnnotationLayer | None = None
        self._mode = ""
        self._queue = JobQueue(self)
        self._queue.failed.connect(messages.report)

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
        # An image of many channels has an axis in front that its labels lack.
        pixel = tuple(round(float(value)) for value in point[-annotation.record.codes.ndim :])
        self._seek(annotation, pixel, _component)

    def accept_plane(self, annotation: AnnotationLayer, plane: tuple[int, ...]) -> None:
        """Accept a whole image, or the plane of a stack with these indices."""
        self._seek(annotation, plane, _plane)

    @property
    def busy(self) -> bool:
        """Whether a component is being sought."""
        return self._queue.busy

    def close(self) -> None:
        """Stop listening, and seek nothing more."""
        self.switch(None)
        self._queue.abandon()

    def _seek(self, annotation: AnnotationLayer, place: tuple[int, ...], find: _Find) -> None:
        """Find what is accepted in a thread, as a fifth of a second would hold the brush."""
        annotation.settle()
        record, before = annotation.record, annotation.snapshot
        done = partial(self._on_found, annotation, place, find, record, before)
        self._queue.put(partial(find, record, place), done)

    def _on_found(
        self,
        annotation: AnnotationLayer,
        place: tuple[int, ...],
        find: _Find,
        record: Corrections,
        before: Snapshot,
        found: CodeEdit | GaussProtoError,
    ) -> None:
        if self._queue.closed or not annotation.shown or annotation.record is not record:
            return  # the dock was closed, or the layer removed or turned meanwhile
        annotation.settle()
        if annotation.snapshot is not before:
            self._seek(annotation, place, find)  # painted on meanwhile, or predicted anew
            return
        is_plane, failed = find is _plane, isinstance(found, GaussProtoError)
        unknown: list[str] = []
        if is_plane or failed:
            unknown = self._annotations.unknown_classes(annotation.image, *place)
        missing = left_out(unknown)
        if isinstance(found, GaussProtoError):
            said = missing or str(found)
        else:
            annotation.apply(found, later=True)
            what = "image" if is_plane else "region"
            said = f"{accepted(found) or f'This {what} is labelled already.'} {missing}".strip()
        if is_plane and (missing or failed):
            self._messages.warn(said)
        else:
            self._messages.tell(said)


def _component(record: Corrections, place: tuple[int, ...]) -> CodeEdit | GaussProtoError:
    try:
        return record.accept_component(*place)
    except GaussProtoError as error:
        return error


def _plane(record: Corrections, place: tuple[int, ...]) -> CodeEdit | GaussProtoError:
    try:
        return record.accept_plane(place)
    except GaussProtoError as error:
        return error


def accepted(edit: CodeEdit) -> str:
    """How much became labels; empty for nothing."""
    return f"{len(edit):,} pixels are labels now; Ctrl+Z takes them back." if len(edit) else ""


def left_out(names: Sequence[str]) -> str:
    """That predicted classes have no counterpart among those of the labels; empty for none."""
    if not names:
        return ""
    listed = " and ".join(f"“{name}”" for name in names)
    one = len(names) == 1
    what, them = (
        ("is predicted but is no class", "it")
        if one
        else ("are predicted but are no classes", "them")
    )
    return f"{listed} {what} here and cannot be accepted: add {them} under Classes by name."
