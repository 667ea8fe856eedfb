"""The same model for another class table: what is carried over, and what new classes need."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_gaussproto.core.base.config import ModelConfig, SegmentationClass
from napari_gaussproto.core.base.errors import EditError, LabelError
from napari_gaussproto.core.base.steps import run
from napari_gaussproto.core.editing.class_change import adapt
from napari_gaussproto.core.editing.edits import turn_off
from napari_gaussproto.core.editing.new_classes import (
    place_unfitted,
    unfitted,
    unknown_classes,
    waiting_classes,
)
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.pyramid import encode_pyramid
from napari_gaussproto.core.training.quick_fit import quick_fit_steps
from tests.core.builders import random_layer, tiny_config, tiny_model, two_tone


def table(*names: str) -> list[SegmentationClass]:
    return ModelConfig(classes=list(names)).classes


def three_classes(covariance: str = "diagonal") -> PrototypeSegmenter:
    """Soil, crop, weed with random prototypes; the first of weed is off."""
    config = tiny_config(classes=["soil", "crop", "weed"], latent_dim=6, covariance=covariance)
    index = (0, 0, 1, 2, 2)
    model = PrototypeSegmenter(config, class_index=list(index)).eval()
    model.layer = random_layer(6, index, covariance)
    model.layer.log_temperature.data.fill_(0.4)
    model.layer.active[3] = False
    rng = np.random.default_rng(0)
    for prototype in model.prototypes:
        prototype.patches = rng.integers(0, 255, (3, 48, 48, 3)).astype(np.uint8)
        prototype.patch_labels = np.array([0, 1, prototype.class_index])
        prototype.usage = 0.5
        prototype.distance_quantiles = np.linspace(0, 9, 101, dtype=np.float32)
    return model


def cells(count: int = 50) -> Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(4))


def mixture(layer: GaussianPrototypeLayer) -> tuple[Tensor, Tensor]:
    """Log p(z) and responsibilities of some cells."""
    scores = layer.scores(cells())
    return scores.log_density, scores.log_assignment.exp()


@pytest.mark.parametrize("covariance", ["diagonal", "spherical", "full"])
def test_order_and_colours_change_nothing_but_the_order(covariance: str) -> None:
    model = three_classes(covariance)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    classes = [c.model_copy(update={"color": "#123456"}) for c in table("weed", "soil", "crop")]
    other = adapt(model, classes)
    assert [c.name for c in other.classes] == ["weed", "soil", "crop"]
    assert other.classes[0].color == "#123456"
    assert torch.allclose(other.layer(cells())[:, [1, 2, 0]], model.layer(cells()), atol=1e-4)
    assert [p.name for p in other.prototypes] == [p.name for p in model.prototypes]
    assert [p.class_index for p in other.prototypes] == [1, 1, 2, 0, 0]
    assert other.prototypes[2].patch_labels.tolist() == [1, 2, 2]
    assert other.prototypes[2].usage == 0.5
    assert other.extractor is model.extractor
    after = model.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert [c.name for c in model.classes] == ["soil", "crop", "weed"]


def test_a_class_that_is_off_brings_no_prior_along_when_it_is_merged() -> None:
    model = three_classes()
    model.layer.active[model.layer.class_index == 2] = False
    other = adapt(model, table("soil", "plant"), {1: 1, 2: 1})
    assert torch.allclose(other.layer(cells()), model.layer(cells())[:, :2], atol=1e-4)


def test_merged_classes_pool_their_prototypes_and_the_mixture_stays() -> None:
    model = three_classes()
    other = adapt(model, table("soil", "plant"), {1: 1, 2: 1})
    for ours, theirs in zip(mixture(other.layer), mixture(model.layer), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4)
    assert other.layer.class_index.tolist() == [0, 0, 1, 1, 1]
    assert other.layer.active.tolist() == model.layer.active.tolist()
    weight = other.layer.log_weight.detach().exp()
    assert float(weight[2:].sum()) == pytest.approx(1, abs=1e-5)
    assert float(other.layer.log_prior.detach().exp().sum()) == pytest.approx(1, abs=1e-5)
    names = [p.name for p in other.prototypes]
    assert names == ["soil 1", "soil 2", "plant 1", "plant 2", "plant 3"]
    assert other.prototypes[2].purity == pytest.approx(2 / 3)
    assert np.isnan(other.prototypes[2].usage)


def test_a_renamed_class_keeps_everything_and_given_names_stay() -> None:
    model = three_classes()
    model.prototypes[4].name = "thistle"
    other = adapt(model, table("soil", "crop", "nettle"), {2: 2})
    assert torch.allclose(other.layer(cells()), model.layer(cells()), atol=1e-4)
    names = [p.name for p in other.prototypes]
    assert names == ["soil 1", "soil 2", "crop 1", "nettle 1", "thistle"]


def test_prototypes_of_dropped_classes_go() -> None:
    model = three_classes()
    other = adapt(model, table("weed", "soil"))
    assert [p.name for p in other.prototypes] == ["soil 1", "soil 2", "weed 1", "weed 2"]
    for before, after in ((0, 0), (1, 1), (3, 2), (4, 3)):
        assert torch.equal(other.layer.mean[after], model.layer.mean[before])
    # A patch of the dropped class: nobody knows its class any more.
    assert not len(other.prototypes[0].patch_labels)
    assert np.isnan(other.prototypes[0].purity)
    assert len(other.prototypes[0].patches) == 3
    assert adapt(model, table("soil", "crop", "weed"), {1: None}).prototypes[2].name == "weed 1"


def test_a_new_class_is_unfitted_and_never_predicted() -> None:
    model = three_classes()
    other = adapt(model, table("soil", "crop", "weed", "stone"))
    assert unfitted(other) == [5, 6]
    assert unknown_classes(other) == [3] and unknown_classes(model) == []
    assert [p.name for p in other.prototypes[5:]] == ["stone 1", "stone 2"]
    assert all(not len(p.patches) + len(p.distance_quantiles) for p in other.prototypes[5:])
    assert not other.layer.active[5:].any()
    posterior = other.layer(cells()).exp()
    assert (posterior[:, 3] == 0).all()
    assert torch.allclose(posterior[:, :3], model.layer(cells()).exp(), atol=1e-4)
    assert torch.allclose(mixture(other.layer)[0], mixture(model.layer)[0], atol=1e-4)
    # The one that was switched off by a person is no unfitted one.
    assert 3 not in unfitted(other)


def test_the_history_of_the_card_gets_an_entry() -> None:
    model = three_classes()
    model.card.measures = {"test": {"miou": 0.9}}
    other = adapt(model, table("soil", "plant"), {1: 1, 2: 1})
    entry = other.card.history[-1]
    assert entry["what"] == "adapt"
    assert entry["from"] == ["soil", "crop", "weed"]
    assert entry["to"] == ["soil", "plant"]
    assert entry["mapping"] == [0, 1, 1]
    assert not model.card.history
    assert "test" in model.card.measures
    assert not other.card.measures


def test_placing_moves_unfitted_prototypes_only() -> None:
    model = adapt(three_classes(), table("soil", "crop", "weed", "stone"))
    before = {key: value.clone() for key, value in model.layer.state_dict().items()}
    z = cells()
    z[:20] += 8
    target = torch.zeros(50, 4)
    target[:20, 3] = target[20:, 0] = 1
    assert waiting_classes(model, [0, 3]) == [3]
    place_unfitted(model, [3], z, target, seed=0)
    layer = model.layer
    assert layer.active.tolist() == [True, True, True, False, True, True, True]
    for name in ("mean", "raw_scale", "raw_weight"):
        assert torch.equal(getattr(layer, name)[:5], before[name][:5])
    assert (layer(z)[:20].argmax(1) == 3).all()
    assert float(layer.log_prior.detach()[3].exp()) == pytest.approx(0.25, abs=1e-3)
    assert unfitted(model) == []


def test_a_class_that_a_person_switched_off_is_refused_with_a_sentence() -> None:
    model = turn_off(tiny_model(), 0)
    model = turn_off(model, 1)
    with pytest.raises(LabelError, match="“soil” is labelled, but all its prototypes are switched"):
        waiting_classes(model, [0, 1])
    assert waiting_classes(model, [1]) == []


def test_what_cannot_be_a_table_is_one_sentence() -> None:
    model = three_classes()
    cases: list[tuple[str, list[SegmentationClass], dict[int, int | None]]] = [
        ("needs two classes or more", table("soil", "crop")[:1], {}),
        ("name of its own", [*table("soil", "crop"), *table("soil", "x")[:1]], {}),
        ("no class number 4", table("soil", "crop"), {3: 0}),
        ("“weed” cannot become class number 3", table("soil", "crop"), {2: 2}),
    ]
    for message, classes, mapping in cases:
        with pytest.raises(EditError, match=message) as caught:
            adapt(model, classes, mapping)
        assert str(caught.value).count(". ") == 0


@pytest.mark.parametrize("names", [("a", "b"), ("weed", "b")])
def test_of_a_model_that_knows_no_class_the_network_is_left(names: tuple[str, str]) -> None:
    """Or none that it would still give: of weed both prototypes are off."""
    model = three_classes()
    model.layer.active[3:] = False
    model.card.name = "field"
    model.density_quantiles = np.arange(3, dtype=np.float32)
    other = adapt(model, table(*names))
    assert [c.name for c in other.classes] == list(names)
    assert other.extractor.backbone is model.extractor.backbone
    assert other.extractor.neck is model.extractor.neck
    assert other.receptive_radius == model.receptive_radius
    assert unknown_classes(other) == [0, 1] and not len(other.density_quantiles)
    assert other.card.name == "field's network"
    assert [entry["what"] for entry in other.card.history] == ["new model"]
    image, truth = two_tone()
    assert segment(image, other).labels.shape == truth.shape
    labels = np.where(np.arange(len(truth))[:, None] % 12 > 1, 0, truth)
    encoded = [encode_pyramid(image, other)]
    for scratch in (True, False):
        fitted = run(quick_fit_steps(encoded, [labels], other, scratch=scratch)).model
        assert (segment(image, fitted).labels == truth).mean() > 0.8


def test_an_adapted_model_still_segments_its_image() -> None:
    model = tiny_model()
    image, _ = two_tone()
    other = adapt(model, table("plant", "soil", "stone"))
    before = segment(image, model).labels
    after = segment(image, other).labels
    assert np.array_equal(after, 3 - before)
