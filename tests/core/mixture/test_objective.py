"""Every term of the objective on cases whose answer is known."""

from __future__ import annotations

import pytest
import torch

from napari_gaussproto.core.base.config import LossWeights
from napari_gaussproto.core.mixture import objective
from tests.core.builders import random_layer


def cells(n: int = 50, dim: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(n, dim, generator=generator, requires_grad=True)
    target = torch.rand(n, 3, generator=generator).softmax(1)
    weight = torch.rand(n, generator=generator)
    return z, target, weight


def test_classification_is_torch_cross_entropy_for_hard_labels() -> None:
    logits = torch.randn(40, 3)
    label = torch.randint(3, (40,))
    balance = torch.tensor([0.5, 1.0, 3.0])
    ours = objective.classification(
        logits.log_softmax(1),
        torch.nn.functional.one_hot(label, 3).float(),
        torch.ones(40),
        balance,
    )
    theirs = torch.nn.functional.cross_entropy(logits, label, weight=balance)
    torch.testing.assert_close(ours, theirs)


def test_cells_without_labels_change_nothing() -> None:
    layer = random_layer()
    z, target, weight = cells()
    weight[20:] = 0
    first = objective.terms(layer, z, target, weight, torch.ones(3), LossWeights())
    moved = z.detach().clone()
    moved[20:] += 100
    second = objective.terms(layer, moved, target, weight, torch.ones(3), LossWeights())
    for name in first:
        torch.testing.assert_close(first[name], second[name])


def test_no_labels_at_all_give_zero_and_not_nan() -> None:
    z, target, _ = cells()
    terms = objective.terms(
        random_layer(), z, target, torch.zeros(50), torch.ones(3), LossWeights(diversity=0)
    )
    assert all(float(value) == 0 for value in terms.values())


def test_density_moves_prototypes_but_no_latent() -> None:
    layer = random_layer()
    z, target, weight = cells()
    terms = objective.terms(
        layer, z, target, weight, torch.ones(3), LossWeights(classification=0, diversity=0)
    )
    terms["density"].backward()
    assert z.grad is None
    assert layer.mean.grad is not None and layer.mean.grad.abs().sum() > 0
    assert layer.log_temperature.grad is None


def test_density_is_the_mean_negative_class_log_likelihood() -> None:
    layer = random_layer()
    z, _, _ = cells()
    target = torch.nn.functional.one_hot(torch.arange(50) % 3, 3).float()
    value = objective.density(layer, z, target, torch.ones(50))
    own = layer.scores(z.detach()).class_log_likelihood[torch.arange(50), torch.arange(50) % 3]
    torch.testing.assert_close(value, -own.mean() / 6)


def test_diversity_pushes_siblings_apart_and_leaves_scales_alone() -> None:
    layer = random_layer(class_index=(0, 0, 1))
    with torch.no_grad():
        layer.mean[1] = layer.mean[0] + 0.1
    objective.diversity(layer).backward()
    assert layer.raw_scale.grad is None or layer.raw_scale.grad.abs().max() == 0
    direction = -(layer.mean.grad[1] @ (layer.mean[1] - layer.mean[0]).detach())
    assert direction > 0  # a step against the gradient widens the gap
    assert layer.mean.grad[2].abs().max() == 0  # no sibling, no push


def test_diversity_of_identical_siblings_is_one() -> None:
    layer = random_layer(class_index=(0, 0))
    with torch.no_grad():
        layer.mean[1], layer.raw_scale[1] = layer.mean[0], layer.raw_scale[0]
    assert float(objective.diversity(layer)) == pytest.approx(1, abs=1e-5)


def test_class_weights_average_to_one_over_pixels() -> None:
    pixels = torch.tensor([9000.0, 900.0, 100.0])
    for balance in (0.0, 0.5, 1.0):
        weight = objective.class_weights(pixels, balance)
        assert float((weight * pixels).sum() / pixels.sum()) == pytest.approx(1, abs=1e-5)
    assert objective.class_weights(pixels, 0.0).tolist() == pytest.approx([1, 1, 1])
    full = objective.class_weights(pixels, 1.0)
    assert float(full[2] / full[0]) == pytest.approx(90, rel=1e-4)
