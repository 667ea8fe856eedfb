"""Keeps what a person does: labels are saved as they are drawn, and found again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_gaussproto.core.base.errors import GaussProtoError, LabelError
from napari_gaussproto.core.labels.annotations import Annotations, ImageIdentity
from napari_gaussproto.core.labels.class_table import Forgotten, TableChange
from napari_gaussproto.jobs.libraries import load_libraries
from napari_gaussproto.jobs.storage import Count, Desk, Drawn
from napari_gaussproto.widgets.layers.placement import file_of, pixels_of
from napari_gaussproto.widgets.shared.job_queue import JobQueue
from napari_gaussproto.widgets.shared.messages import Messages
from napari_gaussproto.widgets.train.annotation.annotation_layer import AnnotationLayer, label_shape
from napari_gaussproto.widgets.train.annotation.annotation_set import AnnotationSet
from napari_gaussproto.widgets.train.storage.project_bar import ProjectBar

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

    from napari_gaussproto.core.base.config import SegmentationClass
    from napari_gaussproto.core.project.project import Project

# Milliseconds of rest before labels are saved.
_REST = 400
_NOTHING = np.zeros((0, 0), np.uint16)


class Autosave(QObject):
    """Saves labels by itself and offers to bring former ones back.

    Signals
    -------
    counted(Count)
    project_changed(Project)
        Another project is in use.
    resumed(Project)
        The project of a former dock is in use again.
    begun()
        A new project has begun.
    restored(Image)
        The labels of an image came back.
    """

    counted = Signal(object)
    project_changed = Signal(object)
    resumed = Signal(object)
    begun = Signal()
    restored = Signal(object)

    def __init__(
        self, viewer: Viewer, annotations: AnnotationSet, messages: Messages, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._viewer, self._annotations, self._messages = viewer, annotations, messages
        self.desk = Desk()
        self.backlog = JobQueue(self)
        self.backlog.failed.connect(self._on_failure)
        self._bar: ProjectBar | None = None
        self._found: Path | None = None
        self._generation = 0
        self._looked: set[Any] = set()
        self._stored: dict[Any, Any] = {}
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REST)
        self._timer.timeout.connect(self.save_now)
        annotations.table_changed.connect(self._on_table)

    def connect_bar(self, bar: ProjectBar) -> None:
        """Let a bar show and ask."""
        self._bar = bar
        bar.open_asked.connect(self.open)
        bar.copy_asked.connect(self.copy_to)
        bar.new_asked.connect(self.begin)
        bar.restore_asked.connect(lambda: self.open(self._found))

    # -- saving ------------------------------------------------------------------------------

    def save_soon(self) -> None:
        """Save after a short rest."""
        self._timer.start()

    def save_now(self, kind: str = "save") -> None:
        """Save in the background, at once; a save of a kind of its own is never left out."""
        self._timer.stop()
        job = partial(self.desk.save, self._annotations.classes, self.drawn(), self._generation)
        self.backlog.put(job, self._on_saved, kind)

    def drawn(self) -> list[Drawn]:
        """Everything on images that are open or were removed since, for a thread."""
        return [
            Drawn(
                a.image.unique_id,
                a.image.name,
                pixels_of(a.image),
                a.snapshot,
                file_of(a.image),
                a.image in self._viewer.layers,
            )
            for a in self._annotations.all
        ]

    def stored(self, classes: Sequence[SegmentationClass]) -> Callable[[], Annotations]:
        """A function that gives a thread all labels of the project, under this class table."""
        wanted, kept = tuple(classes), self.desk.kept
        if kept.classes == wanted:
            return lambda: kept
        self.save_now()  # a change of the table that is still on its way

        def ask() -> Annotations:
            late: Annotations = self.backlog.ask(lambda: self.desk.kept) or kept
            if late.images and late.classes != wanted:
                raise LabelError("The classes changed before it began: press the button again.")
            return late

        return ask

    def _on_saved(self, count: Count | None) -> None:
        if count is None:
            return  # of a project that was left meanwhile
        self.counted.emit(count)
        project = self.desk.project
        if self._bar is not None and project is not None:
            from datetime import datetime

            self._bar.show_saved(project.name, project.folder, f"{datetime.now():%H:%M:%S}")

    def _on_table(self, change: TableChange, done: bool) -> None:
        self.backlog.put(partial(self.desk.change if done else self.desk.revert, change))
        self.save_soon()

    # -- finding again -----------------------------------------------------------------------

    def look_for(self, image: Image) -> None:
        """Find out whether an image was labelled before, and offer to bring that back."""
        key = image.unique_id
        if key in self._looked:
            return
        self._looked.add(key)
        if self._timer.isActive():
            self.save_now()
        closed = [drawn for drawn in self.drawn() if not drawn.is_open]
        this = Drawn(key, image.name, pixels_of(image), _NOTHING, file_of(image))
        shape = label_shape(image)
        job = partial(_find, self.desk, this, shape, closed)
        self.backlog.put(job, partial(self._on_found, image))

    def _on_found(self, image: Image, found: Found | None) -> None:
        if found is None or image not in self._viewer.layers:
            return
        what = found.what
        if isinstance(what, Annotations):
            if what.classes != self._annotations.classes:
                # The table changed while they were looked for.
                self._looked.discard(image.unique_id)
                self.save_now()
                self.look_for(image)
                return
            labels = self._stored[image.unique_id] = what.images[0].labels
            # They are this layer's now: what is erased here must not come back from others.
            lost = found.forgotten | self._annotations.drop(found.twins)
            annotation = self._annotations.find(image)
            if annotation is None:
                annotation = self._bring_back(image)
            else:
                # Drawing began before they were found: what is new lies on top.
                merged = np.where(annotation.labels > 0, annotation.labels, labels)
                annotation.apply(annotation.record.replace(merged))
            self._annotations.remember(annotation, lost)
            self.restored.emit(image)
        elif self._bar is not None:
            self._found = what.folder
            when = what.saved.astimezone()
            drawn = any(a.labels.any() for a in self._annotations.all)
            stays = " What is drawn now stays in its own project." if drawn else ""
            self._bar.show_offer(
                f"“{image.name}” was labelled before, in the project “{what.name}”, "
                f"last on {when:%d %b %Y at %H:%M}.{stays}"
            )

    def annotate(self, image: Image) -> AnnotationLayer:
        """Get an image ready to be painted on, with what was drawn on it before."""
        if self._annotations.find(image) is None and image.unique_id in self._stored:
            return self._bring_back(image)
        return self._annotations.annotate(image)

    def _bring_back(self, image: Image) -> AnnotationLayer:
        labels = self._stored[image.unique_id]
        fits = labels.shape == label_shape(image)
        return self._annotations.annotate(image, labels if fits else None)

    # -- projects ----------------------------------------------------------------------------

    def begin(self) -> None:
        """A new project: what is drawn now stays where it is, and a copy goes on."""
        self.save_now("")
        self.backlog.put(self._begin_job, lambda _: self._on_begun())

    def _on_begun(self) -> None:
        self.begun.emit()
        self._messages.tell(
            "A new project has begun, with a copy of all labels; the former one stays as it is."
        )
        self.save_soon()

    def _begin_job(self) -> None:
        if self.desk.project is not None:
            self.desk.project.close()
        self.desk.project = None

    def open(self, folder: Path | None) -> None:
        """Work in another project: its classes, its labels of the open images, its models."""
        if folder is None:
            return
        self.save_now("")
        # From here on nothing can be drawn that would belong to neither project.
        self._annotations.replace_all(self._annotations.classes)
        self.backlog.put(partial(_open, self.desk, folder), self._on_opened)

    def resume(self, folder: Path) -> None:
        """Go on in the project of a former dock; what is drawn is in the viewer already."""
        self.backlog.put(partial(_open, self.desk, folder), self._on_resumed)

    def _on_resumed(self, opened: tuple[Project, Annotations]) -> None:
        self._generation = self.desk.generation
        if self._bar is not None:
            self._bar.show_saved(opened[0].name, opened[0].folder, "before")
        self.resumed.emit(opened[0])
        self.save_soon()  # says, too, how much there is

    def _on_opened(self, opened: tuple[Project, Annotations]) -> None:
        project, kept = opened
        self._generation = self.desk.generation
        if self._bar is not None:
            self._bar.show_offer(None)
            self._bar.show_saved(project.name, project.folder, "before")
        if kept.classes:
            self._annotations.replace_all(kept.classes)
        self._looked.clear()
        self._stored.clear()
        self.project_changed.emit(project)
        for image in self._open_images():
            self.look_for(image)
        self._messages.tell(f"Opened “{project.name}”.")

    def _open_images(self) -> list[Image]:
        from napari.layers import Image

        from napari_gaussproto.widgets.shared.tags import is_ours

        return [i for i in self._viewer.layers if isinstance(i, Image) and not is_ours(i)]

    def copy_to(self, folder: Path) -> None:
        """Copy the project as it is now."""
        self.save_now()
        self.backlog.put(
            partial(_copy, self.desk, folder),
            lambda name: self._messages.tell(f"Copied to “{name}”."),
        )

    def _on_failure(self, error: Exception) -> None:
        # A project that could not be opened: what was put away comes back from the present one.
        if not self._annotations.open:
            self._looked.clear()
            for image in self._open_images():
                self.look_for(image)
        self._messages.report(error)

    def close(self) -> None:
        """Write what is to be written, and stop."""
        if self.backlog.closed:
            return
        if self._timer.isActive():
            self.save_now()
        self.backlog.put(self.desk.close)
        self.backlog.close()


@dataclass(frozen=True)
class Found:
    """What was found of an image.

    Attributes
    ----------
    what : Annotations or FoundProject
        Its annotation in this project, as the only one, or another project that knows it.
    twins : list
        Keys of layers with the same pixels that were removed, and whose labels these are.
    forgotten : dict of int to Forgotten
        See `Desk.forgotten`.
    """

    what: Any
    twins: list[Any] = field(default_factory=list)
    forgotten: dict[int, Forgotten] = field(default_factory=dict)


def _find(desk: Desk, image: Drawn, shape: tuple[int, ...], closed: list[Drawn]) -> Found | None:
    """Labels of an image in this project, or another project that knows it."""

    def identity_of(drawn: Drawn) -> ImageIdentity:
        return desk.identities.of(drawn.key, drawn.pixels, drawn.name, drawn.file)

    identity = identity_of(image)
    here = desk.kept.find(identity, shape)
    if here is not None:
        twins = [
            drawn.key
            for drawn in closed
            if drawn.codes.shape == shape and identity_of(drawn).same_pixels(identity)
        ]
        return Found(Annotations(desk.kept.classes, (here,)), twins, desk.forgotten(here))
    load_libraries()
    from napari_gaussproto.core.project.project import find_annotation, projects_root

    found = find_annotation(projects_root(), identity)
    current = None if desk.project is None else desk.project.folder
    others = [project for project in found if project.folder != current]
    return Found(others[0]) if others else None


def _open(desk: Desk, folder: Path) -> tuple[Project, Annotations]:
    load_libraries()
    from napari_gaussproto.core.project.project import Project

    project = Project.open(folder)
    return project, desk.use(project)


def _copy(desk: Desk, folder: Path) -> str:
    if desk.project is None:
        raise GaussProtoError("There is nothing to copy yet: draw something first.")
    with desk.project.copy_to(folder) as copy:
        return copy.name
