"""Quick fit: neck and prototypes follow a person's strokes within a second.

The backbone stays as it is, so an image is encoded once. Only labelled cells are evaluated
while fitting: the neck acts on each position alone. From scratch, the neck warms up under a
throw-away linear head and k-means++ places the prototypes; from a current model both go on
from where they are. Then the prototypes alone are fitted to the cells' final latents.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn

from napari_gaussproto.core.base.config import (
    LossWeights,
    NewModel,
    SegmentationClass,
    Settings,
)
from napari_gaussproto.core.base.device import one_thread
from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.base.steps import TrainingStep, run
from napari_gaussproto.core.editing.new_classes import place_unfitted, waiting_classes
from napari_gaussproto.core.labels.check import check_labels, check_pairs
from napari_gaussproto.core.mixture import placement
from napari_gaussproto.core.model.labelled import class_table, labelled_planes
from napari_gaussproto.core.model.segmentation import Encoding
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training import objective
from napari_gaussproto.core.training.cells import LabelledCells, draw_cells
from napari_gaussproto.core.training.descent import descend, fit_temperature, trainable
from napari_gaussproto.core.training.describe import class_accuracy, describe
from napari_gaussproto.core.training.pyramid import (
    EncodedImage,
    encode_pyramid,
    latents_of_image,
)
from napari_gaussproto.core.training.start import begin, restart, with_own_head

# Of a prototype: a version of a fit, of which there may be many, is mostly these.
_PATCHES = 3


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
class QuickFit:
    """A fitted model, which shares the backbone of its start, and the images as it sees them.

    Attributes
    ----------
    encodings : list of Encoding
        One per image: ``model.decode(encodings[i])`` is its segmentation.
    accuracy : float
        Share of the labelled cells that got their class, over classes evenly.
    """

    model: PrototypeSegmenter
    encodings: list[Encoding]
    accuracy: float


def quick_fit(
    images: Any,
    labels: Any,
    start: PrototypeSegmenter | Path | str | NewModel = "auto",
    *,
    classes: Sequence[SegmentationClass | str] | None = None,
    partition: Literal["grid", "superpixel"] = "grid",
    settings: QuickSettings | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Callable[[Any], None] | None = None,
) -> PrototypeSegmenter:
    """Fit a model to strokes within seconds, as the Quick fit button of the Train dock does.

    Parameters
    ----------
    images : array or sequence of array
        One image, or a list of them: (H, W), (H, W, C), or stacks (..., H, W[, C]), which are
        fitted plane by plane.
    labels : array or sequence of array
        (..., H, W) integers for each image: 0 not labelled, else class index + 1.
    start : "auto", PrototypeSegmenter, path, str or NewModel
        Where to begin: "auto" with a new model, as a new dock does, else with a model, the
        file of one, the name of a shipped one, or the settings of a new one. The model itself is
        not changed.
    classes : sequence of SegmentationClass or str, optional
        The classes of the labels. Those that the start does not know are added to it, and those
        that it knows besides are dropped. By default the classes of the start; of a new model
        "class 1", "class 2", … up to the largest label.
    partition : {"grid", "superpixel"}
        The cells of the new model of "auto".
    settings : QuickSettings, optional
    seed : int
        The same seed gives the same model on the same CPU and number of threads.
    device : str
        See `resolve_device`.
    progress : callable, optional
        Called with every `TrainingStep`.

    Returns
    -------
    PrototypeSegmenter
        It shares the backbone of the model that it started from.

    Raises
    ------
    LabelError, ImageError, ConfigError, EditError, ModelFileError
        When it cannot be fitted; the sentence says what to do.
    """
    if start == "auto":
        start = NewModel(partition=partition)
    table = class_table(classes, labels, new=isinstance(start, NewModel))
    base, scratch = begin(start, table, device)
    planes = labelled_planes(images, labels, base)
    encoded = [encode_pyramid(source, base) for source, _ in planes]
    masks = [mask for _, mask in planes]
    steps = quick_fit_steps(encoded, masks, base, scratch=scratch, settings=settings, seed=seed)
    return run(steps, progress).model


def quick_fit_steps(
    images: Sequence[EncodedImage],
    labels: Sequence[npt.NDArray[Any]],
    model: PrototypeSegmenter,
    *,
    classes: Sequence[SegmentationClass] | None = None,
    scratch: bool = False,
    settings: QuickSettings | None = None,
    seed: int = 0,
) -> Generator[TrainingStep, None, QuickFit]:
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
    TrainingStep
        Of the stages "features", "neck", "decode" and "layer".

    Raises
    ------
    LabelError
        Without labels, with labels of one class only, of other classes than the model's, of
        a class whose prototypes a person switched off, or of another shape than their image.
    """
    settings = settings or QuickSettings()
    cells = yield from _drawn(
        images, _checked(images, labels, model, classes), model, settings, seed
    )
    waiting = [] if scratch else waiting_classes(model, cells.labelled)
    fitted = with_own_head(model)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if scratch:
            restart(fitted, images, cells)
        head = nn.Linear(model.config.latent_dim, len(model.classes)).to(model.device)
    if waiting:
        with torch.no_grad():
            points = fitted.extractor.neck.points(cells.values)
        place_unfitted(fitted, waiting, points, cells.target, seed)
    rate = settings.learning_rate * (1 if scratch else 0.25)
    yield from _fit_neck(fitted, cells, head if scratch else None, settings, rate)
    encodings = []
    for done, image in enumerate(images, start=1):
        encodings.append(latents_of_image(fitted, image))
        yield TrainingStep("decode", done, len(images))
    latents = cells.with_values(_latents_at(encodings, cells))
    if scratch:
        with one_thread():
            placement.place_by_kmeans(fitted.layer, latents.values, latents.majority, seed)
            fit_temperature(fitted.layer, latents)
    yield from _fit_layer(fitted, latents, settings, rate)
    describe(fitted, latents, images, patches=_PATCHES)
    fitted.card.log(
        "quick fit",
        images=len(images),
        cells=len(latents),
        scratch=scratch,
        seed=seed,
        settings=settings.model_dump(),
    )
    accuracy = class_accuracy(fitted.layer, latents.values, latents.target)
    return QuickFit(fitted, encodings, accuracy)


