"""How much is labelled on the images of a project, open and closed ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.labels.amount import Amount
from napari_gaussproto.core.labels.annotations import Annotations
from napari_gaussproto.core.labels.check import Labels
from napari_gaussproto.jobs.session.view import closed_image
from napari_gaussproto.jobs.train_image import TrainImage

if TYPE_CHECKING:
    from napari_gaussproto.core.project.session import SessionImage


@dataclass(frozen=True)
class Count:
    """How much is labelled.

    Attributes
    ----------
    pixels : list of int
        Of each class, on open images.
    open, closed : int
        Images with labels.
    amount, open_amount : Amount
        On all of them, and on open images alone.
    closed_pixels : list of int
        Of each class, on images that are not open.
    closed_images : tuple of SessionImage
        These images.
    dense : frozenset
        Keys of open images of which at least half, or half of a plane, is labelled.
    """

    pixels: list[int]
    open: int
    closed: int
    amount: Amount = field(default_factory=Amount)
    closed_pixels: list[int] = field(default_factory=list)
    closed_images: tuple[SessionImage, ...] = ()
    open_amount: Amount = field(default_factory=Amount)
    dense: frozenset[Any] = frozenset()

    @property
    def all_pixels(self) -> list[int]:
        """Of each class, on all images."""
        return [sum(both) for both in zip(self.pixels, self.closed_pixels, strict=True)]


@dataclass(frozen=True)
class _Counted:
    """What the labels of an image hold; pixels are (256,), by their value."""

    labels: Labels
    amount: Amount
    pixels: npt.NDArray[np.int64]


class Counts:
    """Counts labels; what did not change since the last time is not counted again."""

    def __init__(self) -> None:
        self._counted: list[_Counted] = []

    def of(
        self, kept: Annotations, images: Mapping[int, TrainImage], in_view: Collection[int]
    ) -> Count:
        """How much is labelled.

        Parameters
        ----------
        kept : Annotations
        images : mapping of int to TrainImage
            Those that are there, by the ids of their labels.
        in_view : collection of int
            Ids of the labels of open images.
        """
        known = {id(counted.labels): counted for counted in self._counted}
        self._counted = [
            known.get(id(labels)) or _counted_in(labels, images.get(id(labels)))
            for labels in (annotation.labels for annotation in kept.images)
        ]
        pixels = {True: np.zeros(256, np.int64), False: np.zeros(256, np.int64)}
        for counted in self._counted:
            pixels[id(counted.labels) in in_view] += counted.pixels
        of_class = slice(1, len(kept.classes) + 1)
        closed = tuple(closed_image(a) for a in kept.images if id(a.labels) not in in_view)
        return Count(
            pixels[True][of_class].tolist(),
            len(kept.images) - len(closed),
            len(closed),
            sum((counted.amount for counted in self._counted), Amount()),
            pixels[False][of_class].tolist(),
            closed,
            sum((c.amount for c in self._counted if id(c.labels) in in_view), Amount()),
            frozenset(
                images[id(counted.labels)].key
                for counted in self._counted
                if counted.amount.dense and id(counted.labels) in in_view & images.keys()
            ),
        )

    def replace(self, labels: Mapping[int, Labels]) -> None:
        """Know equal labels (..., H, W), by the ids of the former ones."""
        self._counted = [
            replace(counted, labels=labels.get(id(counted.labels), counted.labels))
            for counted in self._counted
        ]


def _counted_in(labels: Labels, image: TrainImage | None) -> _Counted:
    """How much of an image is labelled; of one that is not there, nobody knows the gaps."""
    planes = labels.reshape(-1, *labels.shape[-2:])
    labelled = np.flatnonzero(planes.any((1, 2))).tolist()
    data = None if image is None else image.data_of(labelled)
    amount = Amount.of([planes[number] for number in labelled], data)
    return _Counted(labels, amount, np.bincount(labels.ravel(), minlength=256))
