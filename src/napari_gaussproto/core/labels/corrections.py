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

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import EditError
from napari_gaussproto.core.base.strips import numbered_strips, strips
from napari_gaussproto.core.imaging.masks import Mask, component_at
from napari_gaussproto.core.labels.check import Labels, check_labels
from napari_gaussproto.core.labels.class_table import label_colors, label_names
from napari_gaussproto.core.labels.codes import PREDICTED, Codes, Snapshot, labels_of

_NOTHING_PREDICTED = "Nothing is predicted here yet: fit or run a model first."


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
    def blank(cls, shape: tuple[int, ...]) -> Corrections:
        """Of an image (..., H, W) on which nothing is predicted or labelled."""
        record = cls(np.zeros((0, 0), np.uint8))
        record._predicted, record.codes = np.zeros(shape, np.uint16), np.zeros(shape, np.uint16)
        return record

    @classmethod
    def of_codes(cls, codes: Codes) -> Corrections:
        """Go on with codes (..., H, W) that are shown already; the array becomes the record.

        Below labels, what is predicted is not known until `update`.
        """
        record = cls.blank(codes.shape)
        for predicted, strip in strips(record._predicted, codes):
            np.copyto(predicted, strip, where=strip > PREDICTED)
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
        mask = np.empty(self.codes.shape, bool)
        for out, codes in strips(mask, self.codes):
            out[...] = _is_label(codes)
        return mask

    @property
    def corrected(self) -> Mask:
        """(..., H, W) labelled pixels for which another class is predicted."""
        mask = np.empty(self.codes.shape, bool)
        for out, codes, predicted in strips(mask, self.codes, self._predicted):
            other = (predicted > 0) & (codes + PREDICTED != predicted)
            np.logical_and(_is_label(codes), other, out=out)
        return mask

    # -- edits: nothing changes until they are applied, here or by the viewer ----------------

    def paint(self, mask: Mask, label: int) -> CodeEdit:
        """Label the pixels of a mask (..., H, W) as ``label`` (class index + 1); 0 erases."""
        value = np.uint16(label)
        return _change(self.codes, lambda codes, there: np.where(there, value, codes), mask)

    def erase(self, mask: Mask) -> CodeEdit:
        """Take the labels in a mask (..., H, W) back; the prediction shows there again."""

        def erased(codes: Codes, there: Mask, predicted: Codes) -> Codes:
            return np.where(there & _is_label(codes), predicted, codes)

        return _change(self.codes, erased, mask, self._predicted)

    def clear(self) -> CodeEdit:
        """Take all labels back."""
        return _change(self.codes, lambda codes, predicted: predicted, self._predicted)

    def replace(self, labels: npt.NDArray[Any]) -> CodeEdit:
        """Make these (..., H, W) the labels, all of them."""
        given = check_labels(labels, self.codes.shape)
        return _change(self.codes, lambda codes, *both: _laid(*both), given, self._predicted)

    def accept(self, mask: Mask) -> CodeEdit:
        """Turn the prediction in a mask (..., H, W) into labels; what is labelled stays."""

        def accepted(codes: Codes, there: Mask, predicted: Codes) -> Codes:
            fresh = there & (predicted > 0) & ~_is_label(codes)
            return np.where(fresh, predicted - np.uint16(PREDICTED), codes)

        return _change(self.codes, accepted, mask, self._predicted)

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
        if not self._predicted[tuple(leading)].any():
            raise EditError(_NOTHING_PREDICTED)
        planes = np.zeros((*self.codes.shape[:-2], 1, 1), bool)
        planes[tuple(leading)] = True
        return self.accept(np.broadcast_to(planes, self.codes.shape))

    def apply(self, edit: CodeEdit) -> None:
        """Do, or do again, an edit."""
        self.codes[edit.mask] = edit.new

    def revert(self, edit: CodeEdit) -> None:
        """Undo an edit."""
        self.codes[edit.mask] = edit.old

    # -- the prediction moves on -------------------------------------------------------------

    def update(self, prediction: npt.NDArray[Any], numbers: Iterable[int] | None = None) -> None:
        """Show a newer prediction (..., H, W) wherever nothing is labelled; labels stay.

        With ``numbers`` in these strips alone, as `strips` counts them; values are known to be
        good then.

        Raises
        ------
        LabelError
            When its shape differs or a value can be no class.
        """
        newer = check_labels(prediction, self.codes.shape) if numbers is None else prediction
        arrays = self.codes, self._predicted, newer
        for _, codes, predicted, values in numbered_strips(numbers, *arrays):
            _code_predicted(values, predicted)
            _show(codes, predicted)

    def change_classes(
        self,
        became: Callable[[Labels], Labels],
        prediction: Labels | None,
        values: npt.NDArray[np.uint8],
    ) -> None:
        """Other labels in place of these, and another prediction, of other classes.

        Parameters
        ----------
        became : callable
            The new labels (n, W) of some rows, which are given from the first to the last.
        prediction : (..., H, W) ndarray of uint8, optional
            Without one, there is none until `update`.
        values : (256,) ndarray
            Class index + 1, or 0, of each value in the prediction.
        """
        if prediction is None:
            self._predicted[...] = 0
            for (codes,) in strips(self.codes):
                codes[...] = became(labels_of(codes))
            return
        known = np.where(values > 0, values + np.uint16(PREDICTED), np.uint16(0))
        for codes, predicted, below in strips(self.codes, self._predicted, prediction):
            np.take(known, below, out=predicted, mode="clip")
            codes[...] = _laid(became(labels_of(codes)), predicted)

    def settle(
        self, last: Snapshot, n_classes: int, numbers: Iterable[int] | None = None
    ) -> tuple[bool, Snapshot]:
        """Show the prediction where codes were changed to what is neither a label nor predicted.

        An eraser leaves 0, and an undone stroke the prediction of its time. Call this after
        every stroke, undo and redo; it moves no label but those of no class, which go, so there
        is nothing to undo.

        Parameters
        ----------
        last : Snapshot
            The codes when this was done last.
        n_classes : int
        numbers : iterable of int, optional
            Strips that may have changed; all, if that is not known.

        Returns
        -------
        corrected : bool
            Whether any pixel changed by this call.
        now : Snapshot
            The codes now: ``last`` itself if they are the same.
        """
        corrected, changed = False, {}
        fits = max(last.painted, default=-1) < n_classes
        for number, codes, predicted in numbered_strips(numbers, self.codes, self._predicted):
            before = last.pieces[number]
            known = fits or max(last.painted_in(number), default=-1) < n_classes
            if known and np.array_equal(codes, before):
                continue
            unknown = _is_label(codes) & (codes > n_classes)
            codes[unknown] = 0
            corrected |= _show(codes, predicted) or bool(unknown.any())
            if not np.array_equal(codes, before):
                changed[number] = codes
        return corrected, last.with_strips(changed) if changed else last


