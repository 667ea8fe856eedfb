"""What the values, colours and names of a foreign mask mean, where somebody has said so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.config import MOST_CLASSES, SegmentationClass
from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.labels.check import Labels
from napari_gaussproto.core.labels.mask_guess import TRANSPARENT, VOID, are_color_codes


@dataclass(frozen=True)
class MaskRules:
    """How masks become labels.

    Attributes
    ----------
    classes : sequence of SegmentationClass
        Without any, every whole number up to 254 is a class.
    offset : int
        Added to numbers, so that classes count from 1.
    ignore : sequence of int
        Numbers, before the offset, that are not labelled.
    colors : mapping of str to str
        ``#rrggbb`` of classes by name, in masks made of colours; else their own colours.
    ignore_colors : sequence of str
        ``#rrggbb`` of what is not labelled.
    background : str
        Class of what no outline marks; empty where it is not labelled.
    ignore_names : sequence of str
        Names of outlines that are not labelled.
    """

    classes: Sequence[SegmentationClass] = ()
    offset: int = 0
    ignore: Sequence[int] = ()
    colors: Mapping[str, str] = field(default_factory=dict)
    ignore_colors: Sequence[str] = ()
    background: str = ""
    ignore_names: Sequence[str] = ()

    def labels(
        self,
        values: npt.NDArray[Any],
        colors: Mapping[int, str],
        names: Mapping[int, str],
        file: str,
    ) -> Labels:
        """Labels (H, W) of a mask.

        Parameters
        ----------
        values : (H, W) ndarray of integers
        colors, names : mapping of int to str
            That the file gives to values.
        file : str
            Name of the mask, for sentences.

        Raises
        ------
        LabelError
            When something in the mask is no class.
        """
        if names:
            return self._of_table(values, self._named(values, names, file))
        # Black alone may be a palette of numbers; a picture of colours has more than greys.
        if colors and (self.colors or (are_color_codes(colors) and max(colors) > MOST_CLASSES + 1)):
            return self._of_table(values, self._coloured(values, colors, file))
        return self._numbered(values, file)

    def are_colors(self, greys: Iterable[str]) -> bool:
        """Whether greys, ``#rrggbb``, are colours of classes, and not numbers stored as greys."""
        named = [color for _, color in self._known_colors()]
        known = {color.lower() for color in (*named, *self.ignore_colors)}
        return bool(self.colors) or known.issuperset(greys)

    def _of_table(self, values: npt.NDArray[Any], table: Mapping[int, int]) -> Labels:
        present, places = np.unique(values, return_inverse=True)
        return np.array([table[int(v)] for v in present], np.uint8)[places].reshape(values.shape)

    def _named(
        self, values: npt.NDArray[Any], names: Mapping[int, str], file: str
    ) -> dict[int, int]:
        labels = {_plain(c.name): i + 1 for i, c in enumerate(self.classes)}
        labels |= {_plain(name): 0 for name in self.ignore_names}
        if self.background and _plain(self.background) not in labels:
            raise LabelError(
                f"background names “{self.background}”, which is no class: the classes are "
                f"{self._listed()}."
            )
        table = {0: labels.get(_plain(self.background), 0)}
        for value in np.unique(values).tolist():
            if value and _plain(names[value]) not in labels:
                raise LabelError(
                    f"“{file}” marks “{names[value]}”{_place(values, value)}, which is no class: "
                    f"the classes are {self._listed()}. Rename it, or list it under ignore_names."
                )
            if value:
                table[value] = labels[_plain(names[value])]
        return table

    def _coloured(
        self, values: npt.NDArray[Any], colors: Mapping[int, str], file: str
    ) -> dict[int, int]:
        unknown = [name for name in self.colors if name not in {c.name for c in self.classes}]
        if unknown:
            raise LabelError(
                f"colors names “{unknown[0]}”, which is no class: the classes are {self._listed()}."
            )
        if not self.classes:
            raise LabelError(
                f"“{file}” is made of colours, and there are no classes to tell them by: save it "
                "as whole numbers."
            )
        labels = {color.lower(): 0 for color in self.ignore_colors}
        for number, entry in enumerate(self.classes, start=1):
            labels[self.colors.get(entry.name, entry.color).lower()] = number
        table = {TRANSPARENT: 0}
        for value, color in colors.items():
            if color not in labels:
                known = ", ".join(f"{c} {n}" for c, n in self._known_colors())
                raise LabelError(
                    f"“{file}” has the colour {color}{_place(values, value)}, which is no class's "
                    f"({known}): name it under colors, or list it under ignore_colors."
                )
            table[value] = labels[color]
        return table

    def _known_colors(self) -> list[tuple[str, str]]:
        return [(c.name, self.colors.get(c.name, c.color)) for c in self.classes]

    def _listed(self) -> str:
        return ", ".join(c.name for c in self.classes)

    def _numbered(self, values: npt.NDArray[Any], file: str) -> Labels:
        known = ~np.isin(values, [*self.ignore, TRANSPARENT])
        labels = np.where(known, values.astype(np.int64) + self.offset, 0)
        low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
        most = len(self.classes) or MOST_CLASSES
        if low >= 0 and high <= most:
            return labels.astype(np.uint8)
        wrong = int(values[(labels < 0) | (labels > most)].max())
        if wrong in VOID:
            raise LabelError(
                f"“{file}” has the value {wrong}{_place(values, wrong)}, which often means that "
                f"nobody looked there: say so with ignore = [{wrong}], or --ignore {wrong}."
            )
        raise LabelError(
            f"“{file}” has values from {values[known].min()} to {values[known].max()}: "
            f"set mask_offset so that classes count from 1"
            + (f" to {most}." if self.classes else ".")
        )


def _plain(name: str) -> str:
    return name.strip().casefold()


def _place(values: npt.NDArray[Any], value: int) -> str:
    """Where a value is first met, in words."""
    found = np.argwhere(values == value)
    more = f" and {len(found) - 1} more pixels" if len(found) > 1 else ""
    return f" at row {found[0][0]}, column {found[0][1]}{more}"
