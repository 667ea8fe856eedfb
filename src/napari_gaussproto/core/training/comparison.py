"""Which of two starts tells strokes better that were held out from the quick fits of both."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_gaussproto.core.base.device import one_thread
from napari_gaussproto.core.base.steps import TrainingStep, WithValue
from napari_gaussproto.core.labels.strokes import strokes_of
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.pyramid import EncodedImage
from napari_gaussproto.core.training.quick_fit import QuickFit, quick_fit_steps
from napari_gaussproto.core.training.samples import with_data

# Parts in which strokes are held out, at most, and how many strokes must be.
_FOLDS, ENOUGH = 6, 8
# By how much one has to be better, and by how many standard errors of the difference.
_GAIN, _CERTAINTY = 0.1, 2.0
# How much more it may doubt. Strokes are mostly corrections of the first start: where that one is
# wrong the second one often is right, also where it is wrong on all the rest of the photograph.
_DOUBT = 0.03


@dataclass(frozen=True)
class Contender:
    """A start, and the images as its backbone sees them; ``scratch`` as in `quick_fit_steps`."""

    model: PrototypeSegmenter
    scratch: bool
    images: Sequence[EncodedImage]


@dataclass(frozen=True)
class StartComparison:
    """How well quick fits from two starts tell strokes that they were made without.

    Attributes
    ----------
    accuracy : tuple of float
        Of each start: the share of a stroke that gets its class, the mean over the strokes of
        a class, then over classes.
    error : float
        Standard error of the difference, by how much it differs from stroke to stroke.
    strokes : int
        How many were held out.
    doubt : tuple of float
        Of each start, fitted to all strokes: the mean probability over the cells of the
        photographs that a cell is of another class than the one it gets.
    """

    accuracy: tuple[float, float]
    error: float
    strokes: int
    doubt: tuple[float, float]

    @classmethod
    def of(
        cls,
        right: npt.NDArray[np.float64],
        classes: npt.NDArray[np.intp],
        doubt: tuple[float, float],
    ) -> StartComparison:
        """From the shares (K, 2) of K strokes that are right, and the classes (K,) of these."""
        groups = [right[classes == c] for c in np.unique(classes)]
        means = np.mean([own.mean(0) for own in groups], axis=0)
        # A class of one stroke varies as all strokes do.
        overall = np.var(right[:, 1] - right[:, 0])
        spread = [
            (np.var(own[:, 1] - own[:, 0], ddof=1) if len(own) > 1 else overall) / len(own)
            for own in groups
        ]
        error = math.sqrt(sum(spread)) / len(groups)
        return cls((float(means[0]), float(means[1])), error, len(right), doubt)

    @property
    def is_second_better(self) -> bool:
        """Whether the second start is clearly better, by enough strokes to say so."""
        gain = self.accuracy[1] - self.accuracy[0]
        clear = self.strokes >= ENOUGH and gain >= max(_GAIN, _CERTAINTY * self.error)
        return clear and self.doubt[1] <= self.doubt[0] + _DOUBT


def compare_steps(
    first: Contender, second: Contender, labels: Sequence[npt.NDArray[Any]]
) -> Generator[TrainingStep, None, StartComparison | None]:
    """Hold strokes out, one part of them after the other, and fit from both starts without them.

    Parameters
    ----------
    first, second : Contender
        With the same class table.
    labels : sequence of (H, W) array
        Strokes on each image: 0 not labelled, else class index + 1.

    Yields
    ------
    TrainingStep
        Of the stage "compare".

    Returns
    -------
    StartComparison or None
        None with too few strokes to say anything, or with strokes of one class alone; those on
        pixels without data do not count. A class with one stroke keeps it: without it nothing
        would be known of the class.
    """
    labels = [with_data(m, image.source) for m, image in zip(labels, first.images, strict=True)]
    parts = _parts(labels)
    if sum(map(len, parts)) < ENOUGH or len(set().union(*map(np.unique, labels)) - {0}) < 2:
        return None
    right, classes = [], []
    for number, part in enumerate(parts):
        kept = [mask.copy() for mask in labels]
        for stroke in part:
            kept[stroke.image].flat[stroke.places] = 0
        step = TrainingStep("compare", number, len(parts) + 1)
        shares = []
        for contender in (first, second):
            fit = yield from _fit(contender, kept, step)
            shares.append([_share(fit, stroke) for stroke in part])
        right += list(zip(*shares, strict=True))
        classes += [stroke.value for stroke in part]
    step = TrainingStep("compare", len(parts), len(parts) + 1)
    one = _doubt((yield from _fit(first, labels, step)))
    other = _doubt((yield from _fit(second, labels, step)))
    return StartComparison.of(np.array(right), np.array(classes), (one, other))


@dataclass(frozen=True)
class _Stroke:
    """Its image, class + 1 and flat places (K,), and the width of that image."""

    image: int
    value: int
    places: npt.NDArray[np.intp]
    width: int


def _parts(labels: Sequence[npt.NDArray[Any]]) -> list[list[_Stroke]]:
    """Strokes that are held out together; none of a class that has only one."""
    of_class: dict[int, list[_Stroke]] = {}
    for image, mask in enumerate(labels):
        for places in strokes_of(mask):
            value = int(mask.flat[places[0]])
            of_class.setdefault(value, []).append(_Stroke(image, value, places, mask.shape[1]))
    parts: list[list[_Stroke]] = [[] for _ in range(_FOLDS)]
    for own in of_class.values():
        if len(own) > 1:
            for place, stroke in enumerate(own):
                parts[place % min(len(own), _FOLDS)].append(stroke)
    return [part for part in parts if part]


def _fit(
    contender: Contender, labels: Sequence[npt.NDArray[Any]], step: TrainingStep
) -> Generator[TrainingStep, None, QuickFit]:
    """A quick fit of which all steps are the same one."""
    steps = quick_fit_steps(contender.images, labels, contender.model, scratch=contender.scratch)
    for _ in (work := WithValue(steps)):
        yield step
    return work.value


def _share(fit: QuickFit, stroke: _Stroke) -> float:
    """Share of a stroke's pixels whose cell gets its class."""
    partition = fit.encodings[stroke.image].partition
    pixels = np.divmod(stroke.places, stroke.width)
    cells, counts = np.unique(partition.cells_at(*pixels), return_counts=True)
    found = _log_posterior(fit, stroke.image, torch.from_numpy(cells)).argmax(1).cpu().numpy()
    return float(counts @ (found == stroke.value - 1) / counts.sum())


def _doubt(fit: QuickFit) -> float:
    """Mean probability over all cells that the class is another one."""
    most = [
        _log_posterior(fit, image).amax(1).exp()[encoding.has_data]
        for image, encoding in enumerate(fit.encodings)
    ]
    return 1 - float(torch.cat(most).mean())


@torch.no_grad()
def _log_posterior(fit: QuickFit, image: int, cells: Tensor | None = None) -> Tensor:
    """Log p(c|z), (K, C), of some cells of an image, or of all."""
    latents = fit.encodings[image].latents
    with one_thread():
        chosen = latents if cells is None else latents[cells.to(latents.device)]
        posterior: Tensor = fit.model.layer(chosen)
        return posterior
