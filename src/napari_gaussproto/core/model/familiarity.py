"""Whether cells, and a photograph as a whole, are like those that a model has learned from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.covariance import OAS
from torch import Tensor
from torch.nn import functional as F

from napari_gaussproto.core.base.quantiles import quantiles_of, rank
from napari_gaussproto.core.mixture.layer import MixtureScores

# Share of photographs like the training ones that are called unlike them.
FALSE_ALARMS = 0.05
# With fewer photographs nothing is learned: their spread would not be known.
LEAST_PHOTOS = 12
# Photographs that a class must be found in, and parts that are left out in turn.
_LEAST_OF_CLASS, _FOLDS = 8, 5
_PREFIX = "familiarity/"

Vectors = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Look:
    """What a photograph looks like within each class that it was given.

    Attributes
    ----------
    mean : (C, F) Tensor
        Of the features of the backbone's middle level over the area of each class.
    share : (C,) Tensor
        Of each class in the area with data; 0 for those that are not there.
    """

    mean: Tensor
    share: Tensor

    @classmethod
    def of(cls, context: Tensor, area: Tensor) -> Look:
        """Of features (F, h, w) and the area (C, h', w') of each class in the same extent."""
        weight = F.interpolate(area[None].float(), size=context.shape[-2:], mode="area")[0]
        total = weight.sum((1, 2))
        summed = torch.einsum("chw,fhw->cf", weight, context.float())
        mean = summed / total.clamp_min(1e-9)[:, None]
        return cls(mean.cpu(), (total / total.sum().clamp_min(1e-9)).cpu())


@dataclass(frozen=True)
class Familiarity:
    """What the training photographs look like, class by class, and how they differ.

    Attributes
    ----------
    mean : (C, F) Tensor
        Nan for classes of which too little is known.
    precision : (C, F, F) Tensor
        Inverse covariance over photographs, times a factor for each class by which the median
        distance of photographs that were held out is 1. It is 0 for classes of which too little
        is known, also where no part that was left out could tell that distance.
    held_out : (QUANTILES,) ndarray
        Of the scores of photographs that were held out, ascending.
    """

    mean: Tensor
    precision: Tensor
    held_out: npt.NDArray[np.float32]

    def distances(self, look: Look) -> Tensor:
        """Log of the squared Mahalanobis distance within each class, (C,); nan where unknown."""
        away = (look.mean - self.mean).double()
        squared = torch.einsum("cf,cfg,cg->c", away, self.precision.double(), away)
        known = self.precision.diagonal(dim1=1, dim2=2).any(1) & (look.share > 0)
        return squared.clamp_min(1e-9).log().masked_fill(~known, math.nan)

    def score(self, look: Look) -> float:
        """Mean log-distance to the training photographs over the area; nan if no class is known.

        Between means of features, class by class; Lee et al. (2018, arXiv 1807.03888) measure so
        how far an image is from each class of a classifier.
        """
        return _over_area(self.distances(look), look.share)

    def novelty(self, look: Look) -> float:
        """How unlike the training photographs one is, in [0, 1]; nan if no class is known.

        Up to ``1 - FALSE_ALARMS`` it is the share of training photographs, held out in turn,
        that are less unlike; beyond, an exponential goes on from there, so that what is farther
        than all of them is still told apart.
        """
        score, limit = self.score(look), 1 - FALSE_ALARMS
        levels = np.linspace(0, 1, len(self.held_out))
        border, middle = np.interp([limit, 0.5], levels, self.held_out)
        if score > border:
            return 1 - FALSE_ALARMS * math.exp(-(score - border) / max(border - middle, 1e-6))
        return float(rank(torch.tensor([score]), self.held_out)[0]) if score == score else score

    @property
    def tensors(self) -> dict[str, Tensor]:
        """As a file holds it, by name; of the shapes of the attributes."""
        held_out = torch.from_numpy(self.held_out)
        parts = {"mean": self.mean, "precision": self.precision, "held_out": held_out}
        return {f"{_PREFIX}{name}": value for name, value in parts.items()}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> Familiarity | None:
        """From the tensors of a file, of any shapes; None where it has none, as those of before."""
        if f"{_PREFIX}mean" not in tensors:
            return None
        mean, precision, held_out = (
            tensors[f"{_PREFIX}{name}"] for name in ("mean", "precision", "held_out")
        )
        if precision.shape != (*mean.shape, mean.shape[1]) or not held_out.numel():
            raise ValueError(f"familiarity of shapes {mean.shape} and {precision.shape}")
        return cls(mean, precision, held_out.numpy())


def novelty_of(
    scores: MixtureScores,
    density: npt.NDArray[np.float32],
    of_class: npt.NDArray[np.float32] | None,
) -> Tensor:
    """Share of known cells that are more familiar than each of N cells, (N,) in [0, 1].

    Parameters
    ----------
    scores : MixtureScores
        Of N cells and C classes.
    density : (QUANTILES,) ndarray
        Of log p(z) over what is known.
    of_class : (C, QUANTILES) ndarray or None
        Of log p(z|c) over what is known of each class, which counts for cells that are given it;
        nan where nothing is.
    """
    novelty = 1 - rank(scores.log_density, density)
    if of_class is None:
        return novelty
    given = scores.class_log_posterior.argmax(1)
    for c, known in enumerate(of_class):
        if not np.isnan(known).any():
            own = given == c
            novelty[own] = 1 - rank(scores.class_log_likelihood[own, c], known)
    return novelty


def learn_familiarity(looks: Sequence[Look]) -> Familiarity | None:
    """Learn from the looks of training photographs, in their order; None if they are too few.

    Photographs that follow each other, such as those of one place, are held out together.
    """
    if len(looks) < LEAST_PHOTOS:
        return None
    apart = []
    for part in np.array_split(np.arange(len(looks)), _FOLDS):
        fitted = _fit([look for number, look in enumerate(looks) if number not in part])
        apart += [fitted.distances(looks[number]) for number in part]
    distances = torch.stack(apart)
    # Classes count alike only if what is held out is as far in each of them.
    usual = distances.nanmedian(0).values
    pairs = zip(distances - usual, looks, strict=True)
    scores = torch.tensor([_over_area(away, look.share) for away, look in pairs])
    if bool(scores.isnan().all()):
        return None
    whole = _fit(looks)
    precision = (whole.precision / usual.exp()[:, None, None]).nan_to_num().float()
    return Familiarity(whole.mean, precision, quantiles_of(scores[~scores.isnan()]))


def _over_area(values: Tensor, share: Tensor) -> float:
    """Mean of values (C,) over shares (C,) of an area; nan where no class has one."""
    known = ~values.isnan()
    if not bool(known.any()):
        return math.nan
    return float((values[known] * share[known]).sum() / share[known].sum())


def _fit(looks: Sequence[Look]) -> Familiarity:
    """Mean and precision of each class, the latter by OAS (Chen et al. 2010)."""
    classes, width = looks[0].mean.shape
    mean = torch.full((classes, width), math.nan)
    precision = torch.zeros(classes, width, width)
    for c in range(classes):
        own = [look.mean[c].double().numpy() for look in looks if look.share[c] > 0]
        if len(own) < _LEAST_OF_CLASS:
            continue
        values: Vectors = np.stack(own)
        deviation = values.std(0)
        deviation = deviation + 1e-3 * deviation.max() + 1e-12
        found = OAS().fit((values - values.mean(0)) / deviation)
        inverse = np.linalg.inv(found.covariance_) / np.outer(deviation, deviation) / width
        mean[c] = torch.from_numpy(values.mean(0)).float()
        precision[c] = torch.from_numpy(inverse).float()
    return Familiarity(mean, precision, np.zeros(1, np.float32))
