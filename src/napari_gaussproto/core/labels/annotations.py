"""Everything a person drew, on many images, kept beside the project's file.

A store is a folder: ``index.json`` names the classes and, for every image, a data file whose
name is the hash of its content. Data files are written first and never changed; then the
index is replaced. So whenever the process is killed, the index on disk names files that are
there and whole, of one and the same moment: classes and labels cannot drift apart.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError

from napari_gaussproto.core.base.atomic import copy_files, write_bytes_atomically
from napari_gaussproto.core.base.config import Classes, SegmentationClass, Settings
from napari_gaussproto.core.base.errors import GaussProtoError, LabelError
from napari_gaussproto.core.labels.class_table import Forgotten, TableChange

SUFFIX = ".annotations"
FORMAT_VERSION = 1
_INDEX = "index.json"
# Longer axes are sampled by three windows of this many pixels.
_WINDOW = 32

Labels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


class AnnotationError(GaussProtoError):
    """An annotation store is damaged, foreign, or cannot be written."""


class ImageIdentity(Settings):
    """By what an image is found again.

    Attributes
    ----------
    name : str
    shape : tuple of int
        Of the array, channels included.
    sample : str
        SHA-256 of the pixels in a few windows, in hexadecimal.
    file : str or None
        Where it was read from, if that is known: to read it again when it is not open.
    """

    name: str
    shape: tuple[int, ...]
    sample: str = Field(pattern=r"^[0-9a-f]{64}$")
    file: str | None = None

    def same_pixels(self, other: ImageIdentity) -> bool:
        """Whether two are one image, whatever it is called now."""
        return self.shape == other.shape and self.sample == other.sample


def identify(array: Any, name: str, file: str | None = None) -> ImageIdentity:
    """Identity of an image; of a large or lazy one only a few windows are read.

    Parameters
    ----------
    array : array-like
        With ``shape``, ``dtype`` and slicing: numpy, dask, zarr.
    name : str
    file : str, optional
        Where it was read from.
    """
    shape = tuple(int(n) for n in array.shape)
    digest = hashlib.sha256(f"{np.dtype(array.dtype).str} {shape}".encode())
    for window in itertools.product(*(_windows(length) for length in shape)):
        digest.update(np.ascontiguousarray(array[window]).tobytes())
    return ImageIdentity(name=name, shape=shape, sample=digest.hexdigest(), file=file)


def _windows(length: int) -> list[slice]:
    if length <= 3 * _WINDOW:
        return [slice(0, length)]
    middle = (length - _WINDOW) // 2
    return [slice(at, at + _WINDOW) for at in (0, middle, length - _WINDOW)]


@dataclass(frozen=True)
class Annotation:
    """What was drawn on one image.

    Attributes
    ----------
    image : ImageIdentity
    labels : ndarray
        uint8 of any shape, for a photograph (H, W): class index + 1, 0 for not labelled.
    touched : ndarray
        bool of the same shape: what the brush touched on a prediction.
    """

    image: ImageIdentity
    labels: Labels
    touched: Mask

    def __post_init__(self) -> None:
        if self.labels.dtype != np.uint8 or self.touched.dtype != bool:
            raise LabelError("Annotations are kept as 8-bit labels: use whole numbers 0 to 255.")
        if self.labels.shape != self.touched.shape:
            raise LabelError(
                f"The labels are {self.labels.shape} pixels, the mask of corrections "
                f"{self.touched.shape}: both must have the same shape."
            )


def _is_of(annotation: Annotation, image: ImageIdentity, shape: tuple[int, ...] | None) -> bool:
    fits = shape is None or annotation.labels.shape == shape
    return fits and annotation.image.same_pixels(image)


@dataclass(frozen=True)
class Annotations:
    """Classes, and what was drawn on every image.

    Attributes
    ----------
    classes : tuple of SegmentationClass
        In order: label value 1 is the first.
    images : tuple of Annotation
    """

    classes: tuple[SegmentationClass, ...] = ()
    images: tuple[Annotation, ...] = ()

    def find(self, image: ImageIdentity, shape: tuple[int, ...] | None = None) -> Annotation | None:
        """The annotation of an image, renamed or not.

        Parameters
        ----------
        image : ImageIdentity
        shape : tuple of int, optional
            That the labels must have: colours may have been taken for planes.
        """
        return next((a for a in self.images if _is_of(a, image, shape)), None)

    def with_annotation(self, annotation: Annotation) -> Annotations:
        """A copy in which an image has this annotation instead of its former one.

        Labels of another shape are of another reading of the image, and stay.
        """
        image, shape = annotation.image, annotation.labels.shape
        position, others = len(self.images), list(self.images)
        for i, former in enumerate(self.images):
            if _is_of(former, image, shape):
                position = i
                if image.file is None and former.image.file is not None:
                    known = image.model_copy(update={"file": former.image.file})
                    annotation = Annotation(known, annotation.labels, annotation.touched)
        others[position : position + 1] = [annotation]
        return Annotations(self.classes, tuple(others))

    def without(self, image: ImageIdentity, shape: tuple[int, ...] | None = None) -> Annotations:
        """A copy without the annotation of an image; see `find`."""
        kept = tuple(a for a in self.images if not _is_of(a, image, shape))
        return Annotations(self.classes, kept)

    def changed(self, change: TableChange) -> tuple[Annotations, list[Forgotten]]:
        """All labels under another class table, and what `reverted` needs, per image.

        Raises
        ------
        LabelError
            When the change starts from another table.
        """
        self._expect(change.before)
        results = [change.apply(a.labels) for a in self.images]
        images = tuple(
            Annotation(a.image, labels, a.touched)
            for a, (labels, _) in zip(self.images, results, strict=True)
        )
        return Annotations(change.after, images), [forgotten for _, forgotten in results]

    def reverted(self, change: TableChange, forgotten: Sequence[Forgotten]) -> Annotations:
        """All labels under the table before a change.

        Raises
        ------
        LabelError
            When the change led to another table than this one.
        """
        self._expect(change.after)
        images = tuple(
            Annotation(a.image, change.revert(a.labels, lost), a.touched)
            for a, lost in zip(self.images, forgotten, strict=True)
        )
        return Annotations(change.before, images)

    def _expect(self, classes: tuple[SegmentationClass, ...]) -> None:
        if classes != self.classes:
            raise LabelError("The classes changed in the meantime: open the class table again.")


class _Entry(Settings):
    image: ImageIdentity
    file: str = Field(pattern=r"^[0-9a-f]{64}\.npz$")


class _Index(Settings):
    format_version: int
    classes: Classes
    images: list[_Entry]


def store_path(project: str | Path) -> Path:
    """Where the annotations of a project's file are kept: beside it."""
    project = Path(project)
    return project.with_name(project.stem + SUFFIX)


