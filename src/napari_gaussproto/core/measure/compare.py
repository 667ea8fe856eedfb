"""What an edit or a fit changed in an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.labels.check import check_labels
from napari_gaussproto.core.measure.metrics import confusion_matrix, iou, mean_iou

if TYPE_CHECKING:
    from napari_gaussproto.core.model.segmentation import Segmentation
    from napari_gaussproto.core.model.stack import StackSegmentation

# A sentence names so many pairs of classes.
_MOST = 3


@dataclass(frozen=True)
class Comparison:
    """Two segmentations of one image.

    Attributes
    ----------
    changed : (..., H, W) ndarray of bool
    classes : list of SegmentationClass
        Those of the segmentation before, then those that only the one after has; C in all.
    moved : (C, C) ndarray of int
        Pixels by class before (rows) and after (columns), of those with data both times.
    iou_before, iou_after : (C,) ndarray or None
        Against true labels, where those were given; nan for absent classes.
    """

    changed: npt.NDArray[np.bool_]
    classes: list[SegmentationClass]
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

    def summary(self, classes: Sequence[SegmentationClass] | None = None) -> str:
        """One sentence for a person, with other names for the classes if wanted."""
        classes = classes or self.classes
        if not self.pixels_changed:
            return "No pixel changed its class."
        total = self.changed.size
        moves = self.moves()
        parts = [
            f"{classes[a].name} → {classes[b].name} {_percent(n / total)}"
            for a, b, n in moves[:_MOST]
        ]
        if (beside := self.pixels_changed - sum(n for _, _, n in moves)) > 0:
            parts.append(f"with data only once {_percent(beside / total)}")
        share = _percent(self.share_changed)
        text = f"{share[0].upper()}{share[1:]} of the pixels changed: {', '.join(parts)}."
        if self.miou_before is not None and self.miou_after is not None:
            text += f" Mean IoU {self.miou_before:.3f} → {self.miou_after:.3f}."
        return text


def compare(
    before: Segmentation | StackSegmentation,
    after: Segmentation | StackSegmentation,
    truth: npt.NDArray[Any] | None = None,
    truth_classes: Sequence[SegmentationClass] | None = None,
) -> Comparison:
    """Compare two segmentations of one image or stack, by any two models.

    Classes are the same when they have the same name, wherever they are in the two tables.

    Parameters
    ----------
    before, after : Segmentation or StackSegmentation
    truth : ndarray of their shape, optional
        True labels, 0 where not known.
    truth_classes : sequence of SegmentationClass, optional
        The table of these labels; by default that of ``before``.

    Raises
    ------
    LabelError
        When the two, or the truth, have other shapes, or the truth has a class without name.
    """
    if before.labels.shape != after.labels.shape:
        raise LabelError(
            f"One result is {before.labels.shape} pixels large and the other "
            f"{after.labels.shape}: compare two results of the same image."
        )
    classes = _united(before.classes, after.classes, truth_classes or [])
    first = _in_table(before.labels, before.classes, classes)
    second = _in_table(after.labels, after.classes, classes)
    changed = first != second
    # Few pixels change: those that keep their class are counted without a confusion matrix.
    moved = confusion_matrix(second[changed], first[changed], len(classes))
    every, left = (
        np.bincount(labels.ravel(), minlength=len(classes) + 1)[1:]
        for labels in (first, first[changed])
    )
    moved += np.diag(every - left)
    if truth is None:
        return Comparison(changed, classes, moved)
    own = truth_classes or before.classes
    truth = _in_table(check_labels(truth, first.shape, len(own), "The true labels"), own, classes)
    old, new = (confusion_matrix(labels, truth, len(classes)) for labels in (first, second))
    return Comparison(changed, classes, moved, iou(old), iou(new), mean_iou(old), mean_iou(new))


def _united(*tables: Sequence[SegmentationClass]) -> list[SegmentationClass]:
    """The classes of all tables, each name once."""
    by_name: dict[str, SegmentationClass] = {}
    for entry in (entry for table in tables for entry in table):
        by_name.setdefault(entry.name, entry)
    return list(by_name.values())


def _in_table(
    labels: npt.NDArray[Any], own: Sequence[SegmentationClass], table: Sequence[SegmentationClass]
) -> npt.NDArray[Any]:
    """Labels of one class table as those of another, which has all its classes."""
    names = [entry.name for entry in table]
    values = np.array([0, *(names.index(entry.name) + 1 for entry in own)])
    if (values == np.arange(len(values))).all():
        return labels
    return values.astype(np.min_scalar_type(len(names)))[labels]


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "less than 0.1%"
