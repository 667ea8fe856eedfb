"""Train the start on episodes.

    python -m recipes.start.train --fields FOLDER --photos FOLDER --minutes N --out FILE

Learning rates follow a cosine over the minutes, so a slower machine makes fewer steps. Every few
minutes the running average of the weights is saved as FILE, and the state beside it; with
``--resume`` a training goes on from there. Fields that are written meanwhile are taken in.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from napari_gaussproto.core.model.model_file import load_model, save_model
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.network.receptive import effective_radius
from napari_gaussproto.core.training.checkpoint import load_checkpoint, save_checkpoint
from recipes.start.card import describe
from recipes.start.episodes import Episode, draw_episode
from recipes.start.network import CONFIG, Trunk, new_model
from recipes.start.objective import Objective
from recipes.start.pictures import Pictures, open_pictures

EPISODES = 4
# Pixels along a picture, by turns: small ones cost half, large ones show what stands beside.
SIDES = (192, 256)
# Peaks of the learning rates: later stages of the backbone, neck, and heads.
_RATES = (2e-4, 2e-3, 1e-2)
_WEIGHT_DECAY, _CLIP, _EMA = 1e-2, 1.0, 0.995
_WARM_UP, _STATISTICS, _REFRESH, _LOGGED = 60, 16, 200, 20


@dataclass
class Progress:
    """Where a training is."""

    step: int = 0
    seconds: float = 0.0
    recent: list[tuple[float, float]] = field(default_factory=list)

    def share(self, minutes: float) -> float:
        """Share of the time that is over."""
        return min(1.0, self.seconds / (60 * minutes))


class Training:
    """Network, objective, optimiser and running average.

    Parameters
    ----------
    options : argparse.Namespace
        Of the command.
    pictures : Pictures
    """

    def __init__(self, options: argparse.Namespace, pictures: Pictures) -> None:
        self.options = options
        self.pictures = pictures
        former = load_model(options.former) if options.former else None
        self.model = new_model(options.seed, former)
        self.trunk = Trunk(self.model.extractor)
        self.objective = Objective(
            CONFIG.latent_dim, CONFIG.output_stride, options.objective == "supervised"
        )
        groups: tuple[nn.Module, ...] = (
            self.trunk.later,
            self.model.extractor.neck,
            self.objective,
        )
        self.optimizer = torch.optim.AdamW(
            [
                {"params": list(part.parameters()), "lr": rate, "peak": rate}
                for part, rate in zip(groups, _RATES, strict=True)
            ],
            weight_decay=_WEIGHT_DECAY,
        )
        self.progress = Progress()
        self.average = self._averaged()

    def start(self) -> None:
        """Begin anew, or where a former training stopped."""
        state = state_of(self.options.out)
        if self.options.resume and state.exists():
            states, progress = load_checkpoint(state, self.optimizer, self._what())
            for name, module in self._modules().items():
                module.load_state_dict(states[name])
            self.progress = Progress(progress["step"], progress["seconds"])
            return
        if self.options.former:
            return
        rng = np.random.default_rng(self.options.seed + 1)
        batches = (draw_episode(self.pictures, rng).images for _ in range(_STATISTICS))
        self.trunk.set_statistics(batches)
        self.average = self._averaged()

    def step(self, episodes: list[Episode]) -> None:
        """One step of the optimiser."""
        progress = self.progress
        share = progress.share(self.options.minutes)
        warm = min(1.0, (progress.step + 1) / _WARM_UP)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * warm * (0.5 + 0.5 * math.cos(math.pi * share))
        latents = self.trunk(torch.cat([episode.images for episode in episodes]))
        loss, score = self.objective(latents, episodes)
        self.optimizer.zero_grad()
        loss.backward()
        for group in self.optimizer.param_groups:
            nn.utils.clip_grad_norm_(group["params"], _CLIP)
        self.optimizer.step()
        self.average.update_parameters(self.model.extractor)
        progress.step += 1
        progress.recent.append((loss.item(), score))

    def save(self, last: bool) -> None:
        """The running average as a model file, and the state to go on from."""
        model = PrototypeSegmenter(CONFIG).eval()
        model.extractor.load_state_dict(self.average.module.state_dict())
        if last:  # takes as long as many steps
            model.receptive_radius = effective_radius(model.extract, 3, model.alignment)
        describe(model, self.options, self.progress.step, len(self.pictures.fields))
        save_model(model, self.options.out)
        states = {name: module.state_dict() for name, module in self._modules().items()}
        progress = {"step": self.progress.step, "seconds": self.progress.seconds}
        save_checkpoint(
            state_of(self.options.out),
            states,
            self.optimizer,
            progress | {"training": self._what()},
        )

    def _averaged(self) -> AveragedModel:
        return AveragedModel(
            self.model.extractor, multi_avg_fn=get_ema_multi_avg_fn(_EMA), use_buffers=False
        )

    def _modules(self) -> dict[str, nn.Module]:
        return {
            "extractor": self.model.extractor,
            "objective": self.objective,
            "average": self.average.module,
        }

    def _what(self) -> dict[str, object]:
        return {"model": CONFIG.model_dump(mode="json"), "objective": self.options.objective}


def state_of(out: Path) -> Path:
    """The file of a training's state, beside the model."""
    return out.with_name(f"{out.stem}.state.safetensors")


def batches(pictures: Pictures, seed: int) -> Iterator[list[Episode]]:
    """Episodes without end, drawn ahead in a thread."""
    rng = np.random.default_rng(seed)

    def draw() -> list[Episode]:
        side = int(rng.choice(SIDES))
        return [draw_episode(pictures, rng, side) for _ in range(EPISODES)]

    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(draw)
        while True:
            ready, ahead = ahead.result(), pool.submit(draw)
            yield ready


def train(options: argparse.Namespace) -> None:
    """Train until the minutes are over."""
    pictures = open_pictures(options.fields, options.photos, options.assets)
    training = Training(options, pictures)
    training.start()
    progress = training.progress
    began, saved = time.monotonic() - progress.seconds, progress.seconds
    for episodes in batches(pictures, options.seed + 2 + progress.step):
        training.step(episodes)
        progress.seconds = time.monotonic() - began
        if progress.step % _LOGGED == 0:
            log(training)
        if progress.step % _REFRESH == 0:
            pictures.look_again()
        over = progress.share(options.minutes) >= 1
        if over or progress.seconds - saved > 60 * options.every:
            training.save(last=over)
            saved = progress.seconds
        if over:
            return


def log(training: Training) -> None:
    """One line of JSON: means since the last one."""
    progress, heads = training.progress, training.objective.heads
    losses, scores = zip(*progress.recent, strict=True)
    progress.recent.clear()
    line = {
        "step": progress.step,
        "minutes": round(progress.seconds / 60, 2),
        "loss": round(sum(losses) / len(losses), 4),
        "query_iou": round(sum(scores) / len(scores), 4),
        "penalty": {kind: round(v.exp().item(), 3) for kind, v in heads.log_penalty.items()},
        "fields": len(training.pictures.fields),
    }
    print(json.dumps(line), flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Read the options and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=Path, required=True, help="from recipes.field.make")
    parser.add_argument("--photos", type=Path, help="real fields: images, masks, index.csv")
    parser.add_argument("--assets", type=Path, help="folder with pictures of grounds")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the model file")
    parser.add_argument("--every", type=float, default=4, help="minutes between two files")
    parser.add_argument("--objective", choices=("episodes", "supervised"), default="episodes")
    parser.add_argument("--former", type=Path, help="a start to go on from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    train(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
