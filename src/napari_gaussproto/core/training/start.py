"""Where a fit starts: a new model, a file, or a model that knows other classes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from napari_gaussproto.core.base.config import (
    FIELD,
    ModelConfig,
    NewModel,
    SegmentationClass,
    shrinkage,
)
from napari_gaussproto.core.base.device import resolve_device, same_device
from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.base.seeds import seeded
from napari_gaussproto.core.editing.class_change import adapt
from napari_gaussproto.core.editing.network_alone import FEW, network_alone
from napari_gaussproto.core.model.model_file import load_model
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter, shallow_copy
from napari_gaussproto.core.model.summary import start_path
from napari_gaussproto.core.network.backbone import fine_strides
from napari_gaussproto.core.training.pyramid import EncodedImage


def begin(
    start: PrototypeSegmenter | Path | str | NewModel,
    classes: Sequence[SegmentationClass] | None = None,
    device: str = "auto",
    renamed: Mapping[str, int | None] | None = None,
    pixels: int | None = 0,
) -> tuple[PrototypeSegmenter, bool]:
    """The model to begin with.

    Parameters
    ----------
    start : PrototypeSegmenter, path, str or NewModel
        A model, the file of one, the name of a shipped one, or the settings of a new one.
    classes : sequence of SegmentationClass, optional
        The class table that it should have; by default its own. See `adapt`.
    device : str
        See `resolve_device`.
    renamed : mapping of str to int or None, optional
        From the name of a class of the start to its index now; None if it was removed. See
        `adapt`.
    pixels : int or None
        Of the largest photograph, by which the downsampling is chosen of a new model, and of one
        that suits itself to photographs. A training sees all of them alike. With None that one
        goes on suiting itself to each.

    Returns
    -------
    model : PrototypeSegmenter
    scratch : bool
        Whether it was never fitted, so that there is nothing to go on from.

    Raises
    ------
    ModelFileError, ConfigError, EditError
        When there is no such model or device, or the class table cannot be one.
    """
    if isinstance(start, NewModel):
        sized = start.model_copy(update={"downsample": detail(start, pixels or 0)})
        return _new_model(sized, classes or (), device), True
    model = start if isinstance(start, PrototypeSegmenter) else load_model(start, device)
    if classes is not None and list(model.classes) != list(classes):
        moved = renamed or {}
        mapping = {i: moved[c.name] for i, c in enumerate(model.classes) if c.name in moved}
        model = adapt(model, classes, mapping)
    model = model if pixels is None else model.suited_to(pixels)
    there = resolve_device(device)
    if not same_device(model.device, there):
        model = model.on_device(there)
    return model, not len(model.density_quantiles)


def detail(new: NewModel, pixels: int) -> int:
    """The downsampling of a new model, by default as the largest photograph's pixels want it."""
    return new.downsample or shrinkage(pixels)


def _new_model(
    new: NewModel, classes: Sequence[SegmentationClass], device: str
) -> PrototypeSegmenter:
    """A model that knows its features, and no class."""
    chosen = new.model_dump() | {"classes": list(classes)}
    if new.backbone == FIELD:
        del chosen["backbone"], chosen["pretrained"]
        start = load_model(start_path(FIELD), device)
        model = network_alone(start, _config(start.config.model_dump() | FEW | chosen))
    else:
        alone = {"neck": "none", "local_features": True, "strides": fine_strides(new.backbone)}
        config = _config(FEW | alone | chosen)
        with seeded(0):
            model = PrototypeSegmenter(config, pretrained=new.pretrained)
    model.card.name = f"{new.partition} model"
    model.card.log("new model", features=new.backbone)
    return model.to(resolve_device(device)).eval()


def _config(settings: dict[str, Any]) -> ModelConfig:
    classes = settings["classes"]
    if len({entry.name for entry in classes}) < max(2, len(classes)):
        raise ConfigError(
            "A new model needs two classes or more, each with a name of its own: change them."
        )
    return ModelConfig.model_validate(settings)


def with_own_head(model: PrototypeSegmenter) -> PrototypeSegmenter:
    """A copy whose prototypes may change; the extractor is shared."""
    return model.with_layer(
        copy.deepcopy(model.layer),
        [copy.copy(prototype) for prototype in model.prototypes],
        model.card.model_copy(deep=True),
    ).eval()


@torch.no_grad()
def standardise(model: PrototypeSegmenter, images: Sequence[EncodedImage]) -> None:
    """Give a model without a neck the mean and variance of every channel over all images."""
    extractor = shallow_copy(model.extractor)
    extractor.neck = copy.deepcopy(model.extractor.neck)
    for position, norm in enumerate(extractor.neck.norms):
        levels = [image.pyramid[position] for image in images]
        count = sum(level.shape[-1] * level.shape[-2] for level in levels)
        mean = torch.stack([level.sum((0, 2, 3)) for level in levels]).sum(0) / count
        square = torch.stack([level.square().sum((0, 2, 3)) for level in levels]).sum(0) / count
        statistics: Any = norm
        statistics.running_mean.copy_(mean)
        statistics.running_var.copy_((square - mean.square()).clamp_min(1e-6))
    model.extractor = extractor
