"""The mathematics of every semi-supervised term, on constructed cases."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from napari_gaussproto.core.base.config import TERM_WEIGHTS, USED_BY_DEFAULT
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer
from napari_gaussproto.core.training import semi
from tests.core.builders import random_layer, tiny_model, two_tone

DIM = 4


def two_classes() -> GaussianPrototypeLayer:
    """Unit Gaussians at -2 and 2 on the first axis, one a class."""
    layer = GaussianPrototypeLayer(DIM, (0, 1), 2)
    mean = torch.zeros(2, DIM)
    mean[:, 0] = torch.tensor([-2.0, 2.0])
    layer.set_parameters(mean, torch.ones(2, DIM))
    return layer


def cells(*first: float) -> Tensor:
    z = torch.zeros(len(first), DIM)
    z[:, 0] = torch.tensor(first)
    return z


def test_density_is_the_weighted_mean_of_log_p() -> None:
    layer, weight = two_classes(), torch.tensor([1.0, 3.0])
    z = cells(-2.0, 5.0)
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.ones(2)),
        torch.distributions.Independent(
            torch.distributions.Normal(layer.mean, torch.ones(2, DIM)), 1
        ),
    )
    log_p = mixture.log_prob(z)
    expected = -(log_p[0] + 3 * log_p[1]) / 4 / DIM
    assert float(semi.density(layer, z, weight)) == pytest.approx(float(expected), abs=1e-5)


def test_density_moves_prototypes_but_no_weight_of_the_encoder() -> None:
    model = tiny_model()
    image = torch.from_numpy(two_tone()[0]).permute(2, 0, 1)[None].float() / 255
    z = model.extract(image)[0].flatten(1).T
    semi.density(model.layer, z, torch.ones(len(z))).backward()
    assert all(p.grad is None for p in model.extractor.parameters())
    assert float(model.layer.mean.grad.abs().max()) > 0
    assert float(model.layer.raw_scale.grad.abs().max()) > 0


def test_descending_the_density_term_covers_unlabelled_cells() -> None:
    layer = two_classes()
    torch.manual_seed(0)
    z = torch.randn(200, DIM) * 0.3 + cells(6.0)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    before = float(semi.density(layer, z, torch.ones(200)))
    for _ in range(200):
        optimizer.zero_grad()
        loss = semi.density(layer, z, torch.ones(200))
        loss.backward()
        optimizer.step()
    assert float(loss) < before - 1
    assert float(layer.mean[1, 0]) == pytest.approx(6.0, abs=0.3)


def test_soft_labels_are_least_for_the_teacher_s_own_answer() -> None:
    layer = random_layer()
    torch.manual_seed(0)
    z, weight = torch.randn(30, layer.dim), torch.rand(30)
    own = layer.scores(z).log_responsibility.detach()
    entropy = -((own.exp() * own).sum(1) * weight).sum() / weight.sum()
    assert float(semi.soft_labels(own, own.exp(), weight)) == pytest.approx(float(entropy))
    for _ in range(5):
        other = torch.randn(30, layer.n_prototypes).log_softmax(1)
        assert semi.soft_labels(other, own.exp(), weight) > entropy


def test_soft_labels_teach_the_student_and_not_the_teacher() -> None:
    student = torch.randn(5, 3, requires_grad=True)
    teacher = torch.randn(5, 3, requires_grad=True)
    semi.soft_labels(student.log_softmax(1), teacher.softmax(1), torch.ones(5)).backward()
    assert teacher.grad is None
    assert torch.allclose(student.grad, (student.softmax(1) - teacher.softmax(1)).detach() / 5)


def labelled() -> tuple[Tensor, Tensor, Tensor]:
    """200 cells drawn around each class' mean."""
    torch.manual_seed(1)
    z = torch.cat([torch.randn(200, DIM) + cells(-2.0), torch.randn(200, DIM) + cells(2.0)])
    target = torch.zeros(400, 2)
    target[:200, 0] = target[200:, 1] = 1
    return z, target, torch.ones(400)


def test_density_quantiles_are_those_of_the_class_own_cells() -> None:
    layer = two_classes()
    z, target, weight = labelled()
    limits = semi.class_density_quantiles(layer, z, target, weight, 0.05)
    log_p = layer.scores(z).log_density
    for c, own in enumerate((log_p[:200], log_p[200:])):
        assert float((own < limits[c]).float().mean()) == pytest.approx(0.05, abs=0.005)
    weight[200:] = 0
    assert semi.class_density_quantiles(layer, z, target, weight, 0.05)[1] == math.inf


def test_the_gate_refuses_novel_cells_however_sure_the_posterior_is() -> None:
    layer = two_classes()
    limits = semi.class_density_quantiles(layer, *labelled(), 0.05)
    #           familiar, undecided, far beyond class 1, far off on another axis
    z = cells(2.0, 0.0, 30.0, 2.0)
    z[3, 1] = 8.0
    scores = layer.scores(z)
    posterior = scores.class_log_posterior
    gate = semi.double_gate(posterior, scores.log_density, limits, 0.95)
    assert (posterior.exp().max(1).values >= 0.95).tolist() == [True, False, True, True]
    assert gate.passed.tolist() == [True, False, False, False]
    assert gate.label[0] == 1
    assert gate.share(torch.tensor([1.0, 1.0, 2.0, 0.0])) == pytest.approx(0.25)
    # Class 1 has no labelled cell: not even its middle passes.
    closed = semi.double_gate(posterior, scores.log_density, torch.tensor([0.0, math.inf]), 0.95)
    assert not closed.passed.any()


