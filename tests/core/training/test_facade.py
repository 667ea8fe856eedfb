"""Fits of plain arrays: what a person can do without the dock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_gaussproto.core.base.config import FIELD, NewModel
from napari_gaussproto.core.base.errors import ConfigError, ImageError, LabelError
from napari_gaussproto.core.model.model_file import save_model
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.quick_fit import quick_fit
from napari_gaussproto.core.training.trial_fit import fine_tune
from napari_gaussproto.io.samples import sample_mask, sample_photo
from tests.core.builders import TINY_BACKBONE, two_tone

NEW = NewModel(backbone=TINY_BACKBONE, pretrained=False, downsample=1)
PAIRS = [two_tone(seed=seed) for seed in range(2)]
IMAGES = [image for image, _ in PAIRS]


def strokes(truth: Any) -> Any:
    """Every twelfth pair of rows."""
    labels = truth.copy()
    labels[np.arange(len(labels)) % 12 > 1] = 0
    return labels


LABELS = [strokes(truth) for _, truth in PAIRS]


def same(a: PrototypeSegmenter, b: PrototypeSegmenter) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.fixture(scope="module")
def fitted() -> PrototypeSegmenter:
    return quick_fit(IMAGES[0], LABELS[0], NEW, classes=["soil", "plant"], device="cpu")


def test_a_new_model_learns_from_one_image(fitted: PrototypeSegmenter) -> None:
    assert [c.name for c in fitted.classes] == ["soil", "plant"]
    assert (segment(IMAGES[0], fitted).labels == PAIRS[0][1]).mean() > 0.8
    assert [entry["what"] for entry in fitted.card.history] == ["new model", "quick fit"]


def test_one_image_a_list_and_a_stack_are_the_same(fitted: PrototypeSegmenter) -> None:
    listed = quick_fit([IMAGES[0]], [LABELS[0]], NEW, classes=["soil", "plant"], device="cpu")
    assert same(listed, fitted)
    both = quick_fit(IMAGES, LABELS, NEW, device="cpu")
    stack = quick_fit(np.stack(IMAGES), np.stack(LABELS), NEW, device="cpu")
    assert same(both, stack) and not same(both, fitted)


def test_classes_without_names_are_numbered() -> None:
    labels = LABELS[0].copy()
    labels[labels == 2] = 3
    model = quick_fit(IMAGES[0], labels, NEW, device="cpu")
    assert [c.name for c in model.classes] == ["class 1", "class 2", "class 3"]
    with pytest.raises(ConfigError, match="two classes or more"):
        quick_fit(IMAGES[0], LABELS[0], NEW, classes=["soil"], device="cpu")


def test_a_model_and_its_file_are_the_same_start_and_stay_as_they_were(
    fitted: PrototypeSegmenter, tmp_path: Path
) -> None:
    before = {key: value.clone() for key, value in fitted.state_dict().items()}
    path = save_model(fitted, tmp_path / "field", half=False)
    steps: list[Any] = []
    from_model = quick_fit(IMAGES, LABELS, fitted, device="cpu", progress=steps.append)
    assert same(from_model, quick_fit(IMAGES, LABELS, path, device="cpu"))
    assert same(from_model, quick_fit(IMAGES, LABELS, str(path), device="cpu"))
    assert all(torch.equal(value, before[key]) for key, value in fitted.state_dict().items())
    assert [step.stage for step in steps] == ["decode", "decode", "layer"]


def test_classes_that_the_start_does_not_know_are_added(fitted: PrototypeSegmenter) -> None:
    image, labels = IMAGES[0].copy(), LABELS[0].copy()
    image[36:56, 96:128] = [60, 70, 190]
    labels[40:52, 100:124] = 3
    model = quick_fit(image, labels, fitted, classes=["soil", "plant", "stone"], device="cpu")
    assert (segment(image, model).labels[40:52, 100:124] == 3).mean() > 0.8


def test_fine_tuning_keeps_what_was_best(fitted: PrototypeSegmenter) -> None:
    steps: list[Any] = []
    model = fine_tune(
        IMAGES[0],
        LABELS[0],
        fitted,
        steps=2,
        unlabelled=IMAGES[1],
        device="cpu",
        progress=steps.append,
    )
    stages = {getattr(step, "stage", "") for step in steps}
    assert {"trial", "decode"} <= stages
    assert model.card.history[-1]["what"] in ("quick fit", "fine-tune")
    assert (segment(IMAGES[0], model).labels == PAIRS[0][1]).mean() > 0.8


def test_labels_tell_channels_in_front_from_planes(fitted: PrototypeSegmenter) -> None:
    first = np.ascontiguousarray(np.moveaxis(IMAGES[0], -1, 0))
    one, other = (quick_fit(image, LABELS[0], fitted, device="cpu") for image in (first, IMAGES[0]))
    assert np.array_equal(segment(IMAGES[0], one).labels, segment(IMAGES[0], other).labels)


def test_unlabelled_planes_that_may_be_channels_are_asked_about(fitted: PrototypeSegmenter) -> None:
    for shape, sentence in (
        ((5, 96, 128), "may be 5 planes or one picture"),
        ((96, 128, 5), "5 ch"),
    ):
        with pytest.raises(ImageError, match=sentence):
            unlabelled = np.zeros(shape, np.uint8)
            fine_tune(IMAGES[0], LABELS[0], fitted, steps=1, unlabelled=unlabelled, device="cpu")


def test_what_cannot_be_fitted_is_one_sentence(fitted: PrototypeSegmenter) -> None:
    cases: list[tuple[str, Any, Any]] = [
        ("one label image for every image", IMAGES, LABELS[:1]),
        ("of image 2 have shape", IMAGES, [LABELS[0], LABELS[1][:50]]),
        ("use 0 to 2", IMAGES, [LABELS[0], LABELS[1] * 2]),
        ("Nothing is labelled", IMAGES[0], np.zeros_like(LABELS[0])),
    ]
    for message, images, labels in cases:
        with pytest.raises(LabelError, match=message) as caught:
            quick_fit(images, labels, fitted, device="cpu")
        assert str(caught.value).count(". ") == 0
    with pytest.raises(LabelError, match="Only “plant” is labelled"):
        only = np.where(LABELS[0] == 2, 2, 0)
        quick_fit(IMAGES[0], only, NEW, classes=["soil", "plant"], device="cpu")


def test_three_strokes_are_enough_for_the_shipped_start() -> None:
    photo, mask = sample_photo("peanut_0286")[:360, :480], sample_mask("peanut_0286")[:360, :480]
    labels = np.zeros_like(mask)
    for value in np.unique(mask[mask > 0]):
        row = int((mask == value).sum(1).argmax())
        columns = np.flatnonzero(mask[row] == value)[:50]
        for y in range(max(row - 3, 0), row + 4):
            labels[y, columns] = np.where(mask[y, columns] == value, value, 0)
    right = {}
    for backbone in (FIELD, "tf_efficientnet_lite0"):
        model = quick_fit(photo, labels, NewModel(backbone=backbone), device="cpu")
        plants = segment(photo, model).labels > 1
        right[backbone] = ((plants & (mask > 1)).sum()) / (plants | (mask > 1)).sum()
    assert right[FIELD] > 0.8 and right[FIELD] > right["tf_efficientnet_lite0"]


def test_a_model_that_knows_none_of_the_classes_gives_its_network() -> None:
    model = quick_fit(IMAGES[0], LABELS[0], "peanut-grid", classes=["sand", "leaf"], device="cpu")
    assert [p.name for p in model.prototypes] == ["sand 1", "leaf 1"]
    assert (segment(IMAGES[0], model).labels == PAIRS[0][1]).mean() > 0.7
