"""Edits of a layer's list of Gaussians."""

from __future__ import annotations

import pytest
import torch

from napari_gaussproto.core.mixture import surgery
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer
from tests.core.builders import random_layer


def moments(layer: GaussianPrototypeLayer, rows: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and covariance of the mixture of some prototypes."""
    share = layer.log_weight.exp()[rows]
    share = share / share.sum()
    mean = share @ layer.mean[rows]
    offset = layer.mean[rows] - mean
    factor = layer.scale_tril[rows]
    second = factor @ factor.mT + offset[:, :, None] * offset[:, None]
    return mean, (share[:, None, None] * second).sum(0)


def check_same_moments(
    parts: GaussianPrototypeLayer, rows: list[int], layer: GaussianPrototypeLayer, whole: list[int]
) -> None:
    """Means and variances of the two mixtures are the same."""
    (mean, covariance), (whole_mean, whole_covariance) = moments(parts, rows), moments(layer, whole)
    torch.testing.assert_close(mean, whole_mean, atol=1e-5, rtol=1e-5)
    variance = whole_covariance.diagonal()
    torch.testing.assert_close(covariance.diagonal(), variance, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("covariance", ["diagonal", "spherical", "full"])
def test_selecting_all_is_bit_identical(covariance: str) -> None:
    layer = random_layer(covariance=covariance)
    layer.active[1] = False
    z = torch.randn(20, 6)
    copy = surgery.select(layer, range(5))
    assert torch.equal(copy(z), layer(z))
    assert copy.active.tolist() == layer.active.tolist()


def test_selecting_some_equals_switching_the_others_off() -> None:
    layer = random_layer()
    z = torch.randn(20, 6)
    chosen = surgery.select(layer, [0, 2, 4])
    layer.active[[1, 3]] = False
    torch.testing.assert_close(chosen(z), layer(z))


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_merging_keeps_weight_mean_and_covariance(covariance: str) -> None:
    layer = random_layer(covariance=covariance)
    merged = surgery.merge(layer, 3, 4)
    mean, expected = moments(layer, [3, 4])
    got = merged.scale_tril[3] @ merged.scale_tril[3].T
    torch.testing.assert_close(merged.mean[3], mean)
    if covariance == "full":
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(got.diagonal(), expected.diagonal(), atol=1e-4, rtol=1e-4)
    assert merged.n_prototypes == 4
    torch.testing.assert_close(merged.log_weight.exp()[3], torch.tensor(1.0))


def test_merging_leaves_the_others_and_the_original_alone() -> None:
    layer = random_layer()
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    merged = surgery.merge(layer, 0, 1)
    assert torch.equal(merged.mean[1:], layer.mean[2:])
    assert torch.equal(merged.log_weight[1:], layer.log_weight[2:])
    for key, value in layer.state_dict().items():
        assert torch.equal(value, before[key])


def test_merging_across_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="same class"):
        surgery.merge(random_layer(), 0, 2)


def test_merging_an_inactive_one_is_refused() -> None:
    layer = random_layer()
    layer.active[1] = False
    with pytest.raises(ValueError, match="active"):
        surgery.merge(layer, 0, 1)


def test_an_inactive_sibling_keeps_its_relative_weight_through_a_merge() -> None:
    layer = random_layer(class_index=(0, 0, 0, 1))
    layer.active[2] = False
    merged = surgery.merge(layer, 0, 1)
    back_on = surgery.with_active(merged, 1, True)
    torch.testing.assert_close(
        back_on.log_weight.exp()[1], layer.raw_weight[:3].softmax(0)[2], atol=1e-6, rtol=1e-5
    )


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_splitting_keeps_weight_mean_and_the_spread_along_the_cut(covariance: str) -> None:
    layer = random_layer(covariance=covariance)
    mean, covariance_matrix = moments(layer, [3])
    parts = surgery.split(layer, 3)
    got_mean, got = moments(parts, [3, 4])
    torch.testing.assert_close(got_mean, mean, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(got.diagonal(), covariance_matrix.diagonal(), atol=2e-4, rtol=2e-4)
    if covariance == "full":
        torch.testing.assert_close(got, covariance_matrix, atol=2e-4, rtol=2e-4)
    torch.testing.assert_close(
        parts.log_weight.exp()[[3, 4]].sum(), layer.log_weight.exp()[3], atol=1e-6, rtol=1e-5
    )
    assert torch.equal(parts.mean[:3], layer.mean[:3])
    assert torch.equal(parts.mean[5], layer.mean[4])


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_splitting_by_cells_keeps_the_moments_and_merging_brings_it_back(covariance: str) -> None:
    layer = random_layer(covariance=covariance)
    generator = torch.Generator().manual_seed(1)
    near = torch.randn(30, 6, generator=generator) * 0.01 - 0.02
    far = torch.randn(90, 6, generator=generator) * 0.01 + 0.02
    parts, part = surgery.split_by_cells(layer, 0, torch.cat([near, far]))
    left = int(part[0])
    assert (part[:30] == left).all() and (part[30:] == 1 - left).all()
    apart = far.mean(0) - near.mean(0)
    torch.testing.assert_close(parts.mean[1 - left] - parts.mean[left], apart)
    share = (parts.raw_weight[[left, 1 - left]] - layer.raw_weight[0]).exp()
    torch.testing.assert_close(share, torch.tensor([0.25, 0.75]))
    check_same_moments(parts, [0, 1], layer, [0])
    back = surgery.merge(parts, 0, 1)
    torch.testing.assert_close(back.mean, layer.mean)
    torch.testing.assert_close(back.scale, layer.scale, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_clusters_farther_apart_than_the_prototype_is_wide_leave_parts_of_some_width(
    covariance: str,
) -> None:
    layer = random_layer(covariance=covariance)
    cells = torch.randn(80, 6, generator=torch.Generator().manual_seed(1)) * 0.1
    cells[40:] += 50
    parts, _ = surgery.split_by_cells(layer, 0, cells)
    check_same_moments(parts, [0, 1], layer, [0])
    assert bool((parts.scale[:2] > 0.3 * layer.scale[0]).all())


def test_another_class_changes_no_responsibility_and_no_density() -> None:
    layer = random_layer()
    layer.active[1] = False
    z = torch.randn(30, 6)
    moved = surgery.with_class(layer, 3, 0)
    before, after = layer.scores(z), moved.scores(z)
    torch.testing.assert_close(after.log_responsibility, before.log_responsibility)
    torch.testing.assert_close(after.log_density, before.log_density)
    assert moved.class_index.tolist() == [0, 0, 1, 0, 2]


def test_a_class_that_gets_its_first_prototype_changes_the_density_by_one_factor() -> None:
    layer = random_layer()
    layer.active[2] = False  # the only one of class 1
    z = torch.randn(30, 6)
    moved = surgery.with_class(layer, 0, 1)
    before, after = layer.scores(z), moved.scores(z)
    torch.testing.assert_close(after.log_responsibility, before.log_responsibility)
    factor = after.log_density - before.log_density
    torch.testing.assert_close(factor, factor.mean().expand(30))


def test_splitting_a_spherical_one_keeps_the_trace_of_the_covariance() -> None:
    layer = random_layer(covariance="spherical")
    mean, covariance = moments(layer, [3])
    parts = surgery.split(layer, 3)
    got_mean, got = moments(parts, [3, 4])
    torch.testing.assert_close(got_mean, mean, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(got.trace(), covariance.trace(), atol=1e-4, rtol=1e-4)
    assert float((got - covariance).abs().max()) > 0.01


def test_another_class_there_and_back_predicts_as_before() -> None:
    layer = random_layer()
    z = torch.randn(30, 6)
    back = surgery.with_class(surgery.with_class(layer, 3, 0), 3, 2)
    torch.testing.assert_close(back(z), layer(z), atol=1e-5, rtol=1e-5)


def test_an_inactive_sibling_keeps_its_relative_weight_when_another_leaves() -> None:
    layer = random_layer(class_index=(0, 0, 0, 1))
    layer.active[2] = False
    moved = surgery.with_class(layer, 0, 1)
    back_on = surgery.with_active(moved, 2, True)
    expected = (layer.raw_weight[2] - layer.raw_weight[1]).exp()
    weight = back_on.log_weight.exp()
    torch.testing.assert_close(weight[2] / weight[1], expected)


def test_a_class_that_loses_all_its_prototypes_is_never_predicted() -> None:
    moved = surgery.with_class(random_layer(), 2, 0)  # the only one of class 1
    posterior = moved(torch.randn(50, 6)).exp()
    assert posterior[:, 1].max() < 1e-6
    assert torch.isfinite(moved.log_prior).all()


@pytest.mark.parametrize("covariance", ["diagonal", "spherical", "full"])
def test_a_new_prototype_has_the_moments_of_its_cells(covariance: str) -> None:
    layer = random_layer(covariance=covariance)
    cells = torch.randn(400, 6, generator=torch.Generator().manual_seed(2)) * 0.7 + 1
    mean, scale = surgery.moments_of(layer, cells)
    longer = surgery.append(layer, 1, mean, scale)
    torch.testing.assert_close(longer.mean[5], cells.mean(0))
    variance = (longer.scale_tril[5] @ longer.scale_tril[5].T).diagonal()
    expected = cells.var(0, correction=0)
    if covariance == "spherical":
        expected = expected.mean().expand(6)
    torch.testing.assert_close(variance, expected, atol=0.02, rtol=0.02)
    assert longer.class_index.tolist() == [0, 0, 1, 2, 2, 1]
    torch.testing.assert_close(longer.log_weight.exp()[[2, 5]], torch.tensor([0.5, 0.5]))


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_one_cell_is_enough_for_a_new_prototype(covariance: str) -> None:
    layer = random_layer(covariance=covariance)
    mean, scale = surgery.moments_of(layer, torch.full((1, 6), 3.0))
    longer = surgery.append(layer, 0, mean, scale)
    torch.testing.assert_close(longer.scale[5], layer.scale.mean(0))


def test_an_emptied_class_comes_back_with_an_average_prior() -> None:
    layer = surgery.with_class(random_layer(), 2, 0)
    longer = surgery.append(layer, 1, torch.zeros(6), torch.ones(6))
    assert longer.log_prior.exp()[1].item() == pytest.approx(1 / 3, abs=1e-4)
