"""What a fit says of its prototypes: pictures of the cells that they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from napari_gaussproto.core.base.config import TrainingConfig
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.training.cells import LabelledCells
from napari_gaussproto.core.training.describe import tidy
from napari_gaussproto.core.training.pyramid import encode_pyramid
from napari_gaussproto.core.training.quick_fit import QuickFit, quick_fit_steps
from tests.core.builders import tiny_model, two_tone
from tests.core.training.test_quick_fit import KINDS, blank, strokes


def fitted(image: Any, truth: Any, start: Any, **options: Any) -> QuickFit:
    encoded = encode_pyramid(image, start)
    return run(quick_fit_steps([encoded], [strokes(truth)], start, **options))


@pytest.mark.parametrize("kind", KINDS)
def test_every_prototype_of_a_new_model_shows_stroke_cells(kind: str) -> None:
    image, truth = two_tone(seed=3)
    model = fitted(image, truth, blank(**KINDS[kind]), scratch=True).model
    for prototype in model.prototypes:
        assert 1 <= len(prototype.patches) <= 3
        assert len(prototype.patch_labels) == len(prototype.patches)
        assert 0 < prototype.purity <= 1


def test_a_fit_on_another_photograph_shows_that_one() -> None:
    image, truth = two_tone(seed=3)
    first = fitted(image, truth, tiny_model()).model
    dark = image // 4
    second = fitted(dark, truth, first).model
    assert all(prototype.patches.max() > dark.max() for prototype in first.prototypes)
    assert all(prototype.patches.max() <= dark.max() for prototype in second.prototypes)


def test_a_class_without_strokes_keeps_its_pictures() -> None:
    image, truth = two_tone(seed=3)
    start = tiny_model(classes=["soil", "crop", "weed"])
    kept = np.full((1, 48, 48, 3), 7, np.uint8)
    for prototype in start.prototypes:
        prototype.patches, prototype.patch_labels = kept, np.array([prototype.class_index])
    model = fitted(image, truth, start).model
    for prototype in model.prototypes:
        assert (prototype.patches.shape == kept.shape) == (prototype.class_index == 2)


def test_pictures_of_one_photograph_lie_apart() -> None:
    image, truth = two_tone(seed=3)
    labels = np.where(truth == 1, 1, 2).astype(np.uint8)
    encoded = encode_pyramid(image, start := blank())
    model = run(quick_fit_steps([encoded], [labels], start, scratch=True)).model
    for prototype in model.prototypes:
        flat = prototype.patches.reshape(len(prototype.patches), -1)
        assert len(np.unique(flat, axis=0)) == len(flat)


def test_a_prototype_of_one_short_stroke_shows_that_stroke_alone() -> None:
    image, truth = two_tone(seed=3)
    labels = np.zeros_like(truth)
    for value in (1, 2):
        y, x = np.argwhere(truth == value)[100]
        labels[y, x : x + 12] = np.where(truth[y, x : x + 12] == value, value, 0)
    encoded = encode_pyramid(image, start := blank())
    model = run(quick_fit_steps([encoded], [labels], start, scratch=True)).model
    for prototype in model.prototypes:
        assert len(prototype.patches) < 3
        assert (prototype.patch_labels == prototype.class_index).all() and prototype.purity == 1


def test_prototypes_of_a_class_without_cells_are_not_removed() -> None:
    model = tiny_model()
    z = model.layer.mean[model.layer.class_index == 0].detach()
    target = torch.tensor([[1.0, 0.0]]).repeat(len(z), 1)
    where = torch.zeros(len(z), dtype=torch.long)
    tidy(model, LabelledCells(z, target, torch.ones(len(z)), where, where), TrainingConfig())
    assert [p.name for p in model.prototypes if p.class_index == 1] == ["plant 1", "plant 2"]
