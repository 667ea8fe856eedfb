"""Distributions as their quantiles: how the spread of training cells is remembered."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

QUANTILES = 101


def quantiles_of(values: Tensor) -> npt.NDArray[np.float32]:
    """Quantiles (QUANTILES,) of values (N,) at even levels, ascending."""
    levels = np.linspace(0, 1, QUANTILES)
    return np.quantile(values.detach().float().cpu().numpy(), levels).astype(np.float32)


def rank(values: Tensor, quantiles: npt.NDArray[np.float32]) -> Tensor:
    """Share in [0, 1], (N,), of a distribution that lies below each value, (N,).

    The distribution is known by its quantiles at even levels, (Q,) ascending.
    """
    known = torch.as_tensor(quantiles, dtype=values.dtype, device=values.device)
    above = torch.searchsorted(known, values.contiguous(), right=True).clamp(1, len(known) - 1)
    low, high = known[above - 1], known[above]
    within = ((values - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
    return (above - 1 + within) / (len(known) - 1)
