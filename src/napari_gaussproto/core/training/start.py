"""Where a fit starts: a new model, a file, or a model that knows other classes."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from napari_gaussproto.core.base.config import Classes, ModelConfig, NewModel, SegmentationClass
from napari_gaussproto.core.base.device import resolve_device, same_device
from napari_gaussproto.core.base.errors import ConfigError, LabelError
from napari_gaussproto.core.base.seeds import seeded
from napari_gaussproto.core.editing.class_change import adapt
from napari_gaussproto.core.imaging.source import ImageSource
from napari_gaussproto.core.labels.check import check_labels, check_pairs
from napari_gaussproto.core.mixture import placement, surgery
from napari_gaussproto.core.model.model_file import load_model
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter, make_layer, name_prototypes
from napari_gaussproto.core.model.stack import leading_of, plane_sources
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
    try:
        config = ModelConfig(classes=list(classes), **new.model_dump())
    except ValidationError as error:
        raise ConfigError(
            "A new model needs two classes or more, each with a name of its own: change them."
        ) from error
    with seeded(0):
        model = PrototypeSegmenter(config, pretrained=new.pretrained)
    model.card.name = f"{new.partition} model"
    model.card.log("new model")
    return model.to(resolve_device(device)).eval()


def class_table(
    classes: Sequence[SegmentationClass | str] | None, labels: Any, *, new: bool
) -> list[SegmentationClass] | None:
    """Classes as a table; None for those of the model that a fit begins with.

    Parameters
    ----------
    classes : sequence of SegmentationClass or str, optional
        Names get the default colours.
    labels : array or sequence of array
        (..., H, W); the classes of a new model are as many as the largest label, if they are
        not given.
    new : bool
        Whether the model is new.
    """
    if classes is None and not new:
        return None
    if classes is None:
        masks = [np.asarray(mask) for mask in _several(labels)]
        largest = max((int(mask.max()) for mask in masks if mask.size), default=0)
        classes = [f"class {number}" for number in range(1, max(2, largest) + 1)]
    return TypeAdapter(Classes).validate_python(list(classes))


def labelled_planes(
    images: Any, labels: Any, model: PrototypeSegmenter
) -> list[tuple[ImageSource, npt.NDArray[np.uint8]]]:
    """All planes that have labels (H, W), as the Train dock takes them from layers.

    Parameters
    ----------
    images : array or sequence of array
        (..., H, W) or (..., H, W, C), one or several.
    labels : array or sequence of array
        (..., H, W) integers, one for each image.
    model : PrototypeSegmenter
        That reads them.

    Raises
    ------
    LabelError
        For labels that are none of their image.
    ImageError
        For images that do not suit the model.
    """
    images, labels = _several(images), _several(labels)
    check_pairs(images, labels)
    planes = []
    for number, (image, mask) in enumerate(zip(images, labels, strict=True), start=1):
        mask = np.asarray(mask)
        rgb = image.shape[:-1] == mask.shape
        leading = leading_of(image, model, rgb)
        size = tuple(image.shape[-3:-1] if rgb else image.shape[-2:])
        what = f"The labels of image {number}"
        checked = check_labels(mask, (*leading, *size), len(model.classes), what)
        source_of = plane_sources(image, model, rgb=rgb)
        for place, plane in enumerate(checked.reshape(-1, *size)):
            if plane.any():
                planes.append((source_of(place), plane))
    return planes


def first_planes(images: Any, model: PrototypeSegmenter) -> list[ImageSource]:
    """The first plane of every image, as the Train dock takes those without labels.

    One image or several, (..., H, W) or (..., H, W, C) with 3 or 4 colours.
    """
    return [
        plane_sources(image, model, rgb=image.ndim > 2 and image.shape[-1] in (3, 4))(0)
        for image in _several(images)
    ]


def _several(arrays: Any) -> Sequence[Any]:
    return arrays if isinstance(arrays, list | tuple) else [arrays]


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


# -- classes that a model does not know yet -------------------------------------------------------


def unfitted(model: PrototypeSegmenter) -> list[int]:
    """Prototypes that no fit has placed yet.

    One that a person switched off was placed before, so its mean is not the origin.
    """
    layer = model.layer
    blank = ~layer.active & (layer.mean == 0).all(1)
    return [
        m
        for m in blank.nonzero().flatten().tolist()
        if not len(model.prototypes[m].distance_quantiles) and not len(model.prototypes[m].patches)
    ]


def unknown_classes(model: PrototypeSegmenter) -> list[int]:
    """Classes with unfitted prototypes only: nothing becomes one before it is labelled."""
    blank, owner = set(unfitted(model)), model.layer.class_index.tolist()
    known = {owner[m] for m in range(len(owner)) if m not in blank}
    return [c for c in range(len(model.classes)) if c not in known]


def waiting_classes(model: PrototypeSegmenter, labelled: Sequence[int]) -> list[int]:
    """Those labelled classes that have unfitted prototypes only, and so wait to be placed.

    Raises
    ------
    LabelError
        When all prototypes of a labelled class were switched off by a person: no fit can
        learn such a class, and none switches them on.
    """
    layer = model.layer
    alive = set(layer.class_index[layer.active].tolist())
    blank = {int(layer.class_index[m]) for m in unfitted(model)}
    waiting = [c for c in labelled if c not in alive]
    for c in waiting:
        if c not in blank:
            raise LabelError(
                f"“{model.classes[c].name}” is labelled, but all its prototypes are switched "
                "off: turn one on, or start a new model."
            )
    return waiting


@torch.no_grad()
def place_unfitted(
    model: PrototypeSegmenter, waiting: Sequence[int], z: Tensor, target: Tensor, seed: int
) -> None:
    """Place the unfitted prototypes of some classes by k-means++ and switch them on.

    All other prototypes stay as they are. A placed class gets the average prior.

    Parameters
    ----------
    model : PrototypeSegmenter
        Changed in place.
    waiting : sequence of int
        See `waiting_classes`.
    z : (N, D) Tensor
        Latents of labelled cells.
    target : (N, C) Tensor
        Their soft labels.
    seed : int
    """
    layer = model.layer
    blank = unfitted(model)
    for c in waiting:
        mostly = target.argmax(1) == c
        # Thin strokes may fill no cell by half.
        own = z[mostly if bool(mostly.any()) else target[:, c] > 0]
        rows = [m for m in blank if int(layer.class_index[m]) == c]
        if not len(own):
            continue
        part = surgery.select(layer, rows)
        placement.place_by_kmeans(part, own, torch.full((len(own),), c), seed)
        for name in ("mean", "raw_scale", "off_diagonal", "raw_weight"):
            getattr(layer, name)[rows] = getattr(part, name)
        others = layer.class_index[layer.active].unique()
        prior = layer.log_prior[others].logsumexp(0) - math.log(len(others))
        layer.raw_prior.copy_(layer.log_prior)
        layer.raw_prior[c] = prior
        layer.active[rows] = True
