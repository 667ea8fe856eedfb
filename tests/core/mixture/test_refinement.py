"""Corrections change what is wrong and keep what is right."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer
from napari_gaussproto.core.mixture.refinement import corrected, cross_validate

DIM = 6


def layer() -> GaussianPrototypeLayer:
    """Two classes, which differ along the first axis only."""
    made = GaussianPrototypeLayer(DIM, [0, 1], 2)
    mean = torch.zeros(2, DIM)
    mean[:, 0] = torch.tensor([-2.0, 2.0])
    made.set_parameters(mean, torch.ones(2, DIM))
    return made.eval()


def around(*place: float, count: int = 30, seed: int = 0) -> Tensor:
    noise = torch.randn(count, DIM, generator=torch.Generator().manual_seed(seed))
    centre = torch.zeros(DIM)
    centre[: len(place)] = torch.tensor(place)
    return centre + 0.3 * noise


def one_hot(c: int, count: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.full((count,), c), 2).float()


EVERYWHERE = torch.cat([around(-2.0, count=300, seed=1), around(2.0, count=300, seed=2)])


def test_a_correction_gets_its_class_and_the_rest_keeps_its_own() -> None:
    begun, wrong = layer(), around(-2.0, 4.0)
    stroke = torch.zeros(len(wrong), dtype=torch.long)
    assert (begun(wrong).argmax(1) == 0).all()
    after = corrected(begun, wrong, one_hot(1, len(wrong)), stroke, EVERYWHERE)
    assert (after(wrong).argmax(1) == 1).float().mean() > 0.9
    assert (after(EVERYWHERE).argmax(1) == begun(EVERYWHERE).argmax(1)).float().mean() > 0.98
    assert after.class_index.tolist() == [0, 1, 1]
    assert torch.equal(begun.mean, layer().mean)


def test_a_layer_that_is_right_stays_as_it_is() -> None:
    begun, right = layer(), around(2.0, 1.0)
    stroke = torch.zeros(len(right), dtype=torch.long)
    after = corrected(begun, right, one_hot(1, len(right)), stroke, EVERYWHERE)
    assert torch.equal(after.mean, begun.mean)


@pytest.mark.parametrize("strokes", [1, 3])
def test_strokes_are_judged_by_fits_without_them(strokes: int) -> None:
    z = torch.cat([around(-2.0, seed=3), around(2.0, seed=4)])
    target = torch.cat([one_hot(0, 30), one_hot(1, 30)])
    stroke = torch.arange(60) // 30 * strokes + torch.arange(60) % strokes
    seen: list[int] = []

    def fit(chosen: Tensor) -> GaussianPrototypeLayer:
        seen.append(int(chosen.sum()))
        return layer()

    found = cross_validate(fit, z, target, stroke)
    if strokes == 1:
        assert found is None
        return
    assert found is not None
    assert (found.accuracy, found.strokes) == (1.0, 2 * strokes)
    assert seen == [40, 40, 40]


def test_what_is_like_one_of_two_wrong_cells_is_not_kept() -> None:
    begun = layer()
    wrong = torch.tensor([[-2.0, 4.0], [-2.0, 5.0]])
    wrong = torch.cat([wrong, torch.zeros(2, DIM - 2)], 1)
    near = wrong + 0.1
    target, stroke = one_hot(1, 2), torch.zeros(2, dtype=torch.long)
    with_near, without = (
        corrected(begun, wrong, target, stroke, torch.cat([EVERYWHERE, more]))
        for more in (near, near[:0])
    )
    torch.testing.assert_close(with_near.mean, without.mean)
