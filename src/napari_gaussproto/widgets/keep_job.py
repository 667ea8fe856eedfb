"""What is saved and read in the background: labels, and the project they are in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.annotations import (
    Annotation,
    Annotations,
    ImageIdentity,
    identify,
)
from napari_gaussproto.core.class_table import Forgotten, TableChange
from napari_gaussproto.core.config import SegmentationClass
from napari_gaussproto.core.corrections import labels_of
from napari_gaussproto.widgets.libraries import load_libraries

if TYPE_CHECKING:
    from napari_gaussproto.core.project import Project


@dataclass(frozen=True)
class Drawn:
    """What is drawn on an open image, as a thread may see it.

    Attributes
    ----------
    key, name : object, str
        Of the image layer.
    pixels : array-like
    codes : ndarray
        Never changed again.
    """

    key: Any
    name: str
    pixels: Any
    codes: npt.NDArray[np.uint16]


@dataclass
class Desk:
    """The state of saving; touched by the saving thread only.

    Attributes
    ----------
    project : Project or None
        Made when there is something to save.
    kept : Annotations
        What is in the store, of open and of other images.
    generation : int
        Counts the projects that were opened: what is meant for a former one is not saved.
    """

    project: Project | None = None
    kept: Annotations = field(default_factory=Annotations)
    generation: int = 0
    _identities: dict[Any, tuple[Any, ImageIdentity]] = field(default_factory=dict)
    _saved: dict[Any, tuple[Any, Annotation]] = field(default_factory=dict)
    _forgotten: dict[int, list[Forgotten]] = field(default_factory=dict)

    def identity(self, key: Any, pixels: Any, name: str) -> ImageIdentity:
        """By what an image is found again; its pixels are read once."""
        known = self._identities.get(key)
        if known is None or known[0] is not pixels:
            known = self._identities[key] = (pixels, identify(pixels, name))
        return known[1]

    def use(self, project: Project) -> Annotations:
        """Work in another project from now on; returns what is drawn there."""
        kept = project.annotations.load()
        self.close()
        self.project, self.kept = project, kept
        self.generation += 1
        self._saved.clear()
        self._forgotten.clear()
        return self.kept

    def close(self) -> None:
        """Let go of the project, so that others can open it."""
        if self.project is not None:
            self.project.close()
            self.project = None

    def change(self, change: TableChange) -> None:
        """Take labels of images that are not open along with a change of the table."""
        if self.kept.classes == change.before:
            self.kept, self._forgotten[id(change)] = self.kept.changed(change)

    def revert(self, change: TableChange) -> None:
        """Take a change of the table back."""
        lost = self._forgotten.pop(id(change), None)
        if lost is not None and self.kept.classes == change.after:
            self.kept = self.kept.reverted(change, lost[: len(self.kept.images)])

    def drawn(
        self, classes: tuple[SegmentationClass, ...], images: list[Drawn]
    ) -> tuple[Annotations, list[int]]:
        """Everything that is drawn, and labelled pixels of each class on open images."""
        kept = Annotations(classes, self.kept.images)
        counts = np.zeros(len(classes) + 1, np.int64)
        for annotation in _merged([self._annotation(image) for image in images]):
            found = np.bincount(annotation.labels.ravel(), minlength=len(counts))
            counts += found[: len(counts)]
            if found[1:].any():
                kept = kept.with_annotation(annotation)
            else:
                kept = kept.without(annotation.image)
        return kept, [int(n) for n in counts[1:]]

    def save(
        self, classes: tuple[SegmentationClass, ...], images: list[Drawn], generation: int
    ) -> list[int]:
        """Write everything that is drawn; returns what `drawn` counted.

        Nothing is written when another project was opened since ``generation``.
        """
        if generation != self.generation:
            return [0] * len(classes)
        kept, counts = self.drawn(classes, images)
        if self.project is None and kept.images:
            self.project = new_project()
        if self.project is not None:
            self.project.annotations.save(kept)
        self.kept = kept
        return counts

    def _annotation(self, image: Drawn) -> Annotation:
        # The same object as long as nothing is drawn, so that the store writes it once.
        known = self._saved.get(image.key)
        if known is None or known[0] is not image.codes:
            labels = labels_of(image.codes)
            identity = self.identity(image.key, image.pixels, image.name)
            known = (image.codes, Annotation(identity, labels, labels > 0))
            self._saved[image.key] = known
        return known[1]


def _merged(annotations: list[Annotation]) -> list[Annotation]:
    """One annotation per image: the same pixels may be open in two layers."""
    merged: list[Annotation] = []
    for annotation in annotations:
        for place, twin in enumerate(merged):
            if twin.image.same_pixels(annotation.image):
                labels = np.where(annotation.labels > 0, annotation.labels, twin.labels)
                merged[place] = Annotation(twin.image, labels, labels > 0)
                break
        else:
            merged.append(annotation)
    return merged


def new_project() -> Project:
    """A project in the person's data folder, named after the time."""
    from datetime import datetime

    load_libraries()
    from napari_gaussproto.core.project import Project, default_folder

    name = datetime.now().strftime("labels %Y-%m-%d %H.%M.%S")
    names = (name, *(f"{name} ({number})" for number in range(2, 100)))
    folders = map(default_folder, names)
    return Project.create(next(folder for folder in folders if not folder.exists()))
