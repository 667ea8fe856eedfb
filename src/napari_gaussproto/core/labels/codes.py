"""Codes of labels and predictions in one array, and how they were at one moment."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.strips import n_strips, strips, values_in
from napari_gaussproto.core.labels.check import Labels

# Added to a class' label value where it is only predicted. Round, for status bars show codes.
PREDICTED = 1000
# References to what only an attribute or a tuple refers to, with that of the question.
ALONE = 2
Codes = npt.NDArray[np.uint16]


def label_value_of(code: int) -> int:
    """Label value (class index + 1) of the class that a code shows; 0 for none."""
    return code - PREDICTED if code > PREDICTED else code


def labels_of(codes: npt.NDArray[Any]) -> Labels:
    """What a person labelled, (..., H, W): class index + 1, or 0 where nothing was."""
    labels = np.empty(codes.shape, np.uint8)
    for out, strip in strips(labels, codes):
        _write_labels(strip, out)
    return labels


def painted_classes(codes: npt.NDArray[Any]) -> tuple[int, ...]:
    """Indices of the classes that a person labelled, of codes (..., H, W), in order."""
    values = values_in(np.asarray(codes, np.uint16))
    return tuple(value - 1 for value in values if 0 < value < PREDICTED)


class Snapshot:
    """Codes (..., H, W) at one moment, which never change again.

    They are kept strip by strip, as `strips` cuts them. What did not change since the moment
    before is shared with it, so that a stroke costs what it covers, and not the whole stack.

    Parameters
    ----------
    shape : tuple of int
    pieces : sequence of (n, W) ndarray of uint16
        One for each strip; none of them is written to again.
    painted : sequence of tuple of int or None, optional
        Indices of the classes that are labelled in each strip, where that is known already.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        pieces: Sequence[Codes],
        painted: Sequence[tuple[int, ...] | None] | None = None,
    ) -> None:
        self.shape, self.pieces = shape, tuple(pieces)
        self._painted = list(painted or [None] * len(self.pieces))
        self._in_all: tuple[int, ...] | None = None

    @classmethod
    def blank(cls, shape: tuple[int, ...]) -> Snapshot:
        """Of an image (..., H, W) on which nothing is predicted or labelled; it takes no memory."""
        pieces = [strip for (strip,) in strips(np.broadcast_to(np.uint16(0), shape))]
        return cls(shape, pieces, [()] * len(pieces))

    @classmethod
    def of(
        cls,
        codes: Codes,
        painted: tuple[int, ...] | None = None,
        former: Snapshot | None = None,
    ) -> Snapshot:
        """A copy of codes.

        Parameters
        ----------
        codes : (..., H, W) ndarray of uint16
        painted : tuple of int, optional
            Indices of the classes that are labelled, if they are known.
        former : Snapshot, optional
            Codes that nobody asks for any more; of their strips, those that no other moment and
            nobody else has are written over, as memory that is new to a process is dear.
        """
        can_reuse = former is not None and former.shape == codes.shape
        pieces = []
        for number, (strip,) in enumerate(strips(codes)):
            if can_reuse and former and _is_spare(former.pieces, number):
                np.copyto(former.pieces[number], strip)
                pieces.append(former.pieces[number])
            else:
                pieces.append(strip.copy())
        found = cls(codes.shape, pieces)
        found._in_all = painted
        return found

    def with_strips(self, changed: Mapping[int, Codes], *, relabelled: bool = True) -> Snapshot:
        """The next moment, at which some strips are others.

        Parameters
        ----------
        changed : mapping of int to ndarray of uint16, of shape (n, W)
            By the numbers of the strips.
        relabelled : bool
            False if only predictions differ there.
        """
        pieces, painted = list(self.pieces), list(self._painted)
        for number, strip in changed.items():
            pieces[number] = strip.copy()
            if relabelled:
                painted[number] = None
        return Snapshot(self.shape, pieces, painted)

    def painted_in(self, number: int) -> tuple[int, ...]:
        """Indices of the classes that are labelled in a strip, in order."""
        known = self._painted[number]
        if known is None:
            known = self._painted[number] = painted_classes(self.pieces[number])
        return known

    @property
    def painted(self) -> tuple[int, ...]:
        """Indices of the classes that are labelled, in order."""
        if self._in_all is None:
            self._in_all = self._painted_among(range(len(self.pieces)))
        return self._in_all

    def _painted_among(self, numbers: Iterable[int]) -> tuple[int, ...]:
        return tuple(sorted(set(chain.from_iterable(map(self.painted_in, numbers)))))

    @property
    def codes(self) -> Codes:
        """(..., H, W) a copy of them, in one array."""
        codes = np.empty(self.shape, np.uint16)
        for (out,), piece in zip(strips(codes), self.pieces, strict=True):
            out[...] = piece
        return codes

    @property
    def labels(self) -> Labels:
        """(..., H, W) class index + 1 where a person labelled, else 0."""
        labels = np.zeros(self.shape, np.uint8)
        for number, (out,) in enumerate(strips(labels)):
            if self.painted_in(number):
                _write_labels(self.pieces[number], out)
        return labels

    @property
    def labelled_planes(self) -> list[tuple[int, Labels]]:
        """Number, in C order of the leading axes, and labels (H, W) of every labelled plane."""
        size = self.shape[-2:]
        each = n_strips(size)
        found = []
        for plane in range(len(self.pieces) // each if each else 0):
            part = slice(plane * each, (plane + 1) * each)
            if self._painted_among(range(part.start, part.stop)):
                here = Snapshot(size, self.pieces[part], self._painted[part])
                found.append((plane, here.labels))
        return found


def _is_spare(pieces: tuple[Codes, ...], number: int) -> bool:
    # A part of a strip refers to it, too.
    return sys.getrefcount(pieces[number]) <= ALONE and pieces[number].flags.owndata


def _write_labels(codes: Codes, out: Labels) -> None:
    np.multiply(codes, codes < PREDICTED, out=out, casting="unsafe")
