"""What is saved and read in the background: labels, and the project they are in."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import GaussProtoError
from napari_gaussproto.core.imaging.orientation import upright
from napari_gaussproto.core.labels.amount import Amount
from napari_gaussproto.core.labels.annotations import (
    Annotation,
    Annotations,
    ImageIdentity,
    identify,
)
from napari_gaussproto.core.labels.check import Labels
from napari_gaussproto.core.labels.class_table import Forgotten, TableChange
from napari_gaussproto.core.labels.corrections import ReadyLabels, labels_of
from napari_gaussproto.jobs.running import load_libraries
from napari_gaussproto.jobs.session.view import Opened, View, located, opened, session_of
from napari_gaussproto.jobs.train_image import TrainImage
from napari_gaussproto.jobs.upright import other_poses

if TYPE_CHECKING:
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
    from napari_gaussproto.core.project.project import FoundProject, Project
    from napari_gaussproto.core.project.session import Session


@dataclass(frozen=True)
class Count:
    """How much is labelled.

    Attributes
    ----------
    pixels : list of int
        Of each class, on open images.
    open, closed : int
        Images with labels.
    amount : Amount
        On all of them.
    """

    pixels: list[int]
    open: int
    closed: int
    amount: Amount = field(default_factory=Amount)


class Identities:
    """By what images are found again; their pixels are read once. Threads may share it."""

    def __init__(self) -> None:
        self._known: dict[Any, tuple[Callable[[], Any], ImageIdentity]] = {}
        self._lock = Lock()

    def of(self, image: TrainImage) -> ImageIdentity:
        """Identity of an image layer."""
        with self._lock:
            known = self._known.get(image.key)
            if known is None or known[0]() is not image.pixels:
                identity = identify(image.pixels, image.name, image.file, image.window)
                self._known = {key: of for key, of in self._known.items() if of[0]() is not None}
                known = self._known[image.key] = (_reference(image.pixels), identity)
            return known[1]


def _reference(pixels: Any) -> Callable[[], Any]:
    """Gives the pixels while somebody else holds them; removed images need no memory."""
    try:
        return weakref.ref(pixels)
    except TypeError:
        return lambda: pixels


_Place = tuple[str, tuple[int, ...]]


def _place(annotation: Annotation) -> _Place:
    return annotation.image.sample, annotation.labels.shape


@dataclass(frozen=True)
class SessionState:
    """What other threads may know of a session: how it was when a job of it ended.

    Attributes
    ----------
    folder : Path or None
        Of the project; None as long as nothing was saved.
    generation : int
        Counts the projects that were opened.
    """

    folder: Path | None = None
    name: str = ""
    kept: Annotations = field(default_factory=Annotations)
    generation: int = 0


@dataclass(frozen=True)
class Found:
    """What was found of an image.

    Attributes
    ----------
    here : Annotations or None
        Its annotation in this project, as the only one.
    ready : ReadyLabels or None
        The same, for the layer that a person paints on.
    elsewhere : FoundProject or None
        Another project that knows it; only one of the two is given.
    same_pixels : list
        Keys of removed layers with the same pixels, whose labels these are.
    forgotten : dict of int to Forgotten
        What changes of the table, by their id, made of these labels.
    turned : bool
        Whether the labels were drawn on the photograph as it lay otherwise.
    """

    here: Annotations | None = None
    ready: ReadyLabels | None = None
    elsewhere: FoundProject | None = None
    same_pixels: list[Any] = field(default_factory=list)
    forgotten: dict[int, Forgotten] = field(default_factory=dict)
    turned: bool = False


class ProjectSession:
    """The project that a person works in, and what is saved in it.

    The saving thread owns it: nobody else reads or writes it. Others get its `state`.

    Attributes
    ----------
    project : Project or None
        It is made when there is something to save.
    kept : Annotations
        What is in the store, of open and of other images.
    version_ids : mapping of PrototypeSegmenter to str
        Versions of models that are in use.
    """

    def __init__(self, identities: Identities, kept: Annotations | None = None) -> None:
        self.project: Project | None = None
        self.kept = kept or Annotations()
        self.version_ids: weakref.WeakKeyDictionary[PrototypeSegmenter, str] = (
            weakref.WeakKeyDictionary()
        )
        self._identities = identities
        # What is meant for a project that was left since is not saved in the next one.
        self._generation = 0
        self._saved: dict[Any, tuple[Any, Annotation]] = {}
        # Of everything in `kept`, so that it is counted once as long as nothing is drawn.
        self._amounts: list[tuple[Labels, Amount]] = []
        self._forgotten: dict[int, dict[_Place, Forgotten]] = {}
        self._view: Session | None = None

    @property
    def state(self) -> SessionState:
        """How it is now."""
        folder = None if self.project is None else self.project.folder
        name = "" if self.project is None else self.project.name
        return SessionState(folder, name, self.kept, self._generation)

    def open(self, folder: Path) -> Opened:
        """Work in another project from now on; the present one stays when that fails.

        The present one can be opened, too: then everything is as it was saved. Returns what the
        project says of the viewer that it was worked in.
        """
        load_libraries()
        from napari_gaussproto.core.project.project import Project

        own = self.project
        if own is not None and own.folder.resolve() != Path(folder).resolve():
            own = None
        project = own or Project.open(folder)
        try:
            kept = project.annotations.load()
            view = opened(project, kept)
        except BaseException:
            if own is None:
                project.close()
            raise
        if own is None:
            self.close()
        self.project, self.kept = project, located(kept, view.session)
        self._view = view.session
        self._generation += 1
        self._saved.clear()
        self._forgotten.clear()
        return view

    def keep_view(self, view: View, generation: int) -> None:
        """Keep what the viewer shows, with the project that is open; see `save`."""
        if self.project is not None and generation == self._generation:
            self._view = session_of(view, self.kept, self._identities.of, self._view)
            self.project.session.save(self._view)

    def locate(self, session: Session) -> None:
        """Take over where images are now that moved."""
        self.kept = located(self.kept, session)

    def ensure_project(self) -> Project:
        """The project; a new one in the person's data folder when there is none."""
        if self.project is None:
            self.project = _new_project()
        return self.project

    def close(self) -> None:
        """Close the project, so that others can open it; what is saved next begins one."""
        if self.project is not None:
            self.project.close()
            self.project = self._view = None
        self.version_ids.clear()

    def copy_to(self, folder: Path) -> str:
        """Copy the project as it is saved; returns the name of the copy."""
        if self.project is None:
            raise GaussProtoError("There is nothing to copy yet: draw something first.")
        with self.project.copy_to(folder) as copy:
            return copy.name

    def find(
        self, image: TrainImage, shape: tuple[int, ...], closed: list[TrainImage]
    ) -> Found | None:
        """Labels, of this shape, of an image in this project, or another project that knows it.

        Closed images are those that were removed from the viewer.
        """
        identity = self._identities.of(image)
        here = self.kept.find(identity, shape)
        known, lying = [identity], self._in_another_pose(image) if here is None else None
        if lying is not None:
            here, known = self._turn(lying[0], identity, lying[1]), [identity, lying[0].image]
        if here is not None:
            same_pixels = [
                other.key
                for other in closed
                if other.codes is not None
                and other.codes.size == here.labels.size
                and any(self._identities.of(other).same_pixels(one) for one in known)
            ]
            place = _place(here)
            lost = {key: lost[place] for key, lost in self._forgotten.items() if place in lost}
            found = Annotations(self.kept.classes, (here,))
            ready = ReadyLabels.of(here.labels)
            return Found(found, ready, None, same_pixels, lost, lying is not None)
        load_libraries()
        from napari_gaussproto.core.project.places import projects_root
        from napari_gaussproto.core.project.project import find_annotation

        current = None if self.project is None else self.project.folder
        for one in (identity, *(self._identity(other) for other, _ in other_poses(image))):
            for project in find_annotation(projects_root(), one):
                if project.folder != current:
                    return Found(elsewhere=project)
        return None

    def turned(self, before: TrainImage, after: TrainImage, orientation: int) -> None:
        """Take the labels of an image along whose photograph was turned."""
        kept = self.kept.find(self._identities.of(before))
        if kept is not None:
            self._turn(kept, self._identities.of(after), orientation)

    def _in_another_pose(self, image: TrainImage) -> tuple[Annotation, int] | None:
        """What was drawn on a photograph as it lay otherwise, and how to turn that."""
        for other, back in other_poses(image):
            found = self.kept.find(self._identity(other))
            if found is not None and found.labels.ndim == 2:
                return found, back
        return None

    def _identity(self, image: TrainImage) -> ImageIdentity:
        return identify(image.pixels, image.name, image.file, image.window)

    def _turn(self, former: Annotation, identity: ImageIdentity, orientation: int) -> Annotation:
        """Keep an annotation turned, as that of the turned image; the former one goes."""
        labels = np.ascontiguousarray(upright(former.labels, orientation))
        new, place = Annotation(identity, labels), _place(former)
        self.kept = self.kept.without(former.image, former.labels.shape).with_annotation(new)
        for lost in self._forgotten.values():
            if place in lost:
                lost[_place(new)] = lost.pop(place).turned(former.labels.shape, orientation)
        return new

    def change(self, change: TableChange) -> None:
        """Take labels of images that are not open along with a change of the table."""
        if self.kept.classes == change.before:
            self.kept, lost = self.kept.changed(change)
            places = map(_place, self.kept.images)
            self._forgotten[id(change)] = dict(zip(places, lost, strict=True))

    def revert(self, change: TableChange) -> None:
        """Take a change of the table back."""
        lost = self._forgotten.pop(id(change), None)
        if lost is not None and self.kept.classes == change.after:
            # Images may have been added or taken away since.
            here = [lost.get(_place(a)) or Forgotten() for a in self.kept.images]
            self.kept = self.kept.reverted(change, here)

    def drawn(
        self, classes: tuple[SegmentationClass, ...], images: list[TrainImage]
    ) -> tuple[Annotations, Count]:
        """Everything that is drawn, and how much that is."""
        kept = Annotations(classes, self.kept.images)
        pixels = np.zeros(len(classes) + 1, np.int64)
        n_open = 0
        for annotation, is_open in self._merged(images):
            found = np.bincount(annotation.labels.ravel(), minlength=len(pixels))
            labelled = bool(found[1:].any())
            if is_open:
                pixels += found[: len(pixels)]
                n_open += labelled
            kept = (
                kept.with_annotation(annotation)
                if labelled
                else kept.without(annotation.image, annotation.labels.shape)
            )
        amount = self._amount(kept.images, images)
        counts = [int(n) for n in pixels[1:]]
        return kept, Count(counts, n_open, len(kept.images) - n_open, amount)

    def _amount(self, annotations: Sequence[Annotation], images: Sequence[TrainImage]) -> Amount:
        """How much is labelled; what did not change is not counted again."""
        known = {id(labels): amount for labels, amount in self._amounts}
        image = {id(self._annotation(i).labels): i for i in images if i.codes is not None}
        self._amounts = [
            (labels, known.get(id(labels)) or _amount_of(labels, image.get(id(labels))))
            for labels in (annotation.labels for annotation in annotations)
        ]
        return sum((amount for _, amount in self._amounts), Amount())

    def save(
        self, classes: tuple[SegmentationClass, ...], images: list[TrainImage], generation: int
    ) -> Count | None:
        """Write everything that is drawn; returns what `drawn` counted.

        Nothing is written, and None returned, when another project was opened since
        ``generation``.
        """
        if generation != self._generation:
            return None
        # Kept in memory first: when it cannot be written, it is not lost.
        self.kept, counts = self.drawn(classes, images)
        keys = {image.key for image in images}
        self._saved = {key: known for key, known in self._saved.items() if key in keys}
        if self.project is not None or self.kept.images:
            self.ensure_project().annotations.save(self.kept)
        return counts

    def _annotation(self, image: TrainImage) -> Annotation:
        # The same object as long as nothing is drawn, so that the store writes it once.
        known = self._saved.get(image.key)
        if known is None or known[0] is not image.codes:
            assert image.codes is not None
            annotation = Annotation(self._identities.of(image), labels_of(image.codes))
            known = self._saved[image.key] = (image.codes, annotation)
        return known[1]

    def _merged(self, images: list[TrainImage]) -> list[tuple[Annotation, bool]]:
        """One annotation per image, and whether it is open: two layers may have its pixels."""
        merged: list[tuple[Annotation, bool]] = []
        for image in images:
            annotation = self._annotation(image)
            for place, (other, was_open) in enumerate(merged):
                alike = other.labels.shape == annotation.labels.shape
                if alike and other.image.same_pixels(annotation.image):
                    labels = np.where(annotation.labels > 0, annotation.labels, other.labels)
                    both = Annotation(other.image, labels)
                    merged[place] = (both, was_open or image.is_open)
                    break
            else:
                merged.append((annotation, image.is_open))
        return merged


def _amount_of(labels: Labels, image: TrainImage | None) -> Amount:
    """How much of an image is labelled; of one that is not there, nobody knows the gaps."""
    planes = labels.reshape(-1, *labels.shape[-2:])
    labelled = np.flatnonzero(planes.any((1, 2))).tolist()
    data = None if image is None else image.data_of(labelled)
    return Amount.of([planes[number] for number in labelled], data)


def _new_project() -> Project:
    """A project in the person's data folder, named after the time."""
    load_libraries()
    from napari_gaussproto.core.project.places import default_folder
    from napari_gaussproto.core.project.project import Project

    name = datetime.now().strftime("labels %Y-%m-%d %H.%M.%S")
    names = (name, *(f"{name} ({number})" for number in range(2, 100)))
    folders = map(default_folder, names)
    return Project.create(next(folder for folder in folders if not folder.exists()))
