"""What a person drew in a project, for the images that are segmented."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.labels.annotations import Annotation, identify
from napari_gaussproto.core.labels.check import Labels
from napari_gaussproto.core.project.annotation_store import AnnotationStore


class Corrections:
    """Labels that overrule predictions, image by image, in the class table of a model.

    Images are known by their pixels, wherever they are now. The project may be open in napari; what
    was saved last counts.

    Parameters
    ----------
    folder : Path
        A project, ``NAME.gaussproto``.
    classes : sequence of SegmentationClass
        Of the model; those of the project are found among them by their names.

    Raises
    ------
    ConfigError
        When nothing is drawn there, or something of a class that the model does not know.
    AnnotationError
        When the project is damaged.
    """

    def __init__(self, folder: Path, classes: Sequence[SegmentationClass]) -> None:
        found = AnnotationStore(folder / "annotations").load()
        self._images = [drawn for drawn in found.images if drawn.labels.any()]
        if not self._images:
            raise ConfigError(f"“{folder}” is no project with drawings: give NAME.gaussproto.")
        names = [entry.name for entry in classes]
        used = np.unique(np.concatenate([np.unique(drawn.labels) for drawn in self._images]))
        unknown = [
            found.classes[v - 1].name for v in used if v and found.classes[v - 1].name not in names
        ]
        if unknown:
            raise ConfigError(
                f"“{unknown[0]}” is drawn in “{folder}” and is no class of the model: choose a "
                "model of that project."
            )
        own = (names.index(c.name) + 1 if c.name in names else 0 for c in found.classes)
        self._values = np.array([0, *own], np.uint8)
        self._digests = {id(drawn): self._digest(drawn) for drawn in self._images}
        self._by_file = {
            drawn.image.file: self._digests[id(drawn)] for drawn in self._images if drawn.image.file
        }

    def of(self, image: Any, shape: tuple[int, ...]) -> tuple[Labels | None, str]:
        """Labels (..., H, W) that were drawn on an image of a shape, and their digest.

        None and "" where nothing was.
        """
        if not hasattr(image, "shape"):
            return None, ""
        identity = identify(image, "")
        for drawn in self._images:
            if drawn.labels.shape == shape and drawn.image.same_pixels(identity):
                return self._values[drawn.labels], self._digests[id(drawn)]
        return None, ""

    def is_current(self, path: Path, digest: str) -> bool:
        """Whether results with corrections of this digest are still right for a file.

        It is found by its path; a drawing on an image that came from no file is looked for among
        all of them.
        """
        known = self._by_file.get(str(path))
        return digest == known if known is not None else digest in ("", *self._digests.values())

    def _digest(self, drawn: Annotation) -> str:
        return array_digest(self._values[drawn.labels])


def array_digest(labels: npt.NDArray[Any]) -> str:
    """Digest of labels of any shape."""
    digest = hashlib.blake2b(str(labels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(labels).tobytes())
    return digest.hexdigest()
