"""The head that is fitted in closed form to a few strokes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from napari_gaussproto.core.mixture.discriminant import (
    SHRINKAGE,
    SHRINKAGES,
    Discriminant,
    StrokeCells,
    fit_discriminant,
)
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer

CLASSES, DIM = 3, 6


def drawn(
    counts: tuple[int, ...], seed: int = 0, between: float = 0.0, strokes: int = 4
) -> tuple[StrokeCells, torch.Tensor, torch.Tensor]:
    """Cells of classes that overlap, how their Gaussian looks, and the cells of the photographs."""
    rng = np.random.default_rng(seed)
    means = np.random.default_rng(7).normal(size=(CLASSES, DIM)) * 1.5
    mix = np.random.default_rng(8).normal(size=(DIM, DIM)) * 0.2 + np.eye(DIM)
    label = np.repeat(np.arange(CLASSES), counts)
    stroke = label * strokes + rng.integers(strokes, size=len(label))
    shift = rng.normal(size=(CLASSES * strokes, DIM)) * between
    values = means[label] + shift[stroke] + rng.normal(size=(len(label), DIM)) @ mix
    everywhere = means[rng.integers(CLASSES, size=900)] + rng.normal(size=(900, DIM)) @ mix
    cells = StrokeCells(
        torch.tensor(values),
        torch.nn.functional.one_hot(torch.tensor(label), CLASSES).double(),
        torch.ones(len(label)).double(),
        torch.tensor(stroke),
    )
    return cells, torch.tensor(label), torch.tensor(everywhere)


def distances(head: Discriminant, values: torch.Tensor) -> torch.Tensor:
    return torch.cdist(head.whiten(values), head.mean).square()


def test_without_shrinkage_it_is_the_discriminant_analysis_of_scikit_learn() -> None:
    cells, label, photos = drawn((80, 80, 80))
    head = fit_discriminant(cells, photos, shrinkages=[0.0], doubt=0)
    reference = LinearDiscriminantAnalysis(solver="lsqr", priors=[1 / 3] * 3)
    reference.fit(cells.values.numpy(), label.numpy())
    difference = distances(head, photos) / -2
    theirs = torch.tensor(reference.decision_function(photos.numpy()))
    # Up to the unit of the distance, which the temperature takes up.
    ours = difference - difference[:, :1]
    theirs = theirs - theirs[:, :1]
    unit = (ours * theirs).sum() / (ours * ours).sum()
    torch.testing.assert_close(unit * ours, theirs, rtol=0.02, atol=0.02)


def test_classes_count_alike_however_much_is_painted() -> None:
    cells, label, photos = drawn((60, 60, 60))
    often = (label == 0).double() * 9 + 1
    head = fit_discriminant(cells, photos)
    other = fit_discriminant(replace(cells, weight=cells.weight * often), photos)
    torch.testing.assert_close(distances(head, photos), distances(other, photos))


def test_a_cell_twice_with_half_of_the_weight_changes_nothing() -> None:
    cells, _, photos = drawn((40, 20, 30), between=0.5)
    twice = StrokeCells(
        torch.cat([cells.values, cells.values]),
        torch.cat([cells.target, cells.target]),
        torch.cat([cells.weight, cells.weight]) / 2,
        torch.cat([cells.stroke, cells.stroke]),
    )
    one, two = fit_discriminant(cells, photos), fit_discriminant(twice, photos)
    assert one.shrinkage == two.shrinkage
    torch.testing.assert_close(one.log_posterior(photos), two.log_posterior(photos))


def test_a_few_hard_places_do_not_drag_the_mean_of_their_class() -> None:
    cells, label, photos = drawn((60, 60, 60))
    values = cells.values.clone()
    means = torch.stack([values[label == c].mean(0) for c in range(CLASSES)])
    wrong = (label == 0).nonzero().flatten()[:12]
    values[wrong] += means[1] - means[0]
    hard = replace(cells, values=values)
    off = {
        doubt: float((head.mean[0] - head.whiten(means)[0]).norm())
        for doubt in (0.0, 0.5)
        for head in [fit_discriminant(hard, photos, doubt=doubt)]
    }
    assert off[0.5] < 0.8 * off[0.0]


def test_a_stroke_beside_its_class_leaves_the_mean_where_sure_cells_lie() -> None:
    """The first strokes of a person are seldom in the middle of what they stand for."""
    cells, label, photos = drawn((40, 40, 40))
    beside = cells.values.clone()
    beside[label == 1] += (cells.values[label == 0].mean(0) - beside[label == 1].mean(0)) * 0.4
    strokes = replace(cells, values=beside)
    own = cells.values[label == 1].mean(0)

    def far(anchor: float) -> float:
        head = fit_discriminant(strokes, photos, anchor=anchor)
        return float((head.mean[1] - head.whiten(own[None])[0]).norm())

    assert far(0.7) < 0.9 * far(0.0)


def test_an_anchor_lets_go_as_strokes_grow_in_number() -> None:
    few, _, photos = drawn((80, 80, 80), strokes=2)
    many = replace(few, stroke=torch.arange(len(few.stroke)))

    def moved(cells: StrokeCells) -> float:
        free, bound = (fit_discriminant(cells, photos, anchor=a) for a in (0.0, 0.9))
        return float((free.mean - bound.mean).norm())

    assert moved(many) < moved(few) / 3


def test_features_in_other_units_give_the_same_posterior() -> None:
    cells, _, photos = drawn((40, 40, 40))
    unit = torch.tensor([1000.0, 0.01, 1.0, 3.0, 1.0, 7.0]).double()
    moved = fit_discriminant(replace(cells, values=cells.values * unit + 5), photos * unit + 5)
    same = fit_discriminant(cells, photos).log_posterior(photos)
    torch.testing.assert_close(moved.log_posterior(photos * unit + 5), same)


def test_a_stroke_of_each_class_says_nothing_about_strokes_that_were_not_seen() -> None:
    cells, label, photos = drawn((30, 30, 30))
    head = fit_discriminant(replace(cells, stroke=label), photos)
    assert (head.accuracy, head.held_out, head.shrinkage) == (None, 0, SHRINKAGE)
    assert head.temperature == pytest.approx(2 * DIM / 3)


def test_accuracy_is_that_of_strokes_it_did_not_see() -> None:
    """Strokes that differ as much as classes do: the cells that were painted are easy to know."""
    cells, label, photos = drawn((200, 200, 200), between=2.0, strokes=8)
    head = fit_discriminant(cells, photos, shrinkages=[0.5])
    fresh = [drawn((60, 60, 60), seed=s, between=2.0, strokes=8) for s in range(1, 9)]
    unseen = [(distances(head, c.values).argmin(1) == own).double().mean() for c, own, _ in fresh]
    seen = (distances(head, cells.values).argmin(1) == label).double().mean()
    assert head.held_out == 24
    assert head.accuracy == pytest.approx(float(torch.stack(unseen).mean()), abs=0.12)
    assert head.accuracy is not None and head.accuracy < float(seen) - 0.05


def test_many_strokes_loosen_a_covariance_that_is_not_that_of_the_photographs() -> None:
    rng = torch.Generator().manual_seed(0)
    label = torch.arange(600) % 2
    values = torch.randn(600, 2, generator=rng).double() @ torch.tensor([[1, 1], [0, 0.1]]).double()
    values[:, 1] += label * 0.5
    target = torch.nn.functional.one_hot(label, 2).double()
    stroke = torch.arange(600) // 20 * 2 + label
    cells = StrokeCells(values, target, torch.ones(600).double(), stroke)
    head = fit_discriminant(cells, values, doubt=0)
    stiff = fit_discriminant(cells, values, shrinkages=[1.0], doubt=0)
    assert head.shrinkage == min(SHRINKAGES)
    assert head.accuracy is not None and stiff.accuracy is not None
    assert head.accuracy > stiff.accuracy + 0.03


def test_the_cells_of_a_class_are_one_deviation_from_its_mean() -> None:
    cells, label, photos = drawn((50, 50, 50))
    head = fit_discriminant(cells, photos, doubt=0)
    own = distances(head, cells.values).gather(1, label[:, None]).mean()
    assert float(own) == pytest.approx(DIM, rel=1e-6)


def test_a_class_that_is_rare_in_the_photographs_has_a_smaller_prior() -> None:
    cells, _, _ = drawn((50, 50, 50))
    common, _, _ = drawn((900, 3, 900), seed=1)
    even, _, _ = drawn((600, 600, 600), seed=1)
    head = fit_discriminant(cells, common.values)
    other = fit_discriminant(cells, even.values)
    assert head.log_prior[1] - head.log_prior[0] < other.log_prior[1] - other.log_prior[0] - 0.3


def test_a_class_without_cells_is_never_said() -> None:
    cells, _, photos = drawn((50, 0, 50))
    head = fit_discriminant(cells, photos)
    assert head.known.tolist() == [True, False, True]
    assert not (head.log_posterior(photos).argmax(1) == 1).any()
    assert torch.isfinite(head.log_posterior(photos)).all()


def test_fewer_cells_than_dimensions_are_enough() -> None:
    cells, label, photos = drawn((1, 1, 1))
    head = fit_discriminant(replace(cells, stroke=label), photos)
    assert (head.log_posterior(cells.values).argmax(1) == label).all()


def test_the_prototype_layer_says_the_same() -> None:
    cells, _, photos = drawn((50, 30, 40))
    head = fit_discriminant(cells, photos)
    layer = GaussianPrototypeLayer(DIM, range(CLASSES), CLASSES, covariance="spherical")
    layer.set_parameters(head.mean.float(), torch.ones(CLASSES, DIM))
    with torch.no_grad():
        layer.raw_prior.copy_(head.log_prior)
        layer.log_temperature.fill_(float(np.log(head.temperature)))
        said = layer(head.whiten(photos).float())
    torch.testing.assert_close(said, head.log_posterior(photos).float(), rtol=1e-3, atol=1e-3)


def test_the_posterior_is_about_as_sure_as_it_is_right() -> None:
    # Photographs whose spread is far above that of a class, which so has a small share of it.
    cells, _, photos = drawn((400, 400, 400), between=0.5, strokes=20)
    head = fit_discriminant(cells, 3 * photos)
    fresh, label, _ = drawn((300, 300, 300), seed=5, between=0.5, strokes=20)

    def loss(factor: float) -> float:
        other = replace(head, temperature=head.temperature * factor)
        return float(-other.log_posterior(fresh.values)[torch.arange(len(label)), label].mean())

    assert loss(1) < min(loss(1 / 3), loss(5))


def test_one_click_of_each_class_is_not_blindly_sure() -> None:
    cells, label, photos = drawn((1, 1, 1))
    head = fit_discriminant(replace(cells, stroke=label), photos)
    assert (head.log_posterior(photos).exp().amax(1) > 0.99).double().mean() < 0.75