# -- what it learns from -------------------------------------------------------------------------


def _checked(
    images: Sequence[EncodedImage],
    labels: Sequence[npt.NDArray[Any]],
    model: PrototypeSegmenter,
    classes: Sequence[SegmentationClass] | None,
) -> list[npt.NDArray[np.uint8]]:
    """Labels as bytes; what cannot be fitted is refused with a sentence that says what to do."""
    names = [c.name for c in model.classes]
    if classes is not None and [c.name for c in classes] != names:
        raise LabelError(
            f"The strokes are of the classes {_listed([c.name for c in classes])}, the model "
            f"knows {_listed(names)}: start a new model, or make the class table the same."
        )
    check_pairs(images, labels)
    if any(image.backbone is not model.extractor.backbone for image in images):
        raise LabelError(
            "The image was encoded by another backbone than the model's: encode it again."
        )
    checked = [
        check_labels(mask, image.shape, len(names))
        for image, mask in zip(images, labels, strict=True)
    ]
    counts = sum(np.bincount(mask.ravel(), minlength=len(names) + 1)[1:] for mask in checked)
    present = np.flatnonzero(counts).tolist()
    if not present:
        raise LabelError("Nothing is labelled yet: draw a stroke of each of two classes.")
    if len(present) == 1:
        raise LabelError(
            f"Only “{names[present[0]]}” is labelled: draw a stroke of another class, too."
        )
    return checked


def _listed(names: list[str]) -> str:
    return ", ".join(f"“{name}”" for name in names) or "none"


def _drawn(
    images: Sequence[EncodedImage],
    labels: Sequence[npt.NDArray[np.uint8]],
    model: PrototypeSegmenter,
    settings: QuickSettings,
    seed: int,
) -> Generator[TrainingStep, None, LabelledCells]:
    """Labelled cells of all images."""
    share = max(1, settings.cells_in_all // len(images))
    count = min(settings.cells_per_class, share)
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for index, (image, mask) in enumerate(zip(images, labels, strict=True)):
        if mask.any():
            pixels = torch.tensor(mask)  # a copy, for masks from files may be read-only
            parts.append(draw_cells(image, pixels, model, count, generator, index, ascending=True))
        yield TrainingStep("features", index + 1, len(images))
    return LabelledCells.joined(parts)


def _latents_at(encodings: Sequence[Encoding], cells: LabelledCells) -> Tensor:
    """Latents (N, D) of the labelled cells, as the model itself will see them."""
    parts = [
        encoding.latents[cells.cell[cells.image == index].to(encoding.latents.device)]
        for index, encoding in enumerate(encodings)
    ]
    return torch.cat(parts)


# -- fitting: all cells in every step, for there are few -----------------------------------------


def _fit_neck(
    model: PrototypeSegmenter,
    cells: LabelledCells,
    head: nn.Linear | None,
    settings: QuickSettings,
    rate: float,
) -> Generator[TrainingStep, None, None]:
    """Neck and a linear head, or without a head neck and prototypes."""
    neck, layer, class_weight = model.extractor.neck, model.layer, cells.class_weight

    def terms() -> dict[str, Tensor]:
        z, target, weight = neck.points(cells.values), cells.target, cells.weight
        if head is None:
            return objective.terms(layer, z, target, weight, class_weight, settings.loss)
        log_posterior = head(z).log_softmax(1)
        value = objective.classification(log_posterior, target, weight, class_weight)
        return {"classification": value}

    top = trainable(layer if head is None else head)
    groups = [
        {"params": list(neck.parameters()), "weight_decay": settings.weight_decay},
        {"params": top, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=rate)
    yield from descend("neck", terms, optimizer, settings.neck_steps, alone=True)


def _fit_layer(
    model: PrototypeSegmenter, latents: LabelledCells, settings: QuickSettings, rate: float
) -> Generator[TrainingStep, None, None]:
    layer, class_weight = model.layer, latents.class_weight

    def terms() -> dict[str, Tensor]:
        z, target, weight = latents.values, latents.target, latents.weight
        return objective.terms(layer, z, target, weight, class_weight, settings.loss)

    optimizer = torch.optim.AdamW(trainable(layer), lr=rate, weight_decay=0.0)
    yield from descend("layer", terms, optimizer, settings.layer_steps, alone=True)
