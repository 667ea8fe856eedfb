"""Folding batch normalisation changes no feature, follows every change, and knows its limits."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from napari_gaussproto.core.base.config import ModelConfig
from napari_gaussproto.core.network.backbone import Backbone
from napari_gaussproto.core.network.extractor import Extractor
from napari_gaussproto.core.network.folding import FoldedCopy, fold


def stirred(name: str) -> Backbone:
    """A backbone whose normalisations do something."""
    torch.manual_seed(0)
    backbone = Backbone(name, pretrained=False).eval()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return backbone


@pytest.mark.parametrize(
    ("name", "side"),
    [("tf_efficientnet_lite0", 64), ("resnet18", 64), ("mobilenetv3_small_100", 96)],
)
@torch.no_grad()
def test_features_stay_and_normalisations_go(name: str, side: int) -> None:
    backbone = stirred(name)
    folded = FoldedCopy(backbone, 3, 64).get()
    assert folded is not backbone
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    image = torch.rand(2, 3, side, side)
    for before, after in zip(backbone(image), folded(image), strict=True):
        torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-4)


def test_nothing_to_fold_is_the_network_itself() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.BatchNorm2d(4))
    assert FoldedCopy(network, 3, 32).get() is network


class OutOfOrder(nn.Module):
    """Lists a convolution and a normalisation side by side, and uses them the other way round."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 3)
        self.normalisation = nn.BatchNorm2d(3)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        return [self.convolution(self.normalisation(image))]


def test_a_network_that_uses_its_parts_in_another_order_is_left_alone() -> None:
    network = OutOfOrder().eval()
    nn.init.normal_(network.normalisation.running_mean)
    assert fold(copy.deepcopy(network)) == 1
    assert FoldedCopy(network, 3, 32).get() is network


def test_an_image_that_does_not_suit_is_no_error() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(7, 2))
    assert FoldedCopy(network.eval(), 3, 32).get() is network


@pytest.mark.parametrize("change", ["in place", "loaded", "replaced", "statistics"])
@torch.no_grad()
def test_the_copy_follows_every_change(change: str) -> None:
    backbone = stirred("resnet18")
    copies = FoldedCopy(backbone, 3, 64)
    before = copies.get()
    assert copies.get() is before
    first = next(backbone.parameters())
    if change == "in place":
        first.mul_(1.5)
    elif change == "loaded":
        backbone.load_state_dict(stirred("resnet18").state_dict())
    elif change == "replaced":
        first.data = first.data * 1.5
    else:
        next(b for n, b in backbone.named_buffers() if "running_mean" in n).add_(1)
    image = torch.rand(1, 3, 64, 64)
    after = copies.get()
    assert after is not before
    torch.testing.assert_close(after(image)[-1], backbone(image)[-1], rtol=1e-3, atol=1e-4)


def test_only_prediction_uses_the_copy_and_no_file_holds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extractor = Extractor(ModelConfig(classes=["a", "b"], pretrained=False), pretrained=False)
    names = set(extractor.state_dict())
    asked = []
    get = extractor.folded.get
    monkeypatch.setattr(extractor.folded, "get", lambda: asked.append(1) or get())
    image = torch.rand(1, 3, 64, 64)
    extractor.train()(image)
    extractor.eval()(image)  # with gradients, as for the receptive field
    with torch.no_grad():
        extractor.train()(image)
        assert not asked
        folded = extractor.eval()(image)
        assert asked
        plain = extractor.neck(extractor.backbone(image))
    torch.testing.assert_close(folded, plain, rtol=1e-3, atol=1e-3)
    assert set(extractor.state_dict()) == names
    assert set(copy.deepcopy(extractor).state_dict()) == names
