"""Training a prototype away."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_gaussproto.core.base.errors import EditError
from napari_gaussproto.core.base.quantiles import QUANTILES, quantiles_of
from napari_gaussproto.core.base.steps import TrainingStep
from napari_gaussproto.core.editing import edits
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer
from napari_gaussproto.core.model.predict import run
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter, make_layer
from napari_gaussproto.core.training.reject import (
    class_accuracy,
    present_targets,
    reject_steps,
)
from tests.core.builders import tiny_model


@pytest.fixture
def scene() -> tuple[PrototypeSegmenter, torch.Tensor, torch.Tensor]:
    """Soil at two places, plants between them; one soil prototype sits on the plants."""
    model = tiny_model()
    generator = torch.Generator().manual_seed(0)
    centres = torch.zeros(3, 8)
    centres[0, 0], centres[1, 0], centres[2, 0] = -3, 0, 3
    cells = torch.cat([c + 0.4 * torch.randn(200, 8, generator=generator) for c in centres])
    target = torch.nn.functional.one_hot(torch.tensor([0, 1, 0]).repeat_interleave(200), 2).float()
    mean = torch.zeros(4, 8)
    mean[:, 0] = torch.tensor([-3.0, 0.3, -0.3, 3.5])  # soil, soil (faulty), plant, plant
    model.layer.set_parameters(mean, torch.full((4, 8), 0.5))
    return model, cells, target


def test_the_others_learn_to_do_without_it(
    scene: tuple[PrototypeSegmenter, torch.Tensor, torch.Tensor],
) -> None:
    model, cells, target = scene
    before = {key: value.clone() for key, value in model.state_dict().items()}
    steps: list[TrainingStep] = []
    result = run(reject_steps(model, 1, cells, target, steps=150, learning_rate=0.05), steps.append)
    assert [s.step for s in steps] == list(range(1, 151))
    assert sum(steps[-1].losses.values()) < sum(steps[0].losses.values())
    assert [p.name for p in result.model.prototypes] == ["soil 1", "plant 1", "plant 2"]
    assert result.after > result.masked + 0.05
    assert result.after == pytest.approx(class_accuracy(result.model.layer, cells, target))
    assert result.before == pytest.approx(class_accuracy(model.layer, cells, target))
    masked = edits.turn_off(model, 1)
    assert result.masked == pytest.approx(class_accuracy(masked.layer, cells, target))
    assert result.model.extractor is model.extractor
    assert result.model.card.history[-1]["what"] == "train away"
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
    assert torch.equal(result.model.layer.log_temperature, model.layer.log_temperature)


def test_the_result_is_never_worse_than_masking(
    scene: tuple[PrototypeSegmenter, torch.Tensor, torch.Tensor],
) -> None:
    model, cells, target = scene
    result = run(reject_steps(model, 1, cells, target, steps=20, learning_rate=50.0))
    assert result.after >= result.masked


def test_cells_without_weight_do_not_count(
    scene: tuple[PrototypeSegmenter, torch.Tensor, torch.Tensor],
) -> None:
    model, cells, target = scene
    weight = torch.ones(600)
    weight[200:400] = 0
    wrong = target.clone()
    wrong[200:400] = wrong[200:400].flip(1)
    first = run(reject_steps(model, 1, cells, target, weight, steps=5))
    second = run(reject_steps(model, 1, cells, wrong, weight, steps=5))
    assert torch.equal(first.model.layer.mean, second.model.layer.mean)
    with pytest.raises(EditError, match="No cell is labelled"):
        run(reject_steps(model, 1, cells, target, torch.zeros(600)))


def test_present_targets_leave_out_the_prototypes_own_places(
    scene: tuple[PrototypeSegmenter, torch.Tensor, torch.Tensor],
) -> None:
    model, cells, _ = scene
    target, weight = present_targets(model, 0, cells)
    responsible = model.layer.scores(cells).log_assignment.argmax(1)
    assert torch.equal(weight == 0, responsible == 0)
    assert 0 < int((weight == 0).sum()) <= 200
    assert torch.equal(target.argmax(1), model.layer(cells).argmax(1))


def test_known_distances_follow_the_gaussian(
    scene: tuple[PrototypeSegmenter, torch.Tensor, torch.Tensor],
) -> None:
    model, cells, target = scene
    own = model.layer.scores(cells[:200]).mahalanobis[:, 0].detach()
    model.prototypes[0].distance_quantiles = quantiles_of(own)
    result = run(reject_steps(model, 1, cells, target, steps=150, learning_rate=0.05)).model
    measured = result.layer.scores(cells[:200]).mahalanobis[:, 0].detach().median().item()
    assert result.prototypes[0].distance_quantiles[50] == pytest.approx(measured, rel=0.05)
    assert model.prototypes[0].distance_quantiles[50] == pytest.approx(
        own.median().item(), rel=0.02
    )


def test_shapes_that_are_not_learned_stay(
    scene: tuple[PrototypeSegmenter, torch.Tensor, torch.Tensor],
) -> None:
    model, cells, target = scene
    fixed = {"learned_scale": False, "covariance": "full"}
    model.config = model.config.model_copy(update=fixed)
    mean, held = model.layer.mean, make_layer(model.config, [0, 0, 1, 1])
    held.set_parameters(mean, torch.full((4, 8), 0.5))
    model.layer = held
    layer = run(reject_steps(model, 1, cells, target, steps=10, learning_rate=0.05)).model.layer
    assert not torch.equal(layer.mean[0], mean[0])
    assert torch.equal(layer.scale_tril, held.scale_tril[[0, 2, 3]])


def test_known_densities_follow_those_of_cells_of_their_class(
    scene: tuple[PrototypeSegmenter, torch.Tensor, torch.Tensor],
) -> None:
    model, cells, target = scene
    cells, target = cells[:240], target[:240]  # of one place each, with a class that is rare
    truth = target.argmax(1)

    def medians(layer: GaussianPrototypeLayer) -> list[float]:
        values = layer.scores(cells).class_log_likelihood.detach()
        return [float(values[truth == c, c].median()) for c in (0, 1)]

    begun = edits.turn_off(model, 1).layer
    model.class_quantiles = np.repeat(np.float32(medians(begun))[:, None], QUANTILES, 1)
    model.density_quantiles = quantiles_of(begun.scores(cells).log_density)
    # Without a change of the list of prototypes there is one of the trained layer alone.
    model.layer = begun
    result = run(reject_steps(model, 1, cells, target, steps=150, learning_rate=0.05)).model
    assert result.class_quantiles[:, 50] == pytest.approx(medians(result.layer), abs=0.3)
