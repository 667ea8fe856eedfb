"""The list of versions on disk: one JSON file, replaced as a whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from napari_gaussproto.core.base.atomic import write_bytes_atomically
from napari_gaussproto.core.base.config import Settings
from napari_gaussproto.core.base.errors import GaussProtoError
from napari_gaussproto.core.project.version_store import FILE_PATTERN

FORMAT_VERSION = 1
_INDEX = "index.json"

What = Literal["start", "quick fit", "fine-tune", "edit"]
_File = Annotated[str, Field(pattern=FILE_PATTERN)]


class VersionError(GaussProtoError):
    """A version is damaged or cannot be written, or the wish for it has no meaning."""


class Version(Settings):
    """One model of the history, and how it came about.

    Attributes
    ----------
    id : str
        Short, unique in the store, never changed.
    parent : str or None
        The version that the fit started from.
    name : str
        For people; need not be unique.
    what : str
        "start", "quick fit", "fine-tune" or "edit".
    created : str
        ISO 8601 in UTC.
    seconds : float
        How long the fit took.
    strokes, images : int
        How much it was fitted to.
    settings : dict
        Of the fit, JSON-able.
    measures : dict of str to float
        For example ``{"labelled accuracy": 0.97}``; what was not measured is not in it.
    backbone, device : str
        The network's name, and where the fit ran.
    parts : dict of str to str
        Files of model and drawings.
    """

    id: str = Field(pattern=r"^[0-9a-f]{8}$")
    parent: str | None
    name: str = Field(min_length=1)
    what: str = Field(min_length=1)
    created: str
    seconds: float = 0.0
    strokes: int = 0
    images: int = 0
    settings: dict[str, Any] = Field(default_factory=dict)
    measures: dict[str, float] = Field(default_factory=dict)
    backbone: str = ""
    device: str = ""
    parts: dict[str, _File]


class VersionList(Settings):
    """All versions, in the order in which they were made, and which one is current."""

    format_version: int = FORMAT_VERSION
    # How many versions were ever made: the numbers in their names are not used again.
    made: int = 0
    current: str | None = None
    versions: tuple[Version, ...] = ()


class VersionIndex:
    """The list of a folder, as it is on disk.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: VersionList | None = None

    @property
    def present(self) -> VersionList:
        """The list; never changed, only replaced, so that it is read without a lock.

        Raises
        ------
        VersionError
            When it is damaged, foreign, or written by a newer version of the package.
        """
        if self._known is None:
            self._known = self._read()
        return self._known

    def replace(self, **changes: Any) -> None:
        """Put another list in the place of the present one, on disk first.

        Raises
        ------
        VersionError
            When it cannot be written; then the present one stays.
        """
        changed = self.present.model_copy(update=changes)
        text = json.dumps(changed.model_dump(mode="json"), ensure_ascii=False, indent=1)
        try:
            write_bytes_atomically(self.folder / _INDEX, text.encode())
        except OSError as error:
            raise unwritable(self.folder, error) from error
        self._known = changed

    def _read(self) -> VersionList:
        path = self.folder / _INDEX
        if not path.exists():
            return VersionList()
        try:
            content = json.loads(path.read_bytes())
            if int(content["format_version"]) > FORMAT_VERSION:
                raise VersionError(
                    f"The versions in “{self.folder}” were saved by a newer version of "
                    "napari-gaussproto: update the plugin to open them."
                )
            versions = VersionList.model_validate(content)
            _check_tree(versions)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise VersionError(
                f"The list of versions in “{self.folder}” is damaged or of another program "
                f"(“{_INDEX}” cannot be read): restore the folder from a backup, or rename it "
                "to start anew."
            ) from error
        return versions


def unwritable(folder: Path, error: OSError) -> VersionError:
    """What to say when the disk is full or the folder write-protected."""
    return VersionError(
        f"The version could not be saved in “{folder}” ({error}): "
        "free some space or choose another place for the project."
    )


def _check_tree(versions: VersionList) -> None:
    """Every parent comes before its children, and the current version is there."""
    seen: set[str] = set()
    for version in versions.versions:
        if version.id in seen or not (version.parent is None or version.parent in seen):
            raise ValueError("the versions are no tree")
        seen.add(version.id)
    if versions.current is not None and versions.current not in seen:
        raise ValueError("the current version is not in the list")
