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


# Positions are interpolated; 14 divides no stride; one size only, which is seen in squares.
TRANSFORMERS = {
    "vit_tiny_patch16_224": 16,
    "vit_small_patch14_dinov2": 14,
    "swin_tiny_patch4_window7_224": 32,
    "levit_128s": 448,
}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers_take_images_of_other_sizes(name: str) -> None:
    config = ModelConfig(classes=["a", "b"], backbone=name, latent_dim=8, local_features=True)
    extractor = Extractor(config, pretrained=False).eval()
    assert extractor.backbone.alignment == TRANSFORMERS[name]
    step = extractor.alignment
    assert step % 4 == 0
    with torch.no_grad():
        image = torch.rand(1, 3, 2 * step, 3 * step)
        latents = extractor(image)
        assert latents.shape == (1, 8, 2 * step // 4, 3 * step // 4)
        # A training crop of another size is continued, and what is beyond is cut off.
        crop = extractor.at_working_resolution(image[..., : step + 8, : 2 * step - 4])
        assert crop.shape == (1, 8, (step + 8) // 4, (2 * step - 4) // 4)
        levels = extractor.pyramid(image)
    for level, width, stride in zip(levels, extractor.widths, extractor.strides, strict=True):
        assert level.shape == (1, width, 2 * step // stride, 3 * step // stride)


def test_a_network_of_one_size_sees_squares() -> None:
    backbone = Backbone("levit_128s", pretrained=False).eval()
    with torch.no_grad():
        image = torch.rand(1, 3, 448, 896)
        both, right = backbone(image), backbone(image[..., 448:])
    for whole, part in zip(both, right, strict=True):
        torch.testing.assert_close(whole[..., part.shape[-1] :], part, atol=1e-4, rtol=1e-4)


def test_a_map_as_high_as_it_is_wide_in_channels_is_not_taken_for_turned() -> None:
    backbone = Backbone("swin_tiny_patch4_window7_224", pretrained=False).eval()
    with torch.no_grad():
        finest = backbone(torch.rand(1, 3, 384, 64))[0]
    assert finest.shape == (1, 96, 96, 16)


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
    from napari_gaussproto.core.network.stride import to_stride

    with torch.no_grad():
        pyramid = extractor.pyramid(torch.rand(1, 3, 64, 64))
        whole = extractor.neck(pyramid)[0].flatten(1).T
        levels = [to_stride(level, (16, 16))[0].flatten(1).T for level in pyramid]
        points = extractor.neck.points(torch.cat(levels, 1))
    torch.testing.assert_close(points, whole, atol=1e-4, rtol=1e-4)


def test_unknown_names_and_missing_weights_are_sentences() -> None:
    with pytest.raises(ConfigError, match="no backbone called"):
        Backbone("resnet_of_dreams", pretrained=False)


def test_the_levels_of_a_network_are_found_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    make, made = timm.create_model, []
    monkeypatch.setattr(timm, "create_model", lambda *a, **k: made.append(a) or make(*a, **k))
    for strides in ((2, 8), (4,)):
        assert Backbone("resnet14t", pretrained=False, strides=strides).strides == [*strides]
    assert len(made) == 3
