"""The Gaussian prototype layer with its parameters as constants, for a graph to be exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_gaussproto.core.mixture.layer import LOG_ZERO, GaussianPrototypeLayer


class FrozenMixture(nn.Module):
    """What a layer answers, without a step that depends on the values of its parameters.

    The layer itself asks which prototypes are active, and which share a covariance; a graph that is
    exported cannot ask. The formulas are those of `MixtureScores`.

    Parameters
    ----------
    layer : GaussianPrototypeLayer
        As it is now; later changes do not reach this one.

    Attributes
    ----------
    shift : (D,) Tensor
        Taken off cells, so that numbers are small.
    mean : (M, D) Tensor
        Without the shift.
    whitening : (M, D) or (G, D, D) Tensor
        Inverse variances; of a full covariance the inverse Cholesky factors of G groups.
    centre : (M, D) Tensor
        Means times inverse variances; of a full covariance whitened means.
    norm, log_weight, active : (M,) Tensor
    log_prior : (C,) Tensor
    temperature : (1,) Tensor
    """

    shift: Tensor
    whitening: Tensor
    centre: Tensor
    mean: Tensor
    norm: Tensor
    log_weight: Tensor
    log_prior: Tensor
    active: Tensor
    temperature: Tensor

    @torch.no_grad()
    def __init__(self, layer: GaussianPrototypeLayer) -> None:
        super().__init__()
        active = layer.active.double()
        mean = layer.mean.double()
        shift = (active @ mean) / active.sum().clamp_min(1)
        self.is_full = layer.covariance == "full"
        if self.is_full:
            # Inverses of the Cholesky factors, once for prototypes that share one.
            inverse = torch.linalg.inv(layer.scale_tril.double())
            self.groups = _groups(inverse)
            whitening = torch.stack([inverse[own[0]] for own in self.groups])
            centre = torch.einsum("mij,mj->mi", inverse, mean - shift)
        else:
            whitening = layer.scale.double().reciprocal().square()
            centre = (mean - shift) * whitening
        self.members = [m.tolist() for m in layer.members()]
        constants = {
            "shift": shift,
            "whitening": whitening,
            "centre": centre,
            "mean": mean - shift,
            "norm": layer.log_norm.double(),
            "log_weight": layer.log_weight,
            "log_prior": layer.log_prior,
            "temperature": layer.temperature.reshape(1),
        }
        for name, value in constants.items():
            self.register_buffer(name, value.detach().float())
        self.register_buffer("active", layer.active.clone())

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Log p(c|z), (N, C), and log-likelihoods of prototypes, (N, M), of cells (N, D)."""
        z = z - self.shift
        squared = self._squared_full(z) if self.is_full else self._squared_diagonal(z)
        squared = squared.clamp_min(0.0).clamp_max(-LOG_ZERO)
        log_likelihood = torch.where(self.active, -self.norm - 0.5 * squared, LOG_ZERO)
        weighted = log_likelihood + self.log_weight
        nothing = torch.full_like(z[:, 0], LOG_ZERO)
        columns = [weighted[:, own].logsumexp(1) if own else nothing for own in self.members]
        joint = torch.stack(columns, 1).clamp_min(LOG_ZERO) + self.log_prior
        joint = joint - joint.amax(1, keepdim=True)
        log_posterior = (joint / self.temperature).clamp_min(LOG_ZERO).log_softmax(1)
        return log_posterior, log_likelihood

    def _squared_diagonal(self, z: Tensor) -> Tensor:
        constant = (self.centre * self.mean).sum(1)
        return z.square() @ self.whitening.T - 2 * z @ self.centre.T + constant

    def _squared_full(self, z: Tensor) -> Tensor:
        columns: dict[int, Tensor] = {}
        for number, own in enumerate(self.groups):
            whitened = z @ self.whitening[number].T
            for m in own:
                columns[m] = (whitened - self.centre[m]).square().sum(1)
        return torch.stack([columns[m] for m in sorted(columns)], 1)


def _groups(matrices: Tensor) -> list[list[int]]:
    """Numbers of those matrices (M, D, D) that are the same, as lists."""
    groups: list[list[int]] = []
    for number, matrix in enumerate(matrices):
        known = next((own for own in groups if torch.equal(matrices[own[0]], matrix)), None)
        if known is None:
            groups.append([number])
        else:
            known.append(number)
    return groups
