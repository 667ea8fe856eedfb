"""What a project keeps of a viewer, and what it asks for when it is opened again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_gaussproto.core.labels.annotations import Annotation, Annotations, ImageIdentity
from napari_gaussproto.core.project.formats import ProjectError
from napari_gaussproto.core.project.session import Session, SessionImage
from napari_gaussproto.jobs.train_image import TrainImage

if TYPE_CHECKING:
    from napari_gaussproto.core.project.project import Project


@dataclass(frozen=True)
class OpenImage:
    """An image of the viewer; see `SessionImage`."""

    image: TrainImage
    look: dict[str, Any]
    reader: str | None = None
    sample: tuple[str, str] | None = None


@dataclass(frozen=True)
class View:
    """What a viewer shows.

    Attributes
    ----------
    images : sequence of OpenImage
    chosen : int or None
        Which of them is worked on.
    settings : mapping
        Of the docks, by their names.
    awaited : sequence of SessionImage
        That belong to it and are not open yet: they are being read, or were not found.
    """

    images: Sequence[OpenImage] = ()
    chosen: int | None = None
    settings: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    awaited: Sequence[SessionImage] = ()


@dataclass(frozen=True)
class Opened:
    """What a project that was opened says of the viewer.

    Attributes
    ----------
    session : Session
    is_kept : bool
        False where the project is older than sessions, or its session is damaged: then the images
        are those that are labelled.
    remark : str
        What is wrong with it; empty for nothing.
    """

    session: Session
    is_kept: bool = True
    remark: str = ""


def opened(project: Project, kept: Annotations) -> Opened:
    """What a project says of the viewer that it was worked in, with its labels."""
    try:
        session = project.session.load()
        remark = ""
    except ProjectError as error:
        session, remark = None, str(error)
    if session is None:
        return Opened(Session(images=tuple(map(_labelled, kept.images))), False, remark)
    return Opened(session)


def located(kept: Annotations, session: Session) -> Annotations:
    """Labels whose images are not where they were, with the paths that a session knows."""
    known = {entry.image.sample: entry.image.file for entry in session.images}
    images = []
    for annotation in kept.images:
        file = known.get(annotation.image.sample)
        if file not in (None, annotation.image.file) and _is_gone(annotation.image.file):
            moved = annotation.image.model_copy(update={"file": file})
            annotation = replace(annotation, image=moved)
        images.append(annotation)
    return Annotations(kept.classes, tuple(images))


def _is_gone(file: str | None) -> bool:
    return file is None or not Path(file).is_file()


def session_of(
    view: View,
    kept: Annotations,
    identity_of: Callable[[TrainImage], ImageIdentity],
    former: Session | None,
) -> Session:
    """What a project keeps of a viewer: its images, those that are labelled, and the settings.

    An empty viewer is one that is being closed: then the images are those of before.
    """
    images = [
        SessionImage(
            image=identity_of(known.image),
            reader=known.reader,
            sample=known.sample,
            look=known.look,
        )
        for known in view.images
    ]
    chosen = view.chosen
    if not images and former is not None:
        images, chosen = [entry for entry in former.images if entry.is_open], former.chosen
    for other in (*view.awaited, *map(closed_image, kept.images)):
        if not any(entry.image.same_pixels(other.image) for entry in images):
            images.append(other)
    return Session(images=tuple(images), chosen=chosen, settings=dict(view.settings))


def _labelled(annotation: Annotation) -> SessionImage:
    colours = len(annotation.image.shape) > annotation.labels.ndim
    return SessionImage(image=annotation.image, look={"rgb": colours})


def closed_image(annotation: Annotation) -> SessionImage:
    """A labelled image that is not open, to be read again."""
    return _labelled(annotation).model_copy(update={"is_open": False})
