"""What an edit changed in an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.config import SegmentationClass
from napari_gaussproto.core.errors import LabelError
from napari_gaussproto.core.metrics import confusion_matrix, iou, mean_iou

Labels = npt.NDArray[Any]


class Labelled(Protocol):
    """What can be compared: a `Segmentation` or a `StackSegmentation`."""

    @property
    def labels(self) -> npt.NDArray[np.uint8]:
        """Class index + 1, (..., H, W)."""

    @property
    def classes(self) -> list[SegmentationClass]:
        """Classes, in order of their index."""


@dataclass(frozen=True)
class Comparison:
    """Two segmentations of one image.

    Attributes
    ----------
    changed : ndarray
        (..., H, W) bool.
    moved : ndarray
        (C, C) pixels by class before (rows) and after (columns).
    iou_before, iou_after : ndarray or None
        (C,) against true labels, where those were given; nan for absent classes.
    miou_before, miou_after : float or None
    """

    changed: npt.NDArray[np.bool_]
    moved: npt.NDArray[np.int64]
    iou_before: npt.NDArray[np.float64] | None = None
    iou_after: npt.NDArray[np.float64] | None = None
    miou_before: float | None = None
    miou_after: float | None = None

    @property
    def pixels_changed(self) -> int:
        """How many pixels have another class."""
        return int(self.changed.sum())

    @property
    def share_changed(self) -> float:
        """Their share of all pixels."""
        return self.pixels_changed / self.changed.size

    def moves(self) -> list[tuple[int, int, int]]:
        """Pairs of classes that pixels moved between, (before, after, pixels), most first."""
        pairs = [
            (int(a), int(b), int(self.moved[a, b])) for a, b in np.argwhere(self.moved) if a != b
        ]
        return sorted(pairs, key=lambda move: -move[2])

    def summary(self, classes: list[SegmentationClass], most: int = 3) -> str:
        """One sentence for a person."""
        if not self.pixels_changed:
            return "No pixel changed its class."
        total = self.changed.size
        parts = [
            f"{classes[a].name} → {classes[b].name} {_percent(n / total)}"
            for a, b, n in self.moves()[:most]
        ]
        text = f"{_percent(self.share_changed)} of the pixels changed: {', '.join(parts)}."
        if self.miou_before is not None and self.miou_after is not None:
            text += f" Mean IoU {self.miou_before:.3f} → {self.miou_after:.3f}."
        return text


def compare(before: Labelled, after: Labelled, truth: Labels | None = None) -> Comparison:
    """Compare two segmentations of one image or stack.

    Parameters
    ----------
    before, after : Segmentation or StackSegmentation
    truth : ndarray, optional
        True labels of the same shape, 0 where not known.

    Raises
    ------
    LabelError
        When the truth has another shape.
    """
    first, second, n_classes = before.labels, after.labels, len(before.classes)
    changed = first != second
    # Few pixels change: those that stay are counted without looking at where they went.
    moved = confusion_matrix(second[changed], first[changed], n_classes)
    moved += np.diag(np.bincount(first.ravel(), minlength=n_classes + 1)[1:] - moved.sum(1))
    if truth is None:
        return Comparison(changed, moved)
    if truth.shape != first.shape:
        raise LabelError(
            f"The true labels are {truth.shape} pixels large and the image {first.shape}: "
            "choose a label layer of this image."
        )
    old, new = (confusion_matrix(labels, truth, n_classes) for labels in (first, second))
    return Comparison(changed, moved, iou(old), iou(new), mean_iou(old), mean_iou(new))


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "less than 0.1%"
