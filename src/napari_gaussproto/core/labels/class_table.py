"""Changes of the class table, and what they do to labels that exist already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_gaussproto.core.base.config import (
    DEFAULT_COLORS,
    MOST_CLASSES,
    PLANT_COLOR,
    SOIL_COLOR,
    SegmentationClass,
)
from napari_gaussproto.core.base.errors import ConfigError, EditError, LabelError
from napari_gaussproto.core.base.strips import strips
from napari_gaussproto.core.labels.check import Labels, check_labels
from napari_gaussproto.core.labels.forgotten import Forgotten, Runs

Table = tuple[SegmentationClass, ...]

_FIRST_CLASSES = {"soil": SOIL_COLOR, "plant": PLANT_COLOR}
# A label value that no class has must be seen, so that nobody paints invisibly.
UNKNOWN_COLOR = "magenta"
# Last words of names of what lies behind the other classes, and how opaque it is over a photograph:
# more looks like a photograph under water, less like one where nothing is labelled.
_GROUND, _GROUND_ALPHA = ("soil", "ground", "earth"), 0.3


class WantedClass(NamedTuple):
    """A class as a file or a person names it; the colour ``#rrggbb``, or empty for any."""

    name: str
    color: str = ""


class Relabelling:
    """Labels under the new table, a few rows at a time: call it from the first row to the last."""

    def __init__(self, change: TableChange) -> None:
        self._became, back = change.became(), change.back()
        values = np.arange(len(self._became), dtype=np.uint8)
        # Removed or merged: the way back leads to another value.
        self._runs = Runs(values[back[self._became] != values])

    def __call__(self, labels: Labels) -> Labels:
        """Labels (n, W) of the next rows."""
        self._runs.add(labels)
        found: Labels = np.take(self._became, labels)
        return found

    @property
    def forgotten(self) -> Forgotten:
        """What the way back needs, of all rows up to now."""
        return self._runs.forgotten


class WayBack:
    """Labels under the old table, a few rows at a time: call it from the first row to the last."""

    def __init__(self, change: TableChange, forgotten: Forgotten) -> None:
        self._became, self._back = change.became(), change.back()
        self._forgotten, self._at = forgotten, 0
        self._values = np.unique(forgotten.values)

    def __call__(self, labels: Labels) -> Labels:
        """Labels (n, W) of the next rows; where something was drawn since, it stays."""
        restored: Labels = np.take(self._back, labels)
        begin, self._at = self._at, self._at + labels.size
        if len(self._values):
            lost = self._forgotten.between(begin, self._at).reshape(labels.shape)
            for value in self._values:
                untouched = (lost == value) & (labels == self._became[value])
                np.copyto(restored, value, where=untouched)
        return restored


@dataclass(frozen=True)
class TableChange:
    """A step from one class table to another.

    Attributes
    ----------
    mapping : tuple of int
        New label value of each old one, 0 included; 0 is not labelled.
    """

    before: Table
    after: Table
    mapping: tuple[int, ...]

    @property
    def is_renaming(self) -> bool:
        """Whether label values stay what they are, as when a name or a colour is changed."""
        return self.mapping == tuple(range(len(self.mapping)))

    def apply(self, labels: Labels) -> tuple[Labels, Forgotten]:
        """Labels (..., H, W) under the new table, and what `revert` needs for the old ones.

        They are those that were given where values stay what they are.
        """
        labels = check_labels(labels, None, len(self.before))
        if self.is_renaming:
            return labels, Forgotten()
        step = Relabelling(self)
        return _row_by_row(step, labels), step.forgotten

    def value_of(self, value: int, *, back: bool = False) -> int:
        """New label value of an old one, or with ``back`` the old one of a new one; 0 if gone."""
        return int(self.back()[value]) if back else self.mapping[value]

    def revert(self, labels: Labels, forgotten: Forgotten) -> Labels:
        """Labels (..., H, W) under the old table.

        Exactly the former ones if nothing was drawn since; where something was, the drawing
        stays.
        """
        labels = check_labels(labels, None, len(self.after))
        return _row_by_row(WayBack(self, forgotten), labels)

    def became(self) -> Labels:
        """New value of each old one, 0 of a class that is gone: (K,) for K old values."""
        return np.array(self.mapping, np.uint8)

    def back(self) -> Labels:
        """Old value of each new one, 0 of a class that is new: (K,) for K new values."""
        back = np.zeros(len(self.after) + 1, np.uint8)
        for old, new in enumerate(self.mapping):
            # Of several, the class that the others were merged into.
            if new and (not back[new] or self.before[old - 1] == self.after[new - 1]):
                back[new] = old
        return back


