"""Encode, decode and the maps of a segmentation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from napari_gaussproto.core.base.errors import PrototypeError
from napari_gaussproto.core.base.quantiles import QUANTILES, quantiles_of, rank
from napari_gaussproto.core.model import segmentation as segmentation_module
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmentation import Segmentation
from tests.core.builders import tiny_model, two_tone


@pytest.fixture(scope="module")
def segmentation() -> Segmentation:
    model = tiny_model()
    return segment(two_tone(70, 101)[0], model)


def test_maps_have_the_shape_of_the_image(segmentation: Segmentation) -> None:
    assert segmentation.labels.shape == (70, 101)
    assert segmentation.labels.dtype == np.uint8
    assert segmentation.class_probabilities().shape == (2, 70, 101)
    for m in range(4):
        assert segmentation.log_likelihood(m).shape == (70, 101)


def test_maps_at_cell_resolution(segmentation: Segmentation) -> None:
    assert segmentation.map_pixel_size == 4
    assert segmentation.likelihood(0, cells=True).shape == (18, 26)
    assert segmentation.class_probabilities(cells=True).shape == (2, 18, 26)


def test_probabilities_and_responsibilities_sum_to_one(segmentation: Segmentation) -> None:
    np.testing.assert_allclose(segmentation.class_probabilities().sum(0), 1, atol=1e-5)
    total = sum(segmentation.responsibility(m) for m in range(4))
    np.testing.assert_allclose(total, 1, atol=1e-5)
    assert segmentation.prototype_share().sum() == pytest.approx(1, abs=1e-5)


def test_labels_are_the_most_probable_class(segmentation: Segmentation) -> None:
    np.testing.assert_array_equal(
        segmentation.labels, segmentation.class_probabilities().argmax(0) + 1
    )


def test_measures_stay_in_their_range(segmentation: Segmentation) -> None:
    for values in (
        segmentation.likelihood(1),
        segmentation.novelty(),
        segmentation.uncertainty(),
    ):
        assert np.isfinite(values).all()
        assert values.min() >= 0 and values.max() <= 1 + 1e-6


def test_cells_are_compared_with_those_of_their_image_without_sorting_them_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []

    def counted(values: torch.Tensor) -> np.ndarray:
        calls.append(len(values))
        return quantiles_of(values)

    monkeypatch.setattr(segmentation_module, "quantiles_of", counted)
    found = segment(two_tone(70, 101)[0], tiny_model())
    assert not found.knows_training_cells
    every = found.at(range(found.encoding.partition.n_cells)).novelty
    for cell in (3, 40):
        assert found.at([cell]).novelty[0] == every[cell]
    assert calls == [len(every)]


def test_cover_counts_pixels(segmentation: Segmentation) -> None:
    cover = segmentation.cover()
    assert cover["soil"] == pytest.approx((segmentation.labels == 1).mean())
    assert sum(cover.values()) == pytest.approx(1)


def test_uncertainty_is_one_at_even_odds_and_zero_when_sure() -> None:
    model = tiny_model()
    encoding = segment(two_tone()[0], model).encoding
    with torch.no_grad():
        model.layer.log_temperature.fill_(20.0)
    assert model.decode(encoding).uncertainty().min() == pytest.approx(1, abs=1e-4)
    with torch.no_grad():
        model.layer.log_temperature.fill_(-12.0)
    assert np.median(model.decode(encoding).uncertainty()) == pytest.approx(0, abs=1e-4)


def test_typicality_is_the_share_of_own_cells_that_lie_farther() -> None:
    model = tiny_model()
    encoding = segment(two_tone()[0], model).encoding
    distance = model.layer.scores(encoding.latents).mahalanobis[:, 2].detach()
    model.prototypes[2].distance_quantiles = quantiles_of(distance)
    typicality = model.decode(encoding).likelihood(2, cells=True).ravel()
    expected = [(distance > d).float().mean() for d in distance]
    np.testing.assert_allclose(typicality, expected, atol=1.5 / QUANTILES)


def test_an_inactive_prototype_has_no_likelihood_and_no_responsibility() -> None:
    model = tiny_model()
    encoding = segment(two_tone()[0], model).encoding
    model.layer.active[1] = False
    segmentation = model.decode(encoding)
    assert segmentation.likelihood(1).max() == 0
    assert segmentation.responsibility(1).max() == 0


def test_a_segmentation_keeps_what_it_saw_when_the_model_changes() -> None:
    model = tiny_model()
    segmentation = segment(two_tone()[0], model)
    before = segmentation.likelihood(0).copy()
    with torch.no_grad():
        model.layer.mean.add_(1.0)
    np.testing.assert_array_equal(segmentation.likelihood(0), before)


def test_maps_of_a_prototype_by_its_name(segmentation: Segmentation) -> None:
    name = segmentation.prototypes[2].name
    for of in (segmentation.likelihood, segmentation.responsibility, segmentation.log_likelihood):
        np.testing.assert_array_equal(of(name), of(2))


@pytest.mark.parametrize("which", [4, -1, "weed 9", 1.5])
def test_an_unknown_prototype_is_a_sentence(segmentation: Segmentation, which: Any) -> None:
    first = segmentation.prototypes[0].name
    with pytest.raises(PrototypeError, match=f"from 0 to 3, or a name such as “{first}”."):
        segmentation.likelihood(which)


def test_rank_runs_from_zero_to_one() -> None:
    quantiles = np.linspace(10, 20, QUANTILES).astype(np.float32)
    values = torch.tensor([0.0, 10.0, 12.5, 20.0, 99.0])
    np.testing.assert_allclose(rank(values, quantiles), [0, 0, 0.25, 1, 1], atol=1e-6)


def test_what_was_predicted_cannot_be_painted_over(segmentation: Segmentation) -> None:
    with pytest.raises(ValueError, match="read-only"):
        segmentation.labels[0, 0] = 0


def test_printed_they_say_what_they_are(segmentation: Segmentation) -> None:
    assert repr(segmentation) == (
        "<Segmentation of 70 x 101 pixels in 468 cells: soil, plant; 4 prototypes>"
    )
    assert repr(tiny_model()) == (
        "<PrototypeSegmenter “unnamed” of soil, plant: 4 prototypes, 8 latent dimensions>"
    )


def test_what_a_person_drew_stays_with_other_outlines() -> None:
    image, truth = two_tone()
    model = tiny_model(downsample=2, local_features=True, strides=(2, 4, 8))
    found = segment(image, model)
    drawn = np.zeros_like(truth)
    drawn[:9] = 2
    drawn[5:7] = 1
    other = found.with_outlines(False)
    for follow in (True, False):
        wanted = found.with_outlines(follow).labels
        for now in (found, other):
            over = now.with_labels(drawn).with_outlines(follow).labels
            assert np.array_equal(over, np.where(drawn > 0, drawn, wanted))
            assert np.array_equal(now.relabelled(truth).with_outlines(follow).labels, truth)
    assert (found.labels != other.labels).any()
