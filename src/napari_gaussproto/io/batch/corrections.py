"""What a person drew in a project, for the images that are segmented."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import ConfigError, ImageError
from napari_gaussproto.core.imaging.colours import with_colours
from napari_gaussproto.core.imaging.orientation import UPRIGHT, upright, way_back
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.imaging.tiles import Area
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
from napari_gaussproto.io.images import channel_axis_in, orientation_of, read_image
from napari_gaussproto.io.stacks import Stack


@dataclass(frozen=True)
class Painted:
    """Labels in parts of an image, read as if they were one array (H, W); 0 between them.

    Attributes
    ----------
    shape : tuple of int
        (H, W).
    parts : sequence of (Area, (h, w) ndarray)
        Where two overlap, the later one counts.
    """

    shape: tuple[int, int]
    parts: Sequence[tuple[Area, Labels]]
    ndim = 2

    def __getitem__(self, window: tuple[slice, slice]) -> Labels:
        """Labels (h, w) of a window."""
        ends = (part.indices(length) for part, length in zip(window, self.shape, strict=True))
        (top, bottom, _), (left, right, _) = ends
        found = np.zeros((bottom - top, right - left), np.uint8)
        for (y0, x0, y1, x1), labels in self.parts:
            y, x = slice(max(y0, top), min(y1, bottom)), slice(max(x0, left), min(x1, right))
            if y.start < y.stop and x.start < x.stop:
                own = labels[_moved(y, y0), _moved(x, x0)]
                np.copyto(found[_moved(y, top), _moved(x, left)], own, where=own > 0)
        return found


def _moved(part: slice, origin: int) -> slice:
    return slice(part.start - origin, part.stop - origin)


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
        self._digests: dict[int, str] = {}
        images = [drawn.image for drawn in self._images]
        pixels = sorted(f"{image.sample}{image.window or ''}" for image in images)
        self.compared = hashlib.blake2b("".join(pixels).encode(), digest_size=16).hexdigest()
        self._files = {image.file for image in images}

    def of(self, image: ImageSource | Stack, item: Item | None = None) -> tuple[Any, str]:
        """What was drawn on an image or in windows of it, and its digests; None and "" for nothing.

        It is `Painted` or, of a stack, labels (..., H, W). An item may say of which image it is a
        plane.

        Raises
        ------
        LabelError
            When something of a class that the model lacks is drawn on it.
        """
        return (
            self._of_picture(image, item)
            if isinstance(image, ImageSource)
            else self._of_stack(image)
        )

    def _of_picture(self, source: ImageSource, item: Item | None) -> tuple[Painted | None, str]:
        size, plane = (source.height, source.width), 0 if item is None else item.plane
        parts: list[tuple[Area, Labels]] = []
        digests = []
        for drawn, turn in self._drawn_on(source, item):
            labels, area = self._in_table(drawn), drawn.image.window
            if area is None:
                # Of labels for another reading of the pixels there may be none of this plane.
                planes = labels.reshape(-1, *labels.shape[-2:])[plane : plane + 1]
                labels, area = upright(planes.max(0, initial=0), turn), (0, 0, *size)
                if labels.shape != size or not labels.any():
                    continue
            parts.append((area, labels))
            digests.append(self._digest(drawn))
        return Painted(size, parts) if parts else None, " ".join(digests)

    def _drawn_on(self, source: ImageSource, item: Item | None) -> Iterator[tuple[Annotation, int]]:
        """What is drawn in windows of an image and on all of it, and how that has to be turned."""
        for drawn in self._images:
            if drawn.image.window is not None and _shows(drawn.image, source):
                yield drawn, UPRIGHT
        for identity, turn in _known_as(source.array, item):
            for drawn in self._images:
                if drawn.image.same_pixels(identity):
                    yield drawn, turn

    def _of_stack(self, stack: Stack) -> tuple[Labels | None, str]:
        identity = identify(stack.array, "")
        for drawn in self._images:
            if drawn.labels.shape == stack.shape and drawn.image.same_pixels(identity):
                return self._in_table(drawn), self._digest(drawn)
        return None, ""

    def differs(self, item: Item, entry: Entry) -> bool:
        """Whether something is drawn on the image of a file, but on other pixels than it holds.

        To be asked when its entry knows what `of` has found.
        """
        return not entry.drawn and item.path is not None and str(item.path) in self._files

    def is_current(self, path: Path, entry: Entry, axis: int | None = None) -> bool:
        """Whether results are still right for a file, as far as drawings are concerned.

        It is known by its pixels, for which it is read, once for the same images in the project.

        Parameters
        ----------
        axis : int, optional
            Of the channels, see `channel_axis_in`.
        """
        had = set(entry.drawn.split())
        if had and not had <= {self._digest(drawn) for drawn in self._images}:
            return False
        if entry.compared == self.compared:
            return True
        known = [(drawn, self._digest(drawn) in had) for drawn in self._images]
        # What is drawn on all of an image is one; of windows there may be more.
        whole = any(drawn.image.window is None for drawn, has in known if has)
        likely = [
            drawn.image
            for drawn, has in known
            if not (has or (whole and drawn.image.window is None)) and _may_be_of(drawn, entry)
        ]
        if likely and _is_one_of(path, axis, likely):
            return False
        entry.compared = self.compared
        return True

    def _digest(self, drawn: Annotation) -> str:
        """Of labels and image: the same may be drawn on two."""
        if (found := self._digests.get(id(drawn))) is None:
            labels = self._in_table(drawn, known_only=True)
            found = f"{array_digest(labels)}-{drawn.image.sample}"
            self._digests[id(drawn)] = found
        return found

    def _in_table(self, drawn: Annotation, known_only: bool = False) -> Labels:
        """Labels (..., H, W) of an image; without the classes that the model lacks if so asked."""
        values = values_between(self._own, self._classes, [] if known_only else [drawn.labels])
        return values[drawn.labels]


def _known_as(image: Any, item: Item | None) -> Iterator[tuple[ImageIdentity, int]]:
    """What an image may be known as, and how what was drawn on that has to be turned."""
    if item is not None and item.plane_of is not None:
        yield item.plane_of, UPRIGHT
        return
    turn = UPRIGHT if item is None or item.path is None else orientation_of(item.path)
    for shown in _shown_as(image):
        yield identify(shown, ""), UPRIGHT
        if turn != UPRIGHT:
            yield identify(upright(shown, way_back(turn)), ""), turn  # as other readers show it


def _shown_as(pixels: Any) -> Iterator[Any]:
    """Pixels as they are stored and, where a viewer has to show others, as it shows them."""
    yield pixels
    if isinstance(pixels, np.ndarray) and pixels.ndim == 3 and pixels.shape[-1] == 2:
        yield with_colours(np.ma.getdata(pixels))


def _shows(identity: ImageIdentity, source: ImageSource) -> bool:
    """Whether a window is one of an image."""
    assert identity.window is not None
    *_, bottom, right = identity.window
    if bottom > source.height or right > source.width:
        return False
    pixels, _ = source.window(*identity.window)
    known = (identify(one, "", window=identity.window) for one in _shown_as(pixels))
    return any(one.same_pixels(identity) for one in known)


def _may_be_of(drawn: Annotation, entry: Entry) -> bool:
    """Whether an image has a size by which something may be drawn on it."""
    if drawn.image.window is None:
        return set(drawn.labels.shape[-2:]) == {entry.height, entry.width}
    *_, bottom, right = drawn.image.window
    return not entry.leading and bottom <= entry.height and right <= entry.width


def _is_one_of(path: Path, axis: int | None, images: Sequence[ImageIdentity]) -> bool:
    """Whether a file holds one of some images, or what one of them is a window of."""
    windows = [image for image in images if image.window is not None]
    try:
        array = read_image(path)
        known = [identity for identity, _ in _known_as(array, Item(path.name, path))]
        if any(image.same_pixels(one) for image in images for one in known):
            return True
        if not windows:
            return False
        source = ImageSource.from_array(array, channel_axis=channel_axis_in(path, axis))
        return any(_shows(image, source) for image in windows)
    except ImageError:
        return True  # who does it anew says what is wrong


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
