"""Quick fit: neck and prototypes follow a person's strokes within a second.

The backbone stays as it is, so an image is encoded once. Only labelled cells are evaluated
while fitting: the neck acts on each position alone. From scratch, the neck warms up under a
throw-away linear head and k-means++ places the prototypes; from a current model both go on
from where they are. Then the prototypes alone are fitted to the cells' final latents.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from napari_gaussproto.core.base.config import LossWeights, SegmentationClass, Settings
from napari_gaussproto.core.base.device import one_thread
from napari_gaussproto.core.base.steps import WithValue, run
from napari_gaussproto.core.mixture import placement
from napari_gaussproto.core.model.card import now
from napari_gaussproto.core.model.segmentation import Encoding
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training import objective
from napari_gaussproto.core.training.new_classes import place_unfitted, waiting_classes
from napari_gaussproto.core.training.pyramid import EncodedImage, latents_of_image
from napari_gaussproto.core.training.quick_cells import (
    StrokeCells,
    cells_steps,
    check,
    describe,
    latents_at,
)
from napari_gaussproto.core.training.quick_start import restart, with_own_head

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
    cells_in_all : int
        Of a class from all images together, so that many images take no more time.
    loss : LossWeights
    """

    neck_steps: int = Field(30, ge=0)
    layer_steps: int = Field(15, ge=0)
    learning_rate: float = Field(1e-2, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    cells_per_class: int = Field(150, ge=1)
    cells_in_all: int = Field(750, ge=1)
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
        Classes without labels then get prototypes that are switched off. Otherwise what the
        model knows stays, and labelled classes whose prototypes are all unfitted get them
        placed; see `adapt`.
    settings : QuickSettings, optional
    seed : int
        The same seed gives the same model on the same CPU and number of threads.

    Yields
    ------
    QuickStep

    Raises
    ------
    LabelError
        Without labels, with labels of one class only, of other classes than the model's, of
        a class whose prototypes a person switched off, or of another shape than their image.
    """
    settings = settings or QuickSettings()
    check(images, labels, model, classes)
    cells = yield from _drawn(images, labels, model, settings, seed)
    waiting = [] if scratch else waiting_classes(model, cells.labelled)
    fitted = with_own_head(model)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if scratch:
            restart(fitted, images, cells)
        head = nn.Linear(model.config.latent_dim, len(model.classes)).to(model.device)
    if waiting:
        place_unfitted(fitted, waiting, _points(fitted, cells), cells.target, seed)
    rate = settings.learning_rate * (1 if scratch else 0.25)
    yield from _fit_neck(fitted, cells, head if scratch else None, settings, rate)
    encodings = []
    for done, image in enumerate(images, start=1):
        encodings.append(latents_of_image(fitted, image))
        yield QuickStep("decode", done, len(images))
    latents = latents_at(encodings, cells)
    if scratch:
        with one_thread():
            placement.place_by_kmeans(fitted.layer, latents, cells.target.argmax(1), seed)
            _start_temperature(fitted, latents, cells.target)
    yield from _fit_layer(fitted, latents, cells, settings, rate)
    accuracy = describe(fitted, latents, cells)
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


# -- stages --------------------------------------------------------------------------------------


def _drawn(
    images: Sequence[EncodedImage],
    labels: Sequence[npt.NDArray[Any]],
    model: PrototypeSegmenter,
    settings: QuickSettings,
    seed: int,
) -> Generator[QuickStep, None, StrokeCells]:
    share = max(1, settings.cells_in_all // max(1, len(images)))
    count = min(settings.cells_per_class, share)
    for done in (work := WithValue(cells_steps(images, labels, model, count, seed))):
        yield QuickStep("features", done, len(images))
    return work.value


@torch.no_grad()
def _points(model: PrototypeSegmenter, cells: StrokeCells) -> Tensor:
    """Latents (N, D) of the labelled cells by the neck as it is now."""
    points: Tensor = model.extractor.neck.points(cells.features)
    return points


# -- fitting ------------------------------------------------------------------------------------

Terms = Callable[[], dict[str, Tensor]]


def _fit_neck(
    model: PrototypeSegmenter,
    cells: StrokeCells,
    head: nn.Linear | None,
    settings: QuickSettings,
    rate: float,
) -> Generator[QuickStep, None, None]:
    """Neck and a linear head, or without a head neck and prototypes."""
    neck, class_weight = model.extractor.neck, cells.class_weight

    def under_head() -> dict[str, Tensor]:
        log_posterior = head(neck.points(cells.features)).log_softmax(1)  # type: ignore[misc]
        value = objective.classification(log_posterior, cells.target, cells.weight, class_weight)
        return {"classification": value}

    def under_prototypes() -> dict[str, Tensor]:
        z = neck.points(cells.features)
        return objective.objective(
            model.layer, z, cells.target, cells.weight, class_weight, settings.loss
        )

    decayed = {"params": list(neck.parameters()), "weight_decay": settings.weight_decay}
    top = _free(model.layer) if head is None else list(head.parameters())
    terms = under_prototypes if head is None else under_head
    groups = [decayed, {"params": top, "weight_decay": 0.0}]
    yield from _descend("neck", terms, groups, settings.neck_steps, rate)


def _fit_layer(
    model: PrototypeSegmenter,
    latents: Tensor,
    cells: StrokeCells,
    settings: QuickSettings,
    rate: float,
) -> Generator[QuickStep, None, None]:
    class_weight = cells.class_weight

    def terms() -> dict[str, Tensor]:
        return objective.objective(
            model.layer, latents, cells.target, cells.weight, class_weight, settings.loss
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
