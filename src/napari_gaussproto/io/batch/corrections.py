"""What a person drew in a project, for the images that are segmented."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import ConfigError, ImageError
from napari_gaussproto.core.imaging.orientation import UPRIGHT, upright, way_back
from napari_gaussproto.core.labels.annotations import (
    Annotation,
    Annotations,
    ImageIdentity,
    identify,
    values_between,
)
from napari_gaussproto.core.labels.check import Labels
from napari_gaussproto.core.project.annotation_store import AnnotationStore
from napari_gaussproto.io.batch.inputs import Item
from napari_gaussproto.io.batch.manifest import Entry
from napari_gaussproto.io.images import orientation_of, read_image


class Corrections:
    """Labels that overrule predictions, image by image, in the class table of a model.

    Images are known by their pixels, wherever they are now.

    Parameters
    ----------
    given : Path or Annotations
        A project, ``NAME.gaussproto``, which may be open in napari: what was saved last counts. Or
        what is drawn in it.
    classes : sequence of SegmentationClass
        Of the model; those of the project are found among them by their names.

    Attributes
    ----------
    compared : str
        Digest of the pixels of all images.

    Raises
    ------
    ConfigError
        When nothing is drawn there.
    AnnotationError
        When the project is damaged.
    """

    def __init__(self, given: Path | Annotations, classes: Sequence[SegmentationClass]) -> None:
        found = _load(given) if isinstance(given, Path) else given
        self._images = [drawn for drawn in found.images if drawn.labels.any()]
        self._own, self._classes = found.classes, tuple(classes)
        # The same may be drawn on two images.
        self._digests = {
            id(drawn): f"{array_digest(self._in_table(drawn, known_only=True))}"
            f"-{drawn.image.sample}"
            for drawn in self._images
        }
        pixels = sorted(drawn.image.sample for drawn in self._images)
        self.compared = hashlib.blake2b("".join(pixels).encode(), digest_size=16).hexdigest()
        whole = [drawn.image for drawn in self._images if drawn.image.window is None]
        self._files = {image.file for image in whole}

    def of(
        self, image: Any, shape: tuple[int, int], item: Item | None = None
    ) -> tuple[Labels | None, str]:
        """Labels (H, W) that were drawn on an image of a height and width, and their digest.

        None and "" where nothing was. An item may say of which image it is a plane.

        Raises
        ------
        LabelError
            When something of a class that the model lacks is drawn on it.
        """
        for identity, turn in _known_as(image, item):
            labels, digest = self._find(identity, 0 if item is None else item.plane)
            if labels is not None and upright(labels, turn).shape == shape:
                return upright(labels, turn), digest
        return None, ""

    def of_stack(self, stack: Any, shape: tuple[int, ...]) -> tuple[Labels | None, str]:
        """Labels (..., H, W) that were drawn on a stack of this shape, and their digest.

        None and "" where nothing was.

        Raises
        ------
        LabelError
            When something of a class that the model lacks is drawn on it.
        """
        identity = identify(stack, "")
        for drawn in self._images:
            if drawn.labels.shape == shape and drawn.image.same_pixels(identity):
                return self._in_table(drawn), self._digests[id(drawn)]
        return None, ""

    def _find(self, identity: ImageIdentity, plane: int) -> tuple[Labels | None, str]:
        for drawn in self._images:
            if drawn.image.same_pixels(identity):
                planes = self._in_table(drawn).reshape(-1, *drawn.labels.shape[-2:])
                if plane < len(planes) and planes[plane].any():
                    return planes[plane], self._digests[id(drawn)]
        return None, ""

    def differs(self, item: Item, entry: Entry) -> bool:
        """Whether something is drawn on the image of a file, but on other pixels than it holds.

        To be asked when its entry knows what `of` has found.
        """
        return not entry.drawn and item.path is not None and str(item.path) in self._files

    def is_current(self, path: Path, entry: Entry) -> bool:
        """Whether results are still right for a file, as far as drawings are concerned.

        It is known by its pixels, for which it is read, once for the same images in the project.
        """
        if entry.drawn:
            return entry.drawn in self._digests.values()
        if entry.compared == self.compared:
            return True
        if self._may_have(entry) and self._has(path):
            return False
        entry.compared = self.compared
        return True

    def _may_have(self, entry: Entry) -> bool:
        size = {entry.height, entry.width}
        return any(set(drawn.labels.shape[-2:]) == size for drawn in self._images)

    def _has(self, path: Path) -> bool:
        try:
            image = read_image(path)
        except ImageError:
            return True  # who does it anew says what is wrong
        known = [identity for identity, _ in _known_as(image, Item(path.name, path))]
        return any(drawn.image.same_pixels(one) for drawn in self._images for one in known)

    def _in_table(self, drawn: Annotation, known_only: bool = False) -> Labels:
        """Labels (..., H, W) of an image; without the classes that the model lacks if so asked."""
        values = values_between(self._own, self._classes, [] if known_only else [drawn.labels])
        return values[drawn.labels]


def _known_as(image: Any, item: Item | None) -> Iterator[tuple[ImageIdentity, int]]:
    """What an image may be known as, and how what was drawn on that has to be turned."""
    if item is not None and item.plane_of is not None:
        yield item.plane_of, UPRIGHT
        return
    if not hasattr(image, "shape"):
        return
    yield identify(image, ""), UPRIGHT
    turn = UPRIGHT if item is None or item.path is None else orientation_of(item.path)
    if turn != UPRIGHT:
        yield identify(upright(image, way_back(turn)), ""), turn  # as other readers show it


def _load(folder: Path) -> Annotations:
    found = AnnotationStore(folder / "annotations").load()
    if not any(drawn.labels.any() for drawn in found.images):
        raise ConfigError(f"“{folder}” is no project with drawings: give NAME.gaussproto.")
    return found


def array_digest(labels: npt.NDArray[Any]) -> str:
    """Digest of labels of any shape."""
    digest = hashlib.blake2b(str(labels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(labels).tobytes())
    return digest.hexdigest()
