"""What values, colours and names of a mask mean, and sentences for what means nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_gaussproto.core.base.config import SegmentationClass
from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.labels.mask_guess import TRANSPARENT
from napari_gaussproto.core.labels.mask_rules import MaskRules

CLASSES = [
    SegmentationClass(name=name, color=color)
    for name, color in (("soil", "#000000"), ("crop", "#00FF00"), ("weed", "#ff0000"))
]
NUMBERS = np.array([[0, 1, 2], [2, 255, 0]])
CODES = np.array([[0x000000, 0x00FF00, 0xFF0000], [0xFF0000, TRANSPARENT, 0x000000]])
COLORS = {0: "#000000", 0x00FF00: "#00ff00", 0xFF0000: "#ff0000"}


def labels(rules: MaskRules, values: Any = NUMBERS, colors: Any = None, names: Any = None) -> Any:
    return rules.labels(values, colors or {}, names or {}, "m.png").tolist()


def test_numbers_count_from_one_after_the_offset() -> None:
    assert labels(MaskRules(CLASSES, 1, [255])) == [[1, 2, 3], [3, 0, 1]]
    assert labels(MaskRules((), 0, [255])) == [[0, 1, 2], [2, 0, 0]]
    # A palette's colours are for the eye, unless somebody says that they are the classes.
    palette = {0: "#ff0000", 1: "#000000", 2: "#00ff00"}
    assert labels(MaskRules(CLASSES, 1, [255]), colors=palette) == [[1, 2, 3], [3, 0, 1]]


def test_what_nobody_looked_at_is_offered_to_be_ignored() -> None:
    for classes in (CLASSES, ()):
        with pytest.raises(LabelError) as caught:
            labels(MaskRules(classes, 1))
        words = "“m.png” has the value 255 at row 1, column 1, which often means that nobody looked"
        assert str(caught.value).startswith(words)
        assert "ignore = [255], or --ignore 255" in str(caught.value)
    with pytest.raises(LabelError, match=r"values from 0 to 2: set mask_offset .* from 1 to 3\."):
        labels(MaskRules(CLASSES, 9, [255]))


def test_colours_are_those_of_the_classes_or_given_ones() -> None:
    assert labels(MaskRules(CLASSES), CODES, COLORS) == [[1, 2, 3], [3, 0, 1]]
    given = MaskRules(CLASSES, colors={"crop": "#ff0000", "weed": "#00FF00"})
    assert labels(given, CODES, COLORS) == [[1, 3, 2], [2, 0, 1]]
    left_out = MaskRules(CLASSES[:2], ignore_colors=["#FF0000"])
    assert labels(left_out, CODES, COLORS) == [[1, 2, 0], [0, 0, 1]]


def test_an_unknown_colour_is_named_with_its_place() -> None:
    with pytest.raises(LabelError) as caught:
        labels(MaskRules(CLASSES[:2]), CODES, COLORS)
    assert str(caught.value) == (
        "“m.png” has the colour #ff0000 at row 0, column 2 and 1 more pixels, which is no class's "
        "(soil #000000, crop #00FF00): name it under colors, or list it under ignore_colors."
    )
    with pytest.raises(LabelError, match="colors names “thistle”, which is no class: the classes"):
        labels(MaskRules(CLASSES, colors={"thistle": "#010203"}), CODES, COLORS)


def test_names_are_those_of_the_classes() -> None:
    names = {1: "Crop ", 2: "weed"}
    values = np.array([[0, 1, 2]])
    assert labels(MaskRules(CLASSES), values, names=names) == [[0, 2, 3]]
    assert labels(MaskRules(CLASSES, background="soil"), values, names=names) == [[1, 2, 3]]
    ignoring = MaskRules(CLASSES[:2], ignore_names=["weed"])
    assert labels(ignoring, values, names=names) == [[0, 2, 0]]
    # A name that marks nothing here does no harm.
    assert labels(MaskRules(CLASSES), values, names=names | {3: "thistle"}) == [[0, 2, 3]]
    with pytest.raises(LabelError, match="marks “weed” at row 0, column 2, which is no class: the"):
        labels(MaskRules(CLASSES[:2]), values, names=names)
    with pytest.raises(LabelError, match="background names “sand”, which is no class"):
        labels(MaskRules(CLASSES, background="sand"), values, names=names)
