"""Keeps what a person does: labels are saved as they are drawn, and found again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.labels.annotations import Annotations
from napari_gaussproto.core.labels.class_table import TableChange, first_table
from napari_gaussproto.core.labels.corrections import ReadyLabels
from napari_gaussproto.jobs.session.counts import Count
from napari_gaussproto.jobs.storage import (
    Found,
    Identities,
    LostLabels,
    ProjectSession,
    SessionState,
)
from napari_gaussproto.jobs.train_image import TrainImage
from napari_gaussproto.widgets.layers.placement import train_image, undisturbed
from napari_gaussproto.widgets.shared.dock import Connections
from napari_gaussproto.widgets.shared.job_queue import JobQueue
from napari_gaussproto.widgets.shared.messages import Messages
from napari_gaussproto.widgets.shared.state import OpenProject, SharedState
from napari_gaussproto.widgets.shared.tags import is_ours
from napari_gaussproto.widgets.shared.workers import single_shot
from napari_gaussproto.widgets.train.annotation.annotation_layer import AnnotationLayer, label_shape
from napari_gaussproto.widgets.train.annotation.annotation_set import AnnotationSet
from napari_gaussproto.widgets.train.storage.project_bar import ProjectBar

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

    from napari_gaussproto.core.base.config import SegmentationClass
    from napari_gaussproto.core.project.project import FoundProject
    from napari_gaussproto.jobs.session.view import Opened

# Milliseconds of rest before labels are saved.
_REST = 400


class Autosave(QObject):
    """Saves labels by itself and offers to bring former ones back.

    Attributes
    ----------
    state : SessionState
        How the session was when its last job ended. The session itself is the saving
        thread's: it is reached by `put` only.
    """

    counted = Signal(object)  # Count
    # The project is about to be left; what belongs to it can still be put into the queue.
    leaving = Signal()
    saving = Signal()  # what is drawn is being saved
    project_changed = Signal(object)  # Opened: what the other project says of its viewer
    resumed = Signal()  # the project of a former dock is in use again
    begun = Signal()  # a blank project
    restored = Signal(object)  # an Image: its labels came back

    def __init__(
        self,
        viewer: Viewer,
        state: SharedState,
        annotations: AnnotationSet,
        messages: Messages,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._annotations, self._messages = viewer, annotations, messages
        self._shared = state
        self.state, self.identities = SessionState(), Identities()
        self._session = ProjectSession(self.identities)
        self.queue = JobQueue(self)
        self.queue.failed.connect(self._on_failure)
        self._found: Path | None = None
        self._offered: Image | None = None  # the image that was labelled there
        self._looked: set[Any] = set()
        self._stored: dict[Any, Any] = {}
        # Whether a stroke waits to be saved.
        self.unsaved = False
        # Whether the project that was opened last was offered for an image.
        self.offered = False
        self._timer = single_shot(self, _REST, self.save_now)
        annotations.table_changed.connect(self._on_table)
        annotations.dropped.connect(self._forget)
        annotations.drawn.connect(self._on_drawn)
        connections = Connections(self)
        connections.add(viewer.layers.events.removed, self._on_removed)
        connections.add(state.turned, self._on_turned)
        self.bar = ProjectBar()
        self.bar.open_asked.connect(self.open)
        self.bar.copy_asked.connect(self.copy_to)
        self.bar.new_asked.connect(self.begin)
        self.bar.restore_asked.connect(lambda: self.open(self._found, offered=True))

    def put(
        self,
        job: Callable[[ProjectSession], Any],
        done: Callable[[Any], None] | None = None,
        kind: str = "",
    ) -> None:
        """Do something with the session in the saving thread, after everything that waits.

        ``done`` is called in the GUI thread with what the job returned, when `state` is up to
        date. Of jobs that wait, only the last one of a ``kind`` is done.
        """
        session = self._session

        def run() -> tuple[Any, SessionState]:
            return job(session), session.state

        def finish(ended: tuple[Any, SessionState]) -> None:
            result, self.state = ended
            self._tell_project()
            if done is not None:
                done(result)

        self.queue.put(run, finish, kind)

    def _tell_project(self) -> None:
        """Let other docks know what is labelled, so that it can overrule predictions."""
        state, known = self.state, self._shared.project
        count = 0 if state.folder is None else len(state.kept.images)
        if (known.name, known.labelled) if known else (state.name, count) != ("", 0):
            drawn = OpenProject(state.name, count, self.all_drawn, self._annotations.drawn_on)
            self._shared.set_project(drawn if count else None)

    @property
    def busy(self) -> bool:
        """Whether anything waits to be saved or read."""
        return self.queue.busy

    # -- saving ------------------------------------------------------------------------------

    def save_soon(self) -> None:
        """Save after a short rest."""
        self._timer.start()

    def _on_drawn(self, annotation: AnnotationLayer) -> None:
        self.unsaved = True

    def save_now(self, kind: str = "save") -> None:
        """Save in the background, at once; a save of a kind of its own is never left out."""
        annotations = self._annotations
        done = partial(self._on_saved, annotations.empty, annotations.removed)
        self.put(self._save_job(), done, kind)
        self.saving.emit()

    def _save_job(self) -> Callable[[ProjectSession], Count | None]:
        self._timer.stop()
        self.unsaved = False
        classes, drawn, generation = self._annotations.classes, self.drawn(), self.state.generation
        return lambda session: session.save(classes, drawn, generation)

    def drawn(self) -> list[TrainImage]:
        """Everything on images that are open or were removed since, for a thread."""
        return [
            train_image(a.image, a.snapshot, a.image in self._viewer.layers)
            for a in self._annotations.all
        ]

    def all_drawn(self) -> Callable[[], Annotations]:
        """A function that gives a thread everything that is drawn up to now."""
        for annotation in self._annotations.open:
            annotation.settle()
        self.save_now("")

        def ask() -> Annotations:
            kept: Annotations | None = self.queue.ask(lambda: self._session.kept)
            if kept is None:
                raise LabelError("The project was closed meanwhile: open it again, and begin anew.")
            return kept

        return ask

    def stored(self, classes: Sequence[SegmentationClass]) -> Callable[[], Annotations]:
        """A function that gives a thread all labels of the project, under this class table."""
        wanted, kept = tuple(classes), self.state.kept
        if kept.classes == wanted:
            return lambda: kept
        self.save_now()  # a change of the table that is still on its way

        def ask() -> Annotations:
            late: Annotations = self.queue.ask(lambda: self._session.kept) or kept
            if late.images and late.classes != wanted:
                raise LabelError("The classes changed before it began: press the button again.")
            return late

        return ask

    def _on_saved(
        self, empty: set[Any], removed: dict[AnnotationLayer, Any], count: Count | None
    ) -> None:
        if count is None:
            return  # of a project that was left meanwhile
        self.counted.emit(count)
        # The project knows now that nothing is labelled there.
        self._annotations.remove(empty & self._annotations.empty)
        for annotation, codes in self._annotations.removed.items():
            if removed.get(annotation) is codes:
                self._release(annotation)
        self._show_saved(f"{datetime.now():%H:%M:%S}")

    def _release(self, annotation: AnnotationLayer) -> None:
        """Leave the labels of a removed image, all of which are saved, to the project."""
        this, shape = train_image(annotation.image, is_open=False), annotation.snapshot.shape
        lost = self._annotations.release(annotation)
        self._forget(this.key)
        if lost:
            self.put(lambda session: session.remember(this, shape, lost))

    def _show_saved(self, when: str) -> None:
        if self.state.folder is not None:
            self.bar.show_saved(self.state.name, self.state.folder, when)

    def _on_table(self, change: TableChange, done: bool) -> None:
        self.put(lambda session: (session.change if done else session.revert)(change))
        self.save_soon()

    def _on_turned(self, image: Image, orientation: int, pixels: Any) -> None:
        """What is kept of a photograph that was turned is turned, too."""
        after = train_image(image)
        before = replace(after, key=None, pixels=pixels)
        self._stored.pop(image.unique_id, None)
        self.put(lambda session: session.turned(before, after, orientation))
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
        closed = [gone for gone in self.drawn() if not gone.is_open]
        gone = [known for known in self._annotations.closed if known is not image]
        closed += [train_image(known, is_open=False) for known in gone]
        this, shape = train_image(image), label_shape(image)
        self.put(lambda session: session.find(this, shape, closed), partial(self._on_found, image))

    def _on_found(self, image: Image, found: Found | None) -> None:
        if found is None or image not in self._viewer.layers:
            return
        if found.here is not None:
            self._take_back(image, found.here, found)
        elif found.elsewhere is not None:
            self._offer(image, found.elsewhere)

    def _take_back(self, image: Image, here: Annotations, found: Found) -> None:
        """Show labels that are kept for an image in this project."""
        if here.classes != self._annotations.classes:
            # The table changed while they were looked for.
            self._looked.discard(image.unique_id)
            self.save_now()
            self.look_for(image)
            return
        labels = self._stored[image.unique_id] = here.images[0].labels
        # They are this layer's now: what is erased here must not come back from others.
        removed = self._annotations.remove(found.same_pixels)
        lost = found.forgotten if found.turned else found.forgotten | removed
        if (annotation := self._annotations.find(image)) is None:
            # Which of them is active and in view depends on the chosen image, not on the last one.
            with undisturbed(self._viewer):
                annotation = self._bring_back(image, found.ready)
        else:
            # Drawing began before they were found: what is new lies on top.
            merged = np.where(annotation.labels > 0, annotation.labels, labels)
            annotation.apply(annotation.record.replace(merged))
        self._annotations.remember(annotation, lost)
        self.restored.emit(image)

    def _offer(self, image: Image, project: FoundProject) -> None:
        self._found, self._offered = project.folder, image
        when = project.saved.astimezone()
        drawn = any(a.painted for a in self._annotations.all)
        stays = " What is drawn now stays in its own project." if drawn else ""
        self.bar.show_offer(
            f"“{image.name}” was labelled before, in the project “{project.name}”, "
            f"last on {when:%d %b %Y at %H:%M}.{stays}"
        )

    def _on_removed(self, event: Any) -> None:
        """Take an offer back that spoke of a removed image; it is made again with the image."""
        gone = event.value
        if gone is self._offered:
            self._offered = None
            self.bar.show_offer(None)
        if self._annotations.find(gone) is None:
            self._forget(gone.unique_id)

    def annotate(self, image: Image) -> AnnotationLayer:
        """Get an image ready to be painted on, with what was drawn on it before."""
        if self._annotations.find(image) is None and image.unique_id in self._stored:
            return self._bring_back(image)
        return self._annotations.annotate(image)

    def activate(self, image: Image) -> None:
        """Make the labels of an image, if it has any, the layer that a person works on."""
        annotation = self._annotations.find(image)
        active = self._viewer.layers.selection.active
        if annotation is not None and annotation.shown and annotation.layer is not active:
            annotation.show()

    def _bring_back(self, image: Image, ready: ReadyLabels | None = None) -> AnnotationLayer:
        labels = self._stored[image.unique_id]
        fits = labels.shape == label_shape(image)
        ready = ready or ReadyLabels.of(labels)
        return self._annotations.annotate(image, ready if fits else None)

    def _forget(self, key: Any) -> None:
        """Look anew for the labels of a removed image, should it come again."""
        self._looked.discard(key)
        self._stored.pop(key, None)

    # -- projects ----------------------------------------------------------------------------

    def begin(self) -> None:
        """A blank project: what is drawn and fitted stays in the one that is left."""
        save = self._leave()

        def job(session: ProjectSession) -> str:
            save(session)  # when that fails, the project is not left
            return session.begin()

        self.put(job, self._on_begun)

    def _on_begun(self, left: str) -> None:
        self.bar.show_new()
        if not any(annotation.painted for annotation in self._annotations.all):
            self._annotations.set_table(first_table())
        self.begun.emit()
        stays = f" “{left}” keeps what was drawn and fitted." if left else ""
        self._messages.tell(f"A blank project has begun.{stays}")
        self.save_soon()

    def _leave(self) -> Callable[[ProjectSession], Count | None]:
        """Take what is drawn out of the viewer; returns the job that saves it."""
        self.leaving.emit()
        for annotation in self._annotations.open:
            annotation.settle()
        save = self._save_job()
        # From here on nothing can be drawn that would belong to neither project.
        self._annotations.replace_all(self._annotations.classes)
        self._stored.clear()
        return save

    def open(self, folder: Path | None, *, offered: bool = False) -> None:
        """Work in another project: its classes, its labels of the open images, its models.

        Say whether it was offered for an image, and not looked for by the person.
        """
        if folder is None:
            return
        self.offered = offered
        save = self._leave()

        def job(session: ProjectSession) -> Opened:
            save(session)  # when that fails, the project is not left
            return session.open(folder)

        self.put(job, self._on_opened)

    @property
    def forgotten(self) -> LostLabels:
        """What the next dock needs to take changes of the class table back."""
        return self._session.forgotten

    def resume(self, folder: Path, forgotten: LostLabels) -> None:
        """Go on in the project of a former dock; what is drawn is in the viewer already."""

        def job(session: ProjectSession) -> None:
            session.open(folder)
            session.forgotten.update(forgotten)

        self.put(job, self._on_resumed)

    def _on_resumed(self, _: object) -> None:
        self._show_saved("before")
        self.resumed.emit()
        self.save_soon()  # says, too, how much there is

    def _on_opened(self, opened: Opened) -> None:
        self.bar.show_offer(None)
        self._show_saved("before")
        if self.state.kept.classes:
            self._annotations.replace_all(self.state.kept.classes)
        self.project_changed.emit(opened)
        self._look_for_all()
        self._messages.tell(f"Opened “{self.state.name}”.")

    def _look_for_all(self) -> None:
        from napari.layers import Image

        self._looked.clear()
        for layer in list(self._viewer.layers):
            if isinstance(layer, Image) and not is_ours(layer):
                self.look_for(layer)

    def copy_to(self, folder: Path) -> None:
        """Copy the project as it is now."""
        self.save_now()
        self.put(
            lambda session: session.copy_to(folder),
            lambda name: self._messages.tell(f"Copied to “{name}”."),
        )

    def _on_failure(self, error: Exception) -> None:
        # A project that could not be opened: what was closed comes back from the present one.
        if not self._annotations.open:
            self._look_for_all()
        self._messages.report(error)

    def close(self) -> None:
        """Write what is to be written, and stop."""
        if self.queue.closed:
            return
        self.save_now()
        self.put(ProjectSession.close)
        self.queue.close()
        self._shared.set_project(None)