def _row_by_row(step: Callable[[Labels], Labels], labels: Labels) -> Labels:
    found = np.empty_like(labels)
    for out, strip in strips(found, labels):
        out[...] = step(strip)
    return found


def first_table() -> Table:
    """Classes to begin with where nothing is known yet, in colours that mean what they show."""
    return tuple(_colored(name, color) for name, color in _FIRST_CLASSES.items())


def add_class(table: Sequence[SegmentationClass], name: str, color: str = "") -> TableChange:
    """Append a class; without a colour, the first default one that is free.

    Raises
    ------
    EditError
        For an empty name, one that is taken, or too many classes.
    """
    if len(table) >= MOST_CLASSES:
        raise EditError(f"There are {MOST_CLASSES} classes already: remove or merge some.")
    _check_name(table, name)
    chosen = color or free_color([entry.color for entry in table])
    return _without_loss(table, (*table, _colored(name, chosen)))


def free_color(used: Sequence[str]) -> str:
    """The first default colour that is not used yet; one of them again after the last."""
    lower = [color.lower() for color in used]
    again = DEFAULT_COLORS[len(used) % len(DEFAULT_COLORS)]
    return next((color for color in DEFAULT_COLORS if color not in lower), again)


def rename_class(table: Sequence[SegmentationClass], index: int, name: str) -> TableChange:
    """Give a class another name.

    Raises
    ------
    EditError
        For an empty name, one that is taken, or no such class.
    """
    _check_index(table, index)
    _check_name([entry for i, entry in enumerate(table) if i != index], name)
    after = list(table)
    after[index] = table[index].model_copy(update={"name": name})
    return _without_loss(table, after)


def recolor_class(table: Sequence[SegmentationClass], index: int, color: str) -> TableChange:
    """Give a class another colour, ``#rrggbb``.

    Raises
    ------
    EditError
        For no such class, or what is no colour.
    """
    _check_index(table, index)
    after = list(table)
    after[index] = _colored(table[index].name, color)
    return _without_loss(table, after)


def extend_table(table: Sequence[SegmentationClass], wanted: Sequence[WantedClass]) -> TableChange:
    """Take classes over by name: known ones get the colours given, others are appended.

    Classes that are not among the wanted stay as they are. All of it is one change.

    Raises
    ------
    EditError
        As `add_class` and `recolor_class`.
    """
    after: Sequence[SegmentationClass] = tuple(table)
    for name, color in wanted:
        index = next((i for i, entry in enumerate(after) if entry.name == name), None)
        if index is None:
            after = add_class(after, name, color).after
        elif color and after[index].color.lower() != color.lower():
            after = recolor_class(after, index, color).after
    return _without_loss(table, after)


def remove_class(table: Sequence[SegmentationClass], index: int) -> TableChange:
    """Remove a class; what was labelled as it is not labelled any more.

    Raises
    ------
    EditError
        For no such class.
    """
    _check_index(table, index)
    return _selection(table, [i for i in range(len(table)) if i != index])


def merge_classes(table: Sequence[SegmentationClass], source: int, target: int) -> TableChange:
    """Make every label of one class a label of another, and remove the first.

    Raises
    ------
    EditError
        For no such class, or one and the same.
    """
    _check_index(table, source)
    _check_index(table, target)
    if source == target:
        raise EditError("A class cannot be merged with itself: choose two classes.")
    change = remove_class(table, source)
    mapping = list(change.mapping)
    mapping[source + 1] = mapping[target + 1]
    return replace(change, mapping=tuple(mapping))


def reorder_classes(table: Sequence[SegmentationClass], order: Sequence[int]) -> TableChange:
    """Put classes into another order: ``order[i]`` is the old index of the new class i.

    Raises
    ------
    EditError
        When ``order`` is no permutation.
    """
    if sorted(order) != list(range(len(table))):
        raise EditError("A new order must name every class once: try again.")
    return _selection(table, order)


