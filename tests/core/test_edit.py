"""Edits of the list of prototypes."""

from __future__ import annotations

import pytest
import torch

from napari_gaussproto.core import edit
from tests.core.builders import random_layer


@pytest.mark.parametrize("covariance", ["diagonal", "spherical", "full"])
def test_selecting_all_is_bit_identical(covariance: str) -> None:
    layer = random_layer(covariance=covariance)
    layer.active[1] = False
    z = torch.randn(20, 6)
    copy = edit.select(layer, range(5))
    assert torch.equal(copy(z), layer(z))
    assert copy.active.tolist() == layer.active.tolist()


def test_selecting_some_equals_switching_the_others_off() -> None:
    layer = random_layer()
    z = torch.randn(20, 6)
    chosen = edit.select(layer, [0, 2, 4])
    layer.active[[1, 3]] = False
    torch.testing.assert_close(chosen(z), layer(z))


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_merging_keeps_weight_mean_and_covariance(covariance: str) -> None:
    layer = random_layer(covariance=covariance)
    merged = edit.merge(layer, 3, 4)
    share = layer.log_weight.exp()[[3, 4]]
    share = share / share.sum()
    mean = share @ layer.mean[[3, 4]]
    offset = layer.mean[[3, 4]] - mean
    factor = layer.scale_tril[[3, 4]]
    second = factor @ factor.mT + offset[:, :, None] * offset[:, None]
    expected = (share[:, None, None] * second).sum(0)
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
    merged = edit.merge(layer, 0, 1)
    torch.testing.assert_close(merged.mean[1:], layer.mean[2:])
    torch.testing.assert_close(merged.log_weight[1:], layer.log_weight[2:])
    for key, value in layer.state_dict().items():
        assert torch.equal(value, before[key])


def test_merging_across_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="same class"):
        edit.merge(random_layer(), 0, 2)
