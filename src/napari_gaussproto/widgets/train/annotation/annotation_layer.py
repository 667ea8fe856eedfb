"""The layer in which a person labels one image, and its record."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, Signal

from napari_gaussproto.core.imaging.orientation import upright
from napari_gaussproto.core.labels.corrections import (
    CodeEdit,
    Corrections,
    ReadyLabels,
    code_colors,
    code_names,
    label_value_of,
    painted_classes,
)
from napari_gaussproto.widgets.layers.class_layers import LABEL_OPACITY
from napari_gaussproto.widgets.layers.following import follow_images
from napari_gaussproto.widgets.layers.placement import (
    has_channels,
    pixels_of,
    placement,
)
from napari_gaussproto.widgets.shared.dock import Connections
from napari_gaussproto.widgets.shared.tags import ANNOTATIONS, annotations_tag
from napari_gaussproto.widgets.shared.workarounds import reset_undo, write_labels
from napari_gaussproto.widgets.shared.workers import single_shot

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

    from napari_gaussproto.core.base.config import SegmentationClass

Values = npt.NDArray[np.uint8]
# References to an array that only an attribute refers to, with that of the question.
_ALONE = 2
# Of strokes, and of labels of most of a photograph, which must be seen below them.
_OPACITIES = {False: 0.8, True: LABEL_OPACITY}
# Pixels of the brush on a photograph 1296 pixels long, and the range that napari's slider has.
_BRUSH, _BRUSH_PER, _BRUSHES = 10, 1296, (4, 40)
# Keys that choose a class while the layer is active: digits alone are tools of napari.
CLASS_KEY, CLASS_KEYS = "Control", range(1, 10)
# Milliseconds of rest after which a change that was no stroke (an undo) is noticed.
_REST = 60


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
        self.record, self._memory = ready.record, ready.codes
        self._last = self._memory.view()
        # What is labelled, where it is known already.
        self._painted: tuple[int, ...] | None = ready.painted
        if prediction is not None:
            self.record.update(prediction)
            self._note(ready.painted)
        self.layer: Labels | None = None
        # Whether the layer is being taken out by this plugin, and not by a person.
        self.hiding = False
        self._brush_size = brush_for(image)
        self._settled_for = -1  # so many classes
        self._dense = False
        self._set_by_hand = False  # a person chose an opacity
        self._connections = Connections(self)
        self._timer = single_shot(self, 0, self.settle)

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
        found.record = Corrections.of_codes(layer.data)
        found._note()
        found._dense = layer.opacity == _OPACITIES[True]
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
            opacity=_OPACITIES[self._dense],
            metadata=annotations_tag(self.image),
            **placement(self.image, ndim=self.record.codes.ndim),
        )
        # Brought back, it has the brush that the person left it with.
        self._let_go()
        layer.brush_size = self._brush_size
        self._use_layer(layer)
        if self._dense:
            follow_images(self._viewer).note_dense(self.image, layer, True)
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

    def show_dense(self, dense: bool) -> None:
        """Let the photograph be seen below labels of most of it, as below predicted classes.

        The opacity is left as it is once a person has chosen another one.
        """
        before, self._dense = self._dense, dense
        if self.layer is None or dense == before:
            return
        self._set_by_hand |= self.layer.opacity != _OPACITIES[before]
        if not self._set_by_hand:
            self.layer.opacity = _OPACITIES[dense]
        self._style(self.layer)
        follow_images(self._viewer).note_dense(self.image, self.layer, dense)

    def _style(self, layer: Labels) -> None:
        layer.colormap = code_colors(self.classes, dense=self._dense)
        layer.features = code_names(self.classes)

    # -- what changes ------------------------------------------------------------------------

    def _on_paint(self, event: Any = None) -> None:
        # After napari has finished with the stroke.
        self._timer.start(0)

    def _on_set_data(self, event: Any = None) -> None:
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
            self._style(self.layer)

    def settle(self) -> None:
        """Take note of what was drawn or undone since the last time."""
        self._timer.stop()
        self._rebind()
        n_classes = len(self.classes)
        everywhere = self._settled_for != n_classes
        corrected, changed = self.record.settle(self._last, n_classes, everywhere=everywhere)
        self._settled_for = n_classes
        if corrected:
            self._redraw()
        if changed:
            self._note()
            self.edited.emit()

    def _redraw(self) -> None:
        """Show the record as it is, without taking that for a change."""
        if self.layer is not None:
            self.layer.refresh()
            self._timer.stop()

    def _rebind(self) -> None:
        """Make the record the layer's array again, after another one was put there."""
        layer, codes = self.layer, self.record.codes
        if layer is None or layer.data is codes:
            return
        fits = layer.data.shape == codes.shape
        if fits:
            np.copyto(codes, np.asarray(layer.data).astype(np.uint16))
        layer.data = codes
        self._timer.stop()
        if not fits:
            self.refused.emit()

    def apply(self, edit: CodeEdit, *, later: bool = False) -> None:
        """Do an edit by the viewer, so that its undo knows it.

        With ``later`` it is taken note of in the next turn of the event loop: for an edit of a
        whole photograph, both would hold it for too long.
        """
        if not len(edit):
            return
        if self.layer is not None:
            write_labels(self.layer, edit.mask, edit.old, edit.new)
        else:
            self.record.apply(edit)
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
        """Put a newer prediction (..., H, W) below the labels; values as of `Corrections`."""
        self.settle()
        self.record.update(prediction)
        self._note(self._painted)
        self._redraw()

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
        self.record.change_classes(became, *below)
        self._note(painted)
        self._settled_for = len(classes)
        if self.layer is not None:
            reset_undo(self.layer)
            self._redraw()
            self.layer.selected_label = min(self.layer.selected_label, len(classes))
        self.set_classes(classes)

    def turn(self, orientation: int) -> None:
        """Follow a photograph that was turned, and its layers with it."""
        self._timer.stop()
        if self.shown and self.layer is not None:
            codes = self.layer.data
        else:
            codes = np.ascontiguousarray(upright(self.record.codes, orientation))
        self.record = Corrections.of_codes(codes)
        self._note()

    def _note(self, painted: tuple[int, ...] | None = None) -> None:
        """Keep a copy of the codes as they are now, and which classes are labelled, if known."""
        codes = self.record.codes
        # Each part of the former copy refers to its memory.
        held = sys.getrefcount(self._last) > _ALONE or sys.getrefcount(self._memory) > _ALONE + 1
        if held or self._memory.shape != codes.shape:
            self._memory = codes.copy()
        else:
            np.copyto(self._memory, codes)
        self._last = self._memory.view()  # by which others see that it is another copy
        self._painted = painted

    @property
    def snapshot(self) -> npt.NDArray[np.uint16]:
        """Codes (..., H, W) as of the last `settle`; they never change while they are held."""
        return self._last

    @property
    def painted(self) -> tuple[int, ...]:
        """Indices of the classes that are labelled here, as of the last `settle`."""
        if self._painted is None:
            self._painted = painted_classes(self._last)
        return self._painted

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
