"""Every fit is a version, with its model, its strokes, its settings and measures.

Versions form a tree, because a fit knows which version it started from. A store is a folder:
``index.json`` lists the versions; parts of models and drawings are the files of a content
store. Parts are written first, then the index is replaced. So whenever the process is killed,
the store opens with the versions that were complete, and damage to a part touches only the
versions that contain it.
"""

from __future__ import annotations

import json
import math
import secrets
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError

from napari_gaussproto.core.base.config import Classes
from napari_gaussproto.core.base.errors import ConfigError, GaussProtoError
from napari_gaussproto.core.labels.annotations import Annotations, ImageIdentity
from napari_gaussproto.core.model.card import now
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.project.annotation_store import DrawingFiles
from napari_gaussproto.core.project.content_store import ContentStore
from napari_gaussproto.core.project.formats import INDEX, VERSIONS, VersionError
from napari_gaussproto.core.project.model_parts import ModelParts, Parts
from napari_gaussproto.core.project.version import Version, VersionList, What

_CLASSES: TypeAdapter[list[Any]] = TypeAdapter(Classes)


class VersionStore:
    """Versions of a model on disk, and which one is current.

    The folder is made when the first version is added. One thread uses a store, and only one
    store may write to a folder at a time: see `Project` for a lock.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = ContentStore(folder)
        self._models = ModelParts(self._files)
        self._drawings = DrawingFiles(self._files)
        self._known: VersionList | None = None

    # -- reading ----------------------------------------------------------------------------

    def versions(self) -> list[Version]:
        """All versions in the order in which they were made.

        Raises
        ------
        VersionError
            When the index is damaged, or written by a newer version of the package; as any
            other method may.
        """
        return list(self._index.versions)

    def get(self, version_id: str) -> Version:
        """A version by its id.

        Raises
        ------
        VersionError
            When there is none.
        """
        for version in self._index.versions:
            if version.id == version_id:
                return version
        raise VersionError(
            f"There is no version “{version_id}” in this project: choose one of the list."
        )

    @property
    def current(self) -> str | None:
        """Id of the version that is in use, and the parent of the next; None when empty.

        It is kept on disk. `add` sets it to what was added. When it is set to an older version,
        what came after that one stays where it is, and the next fit begins a branch.
        """
        return self._index.current

    @current.setter
    def current(self, version_id: str) -> None:
        self._replace(current=self.get(version_id).id)

    def load(self, version_id: str, device: torch.device | str = "cpu") -> PrototypeSegmenter:
        """The model of a version, bit by bit as it was added.

        It shares its backbone with an equal one of this store that is still in use on the
        device, so that images encoded by that one need not be encoded again.

        Raises
        ------
        VersionError
            When a part of it is missing or damaged.
        ConfigError
            When its backbone is not known to the installed timm.
        """
        with self._opening(version_id) as parts:
            return self._models.get(parts, device)

    def annotations(self, version_id: str) -> Annotations:
        """What was drawn when a version was fitted; empty when nothing was given to `add`.

        Raises
        ------
        VersionError
            When a part of it is missing or damaged.
        """
        with self._opening(version_id) as parts:
            if "annotations" not in parts:
                return Annotations()
            content = json.loads(self._files.get(parts["annotations"]))
            images = tuple(
                self._drawings.get(parts[f"drawn/{i}"], ImageIdentity.model_validate(entry))
                for i, entry in enumerate(content["images"])
            )
            return Annotations(tuple(_CLASSES.validate_python(content["classes"])), images)

    # -- writing ----------------------------------------------------------------------------

    def add(
        self,
        model: PrototypeSegmenter,
        *,
        parent: str | None,
        what: What,
        annotations: Annotations | None = None,
        settings: Mapping[str, Any] | None = None,
        measures: Mapping[str, float] | None = None,
        seconds: float = 0.0,
        strokes: int = 0,
        images: int = 0,
        name: str = "",
    ) -> Version:
        """Keep a model as a new version, which becomes the current one.

        Only what is new in it is written. The model must not be changed in place any more:
        versions that are loaded later share its backbone.

        Parameters
        ----------
        model : PrototypeSegmenter
        parent : str or None
            Id of the version that it started from.
        what : {"start", "quick fit", "fine-tune", "edit"}
        annotations : Annotations, optional
            What it was fitted to. Arrays count as unchanged while they are the same objects:
            pass copies of arrays that are painted into.
        settings : mapping, optional
            Of the fit; values must be JSON-able.
        measures : mapping, optional
            Those that are not finite were not measured and are left out.
        seconds : float
        strokes, images : int
            How many it learned from, which may be fewer than there are annotations.
        name : str
            By default “v” and a number.

        Raises
        ------
        VersionError
            When there is no such parent, or the folder cannot be written to; then the store
            is as it was.
        """
        if parent is not None:
            self.get(parent)
        try:
            parts = self._models.put(model)
            if annotations is not None:
                parts |= self._put_drawings(annotations)
        except OSError as error:
            raise VERSIONS.unwritable(self.folder, error) from error
        index = self._index
        taken = {version.id for version in index.versions}
        version = Version(
            id=next(new for new in iter(lambda: secrets.token_hex(4), "") if new not in taken),
            parent=parent,
            name=name.strip() or f"v{index.made + 1}",
            what=what,
            created=now(),
            seconds=seconds,
            strokes=strokes,
            images=images,
            settings=dict(settings or {}),
            measures={k: v for k, v in (measures or {}).items() if math.isfinite(v)},
            backbone=model.config.backbone,
            device=str(model.device),
            parts=parts,
        )
        self._replace(made=index.made + 1, current=version.id, versions=(*index.versions, version))
        return version

    def rename(self, version_id: str, name: str) -> Version:
        """Give a version another name.

        Raises
        ------
        VersionError
            For an empty name.
        """
        if not name.strip():
            raise VersionError("A version needs a name: type at least one letter.")
        changed = self.get(version_id).model_copy(update={"name": name.strip()})
        self._replace(
            versions=tuple(changed if v.id == changed.id else v for v in self._index.versions)
        )
        return changed

    def remove(self, version_id: str) -> None:
        """Forget a version, and delete what no other one needs; its children go to its parent.

        Raises
        ------
        VersionError
            For the current version.
        """
        gone = self.get(version_id)
        if gone.id == self.current:
            raise VersionError(
                f"“{gone.name}” is in use: go to another version before you remove it."
            )
        self._replace(
            versions=tuple(
                v.model_copy(update={"parent": gone.parent}) if v.parent == gone.id else v
                for v in self._index.versions
                if v.id != gone.id
            )
        )
        self.sweep()

    def sweep(self) -> None:
        """Delete parts that no version names, of removed versions or left by a kill."""
        versions = self._index.versions
        if versions:  # else the index may have been lost, and its parts could be rescued
            self._files.sweep(file for v in versions for file in v.parts.values())

    @property
    def _index(self) -> VersionList:
        if self._known is None:
            self._known = VERSIONS.read(self.folder / INDEX) or VersionList()
        return self._known

    def _replace(self, **changes: Any) -> None:
        """Put another list in the place of the present one, on disk first."""
        changed = self._index.model_copy(update=changes)
        VERSIONS.write(self.folder / INDEX, changed)
        self._known = changed

    def _put_drawings(self, annotations: Annotations) -> Parts:
        parts = {f"drawn/{i}": self._drawings.put(a) for i, a in enumerate(annotations.images)}
        content = {
            "classes": [c.model_dump(mode="json") for c in annotations.classes],
            "images": [a.image.model_dump(mode="json") for a in annotations.images],
        }
        return {"annotations": self._files.put_json(content)} | parts

    @contextmanager
    def _opening(self, version_id: str) -> Iterator[Parts]:
        """Give the parts of a version; when reading them fails, say that they are damaged."""
        version = self.get(version_id)
        try:
            yield version.parts
        except ConfigError:
            raise
        except _DAMAGE as error:
            raise VersionError(
                f"“{version.name}” cannot be opened, because a part of it in “{self.folder}” is "
                f"damaged or missing ({error}): go on from another version, or restore the folder "
                "from a backup."
            ) from error


# What reading damaged or foreign parts can raise.
_DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    IndexError,
    SafetensorError,
    zipfile.BadZipFile,
    GaussProtoError,
)
