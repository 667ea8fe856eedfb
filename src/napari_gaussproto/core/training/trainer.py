"""The stages of a fit, and the state that they share and keep on disk."""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_gaussproto.core.base.config import TrainingConfig
from napari_gaussproto.core.base.seeds import seeded
from napari_gaussproto.core.base.steps import TrainingStep, WithValue, without_pauses
from napari_gaussproto.core.measure.evaluation import RunningOverlap, validation_steps
from napari_gaussproto.core.mixture import placement
from napari_gaussproto.core.model.segmenter import PrototypeSegmenter
from napari_gaussproto.core.training import objective
from napari_gaussproto.core.training.cells import LabelledCells, cells_of_crops, draw_cells
from napari_gaussproto.core.training.checkpoint import (
    check_identity,
    load_checkpoint,
    save_checkpoint,
)
from napari_gaussproto.core.training.descent import (
    descend,
    descent_step,
    fit_temperature,
    forget_moments,
    move_average,
    trainable,
)
from napari_gaussproto.core.training.describe import finish_steps
from napari_gaussproto.core.training.pyramid import encode_pyramid
from napari_gaussproto.core.training.samples import (
    Crops,
    CropSampler,
    TrainingImage,
    check_crop,
    pixel_counts,
)
from napari_gaussproto.core.training.schedule import Clock, check_budget, one_cycle

# Drawn cells of a batch, and those whose latents are computed at a time.
_BATCH = 4096
# Joint steps between two searches for dead prototypes, and the share of the stage with any.
_RESEED_EVERY = 50
_RESEED_UNTIL = 0.5


@dataclass(frozen=True)
class Trained:
    """A model that was trained end to end.

    Attributes
    ----------
    model : PrototypeSegmenter
        In evaluation mode, on the training device.
    steps : int
        Taken, those before a resumption included.
    best_step : int
        Whose weights are kept; 0 for those of the start, or without validation.
    validation_miou : float or None
        Of those weights.
    """

    model: PrototypeSegmenter
    steps: int
    best_step: int
    validation_miou: float | None


