"""What is saved and read in the background: labels, and the project they are in."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import GaussProtoError
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.imaging.on_disk import is_on_disk, moved_to_disk
from napari_gaussproto.core.imaging.orientation import upright
from napari_gaussproto.core.labels.annotations import (
    Annotation,
    Annotations,
    ImageIdentity,
    identify,
)
from napari_gaussproto.core.labels.check import Labels
from napari_gaussproto.core.labels.class_table import TableChange
from napari_gaussproto.core.labels.corrections import ReadyLabels
from napari_gaussproto.core.labels.forgotten import Forgotten
from napari_gaussproto.core.project.places import default_folder, projects_root
from napari_gaussproto.jobs.running import load_libraries
from napari_gaussproto.jobs.session.counts import Count, Counts
from napari_gaussproto.jobs.session.view import (
    Opened,
    View,
    located,
    opened,
    session_of,
)
from napari_gaussproto.jobs.train_image import TrainImage
from napari_gaussproto.jobs.upright import other_poses

if TYPE_CHECKING:
    from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
    from napari_gaussproto.core.project.project import FoundProject, Project
    from napari_gaussproto.core.project.session import Session


# Of labels that stay in memory: those of ten photographs of 24 megapixels.
_MOST_BYTES = 1 << 28

logger = logging.getLogger(__name__)


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
# What changes of the class table, by their ids, made of labels that are kept.
LostLabels = dict[int, dict[_Place, Forgotten]]


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
    forgotten : dict of int to dict
        What `revert` needs of changes of the class table.
    most_bytes : int
        What labels of closed images may take of memory.
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
        self._counts = Counts()
        self.forgotten: LostLabels = {}
        self.most_bytes = _MOST_BYTES
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
        self._forget()
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

    def begin(self) -> str:
        """Begin a blank project; returns the name of the one that is left, empty for none."""
        left = self.state.name
        self.close()
        self.kept, self._view = Annotations(), None
        self._forget()
        return left

    def _forget(self) -> None:
        """Forget what was true of the project that is left."""
        self._generation += 1
        self._saved.clear()
        self.forgotten.clear()

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

        Closed images are those that were removed from the viewer, with their codes or without.
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
                if _labels_of_size(other) == here.labels.size
                and any(self._identities.of(other).same_pixels(one) for one in known)
            ]
            place = _place(here)
            lost = {key: lost[place] for key, lost in self.forgotten.items() if place in lost}
            found = Annotations(self.kept.classes, (here,))
            ready = ReadyLabels.of(here.labels)
            return Found(found, ready, None, same_pixels, lost, lying is not None)
        load_libraries()
        from napari_gaussproto.core.project.project import find_annotation

        current = None if self.project is None else self.project.folder
        # Windows that are labelled here, too, are listed by the docks.
        listed = [one.image for one in self.kept.images if one.image.is_window_of(identity)]
        for one in (identity, *(self._identity(other) for other, _ in other_poses(image))):
            for project in find_annotation(projects_root(), one, listed):
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
        for lost in self.forgotten.values():
            if place in lost:
                lost[_place(new)] = lost.pop(place).turned(former.labels.shape, orientation)
        return new

    def remember(
        self, image: TrainImage, shape: tuple[int, ...], lost: dict[int, Forgotten]
    ) -> None:
        """Take over what changes of the table, by their ids, made of labels of a removed image."""
        place = self._identities.of(image).sample, shape
        for change, found in lost.items():
            self.forgotten.setdefault(change, {})[place] = found

    def change(self, change: TableChange) -> None:
        """Take labels of images that are not open along with a change of the table."""
        if self.kept.classes == change.before:
            self.kept, lost = self.kept.changed(change)
            places = map(_place, self.kept.images)
            self.forgotten[id(change)] = dict(zip(places, lost, strict=True))

    def revert(self, change: TableChange) -> None:
        """Take a change of the table back."""
        lost = self.forgotten.pop(id(change), None)
        if lost is not None and self.kept.classes == change.after:
            # Images may have been added or taken away since.
            here = [lost.get(_place(a)) or Forgotten() for a in self.kept.images]
            self.kept = self.kept.reverted(change, here)

    def drawn(
        self, classes: tuple[SegmentationClass, ...], images: list[TrainImage]
    ) -> tuple[Annotations, Count]:
        """Everything that is drawn, and how much that is."""
        kept = Annotations(classes, self.kept.images)
        in_view: set[int] = set()
        for annotation, is_open in self._merged(images):
            if not annotation.labels.any():
                kept = kept.without(annotation.image, annotation.labels.shape)
                continue
            kept = kept.with_annotation(annotation)
            if is_open:
                in_view.add(id(annotation.labels))
        image = {id(self._annotation(i).labels): i for i in images if i.codes is not None}
        return kept, self._counts.of(kept, image, in_view)

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
            self._spare_memory()
        return counts

    def _spare_memory(self) -> None:
        """Let labels of closed images beyond `most_bytes` lie in files without a name."""
        used = {id(annotation.labels) for _, annotation in self._saved.values()}
        closed = [a.labels for a in self.kept.images if id(a.labels) not in used]
        held = [labels for labels in closed if not is_on_disk(labels)]
        moved: dict[int, Labels] = {}
        over = sum(labels.nbytes for labels in held) - self.most_bytes
        try:
            for labels in held:
                if over > 0:
                    moved[id(labels)] = run(moved_to_disk(labels, projects_root()))
                    over -= labels.nbytes
        except OSError as error:
            logger.warning("labels of closed images stay in memory: %s", error)
        if moved and self.project is not None:
            images = (
                replace(a, labels=moved.get(id(a.labels), a.labels)) for a in self.kept.images
            )
            self.kept = Annotations(self.kept.classes, tuple(images))
            self._counts.replace(moved)
            self.project.annotations.replace(moved)

    def _annotation(self, image: TrainImage) -> Annotation:
        # The same object as long as nothing is drawn, so that the store writes it once. Codes that
        # are kept here would be in the way of those of the next stroke.
        known = self._saved.get(image.key)
        if known is None or known[0]() is not image.codes:
            assert image.codes is not None
            annotation = Annotation(self._identities.of(image), image.codes.labels)
            known = self._saved[image.key] = (weakref.ref(image.codes), annotation)
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


def _labels_of_size(image: TrainImage) -> int:
    """Pixels that labels of an image have, which has its channels last."""
    shape = image.pixels.shape
    return int(np.prod(shape[:-1] if image.rgb else shape))


def _new_project() -> Project:
    """A project in the person's data folder, named after the time."""
    load_libraries()
    from napari_gaussproto.core.project.project import Project

    name = datetime.now().strftime("labels %Y-%m-%d %H.%M.%S")
    names = (name, *(f"{name} ({number})" for number in range(2, 100)))
    folders = map(default_folder, names)
    return Project.create(next(folder for folder in folders if not folder.exists()))
