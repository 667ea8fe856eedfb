"""How far a network really looks: the effective receptive field."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Share of the input gradient that may lie outside the radius. Chosen so that tiled and
# untiled labels agree on at least 99.9% of the pixels (tests/core/model/test_predict.py).
_OUTSIDE = 0.02
# Noise images to average over.
_TRIALS = 3
# Multiples of the alignment from the middle of the first noise image to its rim: a network of fine
# levels looks near, and takes long for a large image.
_CELLS = 16


def effective_radius(
    extract: Callable[[Tensor], Tensor],
    channels: int,
    alignment: int,
    device: torch.device | str = "cpu",
) -> int:
    """Radius in pixels that holds nearly all influence on a latent vector.

    The input gradient of the latent vector in the middle of a noise image, after Luo et al.
    (2016), "Understanding the effective receptive field in deep convolutional networks".

    Parameters
    ----------
    extract : callable
        Images (B, C, H, W) to latents (B, D, h, w).
    channels, alignment : int
        Of the images, and the multiple that their sides must be of.

    Returns
    -------
    int
        A multiple of the alignment; at most half the side of the noise image, which is what
        networks with global attention give.
    """
    largest = largest_radius(alignment)
    reach = min(_CELLS * alignment, largest)
    while True:
        radius = _within(extract, channels, alignment, device, reach)
        if radius is not None or reach == largest:
            return radius or largest
        reach = min(2 * reach, largest)


def _within(
    extract: Callable[[Tensor], Tensor],
    channels: int,
    alignment: int,
    device: torch.device | str,
    reach: int,
) -> int | None:
    """The radius, as a noise image shows it that reaches so far from its middle, if it does.

    What lies farther away is taken to be as strong as the rim of the image.
    """
    side, whole = 2 * reach, 2 * largest_radius(alignment)
    generator = torch.Generator().manual_seed(0)
    energy = torch.zeros(side, side)
    for _ in range(_TRIALS):
        energy += _gradient(extract, _texture(channels, side, generator).to(device))
    offset = torch.arange(side) + 0.5 - reach
    distance = torch.maximum(offset.abs()[:, None], offset.abs()[None])
    beyond = energy[distance > reach - alignment].mean() * (whole**2 - side**2)
    most = _OUTSIDE * (energy.sum() + beyond)
    for radius in range(alignment, reach, alignment):
        if float(energy[distance > radius].sum() + beyond) <= most:
            return radius
    return None


def largest_radius(alignment: int) -> int:
    """The largest that `effective_radius` finds, in pixels: half the side of its noise image."""
    return alignment * max(2, -(-1024 // alignment // 2))


def _texture(channels: int, side: int, generator: torch.Generator) -> Tensor:
    """Noise with structure at all scales, as photographs have it, in [0, 1]."""
    image = torch.zeros(1, channels, side, side)
    size = 4
    while size <= side:
        noise = torch.rand(1, channels, size, size, generator=generator) - 0.5
        image += torch.nn.functional.interpolate(noise, size=(side, side), mode="bilinear")
        size *= 4
    return (0.5 + 0.5 * image).clamp(0, 1)


def _gradient(extract: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """Sum over channels of |d (random mix of the central latents) / d pixel|, (H, W)."""
    # Convolutions of one image are a third faster this way.
    image = image.to(memory_format=torch.channels_last).requires_grad_(True)
    with torch.enable_grad():
        latents = extract(image)
        row, column = latents.shape[-2] // 2, latents.shape[-1] // 2
        mix = torch.linspace(-1, 1, latents.shape[1], device=latents.device)
        (gradient,) = torch.autograd.grad((latents[0, :, row, column] * mix).sum(), image)
    return gradient.abs().sum((0, 1)).cpu()
