"""The neck: what prediction takes in bands is what training takes whole."""

from __future__ import annotations

import pytest
import torch

from napari_gaussproto.core.network import neck
from napari_gaussproto.core.network.neck import Neck


def a_neck(widths: list[int], strides: list[int], output_stride: int) -> Neck:
    """One whose normalisation does something."""
    torch.manual_seed(0)
    made = Neck(widths, strides, output_stride, hidden=11, dim=7)
    for norm in made.norms:
        for values in (norm.weight.data, norm.bias.data, norm.running_mean):
            values.normal_()
        norm.running_var.uniform_(0.5, 3)
    return made.eval()


@pytest.mark.parametrize("band", [1, 300, 1 << 20])
@pytest.mark.parametrize(
    ("strides", "output_stride"),
    [([2, 4, 8, 16], 4), ([2, 4, 8, 4], 4), ([4, 8, 16], 2), ([2, 8], 16)],
)
def test_bands_are_parts_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, strides: list[int], output_stride: int, band: int
) -> None:
    made = a_neck([5, 3, 4, 6][: len(strides)], strides, output_stride)
    pairs = zip(made.widths, strides, strict=True)
    pyramid = [torch.randn(1, width, 96 // stride, 160 // stride) for width, stride in pairs]
    whole = made(pyramid).detach()
    monkeypatch.setattr(neck, "BAND", band)
    with torch.no_grad():
        found = made(pyramid)
    assert found.shape == (1, 7, 96 // output_stride, 160 // output_stride)
    torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-5)
