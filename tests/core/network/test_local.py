"""Local features: what they measure, at which scale, and that models with them are whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.model import model_file
from napari_gaussproto.core.model.model_file import description_of, load_model, save_model
from napari_gaussproto.core.model.predict import segment
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.network.backbone import Backbone
from napari_gaussproto.core.network.local import lab, local_features, width_of_local
from napari_gaussproto.core.training.pyramid import encode_pyramid, latents_of_image
from napari_gaussproto.core.training.quick_fit import quick_fit
from tests.core.builders import TINY_BACKBONE, tiny_model, two_tone


def noise(channels: int = 3, side: int = 64) -> torch.Tensor:
    return torch.rand(1, channels, side, side, generator=torch.Generator().manual_seed(0))


def test_lab_is_that_of_scikit_image() -> None:
    image = noise() ** 3  # dark values, too
    ours = lab(image)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(ours, rgb2lab(image[0].permute(1, 2, 0).numpy()), atol=0.02)


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("stride", [4, 8])
def test_any_number_of_channels_and_both_strides(channels: int, stride: int) -> None:
    features = local_features(noise(channels), stride)
    assert features.shape == (1, width_of_local(channels), 64 // stride, 64 // stride)
    assert torch.isfinite(features).all()


@pytest.mark.parametrize("stride", [4, 8])
def test_a_blur_is_as_wide_as_it_says_at_every_stride(stride: int) -> None:
    edge = torch.zeros(1, 1, 64, 128)
    edge[..., 64:] = 1
    features = local_features(edge, stride)[0, :3, 32 // stride].double()
    middle = (torch.arange(128 // stride) + 0.5) * stride
    for profile, sigma in zip(features[1:], (3, 6), strict=True):
        slope = profile.diff()
        place = (middle[1:] + middle[:-1]) / 2 - 64
        # Averaging over a position is part of the blur; here it moves nothing.
        variance = (slope * place**2).sum() + (stride**2 - 1) / 12
        assert float(variance.sqrt()) == pytest.approx(sigma, abs=0.1)
        assert float(slope.sum()) == pytest.approx(1, abs=1e-5)


def test_flat_is_smooth_and_noise_is_not() -> None:
    flat, rough = local_features(torch.full((1, 3, 64, 64), 0.4), 4), local_features(noise(), 4)
    assert flat[:, -3:].max() < 0.01 and rough[:, -3:].min() > 0.02
    torch.testing.assert_close(flat[:, :3], flat[:, 6:9], atol=1e-5, rtol=0)


def test_half_precision_around_them_changes_nothing() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        within = local_features(noise(), 4)
    assert torch.equal(within, local_features(noise(), 4))


def test_the_slope_is_finite_where_nothing_varies() -> None:
    image = torch.zeros(1, 3, 32, 32, requires_grad=True)
    local_features(image, 4).sum().backward()
    assert torch.isfinite(image.grad).all()


def test_levels_are_chosen_by_stride_and_what_follows_is_left_out() -> None:
    whole = Backbone(TINY_BACKBONE, pretrained=False).eval()
    some = Backbone(TINY_BACKBONE, pretrained=False, strides=(8, 2)).eval()
    assert some.strides == [2, 8] and len(some.state_dict()) < len(whole.state_dict())
    state = whole.state_dict()
    some.load_state_dict({key: state[key] for key in some.state_dict()})
    with torch.no_grad():
        levels = dict(zip(whole.strides, whole(noise()), strict=True))
        for stride, level in zip(some.strides, some(noise()), strict=True):
            torch.testing.assert_close(level, levels[stride])
    with pytest.raises(ConfigError, match=r"no level of stride 3: choose from 2, 4, 8, 16, 32\."):
        Backbone(TINY_BACKBONE, pretrained=False, strides=(3, 4))


SETTINGS = {"local_features": True, "strides": (2, 4, 8)}


@pytest.mark.parametrize("partition", ["grid", "superpixel"])
def test_a_model_with_them_is_saved_tiled_and_fitted(partition: str, tmp_path: Path) -> None:
    model = tiny_model(partition=partition, downsample=2, **SETTINGS)
    assert model.extractor.strides == [2, 4, 8, 4] and model.alignment == 16
    model.receptive_radius = 256
    image, truth = two_tone(160, 208, seed=1)
    again = load_model(save_model(model, tmp_path / "local", half=False), device="cpu")
    assert np.array_equal(segment(image, again).labels, segment(image, model).labels)
    whole, tiled = segment(image, model, tile=None), segment(image, model, tile=64)
    torch.testing.assert_close(whole.encoding.latents, tiled.encoding.latents, atol=1e-3, rtol=0)
    encoding = latents_of_image(model, encode_pyramid(image, model))
    torch.testing.assert_close(encoding.latents, whole.encoding.latents, atol=1e-3, rtol=0)
    strokes = np.where(np.arange(160)[:, None] % 40 < 6, truth, 0)
    fitted = quick_fit(image, strokes, model, device="cpu")
    assert (segment(image, fitted).labels == truth).mean() > 0.9


def test_files_of_before_have_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def as_before(model: PrototypeSegmenter) -> dict[str, Any]:
        description = description_of(model)
        for name in ("local_features", "strides", "follow_edges", "photo_pixels"):
            del description["config"][name]
        return description

    monkeypatch.setattr(model_file, "description_of", as_before)
    model = load_model(save_model(tiny_model(), tmp_path / "before"), "cpu")
    assert not model.extractor.has_local and model.config.photo_pixels is None
    assert model.extractor.strides == model.extractor.backbone.strides == [2, 4, 8, 16, 32]
