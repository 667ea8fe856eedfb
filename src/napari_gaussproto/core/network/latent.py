"""The latent space: what cells are brought to before the Gaussian prototype layer."""

from __future__ import annotations

import torch
from torch import Tensor


def normalise(latents: Tensor) -> Tensor:
    """LayerNorm over axis 1 without affine parameters, in float32 (Ba et al. 2016).

    Parameters
    ----------
    latents : Tensor
        (N, D) or (B, D, h, w).

    Returns
    -------
    Tensor
        Of the same shape; mean 0 and variance 1 along axis 1.
    """
    latents = latents if latents.dtype == torch.float64 else latents.float()
    centred = latents - latents.mean(1, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(1, keepdim=True) + 1e-5)
