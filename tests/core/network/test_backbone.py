"""Backbones from timm, and the one whose weights need no network."""

from __future__ import annotations

import pytest
import timm
import torch

from napari_gaussproto.core.base.config import ModelConfig
from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.network.backbone import OFFLINE_BACKBONE, Backbone, offline_weights
from napari_gaussproto.core.network.extractor import Extractor


def test_offline_weights_fill_the_whole_network() -> None:
    network = timm.create_model(OFFLINE_BACKBONE)
    state = offline_weights()
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert not unexpected
    heads = ("conv_head", "bn2", "classifier")  # not part of the feature pyramid
    assert all(key.startswith(heads) for key in missing)


def test_offline_backbone_tells_textures_apart() -> None:
    backbone = Backbone(OFFLINE_BACKBONE).eval()
    assert backbone.widths == [16, 24, 40, 112, 320]
    assert backbone.strides == [2, 4, 8, 16, 32]
    with torch.no_grad():
        flat = backbone(torch.full((1, 3, 64, 64), 0.5))
        noise = backbone(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    for level, width, stride in zip(flat, backbone.widths, backbone.strides, strict=True):
        assert level.shape == (1, width, 64 // stride, 64 // stride)
    assert not torch.allclose(flat[-1], noise[-1])


@pytest.mark.parametrize("channels", [1, 4, 7])
def test_other_channel_counts_adapt_the_first_convolution(channels: int) -> None:
    backbone = Backbone(OFFLINE_BACKBONE, channels).eval()
    levels = backbone(torch.rand(1, channels, 64, 64))
    assert torch.isfinite(levels[-1]).all()
    weight = backbone.network.conv_stem.weight
    assert weight.shape[1] == channels and weight.std() > 0


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenetv3_small_050", "swin_tiny_patch4_window7_224"]
)
@pytest.mark.parametrize("output_stride", [4, 8])
def test_any_feature_backbone_gives_a_normalised_map(name: str, output_stride: int) -> None:
    config = ModelConfig(
        classes=["a", "b"], backbone=name, output_stride=output_stride, latent_dim=8
    )
    size = 224
    extractor = Extractor(config, pretrained=False).eval()
    with torch.no_grad():
        latents = extractor(torch.rand(1, 3, size, size))
    assert latents.shape == (1, 8, size // output_stride, size // output_stride)
    torch.testing.assert_close(latents.mean(1), torch.zeros_like(latents[:, 0]), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        latents.square().mean(1), torch.ones_like(latents[:, 0]), atol=2e-2, rtol=0
    )


def test_downsampling_averages_and_coarsens() -> None:
    config = ModelConfig(classes=["a", "b"], downsample=2, latent_dim=8)
    extractor = Extractor(config, pretrained=False).eval()
    assert extractor.alignment == 64
    with torch.no_grad():
        fine = torch.rand(1, 3, 128, 128)
        coarse = torch.nn.functional.avg_pool2d(fine, 2)
        torch.testing.assert_close(extractor(fine), extractor.at_working_resolution(coarse))
    assert extractor(fine).shape[-1] == 16


def test_points_of_the_neck_agree_with_its_map() -> None:
    config = ModelConfig(classes=["a", "b"], latent_dim=8)
    extractor = Extractor(config, pretrained=False).eval()
    from napari_gaussproto.core.network.extractor import to_stride

    with torch.no_grad():
        pyramid = extractor.pyramid(torch.rand(1, 3, 64, 64))
        whole = extractor.neck(pyramid)[0].flatten(1).T
        levels = [to_stride(level, (16, 16))[0].flatten(1).T for level in pyramid]
        points = extractor.neck.points(torch.cat(levels, 1))
    torch.testing.assert_close(points, whole, atol=1e-4, rtol=1e-4)


def test_unknown_names_and_missing_weights_are_sentences() -> None:
    with pytest.raises(ConfigError, match="no backbone called"):
        Backbone("resnet_of_dreams", pretrained=False)
