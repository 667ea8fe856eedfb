"""A project: a folder with everything that was drawn and every model that was made of it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from napari_gaussproto.core.base.atomic import copy_files
from napari_gaussproto.core.labels.annotations import ImageIdentity
from napari_gaussproto.core.model.card import now
from napari_gaussproto.core.model.summary import with_suffix
from napari_gaussproto.core.project.annotation_store import AnnotationStore
from napari_gaussproto.core.project.formats import (
    DESCRIPTION,
    PROJECT,
    AnnotationError,
    ProjectDescription,
    ProjectError,
    VersionError,
)
from napari_gaussproto.core.project.places import SUFFIX
from napari_gaussproto.core.project.session_store import SessionStore
from napari_gaussproto.core.project.version_store import VersionStore

_LOCK = ".lock"


class Project:
    """An open project; no other process, and no second one in this process, has it open.

    One thread owns a project: its stores have no locks of their own. The lock on the folder
    is the operating system's and goes with the process, so a crash leaves nothing to clean up.
    Use `create` or `open`.

    Attributes
    ----------
    folder : Path
        ``NAME.gaussproto``.
    created : str
        ISO 8601 in UTC.
    """

    def __init__(self, folder: Path, lock: FileLock, description: ProjectDescription) -> None:
        self.folder = folder
        self.name = description.name
        self.created = description.created
        self.annotations = AnnotationStore(folder / "annotations")
        self.versions = VersionStore(folder / "versions")
        self.session = SessionStore(folder)
        self._lock = lock

    @classmethod
    def create(cls, folder: str | Path, name: str = "") -> Project:
        """Make a new, empty project and open it.

        Parameters
        ----------
        folder : path
            ``.gaussproto`` is appended where it is missing.
        name : str
            For people; by default the folder's name.

        Raises
        ------
        ProjectError
            When the folder holds something already, or cannot be made.
        """
        folder = with_suffix(folder, SUFFIX)
        _refuse_taken(folder)
        description = ProjectDescription(name=name.strip() or folder.stem, created=now())
        project = cls(folder, _locked(folder), description)
        try:
            PROJECT.write(folder / DESCRIPTION, description)
        except BaseException:
            project.close()
            raise
        return project

    @classmethod
    def open(cls, folder: str | Path) -> Project:
        """Open a project. What was drawn and the versions are read when asked for.

        Raises
        ------
        ProjectError
            When the folder is no project, damaged, of a newer version, or open elsewhere.
        """
        folder = Path(folder)
        # Read first, so that nothing is written into a folder that is something else.
        description = _read(folder)
        project = cls(folder, _locked(folder), description)
        # Damage is said when the versions are asked for; what was drawn can be had still.
        with contextlib.suppress(VersionError):
            project.versions.sweep()
        return project

    def close(self) -> None:
        """Let others open the project; nothing may be written to it any more."""
        self._lock.release()

    @property
    def is_open(self) -> bool:
        """Whether this object still holds the project."""
        return self._lock.is_locked

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def copy_to(self, folder: str | Path) -> Project:
        """Save the project under another name and open the copy; this one stays open.

        A copy that is not complete is never seen under the new name.

        Raises
        ------
        ProjectError
            When the folder holds something already, or cannot be written.
        """
        folder = with_suffix(folder, SUFFIX)
        _refuse_taken(folder)
        partial = folder.with_name(f".{folder.name}.part")
        try:
            shutil.rmtree(partial, ignore_errors=True)
            # Byte by byte, whether it can be read or not.
            for store in (self.annotations, self.versions):
                copy_files(store.folder, partial / store.folder.name)
            with contextlib.suppress(ProjectError):  # damaged: the copy goes without
                if (session := self.session.load()) is not None:
                    # Its relative paths are other ones from there.
                    SessionStore(partial).save(session)
            copy = ProjectDescription(name=folder.stem, created=now())
            PROJECT.write(partial / DESCRIPTION, copy)
            shutil.rmtree(folder, ignore_errors=True)  # empty, or of a creation that was killed
            partial.rename(folder)
        except OSError as error:
            raise PROJECT.unwritable(folder, error) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return Project.open(folder)


@dataclass(frozen=True)
class FoundProject:
    """A project that knows an image, maybe by another name, and when it was saved, in UTC."""

    folder: Path
    name: str
    saved: datetime
    image: ImageIdentity


def find_annotation(
    projects_root: str | Path, identity: ImageIdentity, known: Sequence[ImageIdentity] = ()
) -> list[FoundProject]:
    """Projects in a folder that hold a drawing on an image or on windows of it, the latest first.

    What is drawn on known ones is not looked for. Only their lists of images are read. Nothing
    is locked, so a project that is open elsewhere is found, too; a damaged one is not.
    """
    found = []
    for folder in Path(projects_root).glob(f"*{SUFFIX}"):
        store = AnnotationStore(folder / "annotations")
        try:
            name, saved, images = _read(folder).name, store.saved, store.identities()
        except (ProjectError, AnnotationError):
            continue
        on_it = (i for i in images if i.same_pixels(identity) or i.is_window_of(identity))
        image = next((i for i in on_it if not any(i.same_pixels(one) for one in known)), None)
        if image is not None and saved is not None:
            found.append(FoundProject(folder, name, saved, image))
    return sorted(found, key=lambda project: project.saved, reverse=True)


def _refuse_taken(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ProjectError(f"“{folder}” is a file: choose another name for the project.")
    if folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise ProjectError(
            f"“{folder}” holds files already: open it if it is a project, or choose another name."
        )


def _locked(folder: Path) -> FileLock:
    lock = FileLock(folder / _LOCK, thread_local=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout as error:
        raise ProjectError(
            f"The project “{folder.stem}” is open in another window: close it there first, or "
            "work in another project."
        ) from error
    except OSError as error:
        raise PROJECT.unwritable(folder, error) from error
    return lock


def _read(folder: Path) -> ProjectDescription:
    description = PROJECT.read(folder / DESCRIPTION)
    if description is None:
        raise ProjectError(
            f"“{folder}” is no project: choose a folder whose name ends in {SUFFIX}."
        )
    return description
