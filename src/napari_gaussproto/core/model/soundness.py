"""Whether the numbers of a model can be computed with: checked when it is read and written."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from napari_gaussproto.core.base.config import ModelConfig
from napari_gaussproto.core.base.errors import GaussProtoError, brief
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.network.backbone import Backbone

logger = logging.getLogger(__name__)

_VARIANCE = ".running_var"
_CLASS_INDEX = "layer.class_index"


class UnsoundError(ValueError):
    """Numbers of a model cannot be computed with; the message says which."""


def check_tensors(tensors: Mapping[str, Tensor], class_index: Sequence[int], classes: int) -> None:
    """Make sure that the numbers of a model are some, and that its tables fit it.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Of any shapes, as `tensors_of` names them; there may be less than all of them.
    class_index : sequence of int
        The class of each of the M prototypes.
    classes : int
        How many classes there are, C.

    Raises
    ------
    UnsoundError
        For a weight or a quantile that is not finite, a variance below zero, a class that there is
        not, and a table of quantiles of another shape.
    """
    if any(not 0 <= c < classes for c in class_index):
        raise UnsoundError("a prototype of a class that there is not")
    for key, value in tensors.items():
        if key.endswith(_CLASS_INDEX) and value.tolist() != list(class_index):
            raise UnsoundError("prototypes of other classes than are listed")
        if value.is_complex():
            raise UnsoundError(f"complex numbers in {brief(key)}")
        if value.is_floating_point():
            _check_numbers(key, value, classes)


def _check_numbers(key: str, value: Tensor, classes: int) -> None:
    if key == "class_quantiles":
        _check_quantiles(key, value, (classes,))
        return
    if "quantiles" in key or key == "familiarity/held_out":
        _check_quantiles(key, value, ())
        return
    # A class that was never seen has no familiarity.
    astray = value.isinf() if key == "familiarity/mean" else ~value.isfinite()
    if astray.any():
        raise UnsoundError(f"numbers that are not finite in {brief(key)}")
    if key.endswith(_VARIANCE) and (value < 0).any():
        raise UnsoundError(f"a variance below zero in {brief(key)}")


def _check_quantiles(key: str, value: Tensor, rows: tuple[int, ...]) -> None:
    """Quantiles (Q,), or (C, Q) of which rows without any training cell are not numbers."""
    if value.ndim != len(rows) + 1 or value.shape[:-1] != rows or value.shape[-1] == 1:
        raise UnsoundError(f"a table of the shape {tuple(value.shape)} as {brief(key)}")
    known = value[~value.isnan().all(-1)] if rows else value
    if not known.isfinite().all():
        raise UnsoundError(f"numbers that are not finite in {brief(key)}")
    if (torch.diff(known.float()) < 0).any():
        raise UnsoundError(f"quantiles that do not ascend as {brief(key)}")


def check_patches(patches: Tensor, labels: Tensor, classes: int) -> None:
    """Make sure that the pictures of a prototype can be shown.

    Parameters
    ----------
    patches : (K, S, S, 3) Tensor of uint8
    labels : (K,) Tensor of int
        Class index in the middle of each.
    classes : int

    Raises
    ------
    UnsoundError
        For what is no picture, and when there is not one label of a known class for each.
    """
    square = patches.ndim == 4 and patches.shape[1] == patches.shape[2] and patches.shape[3] == 3
    if not square or patches.dtype != torch.uint8:
        raise UnsoundError(f"patches of the shape {tuple(patches.shape)} and of {patches.dtype}")
    whole = not labels.is_floating_point() and labels.dtype != torch.bool
    if labels.shape != patches.shape[:1] or not whole:
        shape = tuple(labels.shape)
        raise UnsoundError(f"{len(patches)} patches with labels of the shape {shape}")
    if any(not 0 <= label < classes for label in labels.tolist()):
        raise UnsoundError("patches of a class that there is not")


def check_shapes(
    tensors: Mapping[str, Tensor],
    config: ModelConfig,
    class_index: list[int],
    backbone: Backbone | None = None,
) -> None:
    """Make sure that weights fit a network, before memory for that network is asked for.

    A file may name any network and any width, and hold next to nothing.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Weights of any shapes, as the state of a model names them.
    config : ModelConfig
    class_index : list of int
    backbone : Backbone, optional
        One to share, whose weights are not looked for.

    Raises
    ------
    KeyError, ValueError
        When a weight is missing, or of another shape.
    ConfigError
        As `Backbone`.
    """
    try:
        with torch.device("meta"):
            own = backbone or _bare(config.backbone, config.channels, config.strides)
            bare = PrototypeSegmenter(config, class_index=class_index, backbone=own)
    except (GaussProtoError, ValueError):
        raise
    except Exception as error:  # what a network of timm does is its own
        logger.info("%s cannot be made without memory: %s", config.backbone, error)
        return
    for key, value in bare.state_dict().items():
        shared = backbone is not None and key.startswith("extractor.backbone.")
        if not shared and tensors[key].shape != value.shape:
            raise ValueError(f"{key} of shape {tuple(tensors[key].shape)}")


@lru_cache(maxsize=8)
def _bare(name: str, channels: int, strides: tuple[int, ...] | None) -> Backbone:
    """A backbone that has shapes only; on the device “meta”, that the caller has chosen."""
    return Backbone(name, channels, pretrained=False, strides=strides)


def check_answers(model: PrototypeSegmenter) -> None:
    """Make sure that a model in evaluation mode says something of a small image.

    Weights that are finite, but far too large, say nothing.

    Raises
    ------
    UnsoundError
    """
    side, generator = model.alignment, torch.Generator().manual_seed(0)
    image = torch.rand(1, model.config.channels, side, side, generator=generator)
    # With gradients the network itself is used, not a copy of it for prediction.
    with torch.enable_grad():
        latents = model.extract(image.to(model.device))[0].flatten(1).T
        scores = model.layer.scores(latents)
        answers = (latents, scores.class_log_posterior, scores.log_density, scores.mahalanobis)
    if not all(bool(answer.isfinite().all()) for answer in answers):
        raise UnsoundError("numbers that are too large")
