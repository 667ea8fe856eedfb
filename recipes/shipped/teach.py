"""The whole network learns the classes of a shipped model, by a head that is thrown away."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from napari_gaussproto.core.base.seeds import seeded
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.network.extractor import Extractor
from napari_gaussproto.core.network.stride import shrink
from recipes.shipped.views import View
from recipes.start.network import Trunk
from recipes.start.objective import both, shares

_BATCH, _LOGGED = 8, 50
# Peaks of the learning rates: later stages of the backbone, neck, and head.
_RATES = (3e-4, 1e-3, 1e-2)
_WEIGHT_DECAY, _CLIP, _EMA, _WARM_UP = 1e-2, 1.0, 0.995, 60
# Images (B, 3, S, S) in [0, 1] and labels (B, S, S), 0 not labelled.
Batch = tuple[Tensor, Tensor]
Change = Callable[[Tensor, Tensor, np.random.Generator], Batch]


@dataclass(frozen=True)
class Length:
    """How long a network learns: so many minutes or, where they are given, so many steps."""

    minutes: float = 0.0
    steps: int = 0

    @property
    def any(self) -> bool:
        """Whether it learns at all."""
        return self.minutes > 0 or self.steps > 0

    def share(self, steps: int, seconds: float) -> float:
        """How much of it is over after so many steps, which took so long."""
        return steps / self.steps if self.steps else seconds / (60 * self.minutes)


def teach(
    model: PrototypeSegmenter,
    views: Iterator[View],
    length: Length,
    seed: int,
    *,
    change: Change = lambda images, labels, _: (images, labels),
    trunk_of: Callable[[Extractor], Trunk] = Trunk,
) -> int:
    """Train backbone and neck of a model on squares that come without end.

    Learning rates follow a cosine over that time, and the running average of the weights stays.
    Changes the model's extractor; its prototypes are to be placed afterwards.

    Parameters
    ----------
    model : PrototypeSegmenter
        Of the start's levels.
    views : iterator of View
        All of one size.
    length : Length
    seed : int
        Of the head.
    change : callable
        Makes of a batch the one that is learned from, such as `mix`. Pixels without labels teach
        nothing.
    trunk_of : callable
        Makes what computes latents in training; see `Trunk`.

    Returns
    -------
    int
        Steps that were taken.
    """
    n_classes = len(model.classes)
    factor, stride = model.config.downsample, model.config.output_stride
    trunk = trunk_of(model.extractor)
    with seeded(seed):
        head = nn.Conv2d(model.config.latent_dim, n_classes, 1)
    average = AveragedModel(
        model.extractor, multi_avg_fn=get_ema_multi_avg_fn(_EMA), use_buffers=False
    )
    parts = trunk.later, model.extractor.neck, head
    groups = [
        {"params": list(part.parameters()), "lr": 0.0, "peak": rate}
        for part, rate in zip(parts, _RATES, strict=True)
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=_WEIGHT_DECAY)
    began, step = time.monotonic(), 0
    for images, labels in _batches(views, change, seed):
        share = length.share(step, time.monotonic() - began)
        if share >= 1:
            break
        step += 1
        for group in optimizer.param_groups:
            pace = 0.5 + 0.5 * math.cos(math.pi * share)
            group["lr"] = group["peak"] * min(1.0, step / _WARM_UP) * pace
        truth = shares(labels, n_classes, factor * stride).movedim(1, -1).flatten(0, 2)
        logits = head(trunk(shrink(images, factor))).movedim(1, -1).flatten(0, 2)
        asked = truth.sum(1) > 0
        loss = both(logits[asked], truth[asked])
        optimizer.zero_grad()
        loss.backward()
        for group in optimizer.param_groups:
            nn.utils.clip_grad_norm_(group["params"], _CLIP)
        optimizer.step()
        average.update_parameters(model.extractor)
        if step % _LOGGED == 0:
            print(f"step {step}, {share:.1%} of the time, loss {loss:.3f}", flush=True)
    model.extractor.load_state_dict(average.module.state_dict())
    model.extractor.eval().requires_grad_(False)
    return step


def _batches(views: Iterator[View], change: Change, seed: int) -> Iterator[Batch]:
    """Batches of views, drawn ahead in a thread."""
    rng = np.random.default_rng(seed)

    def draw() -> Batch:
        some = list(itertools.islice(views, _BATCH))
        images = torch.from_numpy(np.stack([view.image for view in some]))
        labels = torch.from_numpy(np.stack([view.labels for view in some]))
        return change(images.movedim(-1, 1).float() / 255, labels, rng)

    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(draw)
        while True:
            ready, ahead = ahead.result(), pool.submit(draw)
            yield ready
