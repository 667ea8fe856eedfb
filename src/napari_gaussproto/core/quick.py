"""Quick fit: neck and prototypes follow a person's strokes within a second.

The backbone stays as it is, so an image is encoded once. Only labelled cells are evaluated
while fitting: the neck acts on each position alone. From scratch, the neck warms up under a
throw-away linear head and k-means++ places the prototypes; from a current model both go on
from where they are. Then the prototypes alone are fitted to the cells' final latents.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from napari_gaussproto.core import initialize, loss
from napari_gaussproto.core.card import now
from napari_gaussproto.core.config import LossWeights, SegmentationClass, Settings
from napari_gaussproto.core.encoded import EncodedImage, latents_of_image
from napari_gaussproto.core.errors import LabelError
from napari_gaussproto.core.extractor import Neck
from napari_gaussproto.core.segmenter import (
    Encoding,
    PrototypeSegmenter,
    make_layer,
    name_prototypes,
    quantiles_of,
)
from napari_gaussproto.core.steps import run
from napari_gaussproto.core.threads import one_thread

_TEMPERATURES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


class QuickSettings(Settings):
    """How a quick fit is done.

    Attributes
    ----------
    neck_steps, layer_steps : int
        Steps on neck and head together, and on the prototypes alone.
    learning_rate : float
        Peak from scratch; from a current model a quarter of it.
    weight_decay : float
        Of the neck's weights.
    cells_per_class : int
        Labelled cells of a class that are drawn from each image, at most.
    loss : LossWeights
    """

    neck_steps: int = Field(60, ge=0)
    layer_steps: int = Field(40, ge=0)
    learning_rate: float = Field(1e-2, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    cells_per_class: int = Field(400, ge=1)
    loss: LossWeights = LossWeights()


@dataclass(frozen=True)
class QuickStep:
    """What happened in one step.

    Attributes
    ----------
    stage : str
        "features", "neck", "decode" or "layer".
    step, total : int
    losses : dict of str to float
        Each term times its weight; empty where nothing is optimised.
    """

    stage: str
    step: int
    total: int
    losses: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class QuickFit:
    """A fitted model, and the images as it sees them.

    Attributes
    ----------
    model : PrototypeSegmenter
        A new one; it shares the backbone of the model that it started from.
    encodings : list of Encoding
        One per image: ``model.decode(encodings[i])`` is its segmentation.
    accuracy : float
        Share of the labelled cells that got their class, over classes evenly.
    """

    model: PrototypeSegmenter
    encodings: list[Encoding]
    accuracy: float


@dataclass
class _Cells:
    """Labelled cells of all images; ``image`` and ``cell`` say where each is."""

    features: Tensor
    target: Tensor
    image: Tensor
    cell: Tensor

    @property
    def class_weight(self) -> Tensor:
        """(C,) so that every class that has cells counts alike; 0 for the others."""
        mass = self.target.sum(0)
        even = torch.where(mass > 0, 1 / mass.clamp_min(1e-12), 0)
        return even * mass.sum() / (mass > 0).sum()


def quick_fit(
    images: Sequence[EncodedImage],
    labels: Sequence[npt.NDArray[Any]],
    model: PrototypeSegmenter,
    **options: Any,
) -> QuickFit:
    """As `quick_fit_steps`, to the end."""
    return run(quick_fit_steps(images, labels, model, **options))


def quick_fit_steps(
    images: Sequence[EncodedImage],
    labels: Sequence[npt.NDArray[Any]],
    model: PrototypeSegmenter,
    *,
    classes: Sequence[SegmentationClass] | None = None,
    scratch: bool = False,
    settings: QuickSettings | None = None,
    seed: int = 0,
) -> Generator[QuickStep, None, QuickFit]:
    """Fit neck and prototypes to strokes, one optimiser step at a time.

    Parameters
    ----------
    images : sequence of EncodedImage
        See `encode_pyramid`, by this model's backbone.
    labels : sequence of array
        Integers of each image's (H, W): 0 not labelled, else class index + 1.
    model : PrototypeSegmenter
        Where to start; it is not changed.
    classes : sequence of SegmentationClass, optional
        The class table that the labels were drawn with, to be checked.
    scratch : bool
        Forget the model's neck and prototypes; only its backbone and settings are used.
        Classes without labels then get prototypes that are switched off.
    settings : QuickSettings, optional
    seed : int
        The same seed gives the same model on the same CPU and number of threads.

    Yields
    ------
    QuickStep

    Raises
    ------
    LabelError
        Without labels, with labels of one class only, of other classes than the model's, or
        of another shape than their image.
    """
    settings = settings or QuickSettings()
    _check(images, labels, model, classes)
    cells = yield from _cells_steps(images, labels, model, settings, seed)
    fitted = _with_own_head(model)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if scratch:
            _restart(fitted, images, cells)
        head = nn.Linear(model.config.latent_dim, len(model.classes)).to(model.device)
    rate = settings.learning_rate * (1 if scratch else 0.25)
    yield from _fit_neck(fitted, cells, head if scratch else None, settings, rate)
    encodings = []
    for done, image in enumerate(images, start=1):
        encodings.append(latents_of_image(fitted, image))
        yield QuickStep("decode", done, len(images))
    latents = _latents_at(encodings, cells)
    if scratch:
        with one_thread():
            initialize.place_by_kmeans(fitted.layer, latents, cells.target.argmax(1), seed)
            _start_temperature(fitted, latents, cells.target)
    yield from _fit_layer(fitted, latents, cells, settings, rate)
    accuracy = _describe(fitted, latents, cells)
    fitted.card.history.append(
        {
            "what": "quick fit",
            "when": now(),
            "images": len(images),
            "cells": len(latents),
            "scratch": scratch,
            "seed": seed,
            "settings": settings.model_dump(),
        }
    )
    return QuickFit(fitted, encodings, accuracy)


# -- what can be wrong --------------------------------------------------------------------------


def _check(
    images: Sequence[EncodedImage],
    labels: Sequence[npt.NDArray[Any]],
    model: PrototypeSegmenter,
    classes: Sequence[SegmentationClass] | None,
) -> None:
    names = [c.name for c in model.classes]
    if classes is not None and [c.name for c in classes] != names:
        raise LabelError(
            f"The strokes are of the classes {_listed([c.name for c in classes])}, the model "
            f"knows {_listed(names)}: start a new model, or make the class table the same."
        )
    if len(images) != len(labels):
        raise LabelError(
            f"There are {len(images)} images and {len(labels)} label images: "
            "give one label image for every image."
        )
    found: set[int] = set()
    for image, mask in zip(images, labels, strict=True):
        if image.backbone is not model.extractor.backbone:
            raise LabelError(
                "The image was encoded by another backbone than the model's: encode it again."
            )
        found |= _values(mask, image.shape, len(names))
    present = sorted(found - {0})
    if not present:
        raise LabelError("Nothing is labelled yet: draw a stroke of each of two classes.")
    if len(present) == 1:
        raise LabelError(
            f"Only “{names[present[0] - 1]}” is labelled: draw a stroke of another class, too."
        )


def _values(mask: npt.NDArray[Any], shape: tuple[int, int], n_classes: int) -> set[int]:
    if not np.issubdtype(mask.dtype, np.integer) or mask.shape != shape:
        raise LabelError(
            f"The labels are of type {mask.dtype} and shape {mask.shape}, the image is {shape} "
            "pixels: give whole numbers of the same height and width."
        )
    low, high = int(mask.min()), int(mask.max())
    if low < 0 or high > n_classes:
        raise LabelError(
            f"The labels contain the value {high if high > n_classes else low}, but the model "
            f"has {n_classes} classes: use 0 to {n_classes}, or start a new model."
        )
    counts = np.bincount(mask.ravel(), minlength=n_classes + 1)
    return set(np.flatnonzero(counts).tolist())


def _listed(names: list[str]) -> str:
    return ", ".join(f"“{name}”" for name in names) or "none"


# -- cells --------------------------------------------------------------------------------------


def _cells_steps(
    images: Sequence[EncodedImage],
    labels: Sequence[npt.NDArray[Any]],
    model: PrototypeSegmenter,
    settings: QuickSettings,
    seed: int,
) -> Generator[QuickStep, None, _Cells]:
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for index, (image, mask) in enumerate(zip(images, labels, strict=True)):
        if mask.any():
            pixels = torch.from_numpy(np.ascontiguousarray(mask, dtype=np.uint8))
            target, weight = image.partition.targets(pixels, len(model.classes))
            chosen = _draw(target, weight, settings.cells_per_class, generator)
            features = image.features(chosen, model.config.output_stride)
            parts.append((features, target[chosen], torch.full((len(chosen),), index), chosen))
        yield QuickStep("features", index + 1, len(images))
    features, target, image_index, cell = (torch.cat(p) for p in zip(*parts, strict=True))
    return _Cells(features, target.to(features.device), image_index, cell)


def _draw(target: Tensor, weight: Tensor, per_class: int, generator: torch.Generator) -> Tensor:
    """Labelled cells, at most ``per_class`` of each class by majority, in ascending order."""
    majority = torch.where(weight > 0, target.argmax(1), -1)
    chosen = []
    for c in range(target.shape[1]):
        own = (majority == c).nonzero().flatten()
        chosen.append(own[torch.randperm(len(own), generator=generator)[:per_class]])
    return torch.cat(chosen).sort().values


def _latents_at(encodings: Sequence[Encoding], cells: _Cells) -> Tensor:
    """Latents (N, D) of the labelled cells, as the model itself will see them."""
    parts = [
        encoding.latents[cells.cell[cells.image == index].to(encoding.latents.device)]
        for index, encoding in enumerate(encodings)
    ]
    return torch.cat(parts)


# -- model --------------------------------------------------------------------------------------


def _with_own_head(model: PrototypeSegmenter) -> PrototypeSegmenter:
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


def _restart(model: PrototypeSegmenter, images: Sequence[EncodedImage], cells: _Cells) -> None:
    """A new neck, normalised over whole images, and new prototypes."""
    config, backbone = model.config, model.extractor.backbone
    neck = Neck(
        backbone.widths,
        backbone.strides,
        config.output_stride,
        config.neck_channels,
        config.latent_dim,
    )
    model.extractor.neck = neck.to(model.device).eval()
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


# -- fitting ------------------------------------------------------------------------------------

Terms = Callable[[], dict[str, Tensor]]


def _fit_neck(
    model: PrototypeSegmenter,
    cells: _Cells,
    head: nn.Linear | None,
    settings: QuickSettings,
    rate: float,
) -> Generator[QuickStep, None, None]:
    """Neck and a linear head, or without a head neck and prototypes."""
    neck, class_weight = model.extractor.neck, cells.class_weight

    def under_head() -> dict[str, Tensor]:
        log_posterior = head(neck.points(cells.features)).log_softmax(1)  # type: ignore[misc]
        value = loss.classification(log_posterior, cells.target, _ones(cells), class_weight)
        return {"classification": value}

    def under_prototypes() -> dict[str, Tensor]:
        z = neck.points(cells.features)
        return loss.objective(
            model.layer, z, cells.target, _ones(cells), class_weight, settings.loss
        )

    decayed = {"params": list(neck.parameters()), "weight_decay": settings.weight_decay}
    top = _free(model.layer) if head is None else list(head.parameters())
    terms = under_prototypes if head is None else under_head
    groups = [decayed, {"params": top, "weight_decay": 0.0}]
    yield from _descend("neck", terms, groups, settings.neck_steps, rate)


def _fit_layer(
    model: PrototypeSegmenter,
    latents: Tensor,
    cells: _Cells,
    settings: QuickSettings,
    rate: float,
) -> Generator[QuickStep, None, None]:
    class_weight = cells.class_weight

    def terms() -> dict[str, Tensor]:
        return loss.objective(
            model.layer, latents, cells.target, _ones(cells), class_weight, settings.loss
        )

    groups = [{"params": _free(model.layer), "weight_decay": 0.0}]
    yield from _descend("layer", terms, groups, settings.layer_steps, rate)


def _descend(
    stage: str, terms: Terms, groups: list[dict[str, Any]], steps: int, rate: float
) -> Generator[QuickStep, None, None]:
    """Full-batch steps with a learning rate that falls to 0 as half a cosine."""
    optimizer = torch.optim.AdamW(groups, lr=rate)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        with one_thread():
            values = terms()
            optimizer.zero_grad()
            torch.stack(list(values.values())).sum().backward()
            optimizer.step()
        losses = {name: float(value.detach()) for name, value in values.items()}
        yield QuickStep(stage, step + 1, steps, losses)


def _free(layer: nn.Module) -> list[nn.Parameter]:
    return [p for p in layer.parameters() if p.requires_grad]


def _ones(cells: _Cells) -> Tensor:
    return torch.ones(len(cells.target), device=cells.target.device)


@torch.no_grad()
def _start_temperature(model: PrototypeSegmenter, latents: Tensor, target: Tensor) -> None:
    """The temperature that fits the labelled cells best: to start from, not saturated."""
    layer = model.layer
    log_likelihood = layer.log_likelihood(latents)
    costs = []
    for temperature in _TEMPERATURES:
        layer.log_temperature.fill_(math.log(temperature))
        costs.append(float(-(target * layer.class_log_posterior(log_likelihood)).sum()))
    layer.log_temperature.fill_(math.log(_TEMPERATURES[int(np.argmin(costs))]))


@torch.no_grad()
def _describe(model: PrototypeSegmenter, latents: Tensor, cells: _Cells) -> float:
    """Statistics that typicality and novelty compare with; the accuracy on labelled cells."""
    layer = model.layer
    distance = layer.mahalanobis(latents)
    log_likelihood = layer.log_likelihood_from(distance)
    model.density_quantiles = quantiles_of(layer.log_density(log_likelihood))
    used = initialize.usage(layer, latents, cells.target, _ones(cells))
    majority = cells.target.argmax(1)
    joint = log_likelihood + layer.log_weight
    owner = joint.masked_fill(layer.class_index[None] != majority[:, None], -torch.inf).argmax(1)
    for m, prototype in enumerate(model.prototypes):
        own = distance[owner == m, m]
        if len(own):
            prototype.distance_quantiles = quantiles_of(own)
        if layer.active[m] and bool((majority == prototype.class_index).any()):
            prototype.usage = float(used[m])
    right = layer.class_log_posterior(log_likelihood).argmax(1) == majority
    shares = [right[majority == c].float().mean() for c in majority.unique().tolist()]
    return float(torch.stack(shares).mean())
