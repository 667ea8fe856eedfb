"""The layer in which a person labels one image, and its record."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, Signal

from napari_gaussproto.core.base.strips import n_strips, numbered_strips, strips_with
from napari_gaussproto.core.imaging.masks import Mask
from napari_gaussproto.core.imaging.orientation import upright
from napari_gaussproto.core.labels.check import check_shape
from napari_gaussproto.core.labels.codes import ALONE, Snapshot, label_value_of
from napari_gaussproto.core.labels.corrections import (
    CodeEdit,
    Corrections,
    ReadyLabels,
    code_colors,
    code_names,
)
from napari_gaussproto.widgets.layers.following import follow_images
from napari_gaussproto.widgets.layers.placement import (
    has_channels,
    pixels_of,
    placement,
    plane_in_view,
)
from napari_gaussproto.widgets.shared.dock import Connections
from napari_gaussproto.widgets.shared.tags import ANNOTATIONS, annotations_tag
from napari_gaussproto.widgets.shared.workarounds import (
    reset_undo,
    strips_of_stroke,
    write_labels,
)
from napari_gaussproto.widgets.shared.workers import single_shot

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

    from napari_gaussproto.core.base.config import SegmentationClass

Values = npt.NDArray[np.uint8]
_OPACITY = 0.8
# Pixels of the brush on a photograph 1296 pixels long, and the range that napari's slider has.
_BRUSH, _BRUSH_PER, _BRUSHES = 10, 1296, (4, 40)
# Keys that choose a class while the layer is active: digits alone are tools of napari.
CLASS_KEY, CLASS_KEYS = "Control", range(1, 10)
# Milliseconds of rest after which a change that was no stroke (an undo) is noticed.
_REST = 60
# Strips that are looked at in one turn of the event loop: 8 megapixels.
AT_ONCE = 128


def label_shape(image: Image) -> tuple[int, ...]:
    """Shape that labels of an image layer have: its own, without colours."""
    shape = tuple(int(n) for n in pixels_of(image).shape)
    return shape[:-1] if has_channels(image) else shape


def brush_for(image: Image) -> int:
    """Diameter of a brush in pixels that looks the same on images of any size."""
    least, most = _BRUSHES
    longest = max(label_shape(image)[-2:])
    return min(max(round(_BRUSH * longest / _BRUSH_PER), least), most)


class AnnotationLayer(QObject):
    """What a person labels on one image.

    The painted array is the record itself (see `Corrections`); this object only watches it.
    When the layer is removed from the viewer, the record stays and `show` brings it back.
    """

    edited = Signal()  # labels changed: by a stroke, a fill, the eraser, undo or redo
    brushed = Signal(int)  # another class was chosen in the layer's own controls
    refused = Signal()  # data of another shape was put into the layer, which has its own again

    def __init__(
        self,
        viewer: Viewer,
        image: Image,
        classes: Sequence[SegmentationClass],
        parent: QObject,
        ready: ReadyLabels | None = None,
        prediction: npt.NDArray[np.uint8] | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.image = image
        self.classes = tuple(classes)
        if ready is None:
            ready = ReadyLabels.none(label_shape(image))
        self.record, self._last = ready.record, ready.codes
        self.layer: Labels | None = None
        # Strips that may have changed since they were looked at, and a prediction with the
        # strips below which it still has to be put. Both are done in turns of the event loop.
        self._touched: set[int] = set()
        self._below: tuple[npt.NDArray[np.uint8], list[int]] | None = None
        self._has_changed = False
        # Whether napari tells of something that is known already.
        self._is_own = False
        # Whether the layer is being taken out by this plugin, and not by a person.
        self.hiding = False
        self._brush_size = brush_for(image)
        self._connections = Connections(self)
        self._timer = single_shot(self, 0, self._on_timer)
        if prediction is not None:
            self.set_prediction(prediction)

    @classmethod
    def of_layer(
        cls,
        viewer: Viewer,
        image: Image,
        classes: Sequence[SegmentationClass],
        parent: QObject,
        layer: Labels,
    ) -> AnnotationLayer:
        """Go on with a layer that a former dock made; its undo stays."""
        found = cls(viewer, image, classes, parent)
        found.record = Corrections.of_codes(np.asarray(layer.data, np.uint16))
        found._last = Snapshot.of(found.record.codes)
        found._use_layer(layer)
        return found

    # -- the layer ---------------------------------------------------------------------------

    @property
    def shown(self) -> bool:
        """Whether the layer is in the viewer."""
        return self.layer is not None and self.layer in self._viewer.layers

    def show(self) -> Labels:
        """Add the layer, or find it; it becomes the active one, with the brush in hand."""
        layer = self.layer if self.shown and self.layer is not None else self._add()
        layer.visible = True
        self._viewer.layers.selection.active = layer
        layer.mode = "paint"
        return layer

    def hide(self) -> None:
        """Take the layer out of the viewer and let go of it; `show` brings another one."""
        if self.shown:
            self.hiding = True
            self._viewer.layers.remove(self.layer)
            self.hiding = False
        self._let_go()

    def _let_go(self) -> None:
        """Keep the labels, but not what napari needs to draw and undo them."""
        if self.layer is not None:
            if self._timer.isActive():
                self.settle()
            self.close()
            self._brush_size, self.layer = self.layer.brush_size, None

    def brush(self, class_index: int) -> None:
        """Paint as a class from now on."""
        if self.layer is not None:
            self.layer.selected_label = class_index + 1

    def _add(self) -> Labels:
        layer: Labels = self._viewer.add_labels(
            self.record.codes,
            name=f"{self.image.name} – {ANNOTATIONS}",
            opacity=_OPACITY,
            metadata=annotations_tag(self.image),
            **placement(self.image, ndim=self.record.codes.ndim),
        )
        # Brought back, it has the brush that the person left it with.
        self._let_go()
        layer.brush_size = self._brush_size
        self._use_layer(layer)
        return layer

    def _use_layer(self, layer: Labels) -> None:
        self.layer = layer
        follow_images(self._viewer).watch(self.image)
        self._style(layer)
        self._connections.add(layer.events.paint, self._on_paint)
        self._connections.add(layer.events.set_data, self._on_set_data)
        self._connections.add(layer.events.selected_label, self._on_selected_label)
        self._connections.add(layer.events.colormap, self._on_colormap)
        for number in CLASS_KEYS:
            layer.bind_key(f"{CLASS_KEY}-{number}", self._chooses(number), overwrite=True)

    def _chooses(self, number: int) -> Callable[[Labels], None]:
        def choose_class(layer: Labels) -> None:  # napari asks for its name
            if number <= len(self.classes):
                layer.selected_label = number

        return choose_class

    def _style(self, layer: Labels) -> None:
        layer.colormap = code_colors(self.classes)
        layer.features = code_names(self.classes)

    # -- what changes ------------------------------------------------------------------------

    def _on_paint(self, event: Any = None) -> None:
        if not self._is_own:
            self._touched |= self._strips_of(getattr(event, "value", None))
        # After napari has finished with the stroke.
        self._timer.start(0)

    def _strips_of(self, stroke: Any) -> set[int]:
        found = strips_of_stroke(self.record.codes.shape, stroke)
        return set(self._every_strip()) if found is None else found

    def _every_strip(self) -> list[int]:
        return list(range(n_strips(self.record.codes.shape)))

    def _on_set_data(self, event: Any = None) -> None:
        if self._is_own:
            return
        self._touched.update(self._every_strip())
        if not self._timer.isActive():
            self._timer.start(_REST)

    def _on_selected_label(self, event: Any = None) -> None:
        # The colour picker takes what it sees, also from the prediction.
        if self.layer is None:
            return
        value = label_value_of(self.layer.selected_label)
        # There is no class beyond the last one, whatever a spin box or a key says.
        value = min(value, len(self.classes))
        if value != self.layer.selected_label:
            self.layer.selected_label = value
        elif value:
            self.brushed.emit(value - 1)

    def _on_colormap(self, event: Any = None) -> None:
        from napari.utils.colormaps import DirectLabelColormap

        # napari's "shuffle colours" replaces class colours by random ones.
        if self.layer is not None and not isinstance(self.layer.colormap, DirectLabelColormap):
            self.layer.colormap = code_colors(self.classes)

    def settle(self) -> None:
        """Take note of all that was drawn, undone or predicted since the last time, at once."""
        self._timer.stop()
        self._rebind()
        self._show_below()
        self._look_at(None)
        self._touched.clear()
        self._tell()

    def _on_timer(self) -> None:
        """Take note of a part of what changed; the next turn of the event loop goes on."""
        self._rebind()
        part = sorted(self._touched)[:AT_ONCE]
        self._touched.difference_update(part)
        self._look_at(part)
        if not self._touched:
            if not part:
                self._show_below(AT_ONCE)
            self._tell()
        if self._touched or self._below is not None:
            self._timer.start(0)

    def _look_at(self, numbers: Iterable[int] | None) -> None:
        """Take note of strips, or of all."""
        corrected, now = self.record.settle(self._last, len(self.classes), numbers)
        self._has_changed |= now is not self._last
        self._last = now
        if corrected:
            self._redraw()

    def _tell(self) -> None:
        if self._has_changed:
            self._has_changed = False
            self.edited.emit()

    def _show_below(self, most: int | None = None) -> None:
        """Put a newer prediction below the labels, of so many strips or of all that are left."""
        if self._below is None:
            return
        prediction, left = self._below
        part, left = left[:most], left[most:] if most else []
        self._below = (prediction, left) if left else None
        self._look_at(part)  # so that no stroke is taken for something predicted
        self.record.update(prediction, part)
        strips = dict(numbered_strips(part, self.record.codes))
        self._last = self._last.with_strips(strips, relabelled=False)
        self._redraw()

    def _redraw(self) -> None:
        """Show the record as it is, without taking that for a change."""
        if self.layer is not None:
            with self._by_us():
                self.layer.refresh()

    @contextmanager
    def _by_us(self) -> Iterator[None]:
        """Meanwhile napari tells of what is known already."""
        self._is_own = True
        try:
            yield
        finally:
            self._is_own = False

    def _rebind(self) -> None:
        """Make the record the layer's array again, after another one was put there."""
        layer, codes = self.layer, self.record.codes
        if layer is None or layer.data is codes:
            return
        fits = layer.data.shape == codes.shape
        if fits:
            np.copyto(codes, np.asarray(layer.data).astype(np.uint16))
        with self._by_us():
            layer.data = codes
        if not fits:
            self.refused.emit()

    def apply(self, edit: CodeEdit, *, later: bool = False) -> None:
        """Do an edit by the viewer, so that its undo knows it.

        With ``later`` it is taken note of in the next turns of the event loop: for an edit of a
        whole photograph, both would hold it for too long.
        """
        if not len(edit):
            return
        with self._by_us():
            if self.layer is not None:
                write_labels(self.layer, edit.mask, edit.old, edit.new)
            else:
                self.record.apply(edit)
        self._touched |= strips_with(edit.mask)
        if later:
            self._timer.start(0)
        else:
            self.settle()

    def clear(self) -> int:
        """Take all labels back; the viewer's undo brings them again. Returns how many pixels."""
        self.settle()
        edit = self.record.clear()
        self.apply(edit)
        return len(edit)

    def set_prediction(self, prediction: npt.NDArray[np.uint8]) -> None:
        """Put a newer prediction (..., H, W) below the labels; values as of `Corrections`.

        Of a stack, the plane in view has it at once, and the others in the next turns of the
        event loop, or with `settle`.
        """
        check_shape(prediction, self.record.codes.shape)
        self._below = prediction, self._in_view_first()
        self._show_below(AT_ONCE)
        self._tell()
        if self._below is not None and not self._timer.isActive():
            self._timer.start(0)

    def _in_view_first(self) -> list[int]:
        """All strips, those of the plane that the sliders show first."""
        shape = self.record.codes.shape
        each = n_strips(shape[-2:])
        *leading, _, _ = shape
        place = plane_in_view(self._viewer, self.image, leading)
        plane = int(np.ravel_multi_index(place, leading)) if leading else 0
        first = range(plane * each, (plane + 1) * each)
        return [*first, *(n for n in self._every_strip() if n not in first)]

    def set_classes(self, classes: Sequence[SegmentationClass]) -> None:
        """Colours and names of the classes; their labels stay as they are."""
        self.classes = tuple(classes)
        if self.layer is not None:
            self._style(self.layer)

    def change_classes(
        self,
        classes: Sequence[SegmentationClass],
        became: Callable[[Values], Values],
        painted: tuple[int, ...] | None,
        below: tuple[Values | None, Values],
    ) -> None:
        """Change the class table, and the labels with it, which are settled.

        The viewer's undo cannot reach behind it: there, values mean other classes. The change
        has an undo of its own.

        Parameters
        ----------
        classes : sequence of SegmentationClass
        became : callable
            Gives new labels; see `Corrections.change_classes`.
        painted : tuple of int, optional
            Indices of the classes that are labelled then, where they are known.
        below : tuple
            What is predicted, (..., H, W), and what its values mean; see the same.
        """
        self._below = None
        self.record.change_classes(became, *below)
        # Where nobody has the codes of before, their memory can be had again.
        known = self._last if sys.getrefcount(self._last) <= ALONE else None
        self._last = Snapshot.of(self.record.codes, painted, known)
        if self.layer is not None:
            reset_undo(self.layer)
            self._redraw()
            self.layer.selected_label = min(self.layer.selected_label, len(classes))
        self.set_classes(classes)

    def turn(self, orientation: int) -> None:
        """Follow a photograph that was turned, and its layers with it."""
        if not self.shown:
            self._let_go()  # of a layer that was removed: it did not turn
        self._timer.stop()
        turned = upright(self.record.codes, orientation) if self.layer is None else self.layer.data
        codes = np.ascontiguousarray(turned, np.uint16)
        below, self._below = self._below, None
        self.record = Corrections.of_codes(codes)
        self._last = Snapshot.of(codes)
        self._touched.clear()
        if below is not None:
            self.set_prediction(np.ascontiguousarray(upright(below[0], orientation)))

    @property
    def snapshot(self) -> Snapshot:
        """Codes (..., H, W) as of the last `settle`."""
        return self._last

    @property
    def painted(self) -> tuple[int, ...]:
        """Indices of the classes that are labelled here, as of the last `settle`."""
        return self._last.painted

    @property
    def corrected(self) -> Mask:
        """(..., H, W) labelled pixels for which another class is predicted."""
        self.settle()
        return self.record.corrected

    @property
    def labels(self) -> npt.NDArray[np.uint8]:
        """A copy of the labels, (..., H, W)."""
        return self.record.labels

    def close(self) -> None:
        """Stop following the layer."""
        self._timer.stop()
        self._connections.close()
        if self.layer is not None:
            for number in CLASS_KEYS:
                self.layer.bind_key(f"{CLASS_KEY}-{number}", None)
