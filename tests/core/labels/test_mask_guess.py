"""First guesses at what the values of a mask mean."""

from __future__ import annotations

import pytest

from napari_gaussproto.core.base.config import DEFAULT_COLORS, SegmentationClass
from napari_gaussproto.core.labels.mask_guess import (
    TRANSPARENT,
    are_color_codes,
    guess_mapping,
    label_values,
)


def table(count: int) -> list[SegmentationClass]:
    return [SegmentationClass(name=f"c{i}", color=DEFAULT_COLORS[i]) for i in range(count)]


@pytest.mark.parametrize(
    ("values", "n_classes", "expected"),
    [
        ({1: 5, 2: 5, 3: 5}, 3, {1: 1, 2: 2, 3: 3}),  # labels as ours
        ({0: 95, 1: 2, 2: 2, 3: 1}, 3, {0: 0, 1: 1, 2: 2, 3: 3}),
        ({0: 950, 2: 50}, 3, {0: 0, 2: 2}),  # of one class only
        ({0: 50, 1: 30, 2: 20}, 3, {0: 1, 1: 2, 2: 3}),  # counting from 0
        ({0: 50, 1: 30, 2: 15, 255: 5}, 3, {0: 1, 1: 2, 2: 3, 255: 0}),
        ({0: 99, 1: 1}, 2, {0: 0, 1: 1}),  # strokes on a wide ground
        ({0: 1, 1: 500, 2: 499}, 3, {0: 0, 1: 1, 2: 2}),  # 0 is a leftover
        ({0: 60, 255: 40}, 2, {0: 1, 255: 2}),  # yes or no
        ({0: 60, 255: 40}, 3, {0: 0, 255: 2}),
        ({0: 60, 255: 40}, 1, {0: 0, 255: 1}),
        ({0: 40, 1: 30, 2: 20, 255: 10}, 2, {0: 0, 1: 1, 2: 2, 255: 0}),
        ({0: 70, 50: 10, 100: 10, 150: 10}, 3, {0: 0, 50: 1, 100: 2, 150: 3}),
        ({0: 70, 10: 10, 20: 10, 30: 10}, 2, {0: 0, 10: 0, 20: 0, 30: 0}),  # no guess
        ({0: 70, 10: 10, 20: 20}, 5, {0: 0, 10: 0, 20: 0}),  # no guess either
        ({0: 4, 1: 3, 2: 2, 3: 1}, 2, {0: 0, 1: 1, 2: 2, 3: 0}),
        ({-1: 2, 1: 5, 2: 5}, 2, {-1: 0, 1: 1, 2: 2}),
        ({0: 5, 1: 5}, 0, {0: 0, 1: 0}),
        ({0: 7}, 3, {0: 0}),
        ({}, 3, {}),
    ],
)
def test_first_guess(values: dict[int, int], n_classes: int, expected: dict[int, int]) -> None:
    assert guess_mapping(values, table(n_classes)) == expected


def test_colours_of_classes_are_recognised() -> None:
    values = {TRANSPARENT: 10, 0x009E73: 5, 0xFF0000: 5}
    colors = {0x009E73: "#009E73", 0xFF0000: "#ff0000"}
    assert guess_mapping(values, table(3), colors) == {TRANSPARENT: 0, 0x009E73: 1, 0xFF0000: 0}


def test_other_colours_are_left_to_the_person() -> None:
    red_and_blue = {0xFF0000: "#ff0000", 0xFF: "#0000ff", 0: "#000000"}
    assert are_color_codes(red_and_blue) and label_values(dict.fromkeys(red_and_blue, 1),
        red_and_blue) == [0xFF, 0xFF0000]  # fmt: skip
    values = {0: 80, 0xFF: 10, 0xFF0000: 10}
    assert not any(guess_mapping(values, table(2), red_and_blue).values())
    blue = {0: "#000000", 0xFF: "#0000ff"}
    assert guess_mapping({0: 80, 0xFF: 20}, table(3), blue) == {0: 0, 0xFF: 2}
    palette = {0: "#000000", 1: "#ff0000", 2: "#0000ff"}
    assert not are_color_codes(palette) and not are_color_codes({})
    assert guess_mapping({0: 95, 1: 3, 2: 2}, table(2), palette) == {0: 0, 1: 1, 2: 2}


def test_values_that_mark_something() -> None:
    assert label_values({-1: 1, 0: 1, 1: 1, 7: 1, 255: 1, 65535: 1}) == [1, 7]
    assert label_values({0: 1, 255: 1}) == [255]