@dataclass
class AnnotationStore:
    """Annotations on disk; threads of one process may use it at the same time.

    Parameters
    ----------
    folder : Path
        See `store_path`.
    """

    folder: Path
    # Data files of arrays that are written already, so that a stroke costs one image only.
    # The arrays are kept, or another one might get their id.
    _known: dict[tuple[int, int], tuple[str, Annotation]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)

    def save(self, annotations: Annotations) -> None:
        """Write what changed since the last call, all of it or nothing.

        Arrays count as unchanged while they are the same objects: pass copies of arrays that
        are painted into.

        Raises
        ------
        AnnotationError
            When the folder cannot be written to.
        """
        with self._lock:
            self._save(annotations)

    def _save(self, annotations: Annotations) -> None:
        try:
            files = [self._write(annotation) for annotation in annotations.images]
            index = _Index(
                format_version=FORMAT_VERSION,
                classes=list(annotations.classes),
                images=[
                    _Entry(image=a.image, file=file)
                    for a, file in zip(annotations.images, files, strict=True)
                ],
            )
            text = json.dumps(index.model_dump(mode="json"), ensure_ascii=False, indent=1)
            write_bytes_atomically(self.folder / _INDEX, text.encode())
            self._sweep(set(files))
        except OSError as error:
            raise AnnotationError(
                f"The annotations could not be saved in “{self.folder}” ({error}): "
                "free some space or choose another place for the project."
            ) from error

    def load(self) -> Annotations:
        """What was saved last; empty when nothing ever was.

        Raises
        ------
        AnnotationError
            When the store is damaged, or written by a newer version.
        """
        with self._lock:
            index = self._read_index()
            images = []
            for entry in index.images:
                annotation = self._read(entry)
                self._known[_key(annotation)] = (entry.file, annotation)
                images.append(annotation)
            return Annotations(tuple(index.classes), tuple(images))

    def identities(self) -> list[ImageIdentity]:
        """The images that something was drawn on; no drawing is read.

        Raises
        ------
        AnnotationError
            When the index is damaged, or written by a newer version.
        """
        return [entry.image for entry in self._read_index().images]

    @property
    def saved(self) -> datetime | None:
        """When something was saved last, in UTC; None when nothing ever was."""
        try:
            seconds = (self.folder / _INDEX).stat().st_mtime
        except OSError:
            return None
        return datetime.fromtimestamp(seconds, UTC)

    def copy_to(self, folder: Path) -> None:
        """Copy what was saved last, byte by byte, whether it can be read or not.

        Raises
        ------
        OSError
            When it cannot be written.
        """
        with self._lock:
            copy_files(self.folder, folder)

    def _read_index(self) -> _Index:
        path = self.folder / _INDEX
        if not path.exists():
            return _Index(format_version=FORMAT_VERSION, classes=[], images=[])
        try:
            content = json.loads(path.read_bytes())
            if int(content["format_version"]) > FORMAT_VERSION:
                raise AnnotationError(
                    f"The annotations in “{self.folder.name}” were saved by a newer version: "
                    "update napari-gaussproto to open them."
                )
            return _Index.model_validate(content)
        except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
            raise self._damaged(_INDEX) from error

    def _write(self, annotation: Annotation) -> str:
        known = self._known.get(_key(annotation))
        if known is not None and (self.folder / known[0]).exists():
            return known[0]
        data = pack(annotation)
        name = hashlib.sha256(data).hexdigest() + ".npz"
        if not (self.folder / name).exists():
            write_bytes_atomically(self.folder / name, data)
        self._known[_key(annotation)] = (name, annotation)
        return name

    def _read(self, entry: _Entry) -> Annotation:
        try:
            data = (self.folder / entry.file).read_bytes()
            if hashlib.sha256(data).hexdigest() != entry.file.removesuffix(".npz"):
                raise self._damaged(entry.file)
            return unpack(data, entry.image)
        except (OSError, ValueError) as error:
            raise self._damaged(entry.file) from error

    def _sweep(self, wanted: set[str]) -> None:
        """Delete data that no index names any more, and what a kill left half-written."""
        for path in self.folder.glob("*.npz"):
            if path.name not in wanted:
                path.unlink(missing_ok=True)
        for path in self.folder.glob(".*.part"):
            path.unlink(missing_ok=True)
        self._known = {key: kept for key, kept in self._known.items() if kept[0] in wanted}

    def _damaged(self, name: str) -> AnnotationError:
        return AnnotationError(
            f"The annotations in “{self.folder}” are damaged (“{name}” cannot be read): "
            "restore the folder from a backup, or rename it to start anew."
        )


def _key(annotation: Annotation) -> tuple[int, int]:
    return id(annotation.labels), id(annotation.touched)


def pack(annotation: Annotation) -> bytes:
    """The arrays, compressed; the same arrays always give the same bytes."""
    buffer = io.BytesIO()
    arrays = {"labels": annotation.labels, "touched": np.packbits(annotation.touched)}
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array, allow_pickle=False)
            # A fixed date instead of the clock's, so that equal drawings share a file.
            archive.writestr(
                zipfile.ZipInfo(f"{name}.npy"),
                content.getvalue(),
                compress_type=zipfile.ZIP_DEFLATED,
            )
    return buffer.getvalue()


def unpack(data: bytes, image: ImageIdentity) -> Annotation:
    """What `pack` made bytes of; nothing in them is executed.

    Raises
    ------
    ValueError
        When they are something else.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            labels = arrays["labels"]
            touched = np.unpackbits(arrays["touched"], count=labels.size).astype(bool)
        return Annotation(image, labels, touched.reshape(labels.shape))
    except (AttributeError, KeyError, TypeError, zipfile.BadZipFile, LabelError) as error:
        raise ValueError("these bytes are no annotation") from error
