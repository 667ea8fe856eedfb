"""Annotations on disk: an index of images, and one file for what is drawn on each."""

from __future__ import annotations

import io
import weakref
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from napari_gaussproto.core.labels.annotations import Annotation, Annotations, ImageIdentity
from napari_gaussproto.core.labels.check import Labels
from napari_gaussproto.core.project.content_store import ContentStore
from napari_gaussproto.core.project.formats import (
    ANNOTATIONS,
    INDEX,
    AnnotationEntry,
    AnnotationIndex,
)


class AnnotationStore:
    """Annotations in a folder, which is made when something is saved."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = ContentStore(folder)
        self._drawings = DrawingFiles(self._files)

    def save(self, annotations: Annotations) -> None:
        """Write what changed since the last call, all of it or nothing.

        Arrays count as unchanged while they are the same objects: pass copies of arrays that
        are painted into.

        Raises
        ------
        AnnotationError
            When the folder cannot be written to.
        """
        try:
            images = [
                AnnotationEntry(image=drawn.image, file=self._drawings.put(drawn))
                for drawn in annotations.images
            ]
        except OSError as error:
            raise ANNOTATIONS.unwritable(self.folder, error) from error
        index = AnnotationIndex(classes=list(annotations.classes), images=images)
        ANNOTATIONS.write(self.folder / INDEX, index)
        self._files.sweep(entry.file for entry in images)

    def load(self) -> Annotations:
        """What was saved last; empty when nothing ever was.

        Raises
        ------
        AnnotationError
            When the store is damaged, or written by a newer version of the package.
        """
        index = self._index()
        images = tuple(self._read(entry) for entry in index.images)
        return Annotations(tuple(index.classes), images)

    def replace(self, labels: Mapping[int, Labels]) -> None:
        """Know equal labels (..., H, W), by the ids of the former ones, so that none is written."""
        self._drawings.replace(labels)

    def identities(self) -> list[ImageIdentity]:
        """The images that something was drawn on; no drawing is read. Raises as `load` does."""
        return [entry.image for entry in self._index().images]

    @property
    def saved(self) -> datetime | None:
        """When something was saved last, in UTC; None when nothing ever was."""
        try:
            seconds = (self.folder / INDEX).stat().st_mtime
        except OSError:
            return None
        return datetime.fromtimestamp(seconds, UTC)

    def _index(self) -> AnnotationIndex:
        return ANNOTATIONS.read(self.folder / INDEX) or AnnotationIndex(classes=[], images=[])

    def _read(self, entry: AnnotationEntry) -> Annotation:
        try:
            return self._drawings.get(entry.file, entry.image)
        except (OSError, ValueError) as error:
            raise ANNOTATIONS.damaged(self.folder / entry.file) from error


class DrawingFiles:
    """One file for what is drawn on each image; a drawing that is known is not packed again."""

    def __init__(self, files: ContentStore) -> None:
        self._files = files
        # By the id of an array, which says nothing any more when the array is gone.
        self._known: dict[int, tuple[weakref.ref[Labels], str]] = {}

    def put(self, annotation: Annotation) -> str:
        """Write a drawing unless it is there; returns the name of its file.

        Raises
        ------
        OSError
            When the folder cannot be written to.
        """
        labels = annotation.labels
        known = self._known.get(id(labels))
        if known is not None and known[0]() is labels and self._files.has(known[1]):
            return known[1]
        return self._remember(labels, self._files.put(pack(labels), ".npz"))

    def get(self, file: str, image: ImageIdentity) -> Annotation:
        """Read a drawing.

        Raises
        ------
        OSError, ValueError
            When it is not there, or damaged.
        """
        annotation = Annotation(image, unpack(self._files.get(file)))
        self._remember(annotation.labels, file)
        return annotation

    def replace(self, labels: Mapping[int, Labels]) -> None:
        """Take equal labels (..., H, W), by the ids of the former ones, for what is there."""
        for former, equal in labels.items():
            if former in self._known:
                self._remember(equal, self._known[former][1])

    def _remember(self, labels: Labels, file: str) -> str:
        living = {key: known for key, known in list(self._known.items()) if known[0]() is not None}
        self._known = living | {id(labels): (weakref.ref(labels), file)}
        return file


def pack(labels: Labels) -> bytes:
    """Labels as a compressed archive; equal labels always give equal bytes.

    Parameters
    ----------
    labels : ndarray of uint8, of any shape
        Class index + 1, 0 for not labelled.
    """
    # The mask says nothing more than the labels, but earlier versions of the package read it,
    # and without it the files would get other names than those that are in projects already.
    arrays = {"labels": labels, "touched": np.packbits(labels > 0)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array, allow_pickle=False)
            # A fixed date instead of the clock's, so that equal drawings share a file.
            entry = zipfile.ZipInfo(f"{name}.npy")
            archive.writestr(entry, content.getvalue(), compress_type=zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def unpack(data: bytes) -> Labels:
    """The labels that `pack` made bytes of; nothing in them is executed.

    Returns
    -------
    ndarray of uint8, of any shape

    Raises
    ------
    ValueError
        When the bytes are something else.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            labels: Labels = arrays["labels"]
    except (AttributeError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError("these bytes are no annotation") from error
    if labels.dtype != np.uint8:
        raise ValueError("these labels are no 8-bit numbers")
    return labels
