"""The Gaussian prototype layer: a mixture of Gaussians per class over a latent space.

Notation follows the usual one for mixtures: cells ``z`` of shape (N, D), prototypes
``m = 1..M`` with mean ``mu_m``, scale ``s_m`` and a weight ``pi_m`` within their class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

Covariance = Literal["diagonal", "spherical", "full"]

# Stands for log(0): far below any log-likelihood that a float32 latent can reach, yet
# finite, so that neither a softmax nor a gradient ever meets inf - inf.
LOG_ZERO = -1e30
# The exponential of this is nothing beside 1, and still an ordinary number in float32.
_VANISHED = -80.0
# Cells whose distances are computed at a time: what lies between then stays in a cache.
_AT_A_TIME = 1 << 13


def inverse_softplus(value: Tensor) -> Tensor:
    """Return x with ``softplus(x) == value``, for positive values of any shape."""
    return value + torch.log(-torch.expm1(-value))


def _at_least_float32(value: Tensor) -> Tensor:
    """Raise half precision to float32 and leave float64 as it is."""
    return value if value.dtype == torch.float64 else value.float()


class GaussianPrototypeLayer(nn.Module):
    """Mixture of Gaussians per class, trained by gradient descent.

    Prototypes are a flat list, each with the index of its class and an active flag, so
    classes may own different numbers of them and people may edit the list.

    Parameters
    ----------
    dim : int
        D, size of the latent space.
    class_index : sequence of int
        Class of each prototype, length M.
    n_classes : int
        C.
    covariance : {"diagonal", "spherical", "full"}
        ``full`` keeps a Cholesky factor per prototype and is meant for small D.
    learned_scale : bool
        Whether scales receive gradients.
    scale : float
        Standard deviation at the start.
    scale_floor : float
        Smallest standard deviation (smallest diagonal entry of the Cholesky factor).

    Attributes
    ----------
    class_index : (M,) Tensor of int64
    active : (M,) Tensor of bool
    mean : (M, D) Parameter
        Scales, weights and priors have properties of their own.

    Notes
    -----
    Every density is handled as a logarithm and in float32, also under autocast.
    Inactive prototypes have likelihood zero and receive no gradient; the weights of the
    remaining ones of their class are renormalised.
    """

    class_index: Tensor
    active: Tensor

    def __init__(
        self,
        dim: int,
        class_index: Sequence[int],
        n_classes: int,
        *,
        covariance: Covariance = "diagonal",
        learned_scale: bool = True,
        scale: float = 1.0,
        scale_floor: float = 0.1,
    ) -> None:
        super().__init__()
        if scale <= scale_floor:
            raise ValueError(f"scale {scale} must be larger than its floor {scale_floor}")
        count = len(class_index)
        self.covariance: Covariance = covariance
        self.n_classes = n_classes
        self.scale_floor = scale_floor
        self.mean = nn.Parameter(torch.zeros(count, dim))
        columns = 1 if covariance == "spherical" else dim
        raw = inverse_softplus(torch.full((count, columns), scale - scale_floor))
        self.raw_scale = nn.Parameter(raw, requires_grad=learned_scale)
        below = dim * (dim - 1) // 2 if covariance == "full" else 0
        self.off_diagonal = nn.Parameter(torch.zeros(count, below), requires_grad=learned_scale)
        self.raw_weight = nn.Parameter(torch.zeros(count))
        self.raw_prior = nn.Parameter(torch.zeros(n_classes))
        self.log_temperature = nn.Parameter(torch.tensor(0.0))
        self.register_buffer("class_index", torch.tensor(list(class_index), dtype=torch.long))
        self.register_buffer("active", torch.ones(count, dtype=torch.bool))

    # -- parameters as people think of them -------------------------------------------------

    @property
    def dim(self) -> int:
        """D, size of the latent space."""
        return self.mean.shape[1]

    @property
    def n_prototypes(self) -> int:
        """M, inactive ones included."""
        return self.mean.shape[0]

    @property
    def scale(self) -> Tensor:
        """Standard deviation along each axis, (M, D); for ``full`` the factor's diagonal."""
        scale = self.scale_floor + F.softplus(_at_least_float32(self.raw_scale))
        return scale.expand(-1, self.dim)

    @property
    def scale_tril(self) -> Tensor:
        """Cholesky factors of the covariances, (M, D, D)."""
        factor = torch.diag_embed(self.scale)
        if self.covariance == "full":
            rows, columns = torch.tril_indices(self.dim, self.dim, -1, device=factor.device)
            below = torch.zeros_like(factor)
            below[:, rows, columns] = _at_least_float32(self.off_diagonal)
            factor = factor + below
        return factor

    @property
    def temperature(self) -> Tensor:
        """T of the class posterior, a positive scalar."""
        return self.log_temperature.exp()

    @property
    def log_prior(self) -> Tensor:
        """Logarithm of the class prior, (C,)."""
        return _at_least_float32(self.raw_prior).log_softmax(0)

    @property
    def log_norm(self) -> Tensor:
        """Logarithm of the integral of each Gaussian without its factor in front, (M,)."""
        return self.scale.log().sum(1) + 0.5 * self.dim * math.log(2 * math.pi)

    @property
    def log_weight(self) -> Tensor:
        """Logarithm of each prototype's weight within its class, (M,)."""
        raw = torch.where(self.active, _at_least_float32(self.raw_weight), LOG_ZERO)
        weight = torch.full_like(raw, LOG_ZERO)
        for members in self.members():
            if len(members):
                weight = weight.index_copy(0, members, raw[members].log_softmax(0))
        return torch.where(self.active, weight, LOG_ZERO)

    @torch.no_grad()
    def set_parameters(
        self,
        mean: Tensor,
        scale: Tensor,
        weight: Tensor | None = None,
        which: slice | int = slice(None),
    ) -> None:
        """Place all prototypes, or one.

        Parameters
        ----------
        mean : (M, D) or (D,) Tensor
        scale : (M, D) or (D,) Tensor
            Standard deviations; for ``full`` those along the factor's diagonal, or (M, D, D) or
            (D, D) Cholesky factors. Values below the floor are raised to just above it.
        weight : (M,) Tensor, optional
            Positive; normalised within each class when used.
        """
        self.mean[which] = mean
        if scale.ndim > mean.ndim:
            rows, columns = torch.tril_indices(self.dim, self.dim, -1, device=scale.device)
            self.off_diagonal[which] = scale[..., rows, columns]
            scale = scale.diagonal(dim1=-2, dim2=-1)
        if self.covariance == "spherical":
            scale = scale.square().mean(-1, keepdim=True).sqrt()
        # A scale at its floor has no finite raw value; a little above it is as good.
        self.raw_scale[which] = inverse_softplus((scale - self.scale_floor).clamp_min(1e-3))
        if weight is not None:
            self.raw_weight[which] = weight.clamp_min(1e-6).log()

    # -- likelihoods ------------------------------------------------------------------------

    def scores(self, z: Tensor) -> MixtureScores:
        """What the mixture says about cells (N, D); nothing is computed before it is asked for.

        Raises
        ------
        ValueError
            When ``z`` is not (N, D).
        """
        return MixtureScores(self, z)

    def forward(self, z: Tensor) -> Tensor:
        """Log p(c|z), (N, C), of cells (N, D)."""
        return self.scores(z).class_log_posterior

    def _mahalanobis(self, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            z = _at_least_float32(z)
            full = self.covariance == "full"
            squared = self._mahalanobis_full(z) if full else self._mahalanobis_diagonal(z)
            # Rounding may go below 0; a latent that is far beyond reason may overflow. It is done
            # before the two axes are swapped: autograd copies what is changed behind a view.
            return F.hardtanh(squared, 0, -LOG_ZERO, inplace=True).T

    def _mahalanobis_diagonal(self, z: Tensor) -> Tensor:
        """As `_mahalanobis`, the other way round: (M, N)."""
        # sum_d ((z - mu) / s)^2 written out as two matrix products: (z^2) . s^-2 and
        # z . mu s^-2, which never builds an (N, M, D) tensor. The common shift keeps the
        # numbers small, so that little is lost in the difference of large terms.
        active = self.active.to(z.dtype)
        shift = (active @ self.mean.detach().to(z.dtype)) / active.sum().clamp_min(1)
        mean = self.mean.to(z.dtype) - shift
        precision = self.scale.to(z.dtype).reciprocal().square()
        linear = mean * precision
        constant = (linear * mean).sum(1)[:, None]
        # Cells lie side by side in memory, here and in what follows: sums over the few prototypes
        # of a cell then take a fraction of the time.
        parts = []
        for cells in ((part - shift).T for part in z.split(_AT_A_TIME)):
            distance = torch.addmm(constant, precision, cells * cells)
            parts.append(distance.addmm_(linear, cells, alpha=-2))
        return torch.cat(parts, 1)

    def _mahalanobis_full(self, z: Tensor) -> Tensor:
        """As `_mahalanobis`, the other way round: (M, N)."""
        # One prototype at a time: memory stays at (N, D). Cells are whitened anew only where the
        # covariance is another one; prototypes that few strokes make share one.
        distances, former, whitened = [], None, z.T
        for factor, mean in zip(self.scale_tril.to(z.dtype), self.mean.to(z.dtype), strict=True):
            if former is None or not torch.equal(factor, former):
                former, whitened = factor, _solved(factor, z.T)
            distances.append((whitened - _solved(factor, mean[:, None])).square().sum(0))
        return torch.stack(distances)

    # -- relations between prototypes -------------------------------------------------------

    def log_bhattacharyya(self, detach_scale: bool = False) -> Tensor:
        """Log of the Bhattacharyya coefficient of every pair of prototypes, (M, M).

        Closed form for Gaussians (Bhattacharyya 1943; Kailath 1967). The squared
        Hellinger distance of a pair is ``1 - exp`` of it.

        Parameters
        ----------
        detach_scale : bool
            Let gradients reach the means only.
        """
        difference = self.mean[:, None] - self.mean[None]
        if self.covariance != "full":
            scale = self.scale.detach() if detach_scale else self.scale
            variance = scale.square()
            total = variance[:, None] + variance[None]
            log_scale = scale.log()
            spread = math.log(2) + log_scale[:, None] + log_scale[None] - total.log()
            return (0.5 * spread - difference.square() / (4 * total)).sum(-1)
        factor = self.scale_tril.detach() if detach_scale else self.scale_tril
        covariance = factor @ factor.mT
        middle = torch.linalg.cholesky(0.5 * (covariance[:, None] + covariance[None]))
        half_log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(1)
        middle_log_det = middle.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        solved = torch.linalg.solve_triangular(middle, difference[..., None], upper=False)
        spread = 0.5 * (half_log_det[:, None] + half_log_det[None]) - middle_log_det
        return spread - 0.125 * solved.square().sum((-1, -2))

    def sibling_distances(self) -> tuple[Tensor, Tensor]:
        """Pairs (P, 2) as `siblings` has them, and the squared Hellinger distance of each, (P,)."""
        pairs = self.siblings()
        if not len(pairs):
            return pairs, self.mean.new_zeros(0)
        return pairs, 1 - self.log_bhattacharyya()[pairs[:, 0], pairs[:, 1]].exp()

    def siblings(self) -> Tensor:
        """Pairs (P, 2) of active prototypes ``a < b`` that share a class."""
        same = self.class_index[:, None] == self.class_index[None]
        both = self.active[:, None] & self.active[None]
        return torch.triu(same & both, diagonal=1).nonzero()

    def members(self) -> list[Tensor]:
        """Active prototypes of each class, as C index tensors (K,)."""
        return [
            ((self.class_index == c) & self.active).nonzero().flatten()
            for c in range(self.n_classes)
        ]


def _log_sum_exp(values: Tensor) -> Tensor:
    """Logarithm of the sum of the exponentials of K rows (K, N), (N,); `LOG_ZERO` of none."""
    if not len(values):
        return values.new_full(values.shape[1:], LOG_ZERO)
    found: Tensor = _LogSumExp.apply(values)
    return found


class _LogSumExp(torch.autograd.Function):
    """See `_log_sum_exp`; for the gradient one array of that size is kept, and not three."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        largest = values.amax(0)
        # An exponential that underflows takes ten times as long as one that is lost in the sum.
        parts = (values - largest).clamp_min_(_VANISHED).exp_()
        total = parts.sum(0)
        ctx.save_for_backward(parts, total)
        return total.log() + largest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        parts, total = ctx.saved_tensors
        return parts * (gradient / total)


def _solved(factor: Tensor, columns: Tensor) -> Tensor:
    return torch.linalg.solve_triangular(factor, columns, upper=False)


class MixtureScores:
    """What a mixture says about cells; each quantity is computed when first asked for, and kept.

    So a caller that needs several of them pays once for what they share. Each follows the
    parameters that the layer has when it is first asked for, and gradients reach these.

    Parameters
    ----------
    z : (N, D) Tensor

    Raises
    ------
    ValueError
        When ``z`` is not (N, D).
    """

    def __init__(self, layer: GaussianPrototypeLayer, z: Tensor) -> None:
        if z.ndim != 2 or z.shape[1] != layer.dim:
            raise ValueError(f"cells must have shape (N, {layer.dim}), not {tuple(z.shape)}")
        self._layer, self._z = layer, z

    def of_cells(self, cells: Tensor) -> MixtureScores:
        """Scores of some cells (K,); what is known of all is not computed again."""
        part = MixtureScores(self._layer, self._z[:0])  # all that asks for cells is known
        for name in ("mahalanobis", "log_likelihood", "class_log_likelihood"):
            setattr(part, name, getattr(self, name)[cells])
        return part

    @cached_property
    def mahalanobis(self) -> Tensor:
        """Squared Mahalanobis distance to every prototype, (N, M), not negative.

        Of float32, or of float64 where the cells are.
        """
        return self._layer._mahalanobis(self._z)

    @cached_property
    def log_likelihood(self) -> Tensor:
        """Gaussian log-density, (N, M); inactive prototypes have ``LOG_ZERO``."""
        layer, distance = self._layer, self.mahalanobis
        norm = layer.log_norm.to(distance.dtype)
        return torch.add(-norm, distance, alpha=-0.5).masked_fill_(~layer.active, LOG_ZERO)

    @cached_property
    def class_log_likelihood(self) -> Tensor:
        """Log p(z|c), (N, C)."""
        members = self._layer.members()
        order = torch.cat(members)
        log_weight = self._layer.log_weight.to(self.log_likelihood.dtype)[order]
        weighted = self.log_likelihood.T.index_select(0, order).add_(log_weight[:, None])
        # Views of one array: autograd keeps it once, however many classes there are.
        parts = weighted.split([len(own) for own in members])
        # A class without prototypes has an empty part, whose sum is log(0).
        rows = [_log_sum_exp(part) for part in parts]
        return torch.stack(rows).clamp_min(LOG_ZERO).T

    @cached_property
    def log_density(self) -> Tensor:
        """Log p(z), (N,)."""
        return _log_sum_exp((self.class_log_likelihood + self._layer.log_prior).T)

    @cached_property
    def class_log_posterior(self) -> Tensor:
        """Log p(c|z) at the layer's temperature, (N, C)."""
        return self.class_log_posterior_at(self._layer.temperature)

    def class_log_posterior_at(self, temperature: Tensor | float) -> Tensor:
        """Log p(c|z) at another temperature, (N, C)."""
        joint = self.class_log_likelihood + self._layer.log_prior
        # The largest is taken off before the division, so that cells very far from every
        # prototype keep their differences in float32.
        joint = joint - joint.max(1, keepdim=True).values.detach()
        return (joint / temperature).clamp_min(LOG_ZERO).T.log_softmax(0).T

    @cached_property
    def log_responsibility(self) -> Tensor:
        """Log of each active prototype's share in the answer for a cell, (N, M).

        ``r_m = p(c|z) * softmax over m in c of (log pi_m + l_m) / T``, with the class c of m and
        the temperature T of the posterior: the shares of a class sum to its posterior. Without T
        inside the classes, too, they would be as good as one-hot where the posterior is not. At
        T = 1 this is Bayes' rule over all prototypes (`log_assignment`).
        """
        layer = self._layer
        log_weight = layer.log_weight.to(self.log_likelihood.dtype)
        weighted = (self.log_likelihood + log_weight).T
        share = torch.full_like(weighted, LOG_ZERO)
        for members in layer.members():
            own = weighted[members]
            if len(members):
                # As in the posterior: what is far from everything keeps its differences.
                own = own - own.amax(0).detach()
                share[members] = (own / layer.temperature).log_softmax(0)
        share = share + self.class_log_posterior.T[layer.class_index]
        return share.masked_fill(~layer.active[:, None], LOG_ZERO).clamp_min(LOG_ZERO).T

    @cached_property
    def log_assignment(self) -> Tensor:
        """Log-probability that each active prototype made a cell, (N, M), without temperature.

        Over the prototypes of all classes: prior, weight and density together, as in the
        expectation step of EM.
        """
        layer, log_likelihood = self._layer, self.log_likelihood
        prior = layer.log_prior.to(log_likelihood.dtype)[layer.class_index]
        joint = log_likelihood + layer.log_weight.to(log_likelihood.dtype) + prior
        return joint.clamp_min(LOG_ZERO).T.log_softmax(0).T.clamp_min(LOG_ZERO)
