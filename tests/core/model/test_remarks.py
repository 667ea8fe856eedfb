"""What is said of pictures that a model was not made for."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.model.familiarity import LEAST_PHOTOS
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.model.stack import segment_stack_steps
from napari_gaussproto.core.training.describe import learn_look
from napari_gaussproto.core.training.full_fit import fit
from napari_gaussproto.core.training.quick_fit import quick_fit
from tests.core.builders import tiny_config, tiny_model, tiny_training, two_tone

PHOTOS = [two_tone(64, 96, seed)[0] for seed in range(LEAST_PHOTOS + 1)]
NOISE = np.random.default_rng(0).integers(0, 255, (64, 96, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def model() -> PrototypeSegmenter:
    model = tiny_model()
    learn_look(model, PHOTOS[:-1])
    for prototype in model.prototypes:
        prototype.patches = np.full((2, 48, 48, 3), (40, 120, 60), np.uint8)
    return model


def test_of_a_photograph_like_the_training_ones_nothing_is_said(model: PrototypeSegmenter) -> None:
    assert segment(PHOTOS[-1], model).remarks() == []
    assert segment(NOISE, tiny_model()).remarks() == []  # of which nothing is known


def test_a_picture_of_something_else_is_told(model: PrototypeSegmenter) -> None:
    segmentation = segment(NOISE, model)
    [remark] = segmentation.remarks()
    assert remark.startswith("Unlike the photographs that the model has learned from")
    assert remark.endswith("Train with a few strokes.")
    for name, distance in segmentation.class_novelty().items():
        assert name in ("soil", "plant") and distance > 0


def test_a_picture_without_colour_is_told_where_colour_is_expected(
    model: PrototypeSegmenter,
) -> None:
    grey = PHOTOS[0].mean(-1).astype(np.uint8)
    for image in (grey, np.dstack([grey] * 3), grey.astype(np.uint16) * 257):
        assert any("model expects colour" in text for text in segment(image, model).remarks())
    used_to_grey = tiny_model()
    for prototype in used_to_grey.prototypes:
        prototype.patches = np.full((2, 48, 48, 3), 90, np.uint8)
    assert segment(grey, used_to_grey).remarks() == []


@pytest.mark.parametrize("value", [0, 255])
def test_a_constant_picture_is_told(model: PrototypeSegmenter, value: int) -> None:
    [remark] = segment(np.full((64, 96, 3), value, np.uint8), model).remarks()
    assert "constant" in remark


def test_a_picture_that_is_mostly_gaps_is_told(model: PrototypeSegmenter) -> None:
    alpha = np.zeros((64, 96), np.uint8)
    alpha[:, 64:] = 255
    remarks = segment(np.dstack([PHOTOS[-1], alpha]), model).remarks()
    assert remarks[0].startswith("Mostly without data") and "33% of the picture" in remarks[0]


def test_pictures_of_one_camera_that_were_read_differently_are_told() -> None:
    image, labels = two_tone(64, 96)
    bright = image.astype(np.uint16) * 16
    dark = bright // 8
    fitted = quick_fit([bright], [labels], tiny_model(), device="cpu")
    assert segment(bright, fitted).remarks() == segment(image, fitted).remarks() == []
    [remark] = segment(dark, fitted).remarks()
    assert "were read as of 10 and 12 bits" in remark
    mixed = quick_fit([bright, dark], [labels, labels], tiny_model(), device="cpu")
    assert segment(bright, mixed).remarks() == [remark]
    again = fit([bright, dark], [labels, labels], tiny_config(), training=tiny_training())
    assert segment(dark, again).remarks() == [remark]


def test_values_that_were_cut_off_are_told() -> None:
    image = da.from_array(np.full((3000, 3000), 200, np.uint16), chunks=500)
    image[900, 900] = 4000
    window = ImageSource.from_array(image, 3).part(800, 800, 1000, 1000)
    [remark] = segment(window, tiny_model()).remarks()
    assert remark.startswith("Values above 255 were cut off")


def test_planes_are_counted(model: PrototypeSegmenter) -> None:
    stack = np.stack([PHOTOS[-1], NOISE, NOISE[::-1]])
    segmentation = run(segment_stack_steps(stack, model, rgb=True))
    assert segmentation.is_unlike
    assert any(text.startswith("2 of 3 planes: Unlike") for text in segmentation.remarks) or (
        sum("Unlike" in text for text in segmentation.remarks) == 2
    )
