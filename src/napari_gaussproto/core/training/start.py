"""Where a fit starts: a new model, a file, or a model that knows other classes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from napari_gaussproto.core.base.config import ModelConfig, NewModel, SegmentationClass
from napari_gaussproto.core.base.device import resolve_device, same_device
from napari_gaussproto.core.base.errors import ConfigError
from napari_gaussproto.core.base.seeds import seeded
from napari_gaussproto.core.editing.class_change import adapt
from napari_gaussproto.core.model.model_file import load_model
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter, make_layer, name_prototypes
from napari_gaussproto.core.network.extractor import Neck
from napari_gaussproto.core.training.cells import LabelledCells
from napari_gaussproto.core.training.pyramid import EncodedImage


def begin(
    start: PrototypeSegmenter | Path | str | NewModel,
    classes: Sequence[SegmentationClass] | None = None,
    device: str = "auto",
    renamed: Mapping[str, int | None] | None = None,
) -> tuple[PrototypeSegmenter, bool]:
    """The model to begin with.

    Parameters
    ----------
    start : PrototypeSegmenter, path, str or NewModel
        A model, the file of one, the name of a shipped one, or the settings of a new one.
    classes : sequence of SegmentationClass, optional
        The class table that it should have; by default its own.
    device : str
        See `resolve_device`.
    renamed : mapping of str to int or None, optional
        From the name of a class of the start to its index now; None if it was removed. See
        `adapt`.

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
        return _new_model(start, classes or (), device), True
    model = start if isinstance(start, PrototypeSegmenter) else load_model(start, device)
    if classes is not None and list(model.classes) != list(classes):
        moved = renamed or {}
        mapping = {i: moved[c.name] for i, c in enumerate(model.classes) if c.name in moved}
        model = adapt(model, classes, mapping)
    there = resolve_device(device)
    if not same_device(model.device, there):
        model = model.on_device(there)
    return model, not len(model.density_quantiles)


def _new_model(
    new: NewModel, classes: Sequence[SegmentationClass], device: str
) -> PrototypeSegmenter:
    """A model that knows nothing but its backbone."""
    if len({entry.name for entry in classes}) < max(2, len(classes)):
        raise ConfigError(
            "A new model needs two classes or more, each with a name of its own: change them."
        )
    config = ModelConfig(classes=list(classes), **new.model_dump())
    with seeded(0):
        model = PrototypeSegmenter(config, pretrained=new.pretrained)
    model.card.name = f"{new.partition} model"
    model.card.log("new model")
    return model.to(resolve_device(device)).eval()


def with_own_head(model: PrototypeSegmenter) -> PrototypeSegmenter:
    """A copy whose neck and prototypes may change; the backbone is shared."""
    other = model.with_layer(
        copy.deepcopy(model.layer),
        [copy.copy(prototype) for prototype in model.prototypes],
        model.card.model_copy(deep=True),
    )
    extractor = copy.copy(model.extractor)
    extractor._modules = dict(extractor._modules)
    extractor.neck = copy.deepcopy(model.extractor.neck)
    other.extractor = extractor
    # Its statistics are fixed: those of a few strokes are not those of an image.
    return other.eval()


def restart(
    model: PrototypeSegmenter, images: Sequence[EncodedImage], cells: LabelledCells
) -> None:
    """A new neck, normalised over whole images, and new prototypes."""
    config = model.config
    model.extractor.neck = model.extractor.new_neck(config).to(model.device).eval()
    _set_statistics(model.extractor.neck, images)
    class_index = [c for c in range(len(model.classes)) for _ in range(config.prototypes_per_class)]
    layer = make_layer(config, class_index).to(model.device).eval()
    layer.active.copy_((cells.target.sum(0) > 0)[layer.class_index])
    model.layer = layer
    model.prototypes = name_prototypes(model.classes, class_index)


@torch.no_grad()
def _set_statistics(neck: Neck, images: Sequence[EncodedImage]) -> None:
    """Mean and variance of every channel of the pyramid, over all images."""
    for position, norm in enumerate(neck.norms):
        levels = [image.pyramid[position] for image in images]
        count = sum(level.shape[-1] * level.shape[-2] for level in levels)
        mean = torch.stack([level.sum((0, 2, 3)) for level in levels]).sum(0) / count
        square = torch.stack([level.square().sum((0, 2, 3)) for level in levels]).sum(0) / count
        statistics: Any = norm
        statistics.running_mean.copy_(mean)
        statistics.running_var.copy_((square - mean.square()).clamp_min(1e-6))