def import_mask(mask: npt.NDArray[Any], mapping: Mapping[int, int], n_classes: int) -> Labels:
    """Labels (H, W) from a mask (H, W) in any whole-number coding or of bool.

    Parameters
    ----------
    mapping : mapping of int to int
        Label (class index + 1, or 0 for not labelled) of each value in the mask.

    Raises
    ------
    LabelError
        For a mask that is no such array, values without a mapping, or unknown classes.
    """
    values, positions = np.unique(_as_integers(mask), return_inverse=True)
    missing = [int(value) for value in values if int(value) not in mapping]
    if missing:
        listed = ", ".join(map(str, missing[:8])) + (" …" if len(missing) > 8 else "")
        raise LabelError(f"The mask also contains {listed}: say which class each value means.")
    labels = [mapping[int(value)] for value in values]
    if any(not 0 <= label <= n_classes for label in labels):
        raise LabelError(f"The mapping names a class that is not there: use 0 to {n_classes}.")
    return np.array(labels, np.uint8)[positions].reshape(mask.shape)


def mask_values(mask: npt.NDArray[Any]) -> dict[int, int]:
    """Values of a mask (H, W) and how many pixels have each, for a person to map to classes.

    Raises
    ------
    LabelError
        For a mask that is no (H, W) array of whole numbers.
    """
    values, counts = np.unique(_as_integers(mask), return_counts=True)
    return {int(value): int(count) for value, count in zip(values, counts, strict=True)}


def _as_integers(mask: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array = np.asarray(mask)
    if array.ndim != 2 or array.dtype.kind not in "bui":
        raise LabelError(
            f"A mask of type {array.dtype} and shape {array.shape} cannot be imported: "
            "give one whole number for every pixel, height x width."
        )
    return array.astype(np.uint8) if array.dtype.kind == "b" else array


def _selection(table: Sequence[SegmentationClass], order: Sequence[int]) -> TableChange:
    mapping = [0] * (len(table) + 1)
    for new, old in enumerate(order, start=1):
        mapping[old + 1] = new
    return TableChange(tuple(table), tuple(table[i] for i in order), tuple(mapping))


def _without_loss(
    table: Sequence[SegmentationClass], after: Sequence[SegmentationClass]
) -> TableChange:
    """A change that keeps every label value."""
    return TableChange(tuple(table), tuple(after), tuple(range(len(table) + 1)))


def _colored(name: str, color: str) -> SegmentationClass:
    try:
        return SegmentationClass(name=name, color=color)
    except ConfigError as error:
        raise EditError(f"“{color}” is no colour: give it as #rrggbb.") from error


def _check_index(table: Sequence[SegmentationClass], index: int) -> None:
    if not 0 <= index < len(table):
        raise EditError(f"There is no class {index + 1}: the table has {len(table)}.")


def _check_name(others: Sequence[SegmentationClass], name: str) -> None:
    if not name.strip():
        raise EditError("A class needs a name: type one.")
    if any(entry.name == name for entry in others):
        raise EditError(f"There is a class called “{name}” already: choose another name.")


# -- how label values are shown -----------------------------------------------------------------


def label_colors(classes: Sequence[SegmentationClass]) -> dict[int | None, str]:
    """Colour of each label value (class index + 1); that of None is for all other values."""
    colors: dict[int | None, str] = {None: UNKNOWN_COLOR, 0: "transparent"}
    return colors | {c + 1: entry.color for c, entry in enumerate(classes)}


def _is_ground(name: str) -> bool:
    return name.endswith(_GROUND) and not name.endswith("foreground")


def overlay_colors(classes: Sequence[SegmentationClass]) -> dict[int | None, str]:
    """The same for labels over a photograph: the class that is its ground is faint.

    Only where the names say which one it is: that of one class ends with soil, ground, earth or
    background, and there are others.
    """
    colors = label_colors(classes)
    ground = [c for c, entry in enumerate(classes) if _is_ground(entry.name.lower())]
    if len(ground) == 1 < len(classes):
        colors[ground[0] + 1] += f"{round(255 * _GROUND_ALPHA):02x}"
    return colors


def label_names(classes: Sequence[SegmentationClass]) -> dict[str, list[Any]]:
    """Label values and the names of their classes, in columns as napari's features have them."""
    names = ["not labelled", *(entry.name for entry in classes)]
    return {"index": list(range(len(names))), "class": names}
