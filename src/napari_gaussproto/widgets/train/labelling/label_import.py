"""Take over labels that exist already: from another layer, or from a mask file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QWidget

from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.labels.class_table import extend_table, import_mask, mask_values
from napari_gaussproto.io.masks import CodedMask, read_coded_mask
from napari_gaussproto.widgets.shared.messages import Messages
from napari_gaussproto.widgets.train.annotation.annotation_layer import label_shape
from napari_gaussproto.widgets.train.annotation.annotation_set import AnnotationSet
from napari_gaussproto.widgets.train.storage.autosave import Autosave

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_gaussproto.widgets.train.labelling.mapping_dialog import MappingDialog


class LabelImport(QObject):
    """Reads in the background, asks what the values mean, and puts the labels in."""

    def __init__(
        self, annotations: AnnotationSet, autosave: Autosave, messages: Messages, window: QWidget
    ) -> None:
        super().__init__(window)
        self._annotations, self._autosave = annotations, autosave
        self._messages, self._window = messages, window

    def from_layer(self, image: Image, layer: Labels) -> None:
        """Use the labels of a layer."""
        data = np.array(layer.data)  # a person may go on painting
        self._begin(image, layer.name, lambda: CodedMask(data))

    def from_file(self, image: Image, path: Path) -> None:
        """Use a mask file in any coding."""
        self._begin(image, path.name, partial(read_coded_mask, path))

    def ask(self, dialog: MappingDialog) -> bool:
        """Let a person say what the values mean; False when they changed their mind."""
        return bool(dialog.exec())

    def _begin(self, image: Image, name: str, read: Callable[[], CodedMask]) -> None:
        shape = label_shape(image)
        job = partial(_counted, read, shape, name)
        self._autosave.queue.put(job, partial(self._on_read, image, name))

    def _on_read(self, image: Image, name: str, read: tuple[CodedMask, dict[int, int]]) -> None:
        from napari_gaussproto.widgets.train.labelling.mapping_dialog import MappingDialog

        mask, values = read
        dialog = MappingDialog(
            values, self._annotations.classes, self._window, colors=mask.colors, name=name
        )
        if not self.ask(dialog):
            return
        if new := dialog.new_classes():
            self._annotations.change_table(extend_table(self._annotations.classes, new))
        job = partial(_mapped, mask.values, dialog.mapping(), len(self._annotations.classes))
        self._autosave.queue.put(job, partial(self._put, image, name))

    def _put(self, image: Image, name: str, labels: npt.NDArray[np.uint8]) -> None:
        """Put labels over those that are there, by the viewer's undo."""
        annotation = self._autosave.annotate(image)
        merged = np.where(labels > 0, labels, annotation.labels)
        annotation.apply(annotation.record.replace(merged))
        self._messages.tell(f"Labels were taken from “{name}”; Ctrl+Z takes them back.")


def _counted(
    read: Callable[[], CodedMask], shape: tuple[int, ...], name: str
) -> tuple[CodedMask, dict[int, int]]:
    mask = read()
    if tuple(mask.values.shape) != shape:
        raise LabelError(
            f"“{name}” is {tuple(mask.values.shape)} pixels and the image {shape}: "
            "choose labels that were made for this image."
        )
    return mask, mask_values(_flat(mask.values))


def _mapped(
    values: npt.NDArray[Any], mapping: dict[int, int], n_classes: int
) -> npt.NDArray[np.uint8]:
    return import_mask(_flat(values), mapping, n_classes).reshape(values.shape)


def _flat(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Planes of a stack below each other."""
    return values.reshape(-1, values.shape[-1])
