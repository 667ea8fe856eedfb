"""Blocks in bands give what they give as a whole, and what cannot go in bands stays as it is."""

from __future__ import annotations

import copy
import sys
from importlib.util import module_from_spec, spec_from_file_location

import pytest
import torch
from timm.models._efficientnet_blocks import InvertedResidual
from timm.models._efficientnet_builder import decode_arch_def
from timm.models.efficientnet import EfficientNetFeatures
from torch import nn

from napari_gaussproto.core.network import bands
from napari_gaussproto.core.network.bands import InBands, put_in_bands
from napari_gaussproto.core.network.folding import FoldedCopy, fold
from tests.core.network.test_folding import stirred


def banded(block: nn.Module) -> InBands:
    holder = nn.Sequential(block.eval())
    assert fold(holder) == 3
    assert put_in_bands(holder) == 1
    part = holder[0]
    assert isinstance(part, InBands)
    return part


@pytest.mark.parametrize("padding", ["same", ""])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
@pytest.mark.parametrize("size", [(12, 16), (17, 9), (5, 30)])
@pytest.mark.parametrize("rows", [1, 2, 5, 100])
@torch.no_grad()
def test_bands_of_any_height_give_the_whole(
    padding: str, kernel: int, stride: int, size: tuple[int, int], rows: int
) -> None:
    torch.manual_seed(0)
    block = InvertedResidual(8, 8, kernel, stride, pad_type=padding, exp_ratio=3)
    part = banded(block)
    image = torch.randn(1, 8, *size).to(memory_format=torch.channels_last)
    whole = part.whole(image)
    found = part.in_bands(image, rows * 24 * (size[1] + kernel) * stride)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("activation", [nn.ReLU6, nn.SiLU])
@torch.no_grad()
def test_any_activation_is_applied(activation: type[nn.Module]) -> None:
    torch.manual_seed(0)
    part = banded(InvertedResidual(8, 4, exp_ratio=3, act_layer=activation))
    image = 4 * torch.randn(1, 8, 20, 20)
    torch.testing.assert_close(part.in_bands(image, 1), part.whole(image), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_backbone_in_bands_has_the_same_features(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = stirred("tf_efficientnet_lite0")
    folded = FoldedCopy(backbone, 3, 64).get()
    parts = [module for module in folded.modules() if isinstance(module, InBands)]
    assert len(parts) == 16  # all blocks, the first with what stands before it
    image = torch.rand(1, 3, 96, 160)
    before = folded(image)
    asked = []
    in_bands = InBands.in_bands
    monkeypatch.setattr(bands, "BAND", 1 << 10)
    monkeypatch.setattr(InBands, "in_bands", lambda *a: asked.append(a[0]) or in_bands(*a))
    after = folded(image)
    assert set(parts[:9]) <= set(asked)
    for whole, found, plain in zip(before, after, backbone(image), strict=True):
        torch.testing.assert_close(found, whole, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(found, plain, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_batches_and_small_images_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    part = banded(InvertedResidual(8, 8, exp_ratio=3))

    def refuse(*_: object) -> None:
        raise AssertionError("not in bands")

    monkeypatch.setattr(InBands, "in_bands", refuse)
    part(torch.rand(1, 8, 20, 20))
    monkeypatch.setattr(bands, "BAND", 1)
    part(torch.rand(2, 8, 20, 20))
    with pytest.raises(AssertionError, match="not in bands"):
        part(torch.rand(1, 8, 20, 20))


def test_blocks_that_look_at_whole_maps_are_left_alone() -> None:
    network = copy.deepcopy(stirred("efficientnet_b0"))  # with squeeze and excitation
    fold(network)
    assert put_in_bands(network) == 0


@torch.no_grad()
def test_a_first_convolution_whose_features_are_asked_for_stays() -> None:
    torch.manual_seed(0)
    blocks = decode_arch_def([["ds_r1_k3_s2_e1_c16"], ["ir_r1_k3_s1_e3_c24"]])
    network = EfficientNetFeatures(blocks, out_indices=(0, 1)).eval()
    fold(network)
    image = torch.rand(1, 3, 32, 32)
    before = network(image)
    assert put_in_bands(network) == 1
    assert not isinstance(network.conv_stem, nn.Identity)
    for whole, found in zip(before, network(image), strict=True):
        torch.testing.assert_close(found, whole)


def test_blocks_that_another_timm_has_not_are_computed_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folded = copy.deepcopy(stirred("tf_efficientnet_lite0"))
    fold(folded)
    blocks, networks = (sys.modules[k.__module__] for k in (InvertedResidual, EfficientNetFeatures))
    for name in ("InvertedResidual", "DepthwiseSeparableConv"):
        monkeypatch.delattr(blocks, name)
    monkeypatch.delattr(networks, "EfficientNetFeatures")
    spec = spec_from_file_location("bands_anew", bands.__file__)
    assert spec is not None and spec.loader is not None
    anew = module_from_spec(spec)
    spec.loader.exec_module(anew)
    assert anew.put_in_bands(folded) == 0
    assert bands.put_in_bands(folded) > 0


@torch.no_grad()
def test_parts_of_other_names_are_left_as_they_are() -> None:
    block = InvertedResidual(8, 8, exp_ratio=3).eval()
    block.add_module("norm", block.bn3)
    del block.bn3
    assert put_in_bands(nn.Sequential(block)) == 0
