"""Prototypes that were placed by their cells move a little, so that classes part better."""

from __future__ import annotations

import torch

from napari_gaussproto.core.mixture import objective
from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer
from napari_gaussproto.core.training.cells import LabelledCells

_BATCH, _RATE = 4096, 1e-2


def sharpen(
    layer: GaussianPrototypeLayer, cells: LabelledCells, steps: int, held: float, seed: int
) -> None:
    """Descend the cross-entropy of cells, latents (N, D), with the likelihood as a counterweight.

    Parameters
    ----------
    layer : GaussianPrototypeLayer
        Changed in place.
    cells : LabelledCells
        Of every class as many as there are.
    steps : int
    held : float
        Weight of the mean negative log-likelihood per dimension, which keeps prototypes on
        their cells.
    seed : int
    """
    weight = torch.ones(len(cells))
    balance = objective.class_weights(cells.target.sum(0), 0.25)
    optimizer = torch.optim.Adam(layer.parameters(), _RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = torch.randint(len(cells), (_BATCH,), generator=generator)
        z, target, even = cells.values[rows], cells.target[rows], weight[rows]
        loss = objective.classification(layer(z), target, even, balance)
        loss = loss + held * objective.density(layer, z, target, even)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
