"""The whole network learns the classes of a shipped model, by a head that is thrown away."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from napari_gaussproto.core.base.seeds import seeded
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.network.stride import shrink
from recipes.shipped.mix import mix
from recipes.shipped.views import View
from recipes.start.network import Trunk
from recipes.start.objective import both, shares

_BATCH, _LOGGED = 8, 50
# Peaks of the learning rates: later stages of the backbone, neck, and head.
_RATES = (3e-4, 1e-3, 1e-2)
_WEIGHT_DECAY, _CLIP, _EMA, _WARM_UP = 1e-2, 1.0, 0.995, 60


def teach(
    model: PrototypeSegmenter,
    views: Iterator[View],
    minutes: float,
    seed: int,
    *,
    mixed: float = 0.0,
) -> int:
    """Train backbone and neck of a model on squares that come without end.

    Learning rates follow a cosine over the minutes, and the running average of the weights stays.
    Changes the model's extractor; its prototypes are to be placed afterwards.

    Parameters
    ----------
    model : PrototypeSegmenter
        Of the start's levels.
    views : iterator of View
        All of one size.
    minutes : float
    seed : int
        Of the head.
    mixed : float
        Share of the squares that hold parts of others; see `mix`.

    Returns
    -------
    int
        Steps that were taken.
    """
    n_classes = len(model.classes)
    factor, stride = model.config.downsample, model.config.output_stride
    trunk = Trunk(model.extractor)
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
    for step, (images, labels) in enumerate(_batches(views, mixed, seed), 1):
        share = (time.monotonic() - began) / (60 * minutes)
        if share >= 1:
            break
        for group in optimizer.param_groups:
            pace = 0.5 + 0.5 * math.cos(math.pi * share)
            group["lr"] = group["peak"] * min(1.0, step / _WARM_UP) * pace
        truth = shares(labels, n_classes, factor * stride).movedim(1, -1).flatten(0, 2)
        loss = both(head(trunk(shrink(images, factor))).movedim(1, -1).flatten(0, 2), truth)
        optimizer.zero_grad()
        loss.backward()
        for group in optimizer.param_groups:
            nn.utils.clip_grad_norm_(group["params"], _CLIP)
        optimizer.step()
        average.update_parameters(model.extractor)
        if step % _LOGGED == 0:
            print(f"step {step}, {share:.1%} of {minutes:g} minutes, loss {loss:.3f}", flush=True)
    model.extractor.load_state_dict(average.module.state_dict())
    model.extractor.eval().requires_grad_(False)
    return step


def _batches(views: Iterator[View], mixed: float, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Images (B, 3, S, S) in [0, 1] and labels (B, S, S), drawn ahead in a thread."""
    rng = np.random.default_rng(seed)

    def draw() -> tuple[Tensor, Tensor]:
        some = list(itertools.islice(views, _BATCH))
        images = torch.from_numpy(np.stack([view.image for view in some]))
        labels = torch.from_numpy(np.stack([view.labels for view in some]))
        return mix(images.movedim(-1, 1).float() / 255, labels, mixed, rng)

    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(draw)
        while True:
            ready, ahead = ahead.result(), pool.submit(draw)
            yield ready
