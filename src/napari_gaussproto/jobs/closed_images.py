"""Labelled images of the project that are not open: read from their files to learn from them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.errors import ImageError
from napari_gaussproto.core.labels.annotations import (
    Annotation,
    Annotations,
    ImageIdentity,
)
from napari_gaussproto.core.labels.codes import Snapshot
from napari_gaussproto.jobs.session.reading import readings, with_pixels
from napari_gaussproto.jobs.storage import Identities
from napari_gaussproto.jobs.train_image import Stage, TrainImage

# Of pixels that are kept between two reads: about forty photographs of 24 megapixels.
_MOST_BYTES = 3 << 30


class FileImage:
    """An image in a file as an array: nothing of it stays in memory longer than there is room."""

    def __init__(self, identity: ImageIdentity, dtype: np.dtype[Any], reader: ClosedImages) -> None:
        self.identity, self.shape, self.dtype = identity, identity.shape, dtype
        self.ndim, self._reader = len(identity.shape), reader

    @property
    def in_memory(self) -> Any:
        """All pixels, as they were read; not to be kept."""
        return self._reader.array(self)

    def __getitem__(self, index: Any) -> Any:
        """A window, as of an array."""
        return self._reader.array(self)[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """All pixels."""
        return np.asarray(self._reader.array(self), dtype=dtype)


def lost_sentence(names: Sequence[str]) -> str:
    """What to do about closed images that could not be read; empty without any."""
    if not names:
        return ""
    shown = ", ".join(f"“{name}”" for name in names[:3])
    shown += f" and {len(names) - 3} more" if len(names) > 3 else ""
    why = "their files are gone, have changed or are not known. Open the images to learn from them."
    if len(names) == 1:
        why = "its file is gone, has changed or is not known. Open the image to learn from it."
    return f" Nothing was learned from {shown}: {why}"


@dataclass(frozen=True)
class Closed:
    """What there is to learn from besides open images, and the names of those that are lost."""

    images: list[TrainImage]
    lost: list[str]


class ClosedImages:
    """Finds labelled images that are not open; threads of several fits may share it.

    Of pixels it keeps ``most_bytes`` in memory.
    """

    def __init__(self, identities: Identities, most_bytes: int = _MOST_BYTES) -> None:
        self._identities = identities
        self._most_bytes = most_bytes
        # By content: None where the file did not have it when it had this time stamp.
        self._files: dict[str, tuple[tuple[str, float], FileImage | None]] = {}
        self._arrays: dict[str, Any] = {}
        self._lock = RLock()

    def find(
        self,
        kept: Annotations,
        present: Sequence[TrainImage],
        removed: Sequence[TrainImage],
        opened: Sequence[TrainImage] = (),
    ) -> Generator[Stage, None, Closed]:
        """Labelled images of the project besides those that are open.

        Open images with annotations are present, others were removed from the viewer; and the
        annotations of opened ones were not asked for yet.
        """
        seen = [self._identity(image) for image in present]

        def fresh(identity: ImageIdentity) -> bool:
            return not any(known.same_pixels(identity) for known in seen)

        images: list[TrainImage] = []
        lost: list[str] = []
        for image in removed:
            identity = self._identity(image)
            if fresh(identity):
                seen.append(identity)
                images.append(image)
        for done, annotation in enumerate(kept.images):
            if not fresh(annotation.image):
                continue
            yield Stage("Reading closed images", done, len(kept.images))
            found = self._of_layer(annotation, opened) or self._train_image(annotation)
            if found is None:
                lost.append(annotation.image.name)
            else:
                images.append(found)
        return Closed([image for image in images if image.labelled_planes()], lost)

    def reset(self) -> None:
        """Free the memory of all pixels; they are read again when asked for."""
        with self._lock:
            self._arrays.clear()

    def array(self, image: FileImage) -> Any:
        """The pixels of a file.

        Raises
        ------
        ImageError
            When the file is gone or changed since it was found.
        """
        with self._lock:
            key = image.identity.sample
            array = self._arrays.pop(key, None)
            if array is None:
                array = _read(image.identity)
            if array is None:
                raise ImageError(
                    f"“{image.identity.file}” changed or is gone: open the image “"
                    f"{image.identity.name}”, or switch off learning from closed images."
                )
            self._arrays[key] = array
            self._make_room()
            return array

    @property
    def n_bytes(self) -> int:
        """Size of the pixels that are kept in memory."""
        # Lazy arrays read what is asked for and hold nothing.
        return sum(a.nbytes for a in self._arrays.values() if isinstance(a, np.ndarray))

    def _make_room(self) -> None:
        while self.n_bytes > self._most_bytes and len(self._arrays) > 1:
            self._arrays.pop(next(iter(self._arrays)))  # the one that was used least recently

    def order(self, images: Sequence[TrainImage]) -> list[TrainImage]:
        """Images in an order that does not depend on which are open."""
        return sorted(images, key=lambda image: self._identity(image).sample)

    def _of_layer(self, annotation: Annotation, opened: Sequence[TrainImage]) -> TrainImage | None:
        for image in opened:
            rgb = len(annotation.image.shape) > annotation.labels.ndim
            if image.rgb == rgb and self._identity(image).same_pixels(annotation.image):
                return replace(image, codes=Snapshot.of(annotation.labels.astype(np.uint16)))
        return None

    def _identity(self, image: TrainImage) -> ImageIdentity:
        if isinstance(image.pixels, FileImage):
            return image.pixels.identity
        return self._identities.of(image)

    def _train_image(self, annotation: Annotation) -> TrainImage | None:
        identity = annotation.image
        file = self._file(identity)
        if file is None:
            return None
        rgb = len(identity.shape) > annotation.labels.ndim
        key = ("closed", identity.sample, rgb)
        codes = Snapshot.of(annotation.labels.astype(np.uint16))
        about = (identity.name, identity.file)
        return TrainImage(key, file, rgb, codes, *about, window=identity.window)

    def _file(self, identity: ImageIdentity) -> FileImage | None:
        """The file of an image, if it still holds it; the same object as long as it does."""
        stamp = _stamp(identity.file)
        if stamp is None:
            return None
        with self._lock:
            known = self._files.get(identity.sample)
            if known is None or known[0] != stamp:
                array = _read(identity)
                file = None if array is None else FileImage(identity, array.dtype, self)
                if array is not None:
                    self._arrays[identity.sample] = array
                    self._make_room()
                known = self._files[identity.sample] = (stamp, file)
            return known[1]


def _stamp(file: str | None) -> tuple[str, float] | None:
    try:
        return None if file is None else (file, Path(file).stat().st_mtime)
    except OSError:
        return None


def _read(identity: ImageIdentity) -> Any:
    """The array that an identity was made from; None when its file holds it no more."""
    levels = with_pixels(identity, readings(str(identity.file)))
    return None if levels is None else levels[0]
