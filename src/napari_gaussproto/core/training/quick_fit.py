"""Quick fit: prototypes follow a person's strokes within a second.

The network stays as it is, so an image is encoded once. A new model gets one Gaussian a class,
all of one covariance, in closed form. The prototypes of a fitted model move, as far as
the strokes demand. How stiff either is, strokes say that are held out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from napari_gaussproto.core.base.config import (
    NewModel,
    SegmentationClass,
    Settings,
)
from napari_gaussproto.core.base.device import one_thread
from napari_gaussproto.core.base.errors import LabelError
from napari_gaussproto.core.base.steps import TrainingStep, run
from napari_gaussproto.core.editing.edits import next_name
from napari_gaussproto.core.editing.new_classes import place_unfitted, waiting_classes
from napari_gaussproto.core.labels.check import check_labels, check_pairs
from napari_gaussproto.core.labels.strokes import strokes_of
from napari_gaussproto.core.mixture.discriminant import SHRINKAGES, StrokeCells, fit_discriminant
from napari_gaussproto.core.mixture.layer import LOG_ZERO, GaussianPrototypeLayer
from napari_gaussproto.core.mixture.refinement import corrected, cross_validate
from napari_gaussproto.core.model.encoding import Encoding
from napari_gaussproto.core.model.labelled import class_table, labelled_planes, most_pixels
from napari_gaussproto.core.model.segmentation import Prototype
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter, make_layer, name_prototypes
from napari_gaussproto.core.training.cells import LabelledCells, draw_latents
from napari_gaussproto.core.training.describe import class_accuracy, describe
from napari_gaussproto.core.training.pyramid import (
    EncodedImage,
    encode_pyramid,
    latents_of_image,
)
from napari_gaussproto.core.training.samples import all_with_data, full_scales_of
from napari_gaussproto.core.training.start import begin, standardise, with_own_head

# Of the covariance, see `fit_discriminant`: for latents of a neck that was trained for few strokes,
# and for features as they are (python -m benchmarks.loop).
_SHRINKAGES = {"fused": SHRINKAGES, "none": (0.5, 0.3)}
# Of the means: the neck gathers a class around its mean, while the features as they are show it in
# pieces, of which strokes may know one only.
_ANCHORS = {"fused": 0.7, "none": 0.0}
# Strokes held out from which on their accuracy says something: the first few are corrections, which
# lie where any fit without them is wrong.
_ENOUGH = 8
# Cells of the photographs that are looked at, whether or not they are labelled.
_SAMPLE, _KEPT_SAMPLE = 4000, 1000

# Of a prototype: a version of a fit, of which there may be many, is mostly these.
_PATCHES = 3


class QuickSettings(Settings):
    """How a quick fit is done.

    Attributes
    ----------
    cells_per_class : int
        Labelled cells of a class that are drawn from each image, at most.
    cells_in_all : int
        Of a class from all images together, so that many images take no more time.
    """

    cells_per_class: int = Field(300, ge=1)
    cells_in_all: int = Field(900, ge=1)


@dataclass(frozen=True)
class QuickFit:
    """A fitted model, which shares the backbone of its start, and the images as it sees them.

    Attributes
    ----------
    encodings : list of Encoding
        One per image: ``model.decode(encodings[i])`` is its segmentation.
    accuracy : float
        Share of the labelled cells that got their class, over classes evenly.
    held_out : float or None
        The same of strokes that each fit was made without; None where they are few.
    """

    model: PrototypeSegmenter
    encodings: list[Encoding]
    accuracy: float
    held_out: float | None


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
    base, scratch = begin(start, table, device, pixels=most_pixels(labels))
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
    """Fit prototypes to strokes, step by step.

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
        Forget the model's prototypes; only its network and settings are used. Classes without
        labels then get prototypes that are switched off. Otherwise what the model knows
        stays, and labelled classes whose prototypes are all unfitted get them placed; see
        `adapt`.
    settings : QuickSettings, optional
    seed : int
        The same seed gives the same model on the same CPU and number of threads.

    Yields
    ------
    TrainingStep
        Of the stages "decode" and "layer".

    Raises
    ------
    LabelError
        Without labels, from scratch with labels of one class only, with labels of other classes
        than the model's, of a class whose prototypes a person switched off, or of another
        shape than their image.
    """
    settings = settings or QuickSettings()
    masks = _checked(images, labels, model, classes, alone=not scratch)
    fitted = with_own_head(model)
    if scratch and model.config.neck == "none":
        standardise(fitted, images)
    encodings = []
    for done, image in enumerate(images, start=1):
        encodings.append(latents_of_image(fitted, image))
        yield TrainingStep("decode", done, len(images))
    cells, strokes = _drawn(encodings, masks, len(model.classes), settings, seed)
    with one_thread():
        if scratch:
            held_out = _place(fitted, cells, strokes, encodings)
        else:
            held_out = _move(fitted, cells, strokes, encodings, seed)
    yield TrainingStep("layer", 1, 1)
    describe(fitted, cells, images, patches=_PATCHES)
    # A photograph like those of the strokes is new to the start, and not to this model.
    fitted.familiarity = None
    fitted.card.name = fitted.card.fitted_name
    fitted.card.log_training(
        "quick fit",
        images=len(images),
        cells=len(cells),
        strokes=len(strokes.unique()),
        scratch=scratch,
        seed=seed,
        settings=settings.model_dump(),
        **full_scales_of(image.source for image in images),
    )
    accuracy = class_accuracy(fitted.layer, cells.values, cells.target)
    return QuickFit(fitted, encodings, accuracy, held_out)


# -- what it learns from -------------------------------------------------------------------------


def _checked(
    images: Sequence[EncodedImage],
    labels: Sequence[npt.NDArray[Any]],
    model: PrototypeSegmenter,
    classes: Sequence[SegmentationClass] | None,
    *,
    alone: bool,
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
    pairs = zip(images, labels, strict=True)
    checked = all_with_data(
        [check_labels(mask, image.shape, len(names)) for image, mask in pairs],
        [image.source for image in images],
    )
    counts = sum(np.bincount(mask.ravel(), minlength=len(names) + 1)[1:] for mask in checked)
    present = np.flatnonzero(counts).tolist()
    if not present:
        raise LabelError("Nothing is labelled yet: draw a stroke of each of two classes.")
    if len(present) == 1 and not alone:
        raise LabelError(
            f"Only “{names[present[0]]}” is labelled: draw a stroke of another class, too."
        )
    return checked


def _listed(names: list[str]) -> str:
    return ", ".join(f"“{name}”" for name in names) or "none"


def _drawn(
    encodings: Sequence[Encoding],
    labels: Sequence[npt.NDArray[np.uint8]],
    n_classes: int,
    settings: QuickSettings,
    seed: int,
) -> tuple[LabelledCells, Tensor]:
    """Labelled cells of all images, and the stroke (N,) that each belongs to."""
    share = max(1, settings.cells_in_all // len(encodings))
    count = min(settings.cells_per_class, share)
    generator = torch.Generator().manual_seed(seed)
    parts, strokes, first = [], [], 0
    for index, (encoding, mask) in enumerate(zip(encodings, labels, strict=True)):
        pixels = torch.tensor(mask)  # a copy, for masks from files may be read-only
        part = draw_latents(encoding, pixels, n_classes, count, generator, index)
        of_cells = np.zeros(encoding.partition.n_cells, np.int64)
        for places in strokes_of(mask):
            of_cells[encoding.partition.cells_at(*np.divmod(places, mask.shape[1]))] = first
            first += 1
        parts.append(part)
        strokes.append(torch.from_numpy(of_cells)[part.cell])
    cells = LabelledCells.joined(parts)
    return cells, torch.cat(strokes).to(cells.values.device)


# -- what it makes of them -----------------------------------------------------------------------


def _place(
    model: PrototypeSegmenter,
    cells: LabelledCells,
    strokes: Tensor,
    encodings: Sequence[Encoding],
) -> float | None:
    """One Gaussian for each labelled class, all of one covariance; accuracy on strokes held out."""
    # On the CPU: it is done in double precision, which some devices lack.
    sample = _everywhere(encodings, _SAMPLE).cpu()
    found = fit_discriminant(
        StrokeCells(cells.values.cpu(), cells.target.cpu(), cells.weight.cpu(), strokes.cpu()),
        sample,
        _SHRINKAGES[model.config.neck],
        anchor=_ANCHORS[model.config.neck],
    )
    factor = torch.linalg.inv(found.whitening)
    layer = make_layer(model.config, list(range(len(model.classes)))).eval()
    # At the origin a prototype is known as one that waits for labels; see `unfitted`.
    mean = (found.centre + found.mean @ factor.T) * found.known[:, None]
    scale = factor if layer.covariance == "full" else (factor @ factor.T).diagonal().sqrt()
    # Gaussians that are as wide as the temperature makes them need none: so density and
    # responsibilities weigh classes as the posterior does.
    scale = scale * math.sqrt(found.temperature)
    with torch.no_grad():
        layer.set_parameters(mean, scale.expand(len(mean), *scale.shape))
        layer.active.copy_(found.known)
        layer.raw_prior.copy_((found.log_prior / found.temperature).clamp_min(LOG_ZERO))
    model.layer = layer.to(model.device)
    model.prototypes = name_prototypes(model.classes, list(range(len(model.classes))))
    return found.accuracy if found.held_out >= _ENOUGH else None


def _move(
    model: PrototypeSegmenter,
    cells: LabelledCells,
    strokes: Tensor,
    encodings: Sequence[Encoding],
    seed: int,
) -> float | None:
    """Prototypes that are there follow the strokes; elsewhere the model says what it said."""
    z, target = cells.values, cells.target
    place_unfitted(model, waiting_classes(model, cells.labelled), z, target, seed)
    begun, everywhere = model.layer, _everywhere(encodings, _KEPT_SAMPLE)

    def moved(chosen: Tensor) -> GaussianPrototypeLayer:
        return corrected(begun, z[chosen], target[chosen], strokes[chosen], everywhere)

    # It takes several fits, so it is asked only where its answer would be told.
    enough = len(strokes.unique()) >= _ENOUGH
    held_out = cross_validate(moved, z, target, strokes) if enough else None
    model.layer = moved(torch.ones_like(strokes, dtype=torch.bool))
    for c in model.layer.class_index.tolist()[len(model.prototypes) :]:
        model.prototypes.append(Prototype(next_name(model, c), c))
    return held_out.accuracy if held_out and held_out.strokes >= _ENOUGH else None


def _everywhere(encodings: Sequence[Encoding], count: int) -> Tensor:
    """Cells (K, D) from all over the photographs, about so many."""
    every = torch.cat([encoding.latents[encoding.has_data] for encoding in encodings])
    return every[:: max(1, len(every) // count)]
