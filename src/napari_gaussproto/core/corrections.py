"""Which pixels of a prediction a person has labelled, kept in the painted array itself.

An array of *codes* holds, for every pixel, either the predicted class (1 to C) or, once the
brush touched it, the labelled class + `LABELLED`. Painting writes codes of labels, so a stroke
that confirms the prediction changes values as well. That matters: a viewer's undo history
holds changed values only (napari drops the other pixels of a stroke, and the whole stroke if
nothing changed). Whatever the viewer undoes and redoes in the codes, it therefore undoes and
redoes in the record, because there is nothing else that could disagree with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.errors import EditError, LabelError
from napari_gaussproto.core.regions import Mask, component_at

# Added to a class' label value where a person set it. Round, for the status bar shows codes.
LABELLED = 1000
Codes = npt.NDArray[np.uint16]
Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class CodeEdit:
    """A change of codes, in the form that viewers keep in their histories.

    Attributes
    ----------
    indices : tuple of ndarray
        (rows, columns) of the changed pixels.
    old, new : ndarray
        Their codes before and after.
    """

    indices: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]
    old: Codes
    new: Codes

    def __len__(self) -> int:
        """Number of changed pixels."""
        return len(self.old)


def code_of(label: int) -> int:
    """What a brush writes to label pixels as class ``label`` (class index + 1).

    0, the eraser, stays 0; a code stays what it is.
    """
    return label + LABELLED if 0 < label < LABELLED else label


def class_label_of(code: int) -> int:
    """Label value (class index + 1) of the class that a code shows; 0 for none."""
    return code - LABELLED if code > LABELLED else code


def labels_of(codes: npt.NDArray[Any]) -> Labels:
    """What a person labelled, (H, W): class index + 1, or 0 where nothing was."""
    return np.where(codes > LABELLED, codes - LABELLED, 0).astype(np.uint8)


class Corrections:
    """A prediction, and what a person labelled on top of it.

    Parameters
    ----------
    prediction : ndarray
        (H, W) integers, class index + 1.
    labels : ndarray, optional
        (H, W) integers, labels to start from; 0 for none.

    Attributes
    ----------
    codes : ndarray
        (H, W) uint16. Give this very array to the viewer's labels layer: it is the record.

    Raises
    ------
    LabelError
        When the shapes differ or a value can be no class.
    """

    def __init__(
        self, prediction: npt.NDArray[Any], labels: npt.NDArray[Any] | None = None
    ) -> None:
        self._prediction = _checked(prediction)
        self.codes: Codes = self._prediction.astype(np.uint16)
        if labels is not None:
            given = _checked(labels)
            self._same_shape(given)
            there = given > 0
            self.codes[there] = given[there].astype(np.uint16) + LABELLED

    @property
    def prediction(self) -> Labels:
        """(H, W) the prediction last set."""
        return self._prediction

    @property
    def labels(self) -> Labels:
        """(H, W) class index + 1 where a person labelled, else 0."""
        return labels_of(self.codes)

    @property
    def touched(self) -> Mask:
        """(H, W) whether a pixel is labelled."""
        mask: Mask = self.codes > LABELLED
        return mask

    @property
    def corrected(self) -> Mask:
        """(H, W) labelled pixels whose label is not what is predicted: for an overlay."""
        mask: Mask = self.touched & (self.codes != self._prediction.astype(np.uint16) + LABELLED)
        return mask

    # -- edits: nothing changes until they are applied, here or by the viewer ----------------

    def paint(self, mask: Mask, label: int) -> CodeEdit:
        """Label the pixels of a mask as class ``label`` (class index + 1); 0 erases."""
        return self._edit(mask, np.uint16(code_of(label)))

    def erase(self, mask: Mask) -> CodeEdit:
        """Take the labels of a mask back; the prediction shows there again."""
        touched = mask & self.touched
        return self._edit(touched, self._prediction[touched].astype(np.uint16))

    def accept(self, mask: Mask) -> CodeEdit:
        """Turn the prediction in a mask into labels; what is labelled keeps its label."""
        fresh = mask & ~self.touched & (self._prediction > 0)
        return self._edit(fresh, self._prediction[fresh].astype(np.uint16) + LABELLED)

    def accept_region(self, y: int, x: int) -> CodeEdit:
        """Accept the connected pixels that are predicted as the class of one pixel.

        Raises
        ------
        EditError
            For a pixel outside the image.
        """
        height, width = self.codes.shape
        if not (0 <= y < height and 0 <= x < width):
            raise EditError("There is no region outside the image: click inside it.")
        return self.accept(component_at(self._prediction, y, x))

    def accept_all(self) -> CodeEdit:
        """Accept the whole image."""
        return self.accept(np.ones(self.codes.shape, bool))

    def apply(self, edit: CodeEdit) -> None:
        """Do, or do again, an edit."""
        self.codes[edit.indices] = edit.new

    def revert(self, edit: CodeEdit) -> None:
        """Undo an edit."""
        self.codes[edit.indices] = edit.old

    def _edit(self, mask: Mask, codes: Any) -> CodeEdit:
        rows, columns = np.nonzero(mask)
        new = np.broadcast_to(np.asarray(codes, np.uint16), rows.shape)
        old = self.codes[rows, columns]
        changed = old != new
        return CodeEdit((rows[changed], columns[changed]), old[changed], new[changed])

    # -- the prediction moves on -------------------------------------------------------------

    def update(self, prediction: npt.NDArray[Any]) -> None:
        """Show a newer prediction wherever nothing is labelled; labels stay.

        Raises
        ------
        LabelError
            When its shape differs or a value can be no class.
        """
        newer = _checked(prediction)
        self._same_shape(newer)
        self._prediction = newer
        self.refresh()

    def refresh(self) -> tuple[slice, slice] | None:
        """Show the prediction again where codes are neither labels nor the prediction.

        An eraser leaves 0, and an undone stroke the prediction of its time. Call this after
        every stroke, undo and redo; it moves no label, so it belongs into no history.

        Returns
        -------
        tuple of slice or None
            The box of the pixels that changed.
        """
        stale = (self.codes <= LABELLED) & (self.codes != self._prediction)
        rows, columns = np.flatnonzero(stale.any(1)), np.flatnonzero(stale.any(0))
        if not len(rows):
            return None
        box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        np.copyto(self.codes[box], self._prediction[box], where=stale[box])
        return box

    def _same_shape(self, other: Labels) -> None:
        if other.shape != self._prediction.shape:
            raise LabelError(
                f"The prediction is {self._prediction.shape} pixels, what should be combined with "
                f"it {other.shape}: choose the annotations that belong to this image."
            )


def _checked(values: npt.NDArray[Any]) -> Labels:
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.integer) or array.ndim != 2:
        raise LabelError(
            f"Labels of type {array.dtype} and shape {array.shape} cannot be corrected: "
            "choose a labels layer of one image, with whole numbers."
        )
    if array.size and (array.min() < 0 or array.max() > np.iinfo(np.uint8).max):
        raise LabelError(f"The values {array.min()} to {array.max()} are no classes: use 0 to 255.")
    return array.astype(np.uint8)
