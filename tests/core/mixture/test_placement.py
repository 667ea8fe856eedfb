"""Where prototypes start, and how dead ones come back."""

from __future__ import annotations

import torch

from napari_gaussproto.core.mixture import placement
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer


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


def test_no_cells_of_the_class_no_move() -> None:
    layer = GaussianPrototypeLayer(2, [0, 1], 2)
    before = layer.mean.detach().clone()
    target = torch.tensor([[1.0, 0]]).expand(50, 2)
    moved = placement.reseed(layer, torch.tensor([1]), torch.randn(50, 2), target, torch.ones(50))
    assert not len(moved)
    assert torch.equal(layer.mean, before)
