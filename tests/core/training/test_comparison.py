"""Which start is better, by strokes that were held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.comparison import Contender, StartComparison, compare_steps
from napari_gaussproto.core.training.pyramid import encode_pyramid
from tests.core.builders import tiny_config, two_tone

IMAGE, TRUTH = two_tone(seed=3)
SURE = (0.02, 0.02)


def strokes(each: int) -> np.ndarray:
    """Squares of 5 pixels, so many in each class."""
    labels = np.zeros_like(TRUTH)
    rng = np.random.default_rng(0)
    for value in (1, 2):
        spots = np.argwhere(TRUTH[4:-4, 4:-4] == value) + 4
        count = 0
        while count < each:
            y, x = spots[rng.integers(len(spots))]
            around = np.s_[y - 4 : y + 5, x - 4 : x + 5]
            if (TRUTH[around] == value).all() and not labels[around].any():
                labels[y - 2 : y + 3, x - 2 : x + 3] = value
                count += 1
    return labels


def contender(**changes: object) -> Contender:
    model = PrototypeSegmenter(tiny_config(neck="none", **changes)).eval()
    return Contender(model, True, [encode_pyramid(IMAGE, model)])


def blind() -> Contender:
    """A start to which all of the image looks alike."""
    start = contender()
    nothing = tuple(torch.zeros_like(level) for level in start.images[0].pyramid)
    return Contender(start.model, True, [replace(start.images[0], pyramid=nothing)])


def test_a_start_that_sees_the_classes_is_better_than_a_blind_one() -> None:
    seeing, labels = contender(local_features=True), [strokes(5)]
    found = run(compare_steps(blind(), seeing, labels))
    assert found is not None and found.strokes == 10
    assert found.accuracy[1] > 0.9 > found.accuracy[0] and found.is_second_better
    back = run(compare_steps(seeing, blind(), labels))
    assert back is not None and not back.is_second_better
    assert back.accuracy == found.accuracy[::-1]


def test_the_same_start_is_no_better() -> None:
    start = contender(local_features=True)
    found = run(compare_steps(start, start, [strokes(5)]))
    assert found is not None and found.accuracy[0] == found.accuracy[1] and found.error == 0
    assert found.doubt[0] == found.doubt[1] and not found.is_second_better


def test_a_few_strokes_say_nothing() -> None:
    start = contender(local_features=True)
    assert run(compare_steps(start, start, [strokes(3)])) is None


def test_classes_count_alike_however_many_strokes_they_have() -> None:
    right = np.array([[1, 1]] * 9 + [[0, 1]] * 3, float)
    found = StartComparison.of(right, np.array([1] * 9 + [2] * 3), SURE)
    assert found.accuracy == (0.5, 1.0) and found.error == 0 and found.is_second_better


@pytest.mark.parametrize(
    ("gains", "doubt", "better"),
    [
        ([0.3] * 8, SURE, True),
        ([0.3] * 7, SURE, False),  # too few strokes
        ([0.02] * 8, SURE, False),  # too little
        ([1.0, -0.9] * 4, SURE, False),  # as likely by chance
        ([0.3] * 8, (0.01, 0.2), False),  # unsure of the rest of the photograph
    ],
)
def test_only_what_is_clear_is_said(
    gains: list[float], doubt: tuple[float, float], better: bool
) -> None:
    right = np.array([[0.0, gain] for gain in gains])
    assert StartComparison.of(right, np.ones(len(gains), int), doubt).is_second_better == better