def test_pseudo_labels_count_passed_cells_over_all() -> None:
    log_posterior = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]).log().requires_grad_()
    gate = semi.Gate(torch.tensor([0, 1, 0]), torch.tensor([True, True, False]))
    weight = torch.tensor([1.0, 1.0, 2.0])
    loss = semi.pseudo_labels(log_posterior, gate, weight)
    assert float(loss) == pytest.approx(-(math.log(0.9) + math.log(0.8)) / 4)
    loss.backward()
    assert (log_posterior.grad[2] == 0).all()


def affinity_of(z: Tensor, logits: Tensor, target: Tensor, weight: Tensor, image: Tensor) -> Tensor:
    return semi.affinity(
        z,
        logits.log_softmax(1),
        target,
        weight,
        torch.ones(len(z)),
        image,
        cosine=0.7,
        temperature=0.05,
    )


def test_affinity_is_zero_with_no_strokes() -> None:
    torch.manual_seed(0)
    logits = torch.randn(6, 2, requires_grad=True)
    loss = affinity_of(
        torch.randn(6, DIM), logits, torch.zeros(6, 2), torch.zeros(6), torch.zeros(6).long()
    )
    loss.backward()
    assert float(loss) == 0
    assert (logits.grad == 0).all()


def test_affinity_labels_what_resembles_the_strokes_of_its_own_image() -> None:
    z = torch.tensor(
        [
            [1.0, 0, 0, 0],  # image 0: a stroke of class 0
            [0.0, 1, 0, 0],  # a stroke of class 1
            [0.9, 0.1, 0, 0],  # resembles class 0
            [0.0, 0, 1, 0],  # resembles nothing
            [0.9, 0.1, 0, 0],  # image 1, where nobody drew
        ]
    )
    target = torch.zeros(5, 2)
    target[0, 0] = target[1, 1] = 1
    weight = torch.tensor([1.0, 1, 0, 0, 0])
    image = torch.tensor([0, 0, 0, 0, 1])
    logits = torch.zeros(5, 2, requires_grad=True)
    loss = affinity_of(z, logits, target, weight, image)
    # One cell of three unlabelled ones, whose posterior is even.
    assert float(loss) == pytest.approx(math.log(2) / 3, abs=1e-5)
    loss.backward()
    assert logits.grad[2, 0] < 0 < logits.grad[2, 1]
    assert (logits.grad[[0, 1, 3, 4]] == 0).all()


def test_anchoring_is_half_the_squared_distance_and_pulls_back() -> None:
    model = torch.nn.Linear(3, 2)
    former = semi.remember(model)
    assert float(semi.anchoring(model, former)) == 0
    with torch.no_grad():
        model.weight += 1
        model.bias -= 2
    loss = semi.anchoring(model, former)
    assert float(loss) == pytest.approx((6 * 1 + 2 * 4) / 2)
    loss.backward()
    assert torch.allclose(model.weight.grad, torch.ones(2, 3))
    assert torch.allclose(model.bias.grad, torch.full((2,), -2.0))


def test_anchoring_leaves_new_prototypes_free() -> None:
    former = semi.remember(random_layer(class_index=(0, 1)))
    grown = random_layer(class_index=(0, 1, 2), seed=3)
    semi.anchoring(grown, former).backward()
    assert (grown.mean.grad[:2] != 0).all()
    assert (grown.mean.grad[2] == 0).all()


def test_every_term_is_zero_and_finite_without_cells() -> None:
    layer = two_classes()
    none, nothing = torch.zeros(0, DIM), torch.zeros(0)
    posterior = layer(none)
    gate = semi.double_gate(posterior, nothing, torch.zeros(2), 0.9)
    target = torch.zeros(0, 2)
    assert float(semi.density(layer, none, nothing)) == 0
    assert float(semi.soft_labels(posterior, posterior.exp(), nothing)) == 0
    assert float(semi.pseudo_labels(posterior, gate, nothing)) == 0
    assert float(affinity_of(none, posterior, target, nothing, nothing.long())) == 0


def test_the_ramp_rises_to_one() -> None:
    values = [semi.ramp(p, 0.4) for p in (0.0, 0.1, 0.2, 0.3, 0.4, 1.0)]
    assert values == sorted(values)
    assert values[0] == pytest.approx(math.exp(-5))
    assert values[-2:] == [1.0, 1.0]
    assert semi.ramp(0.0, 0.0) == 1.0


def test_settings_know_what_is_on() -> None:
    assert not any(getattr(semi.SemiSettings.only(), name) for name in TERM_WEIGHTS)
    for name in ("density", "soft_labels", "pseudo_labels", "affinity", "anchoring"):
        settings = semi.SemiSettings.only(**{name: 0.1})
        assert [n for n in TERM_WEIGHTS if getattr(settings, n)] == [name]
        assert settings.needs_teacher == (name in ("soft_labels", "pseudo_labels"))


def test_what_helps_is_on_by_default_and_nothing_else() -> None:
    weights = semi.SemiSettings().model_dump()
    on = {name for name in TERM_WEIGHTS if weights[name]}
    assert on == USED_BY_DEFAULT == set()
    assert all(weights[name] == TERM_WEIGHTS[name] for name in on)
