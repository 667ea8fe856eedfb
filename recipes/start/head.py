"""Heads in closed form, as a quick fit begins with one: differentiable, so they can be trained for.

Everything is measured in standard deviations over all cells of the picture that was painted on.
"""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor, nn

from recipes.start.episodes import Support


class Heads(nn.Module):
    """Two heads from a few labelled cells: ridge regression and prototypes.

    The ridge regression to one-hot vectors follows Bertinetto et al. (2019), "Meta-learning with
    differentiable closed-form solvers"; classes count alike. The prototypes are the means of
    Gaussians with one shared spherical covariance, as of Snell et al. (2017), "Prototypical
    networks for few-shot learning". Penalty of the former and scales of both are learned, for
    each kind of support, since many cells want a head that is less stiff.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_penalty = nn.ParameterDict({kind: torch.tensor(0.0) for kind in get_args(Support)})
        self.log_scale = nn.ParameterDict(
            {kind: torch.tensor([1.5, -2.0]) for kind in get_args(Support)}
        )

    def forward(
        self, support: Tensor, target: Tensor, query: Tensor, kind: Support
    ) -> tuple[Tensor, Tensor]:
        """Logits (Q, K) of both heads.

        Parameters
        ----------
        support : (N, D) Tensor
        target : (N, K) Tensor
            Share of each class in a cell, times the share of the cell that is painted.
        query : (Q, D) Tensor
        kind : str
            What the support is.
        """
        weight = target / target.sum(0)
        ridge = self._ridge(support, weight, query, self.log_penalty[kind].exp())
        means = weight.T @ support
        prototypes = -torch.cdist(query, means).square()
        scale = self.log_scale[kind].exp()
        return scale[0] * ridge, scale[1] * prototypes

    def _ridge(self, support: Tensor, weight: Tensor, query: Tensor, least: Tensor) -> Tensor:
        """Values (Q, K) near 1 for the class; only the offset is not penalised."""
        x = nn.functional.pad(support, (0, 1), value=1.0)
        own = weight.sum(1, keepdim=True) / weight.shape[1]
        penalty = torch.eye(x.shape[1], device=x.device) * least
        penalty[-1, -1] = 1e-4
        solved = torch.linalg.solve(x.T @ (own * x) + penalty, x.T @ (weight / weight.shape[1]))
        return nn.functional.pad(query, (0, 1), value=1.0) @ solved


def standardised(latents: Tensor) -> Tensor:
    """Latents (2, D, h, w) of an episode in deviations over its first picture."""
    mean = latents[0].mean((1, 2))[:, None, None]
    deviation = latents[0].std((1, 2))[:, None, None]
    return (latents - mean) / (deviation + 1e-3)
