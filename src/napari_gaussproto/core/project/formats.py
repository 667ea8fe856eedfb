"""The JSON files of a project: what each holds, its format version, and its migrations.

Every index of a project is read and written by a `Format` of this module. To change one,
change its model and append a function to its ``migrations`` that takes the dictionary of the
version before to that of the new one; files of all versions are then read as the newest.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import Field

from napari_gaussproto.core.base.atomic import write_bytes_atomically
from napari_gaussproto.core.base.config import Classes, Settings
from napari_gaussproto.core.base.errors import GaussProtoError
from napari_gaussproto.core.labels.annotations import ImageIdentity
from napari_gaussproto.core.project.session import Session
from napari_gaussproto.core.project.version import VersionList

Content = TypeVar("Content", bound=Settings)
Migration = Callable[[dict[str, Any]], dict[str, Any]]

INDEX = "index.json"
DESCRIPTION = "project.json"
SESSION_FILE = "session.json"


class AnnotationError(GaussProtoError):
    """The annotations of a project are damaged or foreign, or cannot be written."""


class VersionError(GaussProtoError):
    """A version is damaged or cannot be written, or a request for it has no meaning."""


class ProjectError(GaussProtoError):
    """A folder is no project, in use elsewhere, or cannot be written."""


@dataclass(frozen=True)
class Format(Generic[Content]):
    """The format of a JSON file, in all its versions.

    Attributes
    ----------
    content : type of Settings
        What a file of the newest version holds besides its version.
    what, advice : str
        What the file lists, and what a person can do when it is damaged.
    migrations : tuple of callable
        The first takes the content of version 1 to version 2, and so on.
    """

    content: type[Content]
    what: str
    advice: str
    error: type[GaussProtoError]
    migrations: tuple[Migration, ...] = ()

    @property
    def newest(self) -> int:
        """Version that is written."""
        return 1 + len(self.migrations)

    def read(self, path: Path) -> Content | None:
        """Content of a file, migrated to the newest version; None when there is no file.

        Raises
        ------
        GaussProtoError
            ``error``, when the file is damaged, foreign, or of a newer version.
        """
        if not path.exists():
            return None
        try:
            content = json.loads(path.read_bytes())
            version = int(content.pop("format_version"))
            if version > self.newest:
                raise self.error(
                    f"“{path.parent}” was saved by a newer version of napari-gaussproto: "
                    f"update the plugin to open the {self.what}."
                )
            if version < 1:
                raise ValueError(f"{version} is no format version")
            for migrate in self.migrations[version - 1 :]:
                content = migrate(content)
            return self.content.model_validate(content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise self.damaged(path) from error

    def write(self, path: Path, content: Content) -> None:
        """Replace a file as a whole.

        Raises
        ------
        GaussProtoError
            ``error``, when it cannot be written; then the former file stays.
        """
        whole = {"format_version": self.newest} | content.model_dump(mode="json")
        try:
            text = json.dumps(whole, ensure_ascii=False, indent=1)
            write_bytes_atomically(path, text.encode())
        except OSError as error:
            raise self.unwritable(path.parent, error) from error

    def damaged(self, path: Path) -> GaussProtoError:
        """The error for a file that cannot be read."""
        return self.error(
            f"The {self.what} in “{path.parent}” cannot be opened, because “{path.name}” is "
            f"missing, damaged or of another program: {self.advice}."
        )

    def unwritable(self, folder: Path, error: OSError) -> GaussProtoError:
        """The error for a disk that is full or write-protected."""
        return self.error(
            f"The {self.what} could not be saved, because “{folder}” cannot be written to "
            f"({error}): free some space or choose another place for the project."
        )


class AnnotationEntry(Settings):
    """An image, and the file with what is drawn on it."""

    image: ImageIdentity
    file: str = Field(pattern=r"^[0-9a-f]{64}\.npz$")


class AnnotationIndex(Settings):
    """The class table, and every image that something is drawn on."""

    classes: Classes
    images: list[AnnotationEntry]


class ProjectDescription(Settings):
    """Name of a project, and when it was made, as ISO 8601 in UTC."""

    name: str = Field(min_length=1)
    created: str


_FOLDER_ADVICE = "restore the folder from a backup, or rename it to start anew"

ANNOTATIONS = Format(AnnotationIndex, "annotations", _FOLDER_ADVICE, AnnotationError)
VERSIONS = Format(VersionList, "versions", _FOLDER_ADVICE, VersionError)
SESSION = Format(Session, "list of images", "delete that file to go without it", ProjectError)
PROJECT = Format(ProjectDescription, "project", "restore that file from a backup", ProjectError)