@dataclass(frozen=True)
class ReadyLabels:
    """Labels made ready to be worked on, by a thread: all that looks at every pixel.

    Attributes
    ----------
    record : Corrections
        Without a prediction.
    codes : Snapshot
        Its codes, and which classes are labelled there.
    """

    record: Corrections
    codes: Snapshot

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> ReadyLabels:
        """Of an image (..., H, W) on which nothing is labelled."""
        return cls(Corrections.blank(shape), Snapshot.blank(shape))

    @classmethod
    def of(cls, labels: Labels) -> ReadyLabels:
        """Of labels (..., H, W), class index + 1 or 0.

        Raises
        ------
        LabelError
            When they can be none.
        """
        record = Corrections(np.zeros(np.shape(labels), np.uint8), labels)
        codes = Snapshot.of(record.codes)
        _ = codes.painted  # is found here, and remembered
        return cls(record, codes)


def laid_over(before: Snapshot, labels: Labels) -> CodeEdit:
    """The edit of codes (..., H, W) that sets labels (..., H, W) wherever there are some."""
    return _change(before.codes, lambda codes, given: _laid(given, codes), labels)


def _change(
    codes: Codes, wanted: Callable[..., npt.NDArray[Any]], *arrays: npt.NDArray[Any]
) -> CodeEdit:
    """The edit that makes codes (..., H, W) what is wanted, given strips of them and of arrays."""
    mask = np.empty(codes.shape, bool)
    old, new = [np.zeros(0, np.uint16)], [np.zeros(0, np.uint16)]
    for changed, before, *others in strips(mask, codes, *arrays):
        after = wanted(before, *others)
        np.not_equal(before, after, out=changed)
        old.append(before[changed])
        new.append(after[changed])
    return CodeEdit(mask, np.concatenate(old), np.concatenate(new))


def _is_label(codes: Codes) -> Mask:
    # Less one, 0 is the largest value there is: one comparison finds what is labelled.
    mask: Mask = (codes - np.uint16(1)) < PREDICTED - 1
    return mask


def _laid(labels: Labels, codes: Codes) -> Codes:
    """Labels where there are some, over codes."""
    return np.where(labels > 0, labels, codes)


def _show(codes: Codes, predicted: Codes) -> bool:
    """Show what is predicted where there is no label; whether that changed anything."""
    stale = (codes != predicted) & ~_is_label(codes)
    np.copyto(codes, predicted, where=stale)
    return bool(stale.any())


def _code_predicted(labels: Labels, out: Codes) -> None:
    """Write the codes of predicted labels."""
    np.multiply(labels > 0, np.uint16(PREDICTED), out=out)
    out += labels


def _predicted_codes(labels: Labels) -> Codes:
    codes = np.empty(labels.shape, np.uint16)
    for out, strip in strips(codes, labels):
        _code_predicted(strip, out)
    return codes
