"""What a person drew, on many images, and by what an image is found again."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import Field, model_serializer

from napari_gaussproto.core.base.config import SegmentationClass, Settings
from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.imaging.stored import read_part
from napari_gaussproto.core.imaging.tiles import Area
from napari_gaussproto.core.labels.check import Labels
from napari_gaussproto.core.labels.class_table import TableChange
from napari_gaussproto.core.labels.forgotten import Forgotten

# Longer axes are sampled by three windows of this many pixels.
_WINDOW = 32


class ImageIdentity(Settings):
    """By what an image is found again.

    Attributes
    ----------
    shape : tuple of int
        Of the array, channels included.
    sample : str
        SHA-256 of the pixels in a few windows, in hexadecimal.
    file : str or None
        Where it was read from, if that is known: to read it again when it is not open.
    window : Area or None
        Of a window of the picture in that file: its pixels, y0, x0, y1, x1.
    """

    name: str
    shape: tuple[int, ...]
    sample: str = Field(pattern=r"^[0-9a-f]{64}$")
    file: str | None = None
    window: Area | None = None

    @model_serializer(mode="wrap")
    def _without_nothing(self, whole: Any) -> dict[str, Any]:
        """Most images are no windows; versions of before know no such field."""
        content: dict[str, Any] = whole(self)
        if self.window is None:
            del content["window"]
        return content

    def same_pixels(self, other: ImageIdentity) -> bool:
        """Whether two are one image, whatever it is called now."""
        return self.shape == other.shape and self.sample == other.sample

    def is_window_of(self, whole: ImageIdentity) -> bool:
        """Whether this is a window of a picture, by the file of both."""
        is_part = self.window is not None and whole.window is None
        return is_part and self.file is not None and self.file == whole.file


def identify(
    array: Any, name: str, file: str | None = None, window: Area | None = None
) -> ImageIdentity:
    """Identity of an image of any shape and dtype; see `ImageIdentity`.

    Of a large or lazy one only a few windows are read.

    Raises
    ------
    ImageError
        When the array's storage fails.
    """
    shape = tuple(int(n) for n in array.shape)
    # Windows of plain ground look alike, and are others all the same.
    place = "" if window is None else f" {tuple(window)}"
    digest = hashlib.sha256(f"{np.dtype(array.dtype).str} {shape}{place}".encode())
    for sampled in itertools.product(*(_windows(length) for length in shape)):
        digest.update(np.ascontiguousarray(read_part(array, sampled)).tobytes())
    known = {"file": file, "window": window}
    return ImageIdentity(name=name, shape=shape, sample=digest.hexdigest(), **known)


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
    labels : (..., H, W) ndarray of uint8
        Class index + 1, 0 for not labelled.
    """

    image: ImageIdentity
    labels: Labels

    def __post_init__(self) -> None:
        if self.labels.dtype != np.uint8:
            raise LabelError("Annotations are kept as 8-bit labels: use whole numbers 0 to 255.")


def _is_of(annotation: Annotation, image: ImageIdentity, shape: tuple[int, ...] | None) -> bool:
    fits = shape is None or annotation.labels.shape == shape
    return fits and annotation.image.same_pixels(image)


@dataclass(frozen=True)
class Annotations:
    """Classes, of which the first has label value 1, and what was drawn on every image."""

    classes: tuple[SegmentationClass, ...] = ()
    images: tuple[Annotation, ...] = ()

    def find(self, image: ImageIdentity, shape: tuple[int, ...] | None = None) -> Annotation | None:
        """The annotation of an image, renamed or not.

        Labels may have to have one shape: colours may have been taken for planes.
        """
        return next((a for a in self.images if _is_of(a, image, shape)), None)

    def with_annotation(self, annotation: Annotation) -> Annotations:
        """A copy in which an image has this annotation instead of its former one.

        Labels of another shape are of another reading of the image, and stay.
        """
        image, shape = annotation.image, annotation.labels.shape
        former = self.find(image, shape)
        if former is None:
            return Annotations(self.classes, (*self.images, annotation))
        if image.file is None:
            known = image.model_copy(update={"file": former.image.file})
            annotation = replace(annotation, image=known)
        images = tuple(annotation if a is former else a for a in self.images)
        return Annotations(self.classes, images)

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
        images, forgotten = [], []
        for annotation in self.images:
            labels, lost = change.apply(annotation.labels)
            images.append(replace(annotation, labels=labels))
            forgotten.append(lost)
        return Annotations(change.after, tuple(images)), forgotten

    def reverted(self, change: TableChange, forgotten: Sequence[Forgotten]) -> Annotations:
        """All labels under the table before a change.

        Raises
        ------
        LabelError
            When the change led to another table than this one.
        """
        self._expect(change.after)
        images = tuple(
            replace(a, labels=change.revert(a.labels, lost))
            for a, lost in zip(self.images, forgotten, strict=True)
        )
        return Annotations(change.before, images)

    def _expect(self, classes: tuple[SegmentationClass, ...]) -> None:
        if classes != self.classes:
            raise LabelError("The classes changed in the meantime: open the class table again.")


def overruled(labels: Labels, drawn: Labels) -> Labels:
    """Labels (..., H, W) where what is drawn, if not 0, counts instead, but where there is no data.

    Parameters
    ----------
    labels, drawn : (..., H, W) ndarray of uint8
    """
    return np.where((drawn > 0) & (labels > 0), drawn, labels)


def values_between(
    own: Sequence[SegmentationClass], wanted: Sequence[SegmentationClass], drawn: Iterable[Labels]
) -> Labels:
    """For every label value of some classes, the one in another table, by the names.

    Parameters
    ----------
    own, wanted : sequence of SegmentationClass
    drawn : iterable of (..., H, W) ndarray of uint8
        Labels of the own classes.

    Returns
    -------
    ndarray of uint8
        (C + 1,) for C own classes; 0 for what is not labelled.

    Raises
    ------
    LabelError
        When something is labelled as a class that the other table lacks.
    """
    names = [entry.name for entry in wanted]
    used = {int(value) for labels in drawn for value in np.unique(labels) if value}
    for value in sorted(used):
        if (name := own[value - 1].name) not in names:
            raise LabelError(
                f"“{name}” is drawn on it and is no class of the model: choose a model of that "
                "project, or go without corrections."
            )
    places = (names.index(c.name) + 1 if c.name in names else 0 for c in own)
    return np.array([0, *places], np.uint8)
