"""The stages of a fit that leave the backbone alone: on features computed once, in seconds."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_gaussproto.core.base.config import TrainingConfig
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training import objective
from napari_gaussproto.core.training.pyramid import encode_pyramid
from napari_gaussproto.core.training.samples import TrainingImage

_BATCH = 4096


@dataclass
class CachedCells:
    """Labelled cells with their backbone features.

    Attributes
    ----------
    features : Tensor
        (N, F), the levels of the pyramid side by side.
    target : Tensor
        (N, C) soft labels.
    """

    features: Tensor
    target: Tensor

    @property
    def weight(self) -> Tensor:
        """(N,) ones: cells were drawn evenly over the classes, not by area."""
        return torch.ones(len(self.features), device=self.features.device)


@torch.no_grad()
def cache_cells(
    model: PrototypeSegmenter, images: Sequence[TrainingImage], per_class: int, seed: int
) -> Generator[int, None, CachedCells]:
    """Backbone features of labelled cells, at most ``per_class`` of each class and image.

    Yields the number of images done; returns the cells.
    """
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    features, targets = [], []
    for done, image in enumerate(images, start=1):
        # In tiles where the image is large: at once, its features would take gigabytes.
        encoded = encode_pyramid(image.source, model)
        target, weight = encoded.partition.targets(image.full_labels, len(model.classes))
        chosen = _draw(target, weight, per_class, generator).to(model.device)
        features.append(encoded.features(chosen, model.config.output_stride))
        targets.append(target.to(model.device)[chosen])
        yield done
    return CachedCells(torch.cat(features), torch.cat(targets))


def _draw(target: Tensor, weight: Tensor, per_class: int, generator: torch.Generator) -> Tensor:
    """Indices of up to ``per_class`` labelled cells of each class, by majority."""
    majority = target.argmax(1)
    chosen = []
    for c in range(target.shape[1]):
        own = ((majority == c) & (weight > 0)).nonzero().flatten()
        chosen.append(own[torch.randperm(len(own), generator=generator)[:per_class]])
    return torch.cat(chosen)


def train_cached(
    model: PrototypeSegmenter,
    cells: CachedCells,
    objective: Callable[[Tensor, Tensor], dict[str, Tensor]],
    parameters: Sequence[nn.Parameter],
    steps: int,
    learning_rate: float,
    seed: int,
) -> Iterator[dict[str, float]]:
    """Train neck and head on cached cells; yields the losses of each step.

    Parameters
    ----------
    objective : callable
        (z (B, D), target (B, C)) -> terms.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.extractor.neck.train()
    for _ in range(steps):
        rows = torch.randint(len(cells.features), (_BATCH,), generator=generator)
        rows = rows.to(cells.features.device)
        terms = objective(model.extractor.neck.points(cells.features[rows]), cells.target[rows])
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
        schedule.step()
        yield {name: float(value.detach()) for name, value in terms.items()}


@torch.no_grad()
def latents_of(model: PrototypeSegmenter, cells: CachedCells) -> Tensor:
    """Latents (N, D) of cached cells."""
    model.eval()
    parts = [model.extractor.neck.points(part) for part in cells.features.split(_BATCH)]
    return torch.cat(parts)


def balanced_objective(
    model: PrototypeSegmenter, config: TrainingConfig
) -> Callable[[Tensor, Tensor], dict[str, Tensor]]:
    """The full supervised objective on cells drawn evenly over the classes."""

    def terms(z: Tensor, target: Tensor) -> dict[str, Tensor]:
        weight = torch.ones(len(z), device=z.device)
        even = torch.ones(target.shape[1], device=z.device)
        return objective.objective(model.layer, z, target, weight, even, config.loss)

    return terms
