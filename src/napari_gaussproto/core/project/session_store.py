"""The session of a project on disk, with paths that hold when a season's folder is moved."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from napari_gaussproto.core.project.formats import SESSION, SESSION_FILE
from napari_gaussproto.core.project.session import Session


class SessionStore:
    """The file ``session.json`` of a project's folder.

    Images that lie below the folder which holds the project are written by their relative path, so
    that both can be moved together; others by their absolute one.
    """

    def __init__(self, folder: Path) -> None:
        self._path, self._home = folder / SESSION_FILE, folder.absolute().parent
        self._known: Session | None = None

    def load(self) -> Session | None:
        """What was saved last, with absolute paths; None when nothing ever was.

        Raises
        ------
        ProjectError
            When the file is damaged, or written by a newer version of the package.
        """
        written = SESSION.read(self._path)
        self._known = None if written is None else _with_files(written, self._found)
        return self._known

    def save(self, session: Session) -> None:
        """Write a session, unless it is what was written last.

        Raises
        ------
        ProjectError
            When the file cannot be written; then the former one stays.
        """
        if session != self._known:
            SESSION.write(self._path, _with_files(session, self._written))
            self._known = session

    def _written(self, file: str) -> str:
        try:
            return Path(file).relative_to(self._home).as_posix()
        except ValueError:
            return file

    def _found(self, file: str) -> str:
        if "://" in file:  # an address, such as that of an OME-Zarr on a server
            return file
        return os.path.normpath(self._home / file)


def _with_files(session: Session, change: Callable[[str], str]) -> Session:
    images = []
    for entry in session.images:
        file = entry.image.file
        if file is not None:
            moved = entry.image.model_copy(update={"file": change(file)})
            entry = entry.model_copy(update={"image": moved})
        images.append(entry)
    return session.model_copy(update={"images": tuple(images)})
