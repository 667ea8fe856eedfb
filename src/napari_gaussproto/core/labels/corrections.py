"""Labels that a person draws on an image, and below them what a model predicts, in one array.

An array of *codes* holds for every pixel its label (class index + 1) where a person set one,
else `PREDICTED` + the predicted class' label value, or 0 where nothing is predicted either.
So a stroke that confirms the prediction changes values as well. That matters: a viewer's undo
list holds changed values only (napari drops the other pixels of a stroke, and the whole
stroke if nothing changed). And a fill or a colour picker sees what a person sees. Whatever
the viewer undoes and redoes in the codes, it therefore undoes and redoes in the record,
because there is nothing else that could disagree with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import EditError
from napari_gaussproto.core.imaging.masks import Mask, component_at
from napari_gaussproto.core.labels.check import Labels, check_labels
from napari_gaussproto.core.labels.class_table import label_colors, label_names

# Added to a class' label value where it is only predicted. Round, for status bars show codes.
PREDICTED = 1000
_NOTHING_PREDICTED = "Nothing is predicted here yet: fit or run a model first."
Codes = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class CodeEdit:
    """A change of codes.

    Attributes
    ----------
    mask : (..., H, W) ndarray of bool
        The K pixels that change.
    old, new : (K,) ndarray
        Their codes before and after.
    """

    mask: Mask
    old: Codes
    new: Codes

    def __len__(self) -> int:
        """Number of changed pixels."""
        return len(self.old)


def label_value_of(code: int) -> int:
    """Label value (class index + 1) of the class that a code shows; 0 for none."""
    return code - PREDICTED if code > PREDICTED else code


def labels_of(codes: npt.NDArray[Any]) -> Labels:
    """What a person labelled, (..., H, W): class index + 1, or 0 where nothing was."""
    return np.where(codes < PREDICTED, codes, 0).astype(np.uint8)


def painted_classes(codes: npt.NDArray[Any]) -> tuple[int, ...]:
    """Indices of the classes that a person labelled, of codes (..., H, W), in order."""
    codes = np.asarray(codes, np.uint16)
    # Less one, 0 is the largest value there is: one comparison finds what is labelled.
    rest, found = codes[(codes - np.uint16(1)) < PREDICTED - 1], []
    while len(rest):
        found.append(int(rest[0]) - 1)
        rest = rest[rest != rest[0]]
    return tuple(sorted(found))


def code_colors(classes: Sequence[SegmentationClass]) -> dict[int | None, str]:
    """Colour of each code: labels in class colours, and predictions transparent.

    A layer below shows what is predicted.
    """
    predicted = {PREDICTED + c + 1: "transparent" for c in range(len(classes))}
    return label_colors(classes) | predicted


def code_names(classes: Sequence[SegmentationClass]) -> dict[str, list[Any]]:
    """Codes and what they mean, in columns; see `label_names`."""
    known = label_names(classes)
    codes = [PREDICTED + c + 1 for c in range(len(classes))]
    predicted = [f"{entry.name}, predicted" for entry in classes]
    return {"index": known["index"] + codes, "class": known["class"] + predicted}


class Corrections:
    """A prediction, and what a person labelled on top of it.

    Parameters
    ----------
    prediction : (..., H, W) ndarray of integers
        Class index + 1; 0 where nothing is predicted.
    labels : (..., H, W) ndarray, optional
        Labels to start from; 0 for none.

    Attributes
    ----------
    codes : (..., H, W) ndarray of uint16
        Give this very array to the viewer's labels layer: it is the
        record.

    Raises
    ------
    LabelError
        When the shapes differ or a value can be no class.
    """

    def __init__(
        self, prediction: npt.NDArray[Any], labels: npt.NDArray[Any] | None = None
    ) -> None:
        self._predicted = _predicted_codes(check_labels(prediction))
        self.codes: Codes = self._predicted.copy()
        if labels is not None:
            given = check_labels(labels, self.codes.shape)
            np.copyto(self.codes, given, where=given > 0)

    @classmethod
    def of_codes(cls, codes: Codes) -> Corrections:
        """Go on with codes (..., H, W) that are shown already; the array becomes the record.

        Below labels, what is predicted is not known until `update`.
        """
        record = cls(np.zeros(codes.shape, np.uint8))
        record._predicted = np.where(codes > PREDICTED, codes, 0).astype(np.uint16)
        record.codes = codes
        return record

    @property
    def prediction(self) -> Labels:
        """(..., H, W) the prediction last set."""
        return np.where(self._predicted, self._predicted - PREDICTED, 0).astype(np.uint8)

    @property
    def labels(self) -> Labels:
        """(..., H, W) class index + 1 where a person labelled, else 0."""
        return labels_of(self.codes)

    @property
    def touched(self) -> Mask:
        """(..., H, W) whether a pixel is labelled."""
        mask: Mask = (self.codes > 0) & (self.codes < PREDICTED)
        return mask

    @property
    def corrected(self) -> Mask:
        """(..., H, W) labelled pixels for which another class is predicted."""
        other: Mask = (self._predicted > 0) & (self.codes + PREDICTED != self._predicted)
        return self.touched & other

    # -- edits: nothing changes until they are applied, here or by the viewer ----------------

    def paint(self, mask: Mask, label: int) -> CodeEdit:
        """Label the pixels of a mask (..., H, W) as ``label`` (class index + 1); 0 erases."""
        return self._edit(mask, np.uint16(label))

    def erase(self, mask: Mask) -> CodeEdit:
        """Take the labels in a mask (..., H, W) back; the prediction shows there again."""
        touched = mask & self.touched
        return self._edit(touched, self._predicted[touched])

    def replace(self, labels: npt.NDArray[Any]) -> CodeEdit:
        """Make these (..., H, W) the labels, all of them."""
        given = check_labels(labels, self.codes.shape)
        return _change(self.codes, np.where(given > 0, given.astype(np.uint16), self._predicted))

    def accept(self, mask: Mask) -> CodeEdit:
        """Turn the prediction in a mask (..., H, W) into labels; what is labelled stays."""
        fresh = mask & ~self.touched & (self._predicted > 0)
        return self._edit(fresh, self._predicted[fresh] - PREDICTED)

    def accept_component(self, *position: int) -> CodeEdit:
        """Accept the pixels that are connected to one, in its plane, by one predicted class.

        Raises
        ------
        EditError
            For a pixel outside the image, or one without a prediction.
        """
        if not all(0 <= at < n for at, n in zip(position, self.codes.shape, strict=True)):
            raise EditError("There is nothing to accept outside the image: click inside it.")
        if not self._predicted[position]:
            raise EditError(_NOTHING_PREDICTED)
        *leading, y, x = position
        mask = np.zeros(self.codes.shape, bool)
        mask[tuple(leading)] = component_at(self._predicted[tuple(leading)], y, x)
        return self.accept(mask)

    def accept_plane(self, leading: Sequence[int] = ()) -> CodeEdit:
        """Accept a whole image, or one plane of a stack.

        Raises
        ------
        EditError
            When nothing is predicted there.
        """
        mask = np.zeros(self.codes.shape, bool)
        mask[tuple(leading)] = True
        if not self._predicted[mask].any():
            raise EditError(_NOTHING_PREDICTED)
        return self.accept(mask)

    def apply(self, edit: CodeEdit) -> None:
        """Do, or do again, an edit."""
        self.codes[edit.mask] = edit.new

    def revert(self, edit: CodeEdit) -> None:
        """Undo an edit."""
        self.codes[edit.mask] = edit.old

    def _edit(self, mask: Mask, codes: Any) -> CodeEdit:
        new = self.codes.copy()
        new[mask] = np.asarray(codes, np.uint16)
        return _change(self.codes, new)

    # -- the prediction moves on -------------------------------------------------------------

    def update(self, prediction: npt.NDArray[Any]) -> None:
        """Show a newer prediction (..., H, W) wherever nothing is labelled; labels stay.

        Raises
        ------
        LabelError
            When its shape differs or a value can be no class.
        """
        newer = check_labels(prediction, self.codes.shape)
        self._predicted = _predicted_codes(newer)
        self.refresh()

    def refresh(self) -> bool:
        """Show the prediction again where codes are neither labels nor the prediction.

        An eraser leaves 0, and an undone stroke the prediction of its time. Call this after
        every stroke, undo and redo; it moves no label, so there is nothing to undo. True when
        any pixel changed.
        """
        stale = ~self.touched & (self.codes != self._predicted)
        np.copyto(self.codes, self._predicted, where=stale)
        return bool(stale.any())


@dataclass(frozen=True)
class ReadyLabels:
    """Labels made ready to be worked on, by a thread: all that looks at every pixel.

    Attributes
    ----------
    record : Corrections
        Without a prediction.
    codes : (..., H, W) ndarray of uint16
        A copy of its codes.
    painted : tuple of int
        Indices of the classes that are labelled.
    """

    record: Corrections
    codes: Codes
    painted: tuple[int, ...]

    @classmethod
    def of(cls, labels: Labels) -> ReadyLabels:
        """Of labels (..., H, W), class index + 1 or 0.

        Raises
        ------
        LabelError
            When they can be none.
        """
        record = Corrections(np.zeros(np.shape(labels), np.uint8), labels)
        codes = record.codes.copy()
        return cls(record, codes, painted_classes(codes))


def laid_over(codes: Codes, labels: Labels) -> CodeEdit:
    """The edit of codes (..., H, W) that sets labels (..., H, W) wherever there are some."""
    return _change(codes, np.where(labels > 0, labels, codes))


def _change(before: Codes, after: Codes) -> CodeEdit:
    changed = before != after
    return CodeEdit(changed, before[changed], after[changed])


def _predicted_codes(labels: Labels) -> Codes:
    codes = labels.astype(np.uint16)
    np.add(codes, np.uint16(PREDICTED), out=codes, where=codes > 0)
    return codes