class Trainer:
    """The stages of a fit and what they share.

    Parameters
    ----------
    model : PrototypeSegmenter
    data, validation : sequence of TrainingImage
    config : TrainingConfig
    seed : int
    """

    name = "fit"

    def __init__(
        self,
        model: PrototypeSegmenter,
        data: Sequence[TrainingImage],
        validation: Sequence[TrainingImage],
        config: TrainingConfig,
        seed: int,
    ) -> None:
        self.model = model
        self.data = data
        self.validation = validation
        self.config = config
        self.seed = seed
        counts = pixel_counts(data, len(model.classes))
        self.class_weight = objective.class_weights(counts, config.class_balance).to(model.device)
        self.best: dict[str, Tensor] | None = None
        self.best_miou: float | None = None
        self.best_step = 0
        self.steps_done = 0
        self.seconds_before = 0.0
        check_crop(config.crop_size, model.config.output_stride)
        self.progress = 0.0
        self.labelled = RunningOverlap(len(model.classes))
        self.started = time.monotonic()

    def run(
        self, minutes: float | None, checkpoint: Path | None, stop: Callable[[], bool]
    ) -> Generator[TrainingStep, None, Trained]:
        """Take all stages; those before the joint one are skipped where a checkpoint is.

        Raises
        ------
        ConfigError, ModelFileError
            See `joint`.
        """
        if checkpoint is None or not checkpoint.exists():
            yield from self.start()
        yield from self.joint(minutes, checkpoint, stop)
        yield from self.finish()
        return Trained(self.model, self.steps_done, self.best_step, self.best_miou)

    # -- stages before the joint one --------------------------------------------------------

    def start(self) -> Iterator[TrainingStep]:
        """Draw cells, warm up the neck, place the prototypes, train neck and layer."""
        layer, neck = self.model.layer, self.model.extractor.neck
        cells = yield from self.draw_cells()
        with seeded(self.seed):
            head = nn.Linear(self.model.config.latent_dim, len(self.model.classes))
        head.to(self.model.device)

        def under_head(z: Tensor, target: Tensor) -> dict[str, Tensor]:
            return {"classification": nn.functional.cross_entropy(head(z), target)}

        parameters = [*neck.parameters(), *head.parameters()]
        yield from self.neck_stage(
            "warm-up", cells, under_head, parameters, self.config.warm_up_steps
        )
        with torch.no_grad():
            self.model.eval()
            parts = [neck.points(part) for part in cells.values.split(_BATCH)]
        latents = cells.with_values(torch.cat(parts))
        placement.place_by_kmeans(layer, latents.values, latents.majority, self.seed)
        fit_temperature(layer, latents)

        def under_layer(z: Tensor, target: Tensor) -> dict[str, Tensor]:
            # Cells were drawn evenly over the classes.
            even, same = z.new_ones(len(z)), z.new_ones(target.shape[1])
            return objective.terms(layer, z, target, even, same, self.config.loss)

        parameters = [*neck.parameters(), *trainable(layer)]
        yield from self.neck_stage("layer", cells, under_layer, parameters, self.config.layer_steps)

    def draw_cells(self) -> Generator[TrainingStep, None, LabelledCells]:
        """Labelled cells of all images with their backbone features."""
        self.model.eval()
        generator = torch.Generator().manual_seed(self.seed)
        parts = []
        for index, image in enumerate(self.data):
            encoded = encode_pyramid(image.source, self.model)
            count = self.config.cells_per_image
            parts.append(
                draw_cells(encoded, image.full_labels, self.model, count, generator, index)
            )
            yield TrainingStep("features", index + 1, len(self.data))
        return LabelledCells.joined(parts)

    def neck_stage(
        self,
        stage: str,
        cells: LabelledCells,
        terms: Callable[[Tensor, Tensor], dict[str, Tensor]],
        parameters: Sequence[nn.Parameter],
        steps: int,
    ) -> Iterator[TrainingStep]:
        """Train the neck, and what stands on it, on drawn cells.

        Parameters
        ----------
        stage : str
        cells : LabelledCells
            Features.
        terms : callable
            Terms of the objective of latents (B, D) and soft labels (B, C).
        parameters : sequence of Parameter
        steps : int
        """
        neck = self.model.extractor.neck.train()
        generator = torch.Generator().manual_seed(self.seed)

        def of_batch() -> dict[str, Tensor]:
            rows = torch.randint(len(cells), (_BATCH,), generator=generator)
            rows = rows.to(cells.values.device)
            return terms(neck.points(cells.values[rows]), cells.target[rows])

        optimizer = torch.optim.AdamW(parameters, lr=self.config.learning_rate)
        for step, losses in enumerate(descend(of_batch, optimizer, steps), start=1):
            yield TrainingStep(stage, step, steps, losses)

    # -- the joint stage --------------------------------------------------------------------

    def joint(
        self, minutes: float | None, checkpoint: Path | None, stop: Callable[[], bool]
    ) -> Iterator[TrainingStep]:
        """Train everything end to end; afterwards the model holds the best weights.

        Raises
        ------
        ConfigError
            For a budget that cannot be, and for the checkpoint of another training.
        ModelFileError
            When ``checkpoint`` is a file of another kind.
        """
        check_budget(self.config.steps, minutes)
        clock = Clock(self.config.steps, minutes)

        def skip(seconds: float) -> None:
            clock.skip(seconds)
            self.started += seconds

        # Whoever holds the generator may pause it.
        yield from without_pauses(self._joint(clock, checkpoint, stop), skip)

    def _joint(
        self, clock: Clock, checkpoint: Path | None, stop: Callable[[], bool]
    ) -> Generator[TrainingStep, None, None]:
        self.model.to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(self._groups(), weight_decay=self.config.weight_decay)
        average = copy.deepcopy(self.model).requires_grad_(False)
        first, usage = 0, None
        if checkpoint is not None and checkpoint.exists():
            first, usage = self._resume(checkpoint, optimizer, average)
        sampler = CropSampler(
            self.data,
            len(self.model.classes),
            self.config.crop_size,
            self.config.augmentation,
            self.seed,
        )
        clock.begin(first, self.seconds_before)
        step = first
        while not clock.over(step):
            self.progress = clock.progress(step)
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * one_cycle(self.progress)
            losses, usage = self._step(sampler, step, optimizer, usage)
            step += 1
            if step % _RESEED_EVERY == 0 and clock.progress(step) < _RESEED_UNTIL:
                usage = self._reseed(sampler, step, optimizer, usage)
            self._average(average, step)
            last = clock.over(step) or stop()
            miou = None
            if last or step % self.config.validate_every == 0:
                miou = yield from self._validate(average, step)
                last = last or stop()
                if checkpoint is not None:
                    self._save(checkpoint, step, optimizer, average, usage, clock.spent())
            yield TrainingStep(
                "joint",
                step,
                clock.total(step),
                losses,
                miou,
                self.best_miou,
                self.labelled.miou,
                clock.left(step),
            )
            if last:
                break
        self.steps_done = step
        self.model.load_state_dict(self.best or average.state_dict())

    def _groups(self) -> list[dict[str, Any]]:
        """Parameters in three groups: backbone; weights; and those that must not decay."""
        backbone, neck = self.model.extractor.backbone, self.model.extractor.neck
        peak, backbone_peak = self.config.learning_rate, self.config.backbone_learning_rate
        return [
            {"params": list(backbone.parameters()), "peak": backbone_peak},
            {"params": list(neck.parameters()), "peak": peak},
            # Decay would pull means to the origin and scales to an arbitrary value.
            {"params": trainable(self.model.layer), "peak": peak, "weight_decay": 0.0},
        ]

    def _step(
        self,
        sampler: CropSampler,
        step: int,
        optimizer: torch.optim.Optimizer,
        usage: Tensor | None,
    ) -> tuple[dict[str, float], Tensor]:
        crops = sampler.batch(step, self.config.batch_size)
        self.model.train()
        cells = self.crop_cells(crops, self.model)
        z, target, weight = cells.values, cells.target, cells.weight
        terms = self.terms(z, target, weight) | self.further_terms(cells, crops, step)
        losses = descent_step(optimizer, terms, self.config.gradient_clip)
        z = z.detach()
        self.labelled.add(self.model, z, target, weight)
        fresh = self.usage(z, target, weight)
        if usage is not None:
            fresh = torch.where(usage.isnan(), fresh, 0.9 * usage + 0.1 * fresh)
        return losses, fresh

    def crop_cells(self, crops: Crops, model: PrototypeSegmenter) -> LabelledCells:
        """Cells of crops, by this model or a copy of it."""
        return cells_of_crops(crops, model)

    def further_terms(self, cells: LabelledCells, crops: Crops, step: int) -> dict[str, Tensor]:
        """Terms besides the supervised ones, scalars by name; none here."""
        return {}

    def terms(self, z: Tensor, target: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """Terms of the objective on cells (N, D), (N, C), (N,); scalars by name."""
        return objective.terms(
            self.model.layer, z, target, weight, self.class_weight, self.config.loss
        )

    def usage(self, z: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Share of its class' cells that each prototype explains, (M,)."""
        return placement.usage(self.model.layer, z, target, weight)

    def _reseed(
        self, sampler: CropSampler, step: int, optimizer: torch.optim.Optimizer, usage: Tensor
    ) -> Tensor:
        """Move dead prototypes to a new place, where the optimiser starts without moments."""
        dead = (usage < self.config.min_usage).nonzero().flatten()
        if not len(dead):
            return usage
        crops = sampler.batch(step, self.config.batch_size)
        with torch.no_grad():
            cells = self.crop_cells(crops, self.model)
        moved = placement.reseed(self.model.layer, dead, cells.values, cells.target, cells.weight)
        forget_moments(optimizer, [self.model.layer.mean, self.model.layer.raw_scale], moved)
        usage = usage.clone()
        usage[moved] = math.nan
        return usage

    def _average(self, average: PrototypeSegmenter, step: int) -> None:
        """Move the running average of the weights towards the current ones."""
        # The decay starts small: early weights are far off and must be forgotten.
        decay = min(self.config.ema_decay, (1 + step) / (10 + step))
        move_average(average, self.model, decay)

    def _validate(
        self, average: PrototypeSegmenter, step: int
    ) -> Generator[TrainingStep, None, float | None]:
        """Mean IoU of the averaged weights; keeps them when they are the best so far."""
        if not self.validation:
            return None
        average.eval()
        pairs = ((image.source, image.full_labels.numpy()) for image in self.validation)
        for number in (work := WithValue(validation_steps(average, pairs))):
            # Large images take long: in between, a person may pause or cancel.
            yield TrainingStep("validation", number, len(self.validation))
        miou = work.value
        if math.isnan(miou):
            return None
        if self.best_miou is None or miou > self.best_miou:
            self.best_miou, self.best_step = miou, step
            self.best = {key: value.clone() for key, value in average.state_dict().items()}
        return miou

    def _save(
        self,
        path: Path,
        step: int,
        optimizer: torch.optim.Optimizer,
        average: PrototypeSegmenter,
        usage: Tensor,
        seconds: float,
    ) -> None:
        states = {
            "model": self.model.state_dict(),
            "average": average.state_dict(),
            "usage": {"usage": usage},
        }
        if self.best is not None:
            states["best"] = self.best
        progress = {
            "step": step,
            "best_miou": self.best_miou,
            "best_step": self.best_step,
            "seconds": seconds,
            "training": self._identity(),
        }
        save_checkpoint(path, states, optimizer, progress)

    def _identity(self) -> dict[str, Any]:
        """What must be as it was for a training to go on: all but its length."""
        labels = hashlib.sha256()
        for image in self.data:
            labels.update(image.full_labels.numpy().tobytes())
        return {
            "model": self.model.config.model_dump(mode="json"),
            "settings": self.config.model_dump(mode="json", exclude={"steps"}),
            "seed": self.seed,
            "images": [[image.source.height, image.source.width] for image in self.data],
            "labels": labels.hexdigest(),
        }

    def _resume(
        self, path: Path, optimizer: torch.optim.Optimizer, average: PrototypeSegmenter
    ) -> tuple[int, Tensor]:
        check_identity(path, self._identity())
        states, progress = load_checkpoint(path, optimizer)
        self.model.load_state_dict(states["model"])
        average.load_state_dict(states["average"])
        self.best = states.get("best")
        self.best_miou, self.best_step = progress["best_miou"], int(progress["best_step"])
        self.seconds_before = float(progress["seconds"])
        return int(progress["step"]), states["usage"]["usage"].to(self.model.device)

    # -- the end ----------------------------------------------------------------------------

    def finish(self) -> Iterator[TrainingStep]:
        """Calibrate, prune, and give every prototype its statistics and patches."""
        self.model.eval()
        total = max(len(self.data), len(self.validation))
        for done in finish_steps(self.model, self.data, self.validation, self.config, self.seed):
            yield TrainingStep("finish", done, total, best_miou=self.best_miou)
        self.model.card.log(self.name, **self.log_details())

    def log_details(self) -> dict[str, Any]:
        """What the model's card says of this training."""
        return {
            "images": len(self.data),
            "validation_images": len(self.validation),
            "steps": self.steps_done,
            "seed": self.seed,
            "seconds": round(self.seconds_before + time.monotonic() - self.started),
            "validation_miou": self.best_miou,
            "best_step": self.best_step,
            "training": self.config.model_dump(),
        }
