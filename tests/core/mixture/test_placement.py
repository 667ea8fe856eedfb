"""Where prototypes start, and how dead ones come back."""

from __future__ import annotations

import pytest
import torch

from napari_gaussproto.core.mixture import placement
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer
from tests.core.builders import random_layer


def clusters() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Four tight clusters, two per class: cells, class index, centres."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.0, 0], [6, 0], [0, 6], [6, 6]])
    z = centres.repeat_interleave(100, 0) + 0.3 * torch.randn(400, 2, generator=generator)
    return z, torch.tensor([0, 0, 1, 1]).repeat_interleave(100), centres


def test_kmeans_finds_every_cluster_of_its_class() -> None:
    z, label, centres = clusters()
    layer = GaussianPrototypeLayer(2, [0, 0, 1, 1], 2)
    placement.place_by_kmeans(layer, z, label, seed=0)
    distance = torch.cdist(layer.mean.detach(), centres)
    nearest, which = distance.min(1)
    assert nearest.max() < 0.2
    assert sorted(which.tolist()) == [0, 1, 2, 3]
    assert sorted(which[:2].tolist()) == [0, 1]
    torch.testing.assert_close(layer.scale, torch.full((4, 2), 0.3), atol=0.1, rtol=0)
    torch.testing.assert_close(layer.log_weight.exp(), torch.full((4,), 0.5), atol=0.01, rtol=0)


def test_kmeans_with_fewer_cells_than_prototypes_stays_finite() -> None:
    layer = GaussianPrototypeLayer(2, [0, 0, 0, 1], 2)
    z = torch.tensor([[0.0, 0], [5, 5]])
    placement.place_by_kmeans(layer, z, torch.tensor([0, 1]), seed=0)
    assert torch.isfinite(layer.mean).all()
    assert torch.isfinite(layer(z)).all()


def test_kmeans_with_cells_that_are_all_alike_stays_finite() -> None:
    layer = GaussianPrototypeLayer(2, [0, 0, 0, 1], 2)
    z = torch.cat([torch.ones(20, 2), torch.randn(20, 2)])
    placement.place_by_kmeans(layer, z, torch.tensor([0, 1]).repeat_interleave(20), seed=0)
    assert torch.isfinite(layer.mean).all() and torch.isfinite(layer(z)).all()


def test_kmeans_sets_whole_factors_and_leaves_other_classes_alone() -> None:
    layer = random_layer(2, (0, 0, 1, 1), covariance="full")
    before = {name: value.detach().clone() for name, value in layer.named_parameters()}
    placement.place_by_kmeans(layer, torch.randn(50, 2), torch.zeros(50).long(), seed=0)
    assert not layer.off_diagonal[:2].any()
    for name in ("mean", "raw_scale", "off_diagonal", "raw_weight"):
        assert torch.equal(getattr(layer, name)[2:], before[name][2:])


def test_usage_of_a_class_that_is_absent_is_unknown_and_averages_stay() -> None:
    z, label, _ = clusters()
    layer, own = random_layer(2, (0, 0, 1, 1)), label == 0
    target = torch.nn.functional.one_hot(label, 2).float()
    fresh = placement.usage(layer, z[own], target[own], torch.ones(int(own.sum())))
    assert fresh[2:].isnan().all() and float(fresh[:2].sum()) == pytest.approx(1)
    former = torch.tensor([0.5, torch.nan, 0.2, torch.nan])
    average = placement.averaged(former, fresh)
    assert average[0] == 0.9 * 0.5 + 0.1 * fresh[0] and average[1] == fresh[1]
    assert average[2] == former[2] and average[3].isnan()


def test_usage_sums_to_one_within_each_class() -> None:
    z, label, _ = clusters()
    layer = GaussianPrototypeLayer(2, [0, 0, 1, 1], 2)
    placement.place_by_kmeans(layer, z, label, seed=0)
    target = torch.nn.functional.one_hot(label, 2).float()
    shares = placement.usage(layer, z, target, torch.ones(len(z)))
    torch.testing.assert_close(shares, torch.full((4,), 0.5), atol=0.01, rtol=0)


def test_a_dead_prototype_moves_to_the_cells_nobody_explains() -> None:
    z, label, centres = clusters()
    layer = GaussianPrototypeLayer(2, [0, 0, 1, 1], 2)
    placement.place_by_kmeans(layer, z, label, seed=0)
    with torch.no_grad():
        lost = int(torch.cdist(layer.mean, centres)[:, 1].argmin())
        layer.mean[lost] = torch.tensor([-50.0, 0])
    target = torch.nn.functional.one_hot(label, 2).float()
    shares = placement.usage(layer, z, target, torch.ones(len(z)))
    assert shares[lost] < 0.01
    moved = placement.reseed(layer, torch.tensor([lost]), z, target, torch.ones(len(z)))
    assert moved.tolist() == [lost]
    assert torch.linalg.vector_norm(layer.mean[lost] - centres[1]) < 1.0


def test_dead_prototypes_of_one_class_go_to_different_cells() -> None:
    z, label, centres = clusters()
    target = torch.nn.functional.one_hot(label, 2).float()
    layer = GaussianPrototypeLayer(2, [0, 0, 0, 1, 1], 2)
    away = torch.tensor([[0.0, -9], [-50, 0], [-50, 0], [0, 6], [6, 6]])
    layer.set_parameters(away, torch.ones(5, 2))
    placement.reseed(layer, torch.tensor([1, 2]), z, target, torch.ones(len(z)))
    distance = torch.cdist(layer.mean[1:3].detach(), centres[:2])
    assert sorted(distance.argmin(1).tolist()) == [0, 1] and distance.amin(1).max() < 1


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_what_does_not_move_stays_to_the_bit(covariance: str) -> None:
    z, label, _ = clusters()
    target = torch.nn.functional.one_hot(label, 2).float()
    layer = random_layer(2, (0, 0, 0, 1), covariance)
    layer.active[1] = False
    before = {name: value.detach().clone() for name, value in layer.named_parameters()}
    placement.reseed(layer, torch.tensor([2]), z, target, torch.ones(len(z)))
    for name in ("mean", "raw_scale", "off_diagonal", "raw_weight"):
        now = getattr(layer, name)
        assert torch.equal(now[[0, 1, 3]], before[name][[0, 1, 3]])
    # The whole factor is that of the siblings, here of the only other one that is on.
    mean_of_both = (before["off_diagonal"][0] + before["off_diagonal"][2]) / 2
    torch.testing.assert_close(layer.off_diagonal[2].detach(), mean_of_both)


def test_no_cells_of_the_class_no_move() -> None:
    layer = GaussianPrototypeLayer(2, [0, 1], 2)
    before = layer.mean.detach().clone()
    target = torch.tensor([[1.0, 0]]).expand(50, 2)
    moved = placement.reseed(layer, torch.tensor([1]), torch.randn(50, 2), target, torch.ones(50))
    assert not len(moved)
    assert torch.equal(layer.mean, before)
