"""What the values of a foreign mask probably mean; a person has the last word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from napari_gaussproto.core.base.config import SegmentationClass

# Value of what is fully transparent in a mask made of colours; see io/masks.py.
TRANSPARENT = -1
# Programs mark "no label" with the largest number of 8, 16 or 32 bits.
VOID = (255, 65535, 2**31 - 1, 2**32 - 1)
# A ground that covers almost everything is the part nobody drew on; one that covers almost
# nothing is what the drawing missed. Between, 0 is a class of its own.
_GROUND = (0.01, 0.9)
# With more values a mask rather numbers its objects, or is a picture.
MANY_VALUES = 50


def guess_mapping(
    values: Mapping[int, int],
    classes: Sequence[SegmentationClass],
    colors: Mapping[int, str] | None = None,
    names: Mapping[int, str] | None = None,
) -> dict[int, int]:
    """Label (class index + 1, 0 for not labelled) that each value of a mask probably means.

    In this order: names and colours that are those of classes; values that are labels already (1
    to C); those that count from 0 (0 to C - 1), when 0 is neither rare nor nearly everywhere; as
    many values as classes, in their order. All 0 where nothing fits, as with several colours that
    are no class's: their order means nothing. 0, 255 and the like are not labelled unless that
    leaves a yes-or-no mask empty.

    Parameters
    ----------
    values : mapping of int to int
        Pixels of each value, as from `mask_values`.
    colors : mapping of int to str, optional
        ``#rrggbb`` that the file gives to each value.
    names : mapping of int to str, optional
        What the file calls each value.
    """
    if names:
        called = {entry.name.casefold(): i + 1 for i, entry in enumerate(classes)}
        return {v: called.get(names.get(v, "").strip().casefold(), 0) for v in values}
    labels_of = {entry.color.lower(): i + 1 for i, entry in enumerate(classes)}
    named = {v: labels_of.get((colors or {}).get(v, "").lower(), 0) for v in values}
    if any(named.values()):
        return named
    guess = dict.fromkeys(values, 0)
    objects = label_values(values, colors)
    n_classes = len(classes)
    if not objects or not n_classes or (len(objects) > 1 and are_color_codes(colors)):
        return guess
    if _zero_is_a_class(values, objects, n_classes):
        objects = [0, *objects]
    elif len(objects) == 1 and objects[0] not in range(1, n_classes + 1):
        return guess | {objects[0]: min(2, n_classes)}  # yes or no: the first class is the ground
    labels = range(1, n_classes + 1)
    if 0 not in objects and set(objects) & set(labels):
        return guess | {value: value for value in objects if value in labels}
    if len(objects) == n_classes:
        return guess | {value: i + 1 for i, value in enumerate(objects)}
    return guess


def is_by_number(
    classes: Sequence[SegmentationClass],
    colors: Mapping[int, str] | None = None,
    names: Mapping[int, str] | None = None,
) -> bool:
    """Whether `guess_mapping` has nothing but numbers to go by: no name, and no class's colour."""
    known = {entry.color.lower() for entry in classes}
    return not names and not any(color.lower() in known for color in (colors or {}).values())


def label_values(values: Mapping[int, int], colors: Mapping[int, str] | None = None) -> list[int]:
    """Values that mark something: neither 0, nor negative, nor "no label" (255 and the like)."""
    positive = sorted(value for value in values if value > 0)
    if are_color_codes(colors):
        return positive
    return [value for value in positive if value not in VOID] or positive


def are_color_codes(colors: Mapping[int, str] | None) -> bool:
    """Whether values are colours, 0xRRGGBB, and not numbers that a palette gives colours to."""
    return bool(colors) and all(color == f"#{v:06x}" for v, color in (colors or {}).items())


def _zero_is_a_class(values: Mapping[int, int], objects: list[int], n_classes: int) -> bool:
    share = values.get(0, 0) / sum(values.values())
    if len(objects) + 1 != n_classes or not _GROUND[0] <= share <= _GROUND[1]:
        return False
    return n_classes == 2 or objects == list(range(1, n_classes))
