"""The Gaussian prototype layer against independent implementations, and its promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)

from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer
from tests.core.builders import random_layer

COVARIANCES = ["diagonal", "spherical", "full"]


def reference_log_likelihood(layer: GaussianPrototypeLayer, z: torch.Tensor) -> torch.Tensor:
    """Log-densities (N, M) by torch.distributions."""
    if layer.covariance == "full":
        normal = MultivariateNormal(layer.mean, scale_tril=layer.scale_tril)
    else:
        normal = Independent(Normal(layer.mean, layer.scale), 1)
    return normal.log_prob(z[:, None])


def gradients(value: torch.Tensor, layer: GaussianPrototypeLayer, z: torch.Tensor) -> list:
    wanted = [z, layer.mean, layer.raw_scale, layer.off_diagonal]
    return list(torch.autograd.grad(value, wanted, allow_unused=True))


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_values_and_gradients_match_torch_distributions(covariance: str) -> None:
    layer = random_layer(dim=8, covariance=covariance)
    z = torch.randn(64, 8, requires_grad=True)
    mix = torch.randn(64, 5)
    ours, theirs = layer.scores(z).log_likelihood, reference_log_likelihood(layer, z)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    pairs = zip(
        gradients((ours * mix).sum() / 64, layer, z),
        gradients((theirs * mix).sum() / 64, layer, z),
        strict=True,
    )
    for mine, other in pairs:
        if other is not None and other.numel():
            torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)


def test_float32_keeps_five_digits_on_normalised_latents() -> None:
    layer = random_layer(dim=32, class_index=(0, 1, 2))
    z = torch.nn.functional.layer_norm(torch.randn(500, 32), (32,))
    exact = reference_log_likelihood(layer.double(), z.double())
    error = (layer.float().scores(z).log_likelihood.double() - exact).abs() / exact.abs()
    assert error.max() < 1e-5


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_gradcheck_in_double_precision(covariance: str) -> None:
    layer = random_layer(dim=3, covariance=covariance).double()
    z = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    parameters = [layer.mean, layer.raw_scale, layer.raw_weight, layer.raw_prior]
    parameters += [layer.log_temperature]
    if covariance == "full":
        parameters += [layer.off_diagonal]

    def posterior(cells: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        return layer(cells)

    assert torch.autograd.gradcheck(posterior, (z, *parameters))


def test_class_likelihood_is_a_mixture_same_family() -> None:
    layer = random_layer(class_index=(0, 0, 0))
    z = torch.randn(50, 6)
    mixture = MixtureSameFamily(
        Categorical(logits=layer.raw_weight), Independent(Normal(layer.mean, layer.scale), 1)
    )
    ours = layer.scores(z).class_log_likelihood[:, 0]
    torch.testing.assert_close(ours, mixture.log_prob(z), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("covariance", "kind"), [("diagonal", "diag"), ("spherical", "spherical"), ("full", "full")]
)
def test_density_matches_scikit_learn(covariance: str, kind: str) -> None:
    rng = np.random.default_rng(0)
    data = np.concatenate([rng.normal(c, 1 + 0.2 * c, (200, 4)) for c in range(3)])
    fitted = GaussianMixture(3, covariance_type=kind, random_state=0).fit(data)
    layer = GaussianPrototypeLayer(4, [0, 0, 0], 1, covariance=covariance)
    if kind == "full":
        scale = np.linalg.cholesky(fitted.covariances_)
    elif kind == "diag":
        scale = np.sqrt(fitted.covariances_)
    else:
        scale = np.sqrt(fitted.covariances_)[:, None].repeat(4, 1)
    layer.set_parameters(
        torch.tensor(fitted.means_, dtype=torch.float32),
        torch.tensor(scale, dtype=torch.float32),
        torch.tensor(fitted.weights_, dtype=torch.float32),
    )
    z = torch.tensor(data, dtype=torch.float32)
    scores = layer.scores(z)
    np.testing.assert_allclose(scores.log_density.detach(), fitted.score_samples(data), atol=1e-3)
    np.testing.assert_allclose(
        scores.log_responsibility.exp().detach(), fitted.predict_proba(data), atol=1e-4
    )


def test_posterior_is_bayes_rule_at_temperature_one() -> None:
    layer = random_layer()
    z = torch.randn(30, 6)
    likelihood = layer.scores(z).class_log_likelihood.exp()
    joint = likelihood * layer.log_prior.exp()
    torch.testing.assert_close(layer(z).exp(), joint / joint.sum(1, keepdim=True))


def test_temperature_flattens_and_keeps_the_order() -> None:
    layer = random_layer()
    z = torch.randn(100, 6)
    sharp = layer(z)
    with torch.no_grad():
        layer.log_temperature.fill_(math.log(10.0))
    flat = layer(z)
    assert torch.equal(sharp.argmax(1), flat.argmax(1))
    assert flat.max(1).values.mean() < sharp.max(1).values.mean()


@given(
    seed=st.integers(0, 10_000),
    classes=st.lists(st.integers(0, 3), min_size=1, max_size=9),
    temperature=st.floats(0.3, 30),
    distance=st.floats(0.1, 1e4),
    covariance=st.sampled_from(COVARIANCES),
)
def test_the_shares_of_a_class_sum_to_its_posterior(
    seed: int, classes: list[int], temperature: float, distance: float, covariance: str
) -> None:
    layer = random_layer(class_index=tuple(classes), covariance=covariance, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        layer.log_temperature.fill_(math.log(temperature))
        layer.active.copy_(torch.rand(len(classes), generator=generator) < 0.8)
        layer.active[seed % len(classes)] = True
        scores = layer.scores(distance * torch.randn(17, 6, generator=generator))
        share = scores.log_responsibility.exp()
        posterior = scores.class_log_posterior.exp()
    summed = torch.zeros_like(posterior).index_add_(1, layer.class_index, share)
    assert torch.allclose(summed, posterior, atol=1e-5)
    assert torch.allclose(share.sum(1), torch.ones(17), atol=1e-5)
    assert not share[:, ~layer.active].any()


def test_without_temperature_shares_are_those_of_bayes_rule() -> None:
    scores = random_layer().scores(torch.randn(50, 6, generator=torch.Generator().manual_seed(1)))
    assert torch.allclose(scores.log_responsibility, scores.log_assignment, atol=1e-4)


@given(
    st.integers(1, 12),
    st.lists(st.integers(0, 3), min_size=1, max_size=9),
    st.sampled_from(COVARIANCES),
    st.integers(0, 1000),
    st.floats(1e-3, 1e4),
)
def test_shares_sum_to_one_whatever_the_input(
    dim: int, classes: list[int], covariance: str, seed: int, size: float
) -> None:
    layer = random_layer(dim, tuple(classes), covariance, seed)
    generator = torch.Generator().manual_seed(seed)
    layer.active = torch.rand(len(classes), generator=generator) < 0.7
    layer.active[seed % len(classes)] = True
    z = size * torch.randn(16, dim, generator=generator)
    scores = layer.scores(z)
    posterior, responsibility = layer(z).exp(), scores.log_responsibility.exp()
    for shares in (posterior, responsibility):
        torch.testing.assert_close(shares.sum(1), torch.ones(16), atol=1e-4, rtol=0)
    assert (responsibility[:, ~layer.active] == 0).all()
    assert torch.isfinite(scores.log_density).all()


@given(st.integers(0, 1000), st.integers(0, 4))
def test_an_inactive_prototype_never_counts(seed: int, off: int) -> None:
    layer = random_layer(seed=seed)
    z = torch.randn(20, 6, generator=torch.Generator().manual_seed(seed))
    layer.active[off] = False
    before = layer(z)
    with torch.no_grad():
        layer.mean[off] = z[0]  # would explain this cell perfectly
        layer.raw_weight[off] = 50
    torch.testing.assert_close(layer(z), before)
    layer(z).logsumexp(0).sum().backward()
    for parameter in (layer.mean, layer.raw_scale, layer.raw_weight):
        assert parameter.grad is not None
        assert (parameter.grad[off] == 0).all()
        assert torch.isfinite(parameter.grad).all()


def test_a_class_without_active_prototypes_has_probability_zero() -> None:
    layer = random_layer(class_index=(0, 0, 1))
    layer.active[2] = False
    posterior = layer(torch.randn(10, 6)).exp()
    torch.testing.assert_close(posterior[:, 0], torch.ones(10))
    assert (posterior[:, 1] == 0).all()


@pytest.mark.parametrize("value", [1e4, -1e4, 1e8, 0.0])
def test_extreme_cells_give_finite_numbers_and_gradients(value: float) -> None:
    layer = random_layer()
    z = torch.full((3, 6), value, requires_grad=True)
    log_posterior = layer(z)
    assert torch.isfinite(log_posterior).all()
    log_posterior.sum().backward()
    assert torch.isfinite(z.grad).all()
    assert torch.isfinite(layer.mean.grad).all()


def test_scales_never_fall_below_the_floor() -> None:
    layer = random_layer()
    with torch.no_grad():
        layer.raw_scale.fill_(-1e4)
    assert (layer.scale >= 0.1).all()
    assert torch.isfinite(layer(torch.randn(5, 6))).all()


def test_half_precision_cells_are_computed_in_float32() -> None:
    layer = random_layer(dim=32, class_index=(0, 1))
    z = torch.randn(40, 32).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = layer.scores(z).log_likelihood
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, layer.scores(z.float()).log_likelihood)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_bhattacharyya_of_equal_scales_is_an_eighth_of_mahalanobis(covariance: str) -> None:
    layer = random_layer(class_index=(0, 0), covariance=covariance)
    with torch.no_grad():
        layer.raw_scale[1], layer.off_diagonal[1] = layer.raw_scale[0], layer.off_diagonal[0]
    expected = -layer.scores(layer.mean).mahalanobis[0, 1] / 8
    torch.testing.assert_close(layer.log_bhattacharyya()[0, 1], expected, rtol=1e-4, atol=1e-4)


def test_bhattacharyya_by_numerical_integration() -> None:
    layer = random_layer(dim=1, class_index=(0, 0))
    x = torch.linspace(-30, 30, 200_001)[:, None]
    x = torch.linspace(-30, 30, 200_001)[:, None]
    # Not x[1] - x[0]: that difference of two float32 is wrong in its third digit.
    overlap = (0.5 * layer.scores(x).log_likelihood.sum(1)).exp().sum() * (60 / 200_000)
    torch.testing.assert_close(layer.log_bhattacharyya()[0, 1].exp(), overlap, atol=1e-4, rtol=1e-4)


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match=r"\(N, 6\), not \(3, 5\)"):
        random_layer().scores(torch.zeros(3, 5))


def test_set_parameters_round_trip() -> None:
    layer = GaussianPrototypeLayer(3, [0, 1], 2)
    scale = torch.tensor([[0.5, 1.0, 2.0], [0.2, 0.3, 0.4]])
    layer.set_parameters(torch.ones(2, 3), scale)
    torch.testing.assert_close(layer.scale, scale)


def test_scores_share_what_they_are_computed_from(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = random_layer()
    scores = layer.scores(torch.randn(20, layer.dim))
    calls = []
    products = torch.addmm
    monkeypatch.setattr(torch, "addmm", lambda *a, **k: calls.append(a) or products(*a, **k))
    _ = scores.class_log_posterior, scores.log_density, scores.log_responsibility
    assert len(calls) == 1
    assert scores.log_likelihood is scores.log_likelihood
    torch.testing.assert_close(
        scores.class_log_posterior, scores.class_log_posterior_at(layer.temperature)
    )


def test_training_keeps_two_arrays_of_cells_by_prototypes() -> None:
    layer, z = random_layer(dim=2, class_index=(0, 1) * 20), torch.randn(1000, 2)
    kept: dict[int, torch.UntypedStorage] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        layer(z)
    # Distances as they are clamped, and the exponentials of their sums; the rest is by class.
    of_one = 4 * len(z) * len(layer.mean)
    assert 2 * of_one <= sum(storage.nbytes() for storage in kept.values()) < 2.8 * of_one
