"""Take over labels that exist already: from another layer, or from a mask file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QDialog, QWidget

from napari_gaussproto.core.labels.class_table import extend_table, import_mask
from napari_gaussproto.core.labels.codes import Snapshot
from napari_gaussproto.core.labels.corrections import CodeEdit, laid_over
from napari_gaussproto.io.masks import CodedMask, read_coded_mask
from napari_gaussproto.io.reader import is_upright
from napari_gaussproto.jobs.mask_import import ReadMask, read_job
from napari_gaussproto.widgets.layers.placement import train_image
from napari_gaussproto.widgets.shared.messages import Messages
from napari_gaussproto.widgets.shared.tags import is_ours
from napari_gaussproto.widgets.train.annotation.annotation_set import AnnotationSet
from napari_gaussproto.widgets.train.storage.autosave import Autosave

if TYPE_CHECKING:
    from napari.layers import Image, Labels


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
        names = _names_in(layer)
        self._begin(image, layer.name, lambda: CodedMask(data, names=names), of_file=False)

    def from_file(self, image: Image, path: Path) -> None:
        """Use a mask file in any coding."""
        file = train_image(image).file
        called = image.name if file is None else Path(file).name
        self._begin(image, path.name, partial(read_coded_mask, path, called), of_file=True)

    def ask(self, dialog: QDialog) -> bool:
        """Let a person answer; False when they changed their mind."""
        return bool(dialog.exec())

    def _begin(
        self, image: Image, name: str, read: Callable[[], CodedMask], *, of_file: bool
    ) -> None:
        this = train_image(image)
        # A layer lies over the image as it is shown, whatever the image's file says.
        this = this if of_file else replace(this, file=None)
        job = partial(read_job, read, this, name, is_upright(image.metadata))
        self._autosave.queue.put(job, partial(self._on_read, image, name))

    def _on_read(self, image: Image, name: str, read: ReadMask) -> None:
        from napari_gaussproto.widgets.train.labelling.mapping_dialog import MappingDialog

        mask = self._way_up(image, name, read)
        if mask is None:
            return
        dialog = MappingDialog(
            read.values,
            self._annotations.classes,
            self._window,
            colors=mask.colors,
            name=name,
            names=mask.names,
            preview=partial(read.preview, mask),
        )
        if not self.ask(dialog):
            return
        if new := dialog.new_classes():
            self._annotations.change_table(extend_table(self._annotations.classes, new))
        job = partial(_mapped, mask.values, dialog.mapping(), len(self._annotations.classes))
        self._autosave.queue.put(job, partial(self._put, image, name, read.turned))

    def _way_up(self, image: Image, name: str, read: ReadMask) -> CodedMask | None:
        """The mask as it lies over the image; None when a person changed their mind."""
        from napari_gaussproto.widgets.train.labelling.pose_dialog import PoseDialog

        if not read.ways:
            return read.mask
        pictures = [picture for _, picture in read.ways]
        dialog = PoseDialog(name, image.name, pictures, self._window)
        return read.ways[dialog.choice][0] if self.ask(dialog) else None

    def _put(self, image: Image, name: str, turned: bool, labels: npt.NDArray[np.uint8]) -> None:
        """Put labels over those that are there, by the viewer's undo."""
        annotation = self._autosave.annotate(image)
        annotation.settle()
        before = annotation.snapshot
        if before.shape != labels.shape:
            self._messages.warn("The image was turned meanwhile: use the labels once more.")
            return
        lay = partial(self._lay, image, name, turned, labels, before)
        self._autosave.queue.put(partial(laid_over, before, labels), lay)

    def _lay(
        self,
        image: Image,
        name: str,
        turned: bool,
        labels: npt.NDArray[np.uint8],
        before: Snapshot,
        edit: CodeEdit,
    ) -> None:
        annotation = self._annotations.find(image)
        if annotation is None:  # another project was opened
            return
        annotation.settle()
        if annotation.snapshot is not before:  # painted on meanwhile
            self._put(image, name, turned, labels)
            return
        annotation.apply(edit, later=True)
        how = f", turned to lie as “{image.name}” does" if turned else ""
        self._messages.tell(f"Labels were taken from “{name}”{how}; Ctrl+Z takes them back.")


def _mapped(
    values: npt.NDArray[Any], mapping: dict[int, int], n_classes: int
) -> npt.NDArray[np.uint8]:
    return import_mask(values.reshape(-1, values.shape[-1]), mapping, n_classes).reshape(
        values.shape
    )


def _names_in(layer: Labels) -> dict[int, str]:
    """Names of the values of classes that this plugin made; empty of other labels."""
    classes = layer.metadata.get("classes", []) if is_ours(layer) else []
    names = {value: str(entry["name"]) for value, entry in enumerate(classes, start=1)}
    return {0: "not labelled", **names} if names else {}
