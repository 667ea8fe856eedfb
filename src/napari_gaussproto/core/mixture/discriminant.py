"""Linear discriminant analysis for few strokes: a Gaussian per class, all of one covariance.

The covariance is shrunk towards the spread over the whole photographs, and in the space that it
makes spherical the prototype of a class is the mean of its cells. How much of each class there is
follows from the cells that nobody painted on; how stiff the covariance has to be and how sure
the posterior may be, from strokes that are held out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from napari_gaussproto.core.mixture.layer import LOG_ZERO

# Shares of the photographs' own spread in the covariance.
SHRINKAGES = (1.0, 0.9, 0.7, 0.5)
# Taken where no stroke can be held out. Another one has to be better by so many nats per cell,
# over the number of strokes that say so.
SHRINKAGE, _MARGIN = 0.7, 0.3
# Of the class posterior, per dimension and over the number of strokes, where none can be held
# out; and how many held-out strokes weigh as much as it does. Measured over whole photographs
# of six kinds, after 3 to 30 strokes.
_TEMPERATURE, _TRUST = 2.0, 24.0
_TEMPERATURES = tuple(0.01 * 1.25**k for k in range(24))
# How much the shares of the classes count: with 1, a class that is found rarely vanishes.
_PRIOR, _LEAST_SHARE, _ROUNDS = 0.25, 0.01, 20
# How much less a cell counts that does not look like its class, down to what, and how often that
# is asked.
DOUBT, _LEAST_TRUST, _PASSES = 0.5, 0.05, 2
# How much of the distance between class means is believed, for few strokes are farther apart
# than what they stand for. A share of our own that is fixed, no estimate as that of
# James & Stein (1961).
_BELIEVED = 0.75
# A mean comes the more from cells that are surely of its class the fewer its strokes are: by half
# at so many. Sure is such a posterior, and fewer cells than that say nothing.
_ANCHOR_STROKES, _SURE, _LEAST_SURE = 3.0, 0.9, 20
# Variance within classes, over the shrunk one, that is believed at least: a click of one cell has
# none, and would make the posterior blindly sure.
_LEAST_WITHIN = 0.2
# More strokes are held out in groups, so that the time has a bound.
_FOLDS = 24


@dataclass(frozen=True)
class StrokeCells:
    """Cells that a person painted on.

    Attributes
    ----------
    values : (N, D) Tensor
    target : (N, C) Tensor
        Share of each class in a cell's labelled area.
    weight : (N,) Tensor
        Labelled area.
    stroke : (N,) Tensor of int64
        Number of each cell's stroke; the cells of a stroke are held out together.
    """

    values: Tensor
    target: Tensor
    weight: Tensor
    stroke: Tensor


@dataclass(frozen=True)
class Discriminant:
    """Gaussians that share a covariance, in the space where it is spherical.

    A cell ``z`` becomes ``whitening @ (z - centre)``; there the standard deviation within a
    class is 1 on average.

    Attributes
    ----------
    centre : (D,) Tensor
    whitening : (D, D) Tensor
    mean : (C, D) Tensor
        The mean of each class; 0 for one without cells.
    known : (C,) Tensor of bool
        Whether a class has cells.
    log_prior : (C,) Tensor
        Added to the log-likelihoods before the temperature divides them, as
        `GaussianPrototypeLayer` does it; normalised, `LOG_ZERO` for a class without cells.
    temperature : float
        Of the class posterior.
    shrinkage : float
        What was chosen, of `SHRINKAGES`.
    accuracy : float or None
        Of cells of strokes that were held out, over classes evenly; None where there are none. By
        the nearest mean, without prior and anchor, which need the photographs and not strokes.
    held_out : int
        How many strokes that were.
    """

    centre: Tensor
    whitening: Tensor
    mean: Tensor
    known: Tensor
    log_prior: Tensor
    temperature: float
    shrinkage: float
    accuracy: float | None
    held_out: int

    def whiten(self, values: Tensor) -> Tensor:
        """Cells (N, D) in the space of the means."""
        return (values - self.centre) @ self.whitening.T

    def log_posterior(self, values: Tensor) -> Tensor:
        """Log p(c|z), (N, C), of cells (N, D)."""
        distance = torch.cdist(self.whiten(values), self.mean).square()
        logits = (self.log_prior - distance / 2) / self.temperature
        return logits.clamp_min(LOG_ZERO).log_softmax(1)


@torch.no_grad()
def fit_discriminant(
    cells: StrokeCells,
    photos: Tensor,
    shrinkages: Sequence[float] = SHRINKAGES,
    doubt: float = DOUBT,
    anchor: float = 0.0,
) -> Discriminant:
    """Fit in closed form; what has to be chosen is chosen by held-out strokes.

    The covariance is ``(1 - a) W + a V``, with W the covariance within classes and V the variance
    of each feature over the photographs (Friedman 1989, "Regularized discriminant analysis",
    with another target). Classes count alike, and within a class every labelled area does: a
    cell that is given twice, with half of the weight each, changes nothing.

    Parameters
    ----------
    cells : StrokeCells
        Of one class at least; N > 0.
    photos : (K, D) Tensor
        Cells from all over the photographs that were painted on, some thousands: what a
        deviation is measured with, and how common the classes are.
    shrinkages : sequence of float
        Values of a in [0, 1] to choose from; the one nearest to `SHRINKAGE` is the default.
    doubt : float
        A cell counts by p(its class|z) to this power. Corrections are the hardest places of
        all, and few of them would drag the mean of a class away from where most of it is.
    anchor : float
        How much of the mean of a class without strokes would come from cells of ``photos`` that
        are surely of it; it falls with the number of strokes.

    Notes
    -----
    A stroke is held out if the other strokes hold cells of every class. Without such strokes of
    two classes, shrinkage and temperature are the defaults. The shares of the classes are those
    that the posterior of ``photos`` itself agrees with (Saerens et al. 2002, "Adjusting the
    outputs of a classifier to new a priori probabilities"), taken to a power.
    """
    centre = photos.double().mean(0)
    spread = photos.double().std(0, correction=0).clamp_min(1e-6)
    points, everywhere = ((values.double() - centre) / spread for values in (cells.values, photos))
    target = cells.target.double()
    painted = target * cells.weight.double()[:, None]
    default = min(shrinkages, key=lambda a: abs(a - SHRINKAGE))
    usual = _TEMPERATURE / len(cells.stroke.unique())
    mass = painted
    for _ in range(_PASSES if doubt else 0):
        head = _gaussians(_Moments.of(points, mass), everywhere, default, usual)
        own = (head.log_posterior(points).exp() * target).sum(1, keepdim=True)
        mass = painted * own.clamp_min(_LEAST_TRUST) ** doubt
    total = _Moments.of(points, mass)
    trial = _trial(points, mass, painted, cells.stroke, total, shrinkages)
    chosen = default if trial is None else trial.best(default)
    head = _gaussians(total, everywhere, chosen, usual)
    dtype = cells.values.dtype
    temperature = usual if trial is None else trial.temperature(chosen, usual)
    head = replace(head, temperature=temperature * len(centre))
    if anchor:
        strokes = mass.new_tensor([len(cells.stroke[own > 0].unique()) for own in painted.T])
        share = anchor * _ANCHOR_STROKES / (strokes + _ANCHOR_STROKES)
        head = _anchored(head, everywhere, share)
    return replace(
        head,
        centre=centre.to(dtype),
        whitening=(head.whitening / spread).to(dtype),
        mean=head.mean.to(dtype),
        log_prior=head.log_prior.to(dtype),
        accuracy=None if trial is None else trial.accuracy(chosen),
        held_out=0 if trial is None else trial.strokes,
    )


def _gaussians(total: _Moments, photos: Tensor, shrinkage: float, usual: float) -> Discriminant:
    """The discriminant of points that are centred already, at the usual temperature."""
    within = total.within()
    whitening = _unit_within(within, shrinkage)
    mean, known, temperature = total.mean() @ whitening.T, total.mass > 0, usual * len(within)
    return Discriminant(
        centre=torch.zeros_like(within[0]),
        whitening=whitening,
        mean=mean,
        known=known,
        log_prior=_log_prior(photos @ whitening.T, mean, known, temperature),
        temperature=temperature,
        shrinkage=shrinkage,
        accuracy=None,
        held_out=0,
    )


def _anchored(head: Discriminant, photos: Tensor, share: Tensor) -> Discriminant:
    """With a share (C,) of each mean from the cells (K, D) that are surely of the class."""
    anchored, whitened = head, head.whiten(photos)
    for _ in range(_PASSES):
        sure, which = anchored.log_posterior(photos).exp().max(1)
        own = (one_hot(which, len(share)) * (sure > _SURE)[:, None]).to(whitened.dtype)
        count = own.sum(0)
        drawn = torch.where(count > _LEAST_SURE, share, 0)[:, None]
        bulk = (own.T @ whitened) / count.clamp_min(1)[:, None]
        anchored = replace(head, mean=head.mean + drawn * (bulk - head.mean))
    return anchored


def _log_prior(photos: Tensor, mean: Tensor, known: Tensor, temperature: float) -> Tensor:
    """(C,): how common each class is in the photographs, and how far its mean is believed."""
    middle = mean[known].mean(0)
    # With means m_c' = n + b (m_c - n), n the middle and b what is believed, and z - n = y,
    #   -|z - m_c'|^2 / 2 = -b |z - m_c|^2 / 2 + b (1 - b) |m_c - n|^2 / 2 + terms without c.
    # Over b, which the temperature takes in, that is the Gaussian at m_c itself and an offset.
    offset = (1 - _BELIEVED) * (mean - middle).square().sum(1) / 2
    logits = (offset - torch.cdist(photos, mean).square() / 2) / temperature
    logits = logits.masked_fill(~known, -torch.inf)
    log_share = torch.zeros_like(offset)
    for _ in range(_ROUNDS):
        share = (logits + _PRIOR * log_share).softmax(1).mean(0)
        log_share = (share + _LEAST_SHARE).log()
    log_prior = offset + temperature * _PRIOR * log_share
    return log_prior.masked_fill(~known, LOG_ZERO).log_softmax(0)


# -- sums over cells, from which a stroke can be taken ---------------------------------------------


@dataclass(frozen=True)
class _Moments:
    """Sums over cells, of each class or, with an axis before, of each class in each fold.

    Attributes
    ----------
    mass : (..., C) Tensor
    first : (..., C, D) Tensor
    second : (..., C, D, D) Tensor
    """

    mass: Tensor
    first: Tensor
    second: Tensor

    @classmethod
    def of(cls, points: Tensor, mass: Tensor) -> _Moments:
        """Of cells (N, D) with the mass (N, C) that each has in each class."""
        second = torch.stack([(points * own[:, None]).T @ points for own in mass.T])
        return cls(mass.sum(0), mass.T @ points, second)

    def without(self, parts: Sequence[_Moments]) -> _Moments:
        """What is left of these sums when each of F parts is taken off, (F, ...)."""
        return _Moments(
            torch.stack([self.mass - part.mass for part in parts]),
            torch.stack([self.first - part.first for part in parts]),
            torch.stack([self.second - part.second for part in parts]),
        )

    def mean(self) -> Tensor:
        """Of each class, (..., C, D); 0 without cells."""
        mean = self.first / self.mass.clamp_min(1e-12)[..., None]
        return torch.where(self.mass[..., None] > 0, mean, 0)

    def within(self) -> Tensor:
        """Covariance around the class means, (..., D, D); classes that have cells count alike."""
        mean, known = self.mean(), self.mass > 0
        share = known / (known.sum(-1, keepdim=True) * self.mass.clamp_min(1e-12))
        second = (self.second * share[..., None, None]).sum(-3)
        between = (mean.mT * (share * self.mass)[..., None, :]) @ mean
        return second - between


def _shrunk(within: Tensor, share: float) -> Tensor:
    """Covariances (..., D, D) with a share of the unit matrix, the spread of the photographs."""
    unit = torch.eye(within.shape[-1], dtype=within.dtype, device=within.device)
    # A little remains, for as few cells as there are dimensions span no covariance.
    share = max(share, 1e-6)
    return (1 - share) * within + share * unit


def _unit_within(within: Tensor, share: float) -> Tensor:
    """Matrices (..., D, D) that make shrunk covariances a multiple of the unit matrix.

    The mean squared distance within a class becomes one per dimension.
    """
    factor = torch.linalg.cholesky(_shrunk(within, share))
    unit = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    whitening = torch.linalg.solve_triangular(factor, unit.expand_as(factor), upper=False)
    scale = (whitening @ within @ whitening.mT).diagonal(dim1=-2, dim2=-1).mean(-1)
    return whitening / scale.clamp_min(_LEAST_WITHIN).sqrt()[..., None, None]


# -- strokes that are held out -------------------------------------------------------------------


@dataclass(frozen=True)
class _Trial:
    """What the fits without a stroke say about the cells of that stroke.

    Attributes
    ----------
    distance : dict of float to (K, C) Tensor
        For each shrinkage, squared distances of the held-out cells to the class means, over
        the number of dimensions.
    mass : (K, C) Tensor
        So that the classes that are judged count alike; sums to 1.
    strokes : int
        How many are held out.
    """

    distance: dict[float, Tensor]
    mass: Tensor
    strokes: int

    def best(self, default: float) -> float:
        """The shrinkage of least cross-entropy, or the default where none is clearly better."""
        least = {a: float(self._losses(a).min()) for a in self.distance}
        best = min(least, key=lambda a: least[a])
        return best if least[best] < least[default] - _MARGIN / self.strokes else default

    def temperature(self, shrinkage: float, usual: float) -> float:
        """Over the number of dimensions; few strokes move it little from the usual one."""
        calibrated = _TEMPERATURES[int(self._losses(shrinkage).argmin())]
        share = self.strokes / (self.strokes + _TRUST)
        return float(calibrated**share * usual ** (1 - share))

    def accuracy(self, shrinkage: float) -> float:
        """Share of the held-out cells that get their class, over classes evenly."""
        nearest = self.distance[shrinkage].argmin(1, keepdim=True)
        return float(self.mass.gather(1, nearest).sum())

    def _losses(self, shrinkage: float) -> Tensor:
        """Cross-entropy at each of `_TEMPERATURES`, (T,)."""
        return torch.stack([self._loss(shrinkage, temperature) for temperature in _TEMPERATURES])

    def _loss(self, shrinkage: float, temperature: float) -> Tensor:
        # One temperature at a time: there may be 900 cells of each of a hundred classes.
        log_posterior = (self.distance[shrinkage] / (-2 * temperature)).log_softmax(1)
        # A class without cells has an infinite distance and no mass.
        return -(self.mass * log_posterior.clamp_min(-1e6)).sum()


def _trial(
    points: Tensor,
    mass: Tensor,
    painted: Tensor,
    stroke: Tensor,
    total: _Moments,
    shrinkages: Sequence[float],
) -> _Trial | None:
    """Hold every stroke out that can be; None unless two classes are judged.

    Cells count by their mass (N, C) where they are fitted, by what is painted where they judge.
    """
    fold = stroke % _FOLDS
    numbers = [int(number) for number in fold.unique() if _spares(mass[fold == number], total)]
    parts = [fold == number for number in numbers]
    judged = sum((painted[part].sum(0) for part in parts), torch.zeros_like(total.mass))
    if (judged > 0).sum() < 2:
        return None
    rest = total.without([_Moments.of(points[part], mass[part]) for part in parts])
    mean, within = rest.mean(), rest.within()
    distance = {}
    for share in shrinkages:
        whitening = _unit_within(within, share)
        means = mean @ whitening.mT
        rows = [
            torch.cdist(points[part] @ whitening[k].T, means[k]).square()
            for k, part in enumerate(parts)
        ]
        far = torch.cat(rows) / points.shape[1]
        distance[share] = far.masked_fill(total.mass == 0, torch.inf)
    own = torch.cat([painted[part] for part in parts])
    own = own / (judged.clamp_min(1e-12) * (judged > 0).sum())
    held_out = torch.cat([stroke[part] for part in parts]).unique()
    return _Trial(distance, own, len(held_out))


def _spares(mass: Tensor, total: _Moments) -> bool:
    """Whether every class keeps cells without those of some masses (K, C)."""
    left = total.mass - mass.sum(0)
    return bool((left > 1e-6 * total.mass)[total.mass > 0].all())
