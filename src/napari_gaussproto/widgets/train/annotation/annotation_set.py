"""Classes and the annotation layers of all images of a viewer, kept in step with each other."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, Signal

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.strips import is_same, values_in
from napari_gaussproto.core.labels.check import checksum
from napari_gaussproto.core.labels.class_table import Table, TableChange
from napari_gaussproto.core.labels.corrections import ReadyLabels
from napari_gaussproto.core.labels.forgotten import Forgotten
from napari_gaussproto.jobs.requests import Drawn
from napari_gaussproto.widgets.shared.dock import Connections
from napari_gaussproto.widgets.shared.messages import Messages
from napari_gaussproto.widgets.shared.state import ImageResult, SharedState
from napari_gaussproto.widgets.shared.tags import annotations_of
from napari_gaussproto.widgets.shared.workarounds import write_labels
from napari_gaussproto.widgets.shared.workers import soon
from napari_gaussproto.widgets.train.annotation.annotation_layer import (
    AnnotationLayer,
    label_shape,
)
from napari_gaussproto.widgets.train.annotation.class_changes import (
    TableHistory,
    change_labels,
    check_change,
    revert_labels,
)
from napari_gaussproto.widgets.train.annotation.predicted import (
    kept_sentence,
    name_table,
    prediction_of,
    taken_over_sentence,
)

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

Values = npt.NDArray[np.uint8]
_DRAWING = ("paint", "fill", "erase", "polygon")
# A change of the table, and what it made indistinguishable in each annotation.
_Done = tuple[TableChange, dict[AnnotationLayer, Forgotten]]


class AnnotationSet(QObject):
    """Owns the class table and the annotations of the open images."""

    brushed = Signal(int)  # the brush paints as another class
    table_changed = Signal(object, bool)  # a TableChange, and whether it was done or taken back
    classes_changed = Signal()
    drawn = Signal(object)  # AnnotationLayer: labels were drawn, erased, undone or redone there
    edited = Signal(object)  # AnnotationLayer: the same, or its classes changed
    dropped = Signal(object)  # key of a removed image whose annotations are not held any more
    layers_changed = Signal()  # an image got annotations, or lost them

    def __init__(
        self, viewer: Viewer, state: SharedState, messages: Messages, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._viewer, self._state, self._messages = viewer, state, messages
        self.classes: Table = ()
        self.selected = 0
        self._gone = False
        self._all: list[AnnotationLayer] = []
        # Removed images that still teach, whose labels the project alone holds.
        self.closed: list[Image] = []
        self._done: list[_Done] = []
        self._undone: list[_Done] = []
        self._connected: WeakSet[Labels] = WeakSet()
        self._connections = Connections(self)
        self._connections.add(state.result_changed, self._on_image_result)
        self._connections.add(state.turned, self._on_turned)
        self._connections.add(viewer.layers.events.removed, self._on_removed)
        for result in list(state.results.values()):
            self._on_image_result(result)

    # -- annotations of images ---------------------------------------------------------------

    @property
    def open(self) -> list[AnnotationLayer]:
        """Annotations of the images that are open, in the order they were begun."""
        return [a for a in self._all if a.image in self._viewer.layers]

    @property
    def all(self) -> list[AnnotationLayer]:
        """Annotations of open images and of those that were removed from the viewer."""
        return list(self._all)

    @property
    def painted(self) -> list[int]:
        """Indices of the classes that are labelled on open images."""
        return sorted({c for annotation in self.open for c in annotation.painted})

    def find(self, image: Image | None) -> AnnotationLayer | None:
        """The annotations of an image."""
        return next((a for a in self._all if a.image is image), None)

    def drawn_on(self, image: Image) -> Drawn | None:
        """Labels (..., H, W) up to now on an image, and their classes; None for nothing."""
        annotation = self.find(image)
        if annotation is None:
            return None
        annotation.settle()
        return (annotation.labels, self.classes) if annotation.painted else None

    def annotate(self, image: Image, ready: ReadyLabels | None = None) -> AnnotationLayer:
        """Show the layer that an image is painted on; it is made the first time.

        Parameters
        ----------
        image : Image
        ready : ReadyLabels, optional
            Labels of the image to begin with.
        """
        known = self.find(image)
        found = known or self._new(image, ready)
        if known is None:
            self._add(found)
            self._take_over(found)
        found.show()
        self._messages.withdraw(kept_sentence(image))
        if known is None:
            self.layers_changed.emit()
        found.brush(self.selected)
        return found

    def _new(self, image: Image, ready: ReadyLabels | None) -> AnnotationLayer:
        result = self._state.results.get(image)
        fits = result is not None and result.segmentation.labels.shape == label_shape(image)
        below = prediction_of(result, self.classes) if result is not None and fits else None
        return AnnotationLayer(self._viewer, image, self.classes, self, ready, below)

    def adopt(self, image: Image) -> None:
        """Go on with the layer that a former dock made for an image, if there is one."""
        for layer in annotations_of(self._viewer, image)[:1]:
            found = AnnotationLayer.of_layer(self._viewer, image, self.classes, self, layer)
            self._add(found)
            self._predict(found)
            self.layers_changed.emit()

    def remove(self, keys: Collection[Any]) -> dict[int, Forgotten]:
        """Remove annotations of removed images; the layers that take over `remember` the rest."""
        removed = [
            a for a in self._all if a.image.unique_id in keys and a.image not in self._viewer.layers
        ]
        lost: dict[int, Forgotten] = {}
        for annotation in removed:
            annotation.close()
            self._all.remove(annotation)
            for change, forgotten in self._done:
                if annotation in forgotten:
                    lost[id(change)] = forgotten.pop(annotation)
            annotation.deleteLater()
            self.dropped.emit(annotation.image.unique_id)
        self._drop_closed({image.unique_id for image in self.closed} & set(keys))
        return lost

    def _drop_closed(self, keys: Collection[Any]) -> None:
        self.closed = [image for image in self.closed if image.unique_id not in keys]
        for key in keys:
            self.dropped.emit(key)

    @property
    def removed(self) -> dict[AnnotationLayer, Any]:
        """Annotations of removed images that are labelled, with codes that never change."""
        shown = self._viewer.layers
        return {a: a.snapshot for a in self._all if a.painted and a.image not in shown}

    def release(self, annotation: AnnotationLayer) -> dict[int, Forgotten]:
        """Leave the labels of a removed image to the project; returns what its undo needs."""
        annotation.close()
        self._all.remove(annotation)
        self.closed.append(annotation.image)
        lost = {id(change): known.pop(annotation, None) for change, known in self._done}
        annotation.deleteLater()
        return {change: found for change, found in lost.items() if found is not None}

    @property
    def empty(self) -> set[Any]:
        """Keys of removed images on which nothing is labelled, nor would be after an undo."""
        return {
            a.image.unique_id
            for a in self._all
            if not (a.painted or a.image in self._viewer.layers)
            and not any(a in lost and len(lost[a]) for _, lost in self._done)
        }

    def remember(self, annotation: AnnotationLayer, lost: Mapping[int, Forgotten]) -> None:
        """Take over, by the ids of changes of the table, what these made indistinguishable."""
        for change, forgotten in self._done:
            if id(change) in lost:
                forgotten.setdefault(annotation, lost[id(change)])

    def _add(self, annotation: AnnotationLayer) -> None:
        annotation.edited.connect(lambda: self.drawn.emit(annotation))
        annotation.edited.connect(lambda: self.edited.emit(annotation))
        annotation.brushed.connect(self.brushed)
        annotation.refused.connect(
            lambda: self._messages.warn(
                f"Labels must have the size of their image: those of “{annotation.image.name}” "
                "are as they were before."
            )
        )
        self._all.append(annotation)
        self.closed = [image for image in self.closed if image is not annotation.image]

    def select(self, class_index: int) -> None:
        """Paint as a class from now on, in every layer."""
        self.selected = class_index
        for annotation in self._all:
            annotation.brush(class_index)

    # -- the class table ---------------------------------------------------------------------

    def set_table(self, classes: Sequence[SegmentationClass]) -> None:
        """Start from a table; possible while nothing is labelled."""
        self.classes = tuple(classes)
        self._done.clear()
        self._undone.clear()
        for annotation in self._all:
            annotation.set_classes(self.classes)
            self._predict(annotation)
        self.classes_changed.emit()

    def replace_all(self, classes: Sequence[SegmentationClass]) -> None:
        """Another project: its table, and no annotations until they are brought back."""
        for annotation in self._all:
            annotation.close()
            annotation.hide()
        self._all.clear()
        self._drop_closed({image.unique_id for image in self.closed})
        self.layers_changed.emit()
        self.set_table(classes)

    def change_table(self, change: TableChange) -> None:
        """Change classes, and all labels with them.

        Raises
        ------
        LabelError
            When labels do not fit the table.
        """
        self._do(change)
        self._undone.clear()

    @property
    def can_undo(self) -> bool:
        """Whether there is a change of the table to take back."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether a change was taken back."""
        return bool(self._undone)

    def undo(self) -> None:
        """Take the last change of the table back; labels come back with it."""
        if not self._done:
            return
        self._settle()
        change, forgotten = done = self._done.pop()
        for annotation in self._all:
            if change.is_renaming and len(change.before) == len(change.after):
                annotation.set_classes(change.before)
                self._predict(annotation)  # which goes by the names
                continue
            lost = forgotten.get(annotation) or Forgotten()
            revert_labels(annotation, change, lost, self._result(annotation))
        self._undone.append(done)
        self.table_changed.emit(change, False)
        self._table_is(change.before)

    def redo(self) -> None:
        """Do again what was taken back."""
        if self._undone:
            self._do(self._undone.pop()[0])

    @property
    def history(self) -> TableHistory:
        """What another dock needs to take changes of the table back."""
        done = [
            (change, {a.image.unique_id: lost for a, lost in forgotten.items()})
            for change, forgotten in self._done
        ]
        return TableHistory(done, [change for change, _ in self._undone])

    def go_on(self, history: TableHistory) -> None:
        """Take over the changes of a former dock, whose table and layers are there already."""
        layers = {annotation.image.unique_id: annotation for annotation in self._all}
        self._done = [
            (change, {layers[key]: found for key, found in lost.items() if key in layers})
            for change, lost in history.done
        ]
        self._undone = [(change, {}) for change in history.undone]
        self.classes_changed.emit()

    def _do(self, change: TableChange) -> None:
        lost: dict[AnnotationLayer, Forgotten] = {}
        if change.is_renaming:  # values mean what they meant
            for annotation in self._all:
                annotation.set_classes(change.after)
        else:
            self._settle()
            check_change(self._all, change)
            lost = {a: change_labels(a, change, self._result(a)) for a in self._all}
        self._done.append((change, lost))
        self.table_changed.emit(change, True)
        self._table_is(change.after)

    def _settle(self) -> None:
        for annotation in self._all:
            annotation.settle()

    def _result(self, annotation: AnnotationLayer) -> ImageResult | None:
        return self._state.results.get(annotation.image)

    def _table_is(self, table: Table) -> None:
        self.classes = table
        self.select(min(self.selected, max(0, len(table) - 1)))
        self.classes_changed.emit()
        for annotation in self.open:
            self.edited.emit(annotation)

    # -- predictions -------------------------------------------------------------------------

    def _predict(self, annotation: AnnotationLayer) -> None:
        """Put what is predicted now, by the names of the classes, below the labels."""
        if (result := self._result(annotation)) is not None:
            annotation.set_prediction(prediction_of(result, annotation.classes))

    def unknown_classes(self, image: Image, *place: int) -> list[str]:
        """Predicted classes that the table does not have, of an image, a plane or a pixel of it."""
        result = self._state.results.get(image)
        if result is None:
            return []
        labels = result.segmentation.labels
        if not all(0 <= at < n for at, n in zip(place, labels.shape, strict=False)):
            return []
        there = values_in(np.atleast_2d(labels[place]))
        known = {entry.name for entry in self.classes}
        classes = enumerate(result.segmentation.classes, start=1)
        return [e.name for value, e in classes if value in there and e.name not in known]

    def _on_image_result(self, result: ImageResult) -> None:
        if (annotation := self.find(result.source)) is not None:
            self._predict(annotation)
        layer = result.labels
        if layer is not None and layer not in self._connected:
            self._connected.add(layer)
            layer.events.mode.connect(lambda: self._on_mode(result.source, layer))

    def _on_mode(self, image: Image, layer: Labels) -> None:
        """Move the brush to the annotations when a person takes it up over a prediction."""
        mode = str(layer.mode)
        if mode not in _DRAWING or image not in self._viewer.layers:
            return
        result = self._state.results.get(image)
        if result is None or result.labels is not layer or self.find(image) is None:
            known = {c.name for c in self.classes}
            if result is None or any(c.name not in known for c in result.segmentation.classes):
                return  # its classes are others: it is treated as any label layer
        label, size = layer.selected_label, layer.brush_size
        layer.mode = "pan_zoom"
        annotation = self.annotate(image)
        if annotation.layer is not None and result is not None:
            annotation.layer.brush_size = size
            annotation.layer.mode = mode
            names = [c.name for c in self.classes]
            classes = result.segmentation.classes
            if 0 < label <= len(classes) and classes[label - 1].name in names:
                annotation.layer.selected_label = names.index(classes[label - 1].name) + 1
        self._messages.tell("Corrections are drawn on the annotation layer, over the prediction.")

    def _take_over(self, annotation: AnnotationLayer) -> None:
        """Begin with what was painted into the layer of the prediction.

        What was erased there, is of a class that is not in the table, or is labelled as another
        already, stays where it is.
        """
        result = self._state.results.get(annotation.image)
        layer = None if result is None else result.labels
        if result is None or layer is None or layer not in self._viewer.layers:
            return
        painted, predicted = np.asarray(layer.data), result.segmentation.labels
        if painted.shape != predicted.shape:
            return
        if is_same(painted, predicted):  # as mostly; the rest takes a while on a large photograph
            result.labels_checksum = checksum(layer.data)
            return
        differs = painted != predicted
        values = name_table(result, self.classes)[painted]
        drawn = annotation.labels
        taken = differs & (values > 0) & ((drawn == 0) | (drawn == values))
        if taken.any():
            annotation.apply(annotation.record.replace(np.where(taken, values, drawn)))
            write_labels(layer, taken, painted[taken], predicted[taken])
        n_taken = int(np.count_nonzero(taken))
        kept = int(np.count_nonzero(differs)) - n_taken
        if not kept:
            # Nothing of a person is left there, so that a next run may write over it.
            result.labels_checksum = checksum(layer.data)
        self._messages.tell(taken_over_sentence(layer.name, n_taken, kept))

    def _on_removed(self, event: Any) -> None:
        """Take the annotations of a removed image along; what was drawn is saved."""
        for annotation in self._all:
            if annotation.image is event.value:
                self._messages.withdraw(kept_sentence(annotation.image))
                annotation.settle()
                soon(annotation, annotation.hide)
                soon(self, self._tell_layers)
            elif annotation.layer is event.value and self._is_missed(annotation):
                self._messages.tell(kept_sentence(annotation.image))

    def _is_missed(self, annotation: AnnotationLayer) -> bool:
        """Whether a person may think that labels are gone whose layer they removed."""
        there = annotation.image in self._viewer.layers and not annotation.hiding
        return there and bool(annotation.painted)

    def _on_turned(self, image: Image, orientation: int, _: Any) -> None:
        """Take the annotations of a photograph along that was turned."""
        annotation = self.find(image)
        if annotation is None:
            return
        shape = annotation.record.codes.shape
        for _change, forgotten in self._done:
            if annotation in forgotten:
                forgotten[annotation] = forgotten[annotation].turned(shape, orientation)
        annotation.turn(orientation)
        self.edited.emit(annotation)

    def _tell_layers(self) -> None:
        if not self._gone:
            self.layers_changed.emit()

    def close(self) -> None:
        """Stop following the viewer; what was drawn a moment ago is saved, too."""
        for annotation in self._all:
            annotation.settle()
            annotation.close()
        self._gone = True
        self._connections.close()
