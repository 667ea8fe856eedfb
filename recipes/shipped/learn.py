"""Neck and prototypes on features that the start's backbone has made once."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from napari_gaussproto.core.mixture.layer import GaussianPrototypeLayer
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training.cells import LabelledCells, draw_cells
from napari_gaussproto.core.training.pyramid import encode_pyramid
from recipes.shipped.balanced import place, update
from recipes.shipped.views import View

_BATCH, _RATE, _LAYER_RATE, _DECAY = 4096, 1e-3, 1e-2, 1e-2
# Steps between two updates of the prototypes, and how much of the former ones each keeps.
_EVERY, _INERTIA = 4, 0.8
# Cells that are looked at to place prototypes first.
_PLACED = 60_000


def features(
    model: PrototypeSegmenter, views: Iterable[View], per_class: int, seed: int
) -> LabelledCells:
    """Cells (N, F) of views with the features of the model's backbone."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for view in views:
        encoded, labels = encode_pyramid(view.image, model), torch.from_numpy(view.labels)
        parts.append(draw_cells(encoded, labels, model, per_class, generator, view.number))
    return LabelledCells.joined(parts)


@torch.no_grad()
def latents(model: PrototypeSegmenter, cells: LabelledCells) -> LabelledCells:
    """The same cells as the model's neck sees them, (N, D)."""
    neck = model.extractor.neck.eval()
    return cells.with_values(torch.cat([neck.points(part) for part in cells.values.split(_BATCH)]))


def chosen(cells: LabelledCells, rows: Tensor) -> LabelledCells:
    """Some of the cells, by a mask (N,) or by indices (K,)."""
    return LabelledCells(*(column[rows] for column in cells.__dict__.values()))


def learn(model: PrototypeSegmenter, cells: LabelledCells, steps: int, seed: int) -> None:
    """Teach the neck to tell classes apart by prototypes that follow its cells.

    Changes neck and layer of the model. The prototypes get no gradient; see `balanced`.

    Parameters
    ----------
    model : PrototypeSegmenter
    cells : LabelledCells
        See `features`.
    steps, seed : int
    """
    layer, neck = model.layer, model.extractor.neck.eval()
    generator = torch.Generator().manual_seed(seed)
    first = latents(model, chosen(cells, torch.randperm(len(cells), generator=generator)[:_PLACED]))
    place(layer, first.values, first.target, seed)
    layer.log_temperature.data.fill_(math.log(layer.dim / 4))
    for held in (layer.mean, layer.raw_scale, layer.off_diagonal, layer.raw_weight):
        held.requires_grad_(False)
    own = [layer.log_temperature, layer.raw_prior]
    groups = [
        {"params": list(neck.parameters()), "lr": _RATE, "weight_decay": _DECAY},
        {"params": own, "lr": _LAYER_RATE, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    for step in range(steps):
        rows = torch.randint(len(cells), (_BATCH,), generator=generator)
        z, target = neck.points(cells.values[rows]), cells.target[rows]
        loss = cross_entropy(layer, z, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % _EVERY == 0:
            update(layer, z.detach(), target, _INERTIA)
    layer.requires_grad_(True)


def cross_entropy(layer: nn.Module, z: Tensor, target: Tensor) -> Tensor:
    """Of the class posteriors of cells (N, D) with soft labels (N, C), a scalar."""
    return -(target * layer(z)).sum(1).mean()


def calibrate(layer: GaussianPrototypeLayer, cells: LabelledCells) -> None:
    """Temperature and priors of least cross-entropy on held-out cells, latents (N, D)."""
    parameters = [layer.log_temperature, layer.raw_prior]
    for parameter in layer.parameters():
        parameter.requires_grad_(any(parameter is one for one in parameters))
    optimizer = torch.optim.LBFGS(parameters, max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = cross_entropy(layer, cells.values, cells.target)
        loss.backward()
        return loss

    optimizer.step(closure)
    layer.requires_grad_(True)
