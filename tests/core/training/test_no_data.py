"""Strokes on pixels without data: they are no labels, in whatever way a model is trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from napari_gaussproto.core.base.config import NewModel
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.labels.amount import DENSE_PAYS, Amount
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.comparison import Contender, compare_steps
from napari_gaussproto.core.training.fine_tune import TuneSettings, fine_tuning
from napari_gaussproto.core.training.pyramid import encode_pyramid, latents_of_image
from napari_gaussproto.core.training.quick_fit import quick_fit
from napari_gaussproto.core.training.trial_fit import fine_tune, trial_fit_steps
from tests.core.builders import TINY_BACKBONE, tiny_config, tiny_model, two_tone

NEW = NewModel(backbone=TINY_BACKBONE, pretrained=False, downsample=1)


def half_there() -> Any:
    """A photograph (96, 128, 4) whose right half is transparent."""
    photo = np.dstack([two_tone()[0], np.full((96, 128), 255, np.uint8)])
    photo[:, 64:, 3] = 0
    return photo


def one_of_two() -> Any:
    """Two strokes of each class, of which one has data."""
    labels = np.zeros((96, 128), np.uint8)
    for value, row in ((1, 10), (2, 60)):
        labels[row : row + 3, 10:40] = value
        labels[row : row + 3, 80:110] = value
    return labels


@pytest.mark.parametrize("seed", range(3))
def test_what_is_enough_for_a_quick_fit_can_be_fine_tuned(seed: int) -> None:
    fitted = quick_fit(half_there(), one_of_two(), NEW, device="cpu")
    tuned = fine_tune(half_there(), one_of_two(), fitted, steps=1, seed=seed, device="cpu")
    assert len(tuned.classes) == 2


def contender() -> Contender:
    model = PrototypeSegmenter(tiny_config(neck="none", local_features=True)).eval()
    return Contender(model, True, [encode_pyramid(half_there(), model)])


def test_a_comparison_counts_strokes_with_data_alone() -> None:
    labels = np.zeros((96, 128), np.uint8)
    for row in range(2, 90, 8):
        labels[row : row + 3, 80:110] = 1 + row % 16 // 8
    labels[4:8, 10:40], labels[60:64, 10:40] = 1, 2
    assert run(compare_steps(contender(), contender(), [labels])) is None
    there = labels[:, ::-1].copy()
    found = run(compare_steps(contender(), contender(), [there]))
    assert found is not None and found.strokes == 11


def test_strokes_of_one_class_compare_nothing() -> None:
    labels = np.zeros((96, 128), np.uint8)
    for row in range(2, 90, 8):
        labels[row : row + 3, 10:40] = 1
    assert run(compare_steps(contender(), contender(), [labels])) is None


def test_a_photograph_is_dense_by_its_pixels_with_data() -> None:
    there = np.zeros((96, 128), np.bool_)
    there[:, :59] = True  # 46%
    labels = there.astype(np.uint8)
    labels[50:] *= 2
    assert Amount.of([labels] * DENSE_PAYS, [there] * DENSE_PAYS).pays
    assert not Amount.of([labels] * DENSE_PAYS).pays
    # Labels elsewhere are neither dense nor strokes.
    assert Amount.of([np.ones((96, 128), np.uint8) * ~there], [there]) == Amount()


def test_a_whole_photograph_that_is_half_there_judges() -> None:
    photo, labels = half_there(), np.ones((96, 128), np.uint8)
    labels[:, 30:] = 2
    sources = [ImageSource.from_array(photo, channels=3) for _ in range(DENSE_PAYS)]
    judged: list[Any] = []

    def judge(model: Any, pairs: Any) -> Any:
        judged.append([mask for _, mask in pairs])
        yield 1
        return float(len(judged))

    training = fine_tuning(steps=2, batch_size=2, crop_size=64, validate_every=1)
    settings = TuneSettings(training, judge=judge)
    run(trial_fit_steps(tiny_model(), sources, [labels] * DENSE_PAYS, settings))
    (mask,) = judged[0]
    assert (mask[:, :64] == labels[:, :64]).all() and not mask[:, 64:].any()


def test_memory_is_counted_while_cells_are_added() -> None:
    """As if another thread added some: the cells that are counted add further ones."""
    model = tiny_model()
    encoded = encode_pyramid(two_tone()[0], model)
    before = encoded.n_bytes
    known = latents_of_image(model, encoded)
    others = [torch.nn.Identity() for _ in range(3)]

    class Adding:
        @property
        def latents(self) -> Any:
            for other in others:
                encoded.encodings[other] = known
            return known.latents

    encoded.encodings[model.extractor.neck] = Adding()  # type: ignore[assignment]
    assert encoded.n_bytes == before + known.latents.nbytes
    assert replace(encoded).n_bytes == before + 4 * known.latents.nbytes
